"""Training of many networks of one shape: lanes over networks."""
