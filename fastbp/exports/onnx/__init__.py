"""ONNX: networks as graphs that other programs run, and graphs that are such networks read back."""
