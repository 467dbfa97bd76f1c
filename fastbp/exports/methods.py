"""`Exports`: the methods of a network that write it for others to read."""


class Exports:
    """Base of `fastbp.Network`: each method is that of one format, which a module of its own beside this one writes."""
