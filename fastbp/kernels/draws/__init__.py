"""Random numbers, drawn as NumPy and scikit-learn draw them, or as a function of their place."""
