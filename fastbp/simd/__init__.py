"""The vector type that kernels are written in, and its mathematics."""
