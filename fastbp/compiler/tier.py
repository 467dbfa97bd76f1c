"""Which of three compilers makes the kernels: ``FASTBP_COMPILER`` is ``fast``, ``linked`` or ``plain``.

All three give the same bits and the same speed; they differ in how long they take, and in how much of Numba's insides they rely on:
see README.md of this folder.
"""

import os
import warnings
from collections.abc import Mapping
from importlib import import_module

import numba

from fastbp.compiler.modules import add_this_module

add_this_module()

VARIABLE = "FASTBP_COMPILER"
TIERS = {"fast": ("fast.target", "Fast"), "linked": ("linker", "Linked"), "plain": ("plain", "Plain")}
TESTED = tuple(f"0.{minor}" for minor in range(62, 69))  # versions of Numba with which the tests pass in the fast tier


def chosen(environment: Mapping[str, str], version: str) -> str:
    """The tier that is asked for, else `fast` if this version of Numba was tested with it.

    Raises
    ------
    ValueError
        If the variable of the environment is none of the three words.
    """
    word = environment.get(VARIABLE)
    if word:
        if word not in TIERS:
            raise ValueError(f"{VARIABLE} must be fast, linked or plain, got {word!r}")
        return word
    if ".".join(version.split(".")[:2]) in TESTED:
        return "fast"
    warnings.warn(
        f"fastbp was not tested with Numba {version}: its kernels are compiled without what relies on Numba's insides most. They"
        f" run as fast, but take three times as long to compile. Set {VARIABLE}=linked to choose this and silence the warning, or"
        f" {VARIABLE}=fast to try what was tested with Numba {TESTED[0]} to {TESTED[-1]}.",
        RuntimeWarning,
        stacklevel=2,
    )
    return "linked"


TIER = chosen(os.environ, numba.__version__)
module = import_module(f"fastbp.compiler.{TIERS[TIER][0]}")
compiler = getattr(module, TIERS[TIER][1])()
processor = compiler.processor
