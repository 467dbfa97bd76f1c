"""C: networks as programs of one file."""
