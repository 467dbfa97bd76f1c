"""Checks of single arguments, of classes and of calls: a message names the argument, says what it may be, and what it is."""

from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastbp.compiler import add_this_module

add_this_module()

PLAIN = float, int


def is_boolean(value: Any) -> bool:
    """Whether `value` is True or False; numbers, words and None are not."""
    return isinstance(value, bool | np.bool_)


def boolean(name: str, value: Any) -> bool:
    """`value`, True or False, as a bool."""
    if not is_boolean(value):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def integer(name: str, value: Any, *, least: int = 1) -> int:
    """`value` as an int of at least `least`."""
    # to ask the abstract class takes most of the time of a check
    if type(value) is not int and (is_boolean(value) or isinstance(value, np.timedelta64) or not isinstance(value, Integral)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = int(value)
    if number < least:
        # Python does not print integers of thousands of digits
        raise ValueError(f"{name} must be at least {least}, got {number if number > -(2**63) else 'a number far below'}")
    return number


def position(what: str, value: Any, count: int) -> int:
    """The place, from 0, of one of `count`, asked for by its number; negative ones count from the end."""
    if is_boolean(value) or not isinstance(value, Integral):
        raise TypeError(f"{what} is asked for by its number, an integer, got {value!r}")
    number = int(value)
    if not -count <= number < count:
        raise IndexError(f"{what} {number} is asked for, but there are {count}")
    return number % count


def real(name: str, value: Any, *, least: float = 0.0, above: float = -inf, below: float = inf, most: float = inf) -> float:
    """`value` as a finite float within bounds: at `least` 0, if not said otherwise.

    Raises
    ------
    TypeError, ValueError
        Naming the argument `name`.
    """
    if type(value) not in PLAIN and (is_boolean(value) or isinstance(value, np.timedelta64) or not isinstance(value, Real)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be finite, got a number that no float holds") from error
    if not (isfinite(number) and least <= number <= most and above < number < below):
        ends = (">", above), (">=", -inf if above >= least else least), ("<", below), ("<=", most)
        bounds = [f"{sign} {end:g}" for sign, end in ends if isfinite(end)]
        raise ValueError(f"{name} must be {' and '.join(['finite', *bounds])}, got {value!r}")
    return number


def positive(name: str, value: Any, *, below: float = inf) -> float:
    """`value` as a finite float that is more than 0 and less than `below`."""
    return real(name, value, above=0.0, below=below)
