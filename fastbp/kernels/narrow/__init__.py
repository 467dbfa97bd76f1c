"""Training of networks of narrow layers: lanes over samples."""
