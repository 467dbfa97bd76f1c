"""Checks of what `Trainer.state` gave, wherever it has been since."""

from copy import deepcopy
from typing import Any

import numpy as np

from fastbp.arguments import integer, positive

LARGEST_COUNT, LARGEST_SEED = 1 << 48, (1 << 63) - 1


def checked(state: Any, like: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """`state`, if it fits a trainer whose state is `like` now, and its generator; an error names the item at fault."""
    if not isinstance(state, dict) or sorted(state) != sorted(like):
        raise ValueError(f"state must be what `state` of a trainer gave: a dict of {', '.join(like)}")
    if not isinstance(state["optimizer"], str) or state["optimizer"] != like["optimizer"]:
        raise ValueError(f"state['optimizer'] is {state['optimizer']!r}, but this trainer has {like['optimizer']!r}")
    try:
        deepcopy(generator).bit_generator.state = state["rng"]
    except Exception as error:  # whatever a generator says of a dict that is none
        kind = type(generator.bit_generator).__name__
        raise ValueError(f"state['rng'] must be the state of a {kind}: {error}") from error
    found = {name: _array(name, state[name], like[name]) for name in ("params", "hyper", "slots")}
    found |= {name: _count(name, state[name], LARGEST_COUNT) for name in ("epochs", "first")}
    found["learning_rate"] = positive("state['learning_rate']", state["learning_rate"])
    found["seed"] = None if state["seed"] is None else _count("seed", state["seed"], LARGEST_SEED)
    return found | {"rng": state["rng"]}


def _array(name: str, value: Any, like: Any) -> Any:
    array = np.array(value)  # a copy, in which nobody else writes
    if array.dtype != like.dtype or array.shape != like.shape or not np.isfinite(array).all():
        raise ValueError(f"state[{name!r}] must be finite numbers {like.dtype} of shape {like.shape}: it is of another trainer")
    return array


def _count(name: str, value: Any, most: int) -> int:
    count = integer(f"state[{name!r}]", value, least=0)
    if count > most:
        raise ValueError(f"state[{name!r}] must be at most {most}, got a number above that")
    return count
