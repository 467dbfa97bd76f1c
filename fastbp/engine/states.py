"""Checks of what `Trainer.state` gave, wherever it has been since."""

from copy import deepcopy
from typing import Any

import numpy as np

from fastbp.arguments import integer, positive


def checked(state: Any, like: dict[str, Any], generator: np.random.Generator) -> dict[str, Any]:
    """`state`, if it fits a trainer whose state is `like` now, and its generator; an error names the item at fault."""
    if not isinstance(state, dict) or sorted(state) != sorted(like):
        raise ValueError(f"state must be what `state` of a trainer gave: a dict of {', '.join(like)}")
    if state["optimizer"] != like["optimizer"]:
        raise ValueError(f"state['optimizer'] is {state['optimizer']!r}, but this trainer has {like['optimizer']!r}")
    try:
        deepcopy(generator).bit_generator.state = state["rng"]
    except (TypeError, ValueError, KeyError) as error:
        kind = type(generator.bit_generator).__name__
        raise ValueError(f"state['rng'] must be the state of a {kind}: {error}") from error
    found = {name: _array(name, state[name], like[name]) for name in ("params", "hyper", "slots")}
    found |= {name: integer(f"state[{name!r}]", state[name], least=0) for name in ("epochs", "first")}
    found["learning_rate"] = positive("state['learning_rate']", state["learning_rate"])
    found["seed"] = None if state["seed"] is None else integer("state['seed']", state["seed"], least=0)
    return found | {"rng": state["rng"]}


def _array(name: str, value: Any, like: Any) -> Any:
    array = np.asarray(value)
    if array.dtype != like.dtype or array.shape != like.shape or not np.isfinite(array).all():
        raise ValueError(f"state[{name!r}] must be finite numbers {like.dtype} of shape {like.shape}: it is of another trainer")
    return array
