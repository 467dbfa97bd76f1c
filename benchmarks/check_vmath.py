"""Largest errors of the elementary functions of fastbp.simd.vmath, over every float32 there is.

Each of the 2**32 bit patterns is compared with the C library's result in float64. Takes about two minutes a function; with
``--stride 1001`` it is a sample of a few million and takes seconds.

    python benchmarks/check_vmath.py [--stride N] [name ...]
"""

import argparse
import math
import time

import numpy as np
from numba import njit

from fastbp.compiler.plain import OF_ENTRIES
from fastbp.compiler.tier import compiler
from fastbp.simd import vmath
from fastbp.simd.register import load, pointer, store, width

BLOCK = 1 << 16


@njit
def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@njit
def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


REFERENCES = {
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "tanh": math.tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "erf": math.erf,
}
OVERFLOW = 2.0**128 - 2.0**103  # from here on the nearest float32 is infinity
FLUSHED = {"exp": 2.0**-126.499, "sigmoid": 2.0**-126.499, "softplus": 2.0**-126.499}  # results below may be zero


@njit
def ulps(value, exact):
    """|value - exact| in units of the last place of float32 at `exact`; infinity if only one is NaN or infinite."""
    if abs(exact) >= OVERFLOW:
        exact = math.copysign(math.inf, exact)
    if value == exact or (math.isnan(value) and math.isnan(exact)):
        return 0.0
    if not (math.isfinite(value) and math.isfinite(exact)):
        return math.inf
    return abs(value - exact) / math.ldexp(1.0, max(math.frexp(exact)[1] - 24, -149))


def of_block(function):
    """A kernel: y (BLOCK,) = the function of x (BLOCK,), register by register."""

    def apply(x, y):
        source, target = pointer(x), pointer(y)
        for i in range(0, BLOCK, width(source)):
            store(target, i, function(load(source, i)))

    return compiler.dispatcher(apply, {**compiler.options, **OF_ENTRIES})


def checker(reference, flushed):
    """A function (x, y) -> (largest error of y as values of the reference at x, its position)."""

    @njit
    def check(x, y):
        worst, where = -1.0, 0
        for i in range(x.size):
            value, exact = np.float64(y[i]), reference(np.float64(x[i]))
            error = ulps(value, exact)
            if error > worst and not (value == 0.0 and exact < flushed):
                worst, where = error, i
        return worst, where

    return check


def largest_error(name, stride):
    """The largest error over every `stride`-th bit pattern, and the number it is at."""
    apply, check = of_block(getattr(vmath, name)), checker(REFERENCES[name], FLUSHED.get(name, -math.inf))
    steps, y = np.arange(BLOCK) * stride, np.empty(BLOCK, np.float32)
    worst, where = -1.0, np.float32(0)
    for start in range(0, 1 << 32, BLOCK * stride):
        x = (start + steps).astype(np.uint32).view(np.float32)
        apply(x, y)
        error, i = check(x, y)
        if error > worst:
            worst, where = error, x[i]
    return worst, where


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(REFERENCES)} (default: all)")
    parser.add_argument("--stride", type=int, default=1, help="check every so many bit patterns (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(REFERENCES):
        parser.error(f"unknown name: {', '.join(unknown)}")
    for name in arguments.names or REFERENCES:
        started = time.perf_counter()
        worst, x = largest_error(name, arguments.stride)
        seconds = time.perf_counter() - started
        print(f"{name:8s} {worst:.4f} ULP at x = {x!s} (0x{x.view(np.uint32):08x})   {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
