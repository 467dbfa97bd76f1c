"""What makes compiling faster, and relies on Numba's insides most: a target, a lowering and passes for kernels alone."""
