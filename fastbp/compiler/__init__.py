"""Numba behind one door: what compiles kernels, links them, and keeps their machine code."""
