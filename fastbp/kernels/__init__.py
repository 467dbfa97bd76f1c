"""The loops of a training step, and what is done in one call of them."""
