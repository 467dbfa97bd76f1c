"""``fastbp cache``: what is kept of compiled kernels, removing it, and compiling ahead of time."""

from __future__ import annotations

import argparse
import warnings
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the subcommand to what `argparse.ArgumentParser.add_subparsers` returned."""
    actions = commands.add_parser("cache", help="compiled kernels: show, remove, or compile them ahead").add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    info = actions.add_parser("info", help="where they are, how many and how large, and why none are kept")
    info.set_defaults(run=_info)
    clear = actions.add_parser("clear", help="remove those of this environment: versions, flags and processor")
    clear.set_defaults(run=_clear)
    clear.add_argument("--all", action="store_true", help="of all environments")
    warm = actions.add_parser("warm", help="compile what most networks need, in both dtypes")
    warm.set_defaults(run=_warm)


def _of(own: bool) -> list[Path]:
    """Directories of this environment, of which there is one at most, or of the others."""
    from fastbp.compiler import cache_directories, environment_key

    return [path for path in cache_directories() if (path.name == environment_key()) == own]


def _sizes(directories: list[Path]) -> list[int]:
    from fastbp.compiler import stored_kernels

    return [state.st_size for directory in directories for _, state in stored_kernels(directory)]


def sizes_of_kernels() -> list[int]:
    """Bytes of each kernel that was compiled in this environment."""
    return _sizes(_of(own=True))


def has_kernels_for_tables() -> bool:
    """Whether the kernels of networks for tables were compiled in this environment."""
    from fastbp.compiler import Level, stored_kernels

    mark = f"_{Level.TABULAR.name.lower()}-"
    return any(mark in path.name for directory in _of(own=True) for path, _ in stored_kernels(directory))


def _told(sizes: list[int]) -> str:
    return f"{len(sizes)} kernel{'s' if len(sizes) != 1 else ''}, {sum(sizes) / 1e6:.1f} MB"


def _info(arguments: argparse.Namespace) -> None:
    from fastbp.compiler import cache_directory, cache_trouble

    trouble = cache_trouble()
    print(f"directory           {cache_directory() or 'none'}")
    print(f"kernels are kept    {f'no: {trouble}' if trouble else 'yes'}")
    print(f"this environment    {_told(sizes_of_kernels())}")
    print(f"other environments  {_told(_sizes(_of(own=False)))}")


def _clear(arguments: argparse.Namespace) -> None:
    from fastbp.compiler import remove_kernels

    removed = []
    for directory in [*_of(own=True), *(_of(own=False) if arguments.all else [])]:
        removed += remove_kernels(directory)
        with suppress(OSError):  # what is not ours is left there
            directory.rmdir()
    print(f"removed {_told(removed)}")


def _warm(arguments: argparse.Namespace) -> None:
    from fastbp.compiler import cache_directory, cache_trouble, kept_by_this_process

    trouble = cache_trouble()
    if trouble:
        raise ValueError(f"kernels cannot be kept: {trouble}")
    start, before = perf_counter(), len(kept_by_this_process)
    _use_kernels()
    seconds, made = perf_counter() - start, len(kept_by_this_process) - before
    print(f"{f'compiled {made} kernels' if made else 'all kernels were there already'} ({seconds:.1f} s): {cache_directory()}")


def _use_kernels() -> None:
    """Train and predict as most programs do."""
    import numpy as np

    from fastbp.estimators import MLPClassifier, MLPRegressor
    from fastbp.network import Network

    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for n_inputs, n_hidden, n_outputs in ((40, 64, 10), (2, 3, 2)):  # of panels, and narrow
            X, labels = rng.random((20, n_inputs)).astype(dtype), np.arange(20) % n_outputs
            net = Network([n_inputs, n_hidden, n_outputs], loss="cross_entropy", dtype=dtype, rng=0)
            net.fit(X, labels, epochs=1, validation_data=(X, labels), record_score=True)
            net.value_and_grad(X, labels)
            net.score(X, labels)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that one epoch is not enough
                MLPClassifier(hidden_layer_sizes=n_hidden, max_iter=1).fit(X, labels).predict(X)
                MLPRegressor(hidden_layer_sizes=n_hidden, max_iter=1).fit(X, X[:, 0]).predict(X)
