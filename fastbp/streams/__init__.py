"""Data that are read while a network trains: `stream` makes a source of blocks of anything that holds rows.

A fit takes whole mini-batches out of *blocks*, so many rows as are in memory at one time; one thread reads and checks the next ones
while kernels run. What comes in which order is a function of the seed, the epoch and the source, and of nothing else.

- Without shuffling rows keep their order, and blocks begin where mini-batches do: the bits are those of a fit on arrays.
- Where rows can be addressed, a shuffled epoch reads *chunks*, rows next to each other, in an order that is drawn from all of the
  data; as many as fill a block are shuffled together. Chunks of one row are the order of a fit on arrays, to the bit.
- What can be read from its beginning only is shuffled within each block; the row groups of Parquet files come in an order that is
  drawn, too.

`source.py` says what a source is, `arrays.py`, `rows.py`, `iterables.py` and `parquet.py` are the kinds, `blocks.py` cuts and
orders, and `ahead.py` reads ahead. They know no network: who trains hands in the check of a part.
"""

from os import PathLike
from typing import Any

from fastbp.arguments import integer
from fastbp.streams import arrays, iterables, parquet, rows
from fastbp.streams.source import Part as Part
from fastbp.streams.source import Source as Source


def stream(
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    columns: Any = None,
    target: Any = None,
    weight: Any = None,
    n_rows: Any = None,
    block_rows: Any = None,
    chunk_rows: Any = None,
    read_ahead: Any = 1,
) -> Source:
    """A source of blocks for `Network.fit` and `Trainer.run`, which take it in the place of `X`: data need not fit in memory.

    Parameters
    ----------
    X : array_like, path, pyarrow.dataset.Dataset, sequence, iterable or callable
        With `y`: arrays, also of files (`numpy.memmap`), and whatever has ``shape``, ``dtype`` and slices (HDF5, Zarr). The path of
        an ``.npy`` file is mapped. A data set of pyarrow, or the path of a Parquet file or of a folder of these (extra ``data``),
        with `target`. Without `y`: a sequence of samples (x, y) or (x, y, weight) by ``__len__`` and ``__getitem__``, as
        data sets of PyTorch are, also by ``__getitems__``; an iterable of parts (X, y) or (X, y, sample_weight) of any numbers of
        rows, or a function without arguments that gives one anew for each epoch.
    y : array_like, path or object with slices, optional
        As `X`. Small targets may stay in memory while `X` is on disk.
    sample_weight : array_like or object with slices, optional
        As `y`.
    columns : list of str, optional
        Of a data set of pyarrow, those that are inputs; by default all that are neither `target` nor `weight`.
    target : str or list of str, optional
        Its columns of targets.
    weight : str, optional
        Its column of sample weights.
    n_rows : int, optional
        Of an iterable: rows of an epoch, where penalties and schedules need that before the first epoch is over.
    block_rows : int, optional
        Rows in memory at one time, which are rounded down to whole mini-batches; by default 32 MiB of inputs. At most
        ``2 + read_ahead`` blocks are there at once.
    chunk_rows : int, optional
        Where rows are addressed: rows next to each other that a shuffled epoch reads in one go. 1 draws each row alone, and
        gives the bits of a fit on arrays; that is the default of arrays in memory and of sequences of samples. Of others it is a
        16th of a block, in whole chunks of theirs if they have any, so that a disk is read in long pieces.
    read_ahead : int, default 1
        Blocks that a thread reads while one is trained on; 0 reads them in between. The result does not depend on it.

    Returns
    -------
    fastbp.streams.Source

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.
    ImportError
        Of pyarrow, if it is needed and not there.

    Examples
    --------
    >>> import numpy as np, fastbp, tempfile
    >>> path = tempfile.mkdtemp() + "/X.npy"
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 8)).astype(np.float32)
    >>> y = (X.sum(axis=1) > 0).astype(int)
    >>> np.save(path, X)
    >>> net = fastbp.Network([8, 16, 2], loss="cross_entropy", rng=0)
    >>> history = net.fit(fastbp.stream(path, y, block_rows=256), epochs=10, optimizer="adam", rng=0)
    >>> len(history.loss), net.score(X, y) > 0.85
    (10, True)

    From the same seed, chunks of one row give the bits of a fit on the array:

    >>> one, other = (fastbp.Network([8, 16, 2], loss="cross_entropy", rng=0) for _ in range(2))
    >>> history = one.fit(X, y, epochs=2, rng=0)
    >>> history = other.fit(fastbp.stream(path, y, block_rows=256, chunk_rows=1), epochs=2, rng=0)
    >>> bool((one.params == other.params).all())
    True

    Parts that a function gives, of any length:

    >>> def parts():
    ...     for first in range(0, 1000, 300):
    ...         yield X[first : first + 300], y[first : first + 300]
    >>> len(net.fit(fastbp.stream(parts), epochs=2).loss)
    2
    """
    sizes = {"block_rows": block_rows, "chunk_rows": chunk_rows, "n_rows": n_rows}
    sizes = {name: None if value is None else integer(name, value) for name, value in sizes.items()}
    of_table = {"columns": columns, "target": target, "weight": weight}
    found = _made(X, y, sample_weight, of_table, sizes)
    found.block_rows, found.read_ahead = sizes["block_rows"], integer("read_ahead", read_ahead, least=0)
    return found


def _made(X: Any, y: Any, sample_weight: Any, of_table: dict[str, Any], sizes: dict[str, Any]) -> Source:
    if isinstance(X, Source):
        raise TypeError("X is a source already: give it to fit as it is")
    is_file = isinstance(X, str | PathLike)
    table = parquet.dataset_of(X) if not is_file or not str(X).endswith(".npy") else None
    if table is not None:
        _refuse(
            "X is a data set of pyarrow", y=y, sample_weight=sample_weight, chunk_rows=sizes["chunk_rows"], n_rows=sizes["n_rows"]
        )
        return parquet.Parquet(table, **of_table, is_strict=is_file)
    _refuse("X is no data set of pyarrow", **of_table)
    if y is None:
        _refuse("y is not", sample_weight=sample_weight)
    if y is not None or is_file or hasattr(X, "shape"):
        _refuse("X has a length", n_rows=sizes["n_rows"])
        return arrays.Arrays(X, y, sample_weight, sizes["chunk_rows"])
    is_sequence = hasattr(X, "__getitem__") and hasattr(X, "__len__") and not isinstance(X, list | tuple | dict | type)
    # PyTorch's, which inherit a `__getitem__` that raises
    is_sequence = is_sequence and not any(cls.__name__ == "IterableDataset" for cls in type(X).__mro__)
    if is_sequence or hasattr(X, "__getitems__"):
        _refuse("X has a length", n_rows=sizes["n_rows"])
        return rows.Rows(X, sizes["chunk_rows"])
    _refuse("parts come in an order of their own", chunk_rows=sizes["chunk_rows"])
    return iterables.Iterables(X, sizes["n_rows"])


def _refuse(reason: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} must be left out: {reason}")
