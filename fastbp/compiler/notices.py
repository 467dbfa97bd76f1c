"""What went wrong while machine code was looked up or kept, told to the caller when the code is at hand.

For a warning may be an error (``-W error``): the code is compiled, and kept where it can be, all the same.
"""

import sys
import warnings

from fastbp.compiler.modules import PACKAGE, add_this_module

add_this_module()

_untold: list[str] = []
_once: set[str] = set()


def note(message: str, kind: str = "") -> None:
    """A message for `tell`; of those of one kind, if it has one, the first of the process alone is told."""
    if kind not in _once:
        _untold.append(message)
        _once.update([kind] if kind else [])


def tell() -> None:
    """Warn the first caller outside the package of what has been noted."""
    while _untold:
        warnings.warn(_untold.pop(0), RuntimeWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """For a warning by what calls this; `skip_file_prefixes` came with Python 3.12."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
