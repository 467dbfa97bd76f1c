"""Minimisation by all samples at once: Levenberg-Marquardt, Gauss-Newton by conjugate gradients, L-BFGS."""
