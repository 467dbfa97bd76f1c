"""`Checkpoint`: keeps a run in a file, from which another process goes on."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from time import monotonic
from typing import Any

from fastbp import storage
from fastbp.arguments import integer, real
from fastbp.engine.history import History
from fastbp.engine.run_state import Moment
from fastbp.files import model_file


class Checkpoint:
    """A callback that keeps a run in a file: ``net.fit(X, y, callbacks=[checkpoint], resume=path)`` goes on from it.

    It is a model file, too, which `fastbp.load` reads. Whatever ends the process, it holds all of one epoch's end or all of
    another's. The run's last epoch is always kept.

    Parameters
    ----------
    path : str or path
    every : int, default 1
        Epochs from one time to the next.
    seconds : float, optional
        That have gone by since the last time, at least.
    blocks : int, optional
        Of a `stream`: keep the run within epochs, too, after every so many blocks. It then goes on with the next block.
    keep : int, default 1
        Files: `path`, and those before it, called `path` and ".1", ".2", ..., the higher the older.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np, fastbp, tempfile
    >>> X, y = np.eye(4), np.arange(4)
    >>> net = fastbp.Network([4, 16, 4], loss="cross_entropy", rng=0)
    >>> path = tempfile.mkdtemp() + "/run.fastbp"
    >>> keep = fastbp.Checkpoint(path, every=10)
    >>> history = net.fit(X, y, epochs=40, callbacks=[keep], resume=path, rng=0)
    >>> again = fastbp.Network([4, 16, 4], loss="cross_entropy", rng=0).fit(X, y, epochs=40, callbacks=[keep], resume=path)
    >>> again.loss == history.loss
    True
    """

    takes_moment = True

    def __init__(
        self,
        path: str | PathLike[str],
        every: int = 1,
        seconds: float | None = None,
        keep: int = 1,
        blocks: int | None = None,
    ) -> None:
        if not isinstance(path, str | PathLike):
            raise TypeError(f"path must be a path, got {path!r}")
        self.path = Path(path)
        self._every, self._keep = integer("every", every), integer("keep", keep)
        self._seconds = None if seconds is None else real("seconds", seconds)
        self._blocks = None if blocks is None else integer("blocks", blocks)
        storage.check_writable(self.path)
        self._last = monotonic()

    def __call__(self, epoch: int, net: Any, history: History, moment: Moment) -> None:
        """Keep the run, if it is time to.

        Parameters
        ----------
        epoch : int
            From 0.
        net : Network
        history : History
            Up to this epoch.
        moment : Moment
            Gives the state of the run.
        """
        if moment.is_last or (len(history.loss) % self._every == 0 and self._is_time()):
            self._write(net, moment)

    def after_block(self, count: int, net: Any, history: History, moment: Moment) -> None:
        """Keep the run within an epoch, if it is time to.

        Parameters
        ----------
        count : int
            Blocks of this run so far.
        net : Network
        history : History
            Up to the epoch before.
        moment : Moment
        """
        if self._blocks is not None and count % self._blocks == 0 and self._is_time():
            self._write(net, moment)

    def _is_time(self) -> bool:
        return self._seconds is None or monotonic() - self._last >= self._seconds

    def _write(self, net: Any, moment: Moment) -> None:
        self._rotate()
        run = moment.state()
        model_file.write(self.path, net._settings(), run["trainer"].pop("params"), run=run)
        self._last = monotonic()

    def _rotate(self) -> None:
        """Let the files before be called by their ages."""
        names = [self.path, *(Path(f"{fspath(self.path)}.{age}") for age in range(1, self._keep))]
        for younger, older in reversed(list(pairwise(names))):
            if younger.exists():
                storage.name_also(younger, older)


def read_run(path: Any, settings: Mapping[str, Any], callbacks: Iterable[Any] = ()) -> dict[str, Any] | None:
    """What `Trainer.run` goes on from, kept in a file for a network of these settings; None if a callback is to write it first.

    Raises
    ------
    OSError
        If there is no such file, nor is one to be written.
    ValueError
        If it holds no run, or one of another network.
    """
    try:
        described, params, run = model_file.read_run(path)
    except FileNotFoundError:
        if any(isinstance(each, Checkpoint) and each.path == Path(path) for each in callbacks):
            return None
        raise
    if not isinstance(run, dict) or not isinstance(run.get("trainer"), dict):
        raise ValueError(f"resume: {path} is a model, and no run to go on with: give a file that a Checkpoint wrote")
    for name, value in model_file.describe(settings).items():
        if described[name] != value:
            raise ValueError(f"resume: the network of {path} has {name}={described[name]}, not {value}")
    run["trainer"]["params"] = params
    found: dict[str, Any] = run
    return found
