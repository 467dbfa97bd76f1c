"""Curvature: J^T J of a loss that is a sum of squares, whole or times a vector, J being d outputs / d parameters."""
