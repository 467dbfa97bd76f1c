"""What is held out of training, and what a training may write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp import storage

TEST_FRACTION = 0.25


def held_out(y: NDArray[Any], classes: list[str], seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers of the rows to train on, and of a quarter to test on; of classes, each is in both.

    Raises
    ------
    ValueError
        If there are too few rows for that.
    """
    from sklearn.model_selection import train_test_split

    if classes:
        check_classes(y, classes)
    kept, held = train_test_split(np.arange(len(y)), test_size=TEST_FRACTION, random_state=seed, stratify=y if classes else None)
    return kept, held


def check_classes(y: NDArray[Any], classes: list[str]) -> None:
    """Whether every class can be in the held-out rows and in the others."""
    counts = np.bincount(y, minlength=len(classes))
    rare = int(counts.argmin())
    if counts[rare] < 2:
        raise ValueError(f"target: the class {classes[rare]!r} has one row only: drop it, or give it more")
    if int(np.ceil(TEST_FRACTION * len(y))) < len(counts):
        raise ValueError(
            f"target: {len(y)} rows are too few for {len(counts)} classes, each of which must be among the held-out quarter"
        )


def check_writable(option: str, path: Path) -> None:
    """Whether a file can be written at the end: told before the training, not after it."""
    if not path.parent.is_dir():
        raise ValueError(f"{option}: there is no directory {path.parent}")
    try:
        storage.check_writable(path)
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be written: {error.strerror}") from error


def check_apart(written: dict[str, Path | None], read: list[str | Path | None]) -> None:
    """Whether files to write are none of those that are read, nor the same: what was there would be gone.

    Parameters
    ----------
    written : dict of str to Path
        By the options that name them.
    read : list of path
    """
    taken = {Path(path).resolve() for path in read if path is not None and Path(path).is_file()}
    for option, path in written.items():
        if path is None or (path.exists() and not path.is_file()):  # a terminal, nothing
            continue
        if path.resolve() in taken:
            raise ValueError(f"{option}: {path} is another file of this command, which would be overwritten")
        taken.add(path.resolve())
