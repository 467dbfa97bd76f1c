"""What a run needs to go on from the end of an epoch, in another process too, to the same bits."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from hashlib import blake2b
from math import isfinite
from typing import Any

import numpy as np

from fastbp.arguments import integer

HASHED = 1 << 26  # bytes of an array in one go, between which Ctrl-C counts
LARGEST = 1 << 48  # epoch


class Moment:
    """The end of an epoch, as a callback sees it that has ``takes_moment = True`` and is called with this as its last argument.

    Parameters
    ----------
    state : callable
        What `state` does.
    is_last : bool

    Attributes
    ----------
    is_last : bool
        Whether the run ends here.
    """

    def __init__(self, state: Callable[[], dict[str, Any]], is_last: bool) -> None:
        self._state, self.is_last = state, is_last

    def state(self) -> dict[str, Any]:
        """What `Trainer.run` goes on from, given as its `resume`: numbers, strings, lists, arrays, and dicts of these, copied."""
        return self._state()


def fingerprint(parts: Iterable[Any]) -> str:
    """Of arrays, and of None: their numbers, dtypes and shapes."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(b"none" if part is None else f"{part.dtype.str}{part.shape}".encode())
        if part is not None and part.size:
            numbers: Any = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
            for start in range(0, numbers.size, HASHED):
                digest.update(numbers[start : start + HASHED])
    return digest.hexdigest()


def checked(state: Any, options: dict[str, str], data: str, n_params: int, generator: np.random.Generator) -> dict[str, Any]:
    """The part ``"run"`` of a state, if it is of a run with these options and data; an error names what differs."""
    found = state.get("run") if isinstance(state, dict) else None
    wanted = {"begun", "options", "data", "history", "stop", "patience", "best", "split"}
    if not isinstance(found, dict) or set(found) - {"part"} != wanted or not isinstance(found["options"], dict):
        raise ValueError("resume must be what a Checkpoint keeps of a run")
    for name, value in options.items():
        if found["options"].get(name) != value:
            raise ValueError(f"resume is of a run with {name}={found['options'].get(name)}, not {value}: give it the same options")
    if found["data"] != data:
        raise ValueError("resume is of a run on other data (X, y, sample_weight, order or validation_data): give it the same")
    begun = integer("resume['begun']", found["begun"], least=0)
    part = found.get("part")
    if part is not None and not _is_part(part):
        raise ValueError("resume is damaged: its part of an epoch is none")
    lists = _history(found["history"], may_be_empty=part is not None)
    if begun > LARGEST or not all(_is_rule(found[name]) for name in ("stop", "patience")):
        raise ValueError("resume is damaged: its counts are none")
    best = found["best"]
    if best is not None and (not isinstance(best, np.ndarray) or best.shape != (n_params,) or not np.isfinite(best).all()):
        raise ValueError("resume is damaged: its best parameters are none")
    if found["split"] is not None:
        try:
            deepcopy(generator).bit_generator.state = found["split"]
        except Exception as error:  # whatever a generator says of a dict that is none
            raise ValueError(f"resume is damaged: it has no state of a {type(generator.bit_generator).__name__}") from error
    return found | {"begun": begun, "history": lists}


def _is_rule(value: Any) -> bool:
    """Whether that is what a rule of stopping knows: the lowest loss, and how long ago that was; or None."""
    return value is None or (isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(x, int | float) for x in value))


def _is_part(value: Any) -> bool:
    """Whether that is what there is of an epoch that is not over: sums that are finite."""
    return (
        isinstance(value, dict)
        and set(value) == {"loss_sum", "loss_rows"}
        and all(isinstance(number, int | float) and isfinite(number) for number in value.values())
    )


def _history(lists: Any, may_be_empty: bool) -> dict[str, Any]:
    if not isinstance(lists, dict) or not (lists.get("loss") or may_be_empty):
        raise ValueError("resume is damaged: its history has no losses")
    filled = {name: values for name, values in lists.items() if name != "stopped_by"}
    if any(not isinstance(values, list) or len(values) != len(filled.get("loss", ())) for values in filled.values()):
        raise ValueError("resume is damaged: the lists of its history are not as long as each other")
    return deepcopy(lists)
