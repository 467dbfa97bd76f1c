"""``fastbp train``: with ``--hidden`` a plain network, from the data to the saved model; else an estimator for tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.commands import split, train_table
from fastbp.commands.cache import sizes_of_kernels
from fastbp.commands.interrupts import interrupts
from fastbp.commands.table import print_table
from fastbp.engine import validation
from fastbp.extras import require
from fastbp.files import datasets

if TYPE_CHECKING:
    from fastbp.bench.comparison import Comparison
    from fastbp.network import Network

REGRESSION_VALIDATION, PATIENCE = 0.2, 10
SAME_WEIGHTS = 1e-3  # relative; the two round differently, and what float32 rounds grows with the steps
SECONDS_OF_CHECKPOINT = 10.0  # what is lost at most, and an epoch
INTERRUPTED = "interrupted after {} of {} epochs; saved what there is as {} and {}"
GOES_ON = ". The same command with --resume goes on from {}"
NOTHING_KEPT = "nothing to go on from at {}: training begins"
SOMETHING_KEPT = "{} is of a training that did not end; --resume would have gone on from it: training begins anew"


PLAIN_OPTIONS = {"hidden": (64,), "batch_size": 32, "lr": None, "optimizer": "adam", "validation_fraction": None, "resume": False}
PRESET_OPTIONS = {"preset": None, "test": None, "metric": None, "drop": (), "use": (), "report": None}
PLAIN_EPOCHS = 40


def train(arguments: argparse.Namespace) -> int:
    """Train a network, test it on a held-out quarter, and save it; the exit status.

    Interrupted, a plain network is saved as it is. A run of it is kept every few seconds for ``--resume``, whatever ends the
    process.
    """
    validation.integer("--seed", arguments.seed, least=0)
    is_named = arguments.data in datasets.NAMES
    given = {name for name in (*PLAIN_OPTIONS, *PRESET_OPTIONS) if getattr(arguments, name) is not None}
    is_plain = arguments.hidden is not None or (is_named and not given & PRESET_OPTIONS.keys())
    for name in sorted(given & (PRESET_OPTIONS if is_plain else PLAIN_OPTIONS).keys()):
        option, other = f"--{name.replace('_', '-')}", "leave out --hidden" if is_plain else "give --hidden, too"
        raise ValueError(f"{option} is for {'presets' if is_plain else 'plain networks'}: {other}")
    for name, value in (PLAIN_OPTIONS if is_plain else PRESET_OPTIONS).items():
        setattr(arguments, name, value if getattr(arguments, name) is None else getattr(arguments, name))
    with interrupts() as heed:
        if not is_plain:
            return train_table.train(arguments)
        arguments.epochs = PLAIN_EPOCHS if arguments.epochs is None else arguments.epochs
        return _train(arguments, heed)


def _train(arguments: argparse.Namespace, heed: Callable[..., None]) -> int:
    for library in ("matplotlib", "tqdm"):
        require(library, "a plain network")
    from fastbp import optimizers, plotting
    from fastbp.bench.comparison import compare
    from fastbp.engine.history import History
    from fastbp.engine.sparsity import entries_for
    from fastbp.engine.threads import flop_of_sample
    from fastbp.files.checkpoint import Checkpoint
    from fastbp.network import Network

    model = arguments.out or Path(f"{Path(arguments.data).stem}.fastbp")
    history_file, picture, kept = (model.with_suffix(end) for end in (".history.json", ".loss.png", ".checkpoint"))
    for path in (model, history_file, picture, kept):
        split.check_writable("--out", path)
    split.check_apart({"--out": model}, [arguments.data])
    data = datasets.open_source(arguments.data, arguments.target, arguments.task)
    classes = data.task == "classification"
    kept_rows, held_rows = split.held_out(data.y, data.target_names if classes else [], arguments.seed)
    (X_train, y_train), (X_test, y_test) = ((data.X[rows], data.y[rows]) for rows in (kept_rows, held_rows))
    transformer = datasets.preprocessor(X_train, data.same_unit)
    X_train, X_test = (transformer.transform(X).astype(np.float32) for X in (X_train, X_test))
    target = {"mean": 0.0, "scale": 1.0}
    if not classes:
        target = {"mean": float(y_train.mean()), "scale": float(y_train.std()) or 1.0}
        y_train, y_test = ((y - target["mean"]) / target["scale"] for y in (y_train, y_test))

    sizes = [X_train.shape[1], *arguments.hidden, len(data.target_names)]
    net = Network(sizes, hidden="relu", loss="cross_entropy" if classes else "squared", rng=arguments.seed)
    optimizer = optimizers.get(arguments.optimizer)
    if arguments.lr is not None:
        optimizer = type(optimizer)(arguments.lr)
    fraction = arguments.validation_fraction
    if fraction is None:
        fraction = 0.0 if classes else REGRESSION_VALIDATION
    first = net.copy()
    _compile(first, X_train, y_train, optimizer)
    checkpoint = Checkpoint(kept, seconds=SECONDS_OF_CHECKPOINT)
    if kept.exists() != arguments.resume:
        print(NOTHING_KEPT.format(kept) if arguments.resume else SOMETHING_KEPT.format(kept), file=sys.stderr)
    extra = {
        "task": data.task,
        "feature_names": data.feature_names,
        "feature_kinds": data.kinds,
        "target": arguments.target,
        "target_names": data.target_names,
        "target_scaling": target,
        "preprocessor": datasets.preprocessor_state(transformer),
    }
    interrupted = False
    try:
        history = net.fit(
            X_train,
            y_train,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            optimizer=optimizer,
            validation_fraction=fraction,
            patience=PATIENCE if fraction else None,
            record_score=True,
            callbacks=[heed, checkpoint],
            progress=True,
            rng=arguments.seed,
            resume=kept if arguments.resume else None,
        )
    except KeyboardInterrupt as interrupt:
        history, interrupted = getattr(interrupt, "history", History()), True
    net.save(model, extra)
    history.save(history_file)
    if history.loss:
        plotting.save_loss_curve(history, picture)
    if interrupted:
        told = INTERRUPTED.format(len(history.loss), arguments.epochs, model, history_file)
        print(told + (GOES_ON.format(kept) if kept.exists() else ""), file=sys.stderr)
        return 130
    kept.unlink(missing_ok=True)

    comparison = compare(first, X_train, y_train, arguments.batch_size, optimizer)
    test = net.score(X_test, y_test)
    n_rows = len(X_train) - round(fraction * len(X_train))
    print_table(
        [
            ("network", f"{'-'.join(map(str, sizes))}, {net.params.size} parameters, {net.dtype}"),
            ("test", f"{f'accuracy {100 * test:.2f} %' if classes else f'R^2 {test:.4f}'} on {len(X_test)} held-out rows"),
            ("training", f"{len(history.loss)} epochs of {n_rows} rows in {history.time[-1]:.2f} s, scores included"),
            *_speed(comparison, n_rows, flop_of_sample(net.sizes, entries_for(net, X_train))),
            ("model", model),
            ("history", history_file),
            ("loss curve", picture),
        ]
    )
    return 0


def _compile(net: Network, X: NDArray[Any], y: NDArray[Any], optimizer: Any) -> None:
    """Compile the kernels, or load them, before anything is timed."""
    if not sizes_of_kernels():
        print("compiling the kernels, once on this machine ...", file=sys.stderr)
    net.copy().fit(X[:2], y[:2], epochs=1, optimizer=optimizer, validation_data=(X[:2], y[:2]))


def _speed(comparison: Comparison, n_rows: int, flop: int) -> list[tuple[str, str]]:
    """Rows of the table: speed in epochs of n_rows rows and in operations, flop to a row, and the baseline's."""
    rate, steps = comparison.rows_per_second, comparison.steps
    speed = f"{rate / n_rows:.1f} epochs/s, {rate * flop / 1e9:.2f} GFLOP/s"
    if not comparison.difference <= SAME_WEIGHTS:
        against = f"none claimed: from the same steps the weights differ by {comparison.difference:.0e} from the NumPy baseline's"
    else:
        low, middle, high = np.quantile(comparison.ratios, [0.1, 0.5, 0.9])
        turns = f"{len(comparison.ratios)} turns of {steps} steps; weights agree to {comparison.difference:.0e}"
        against = f"{middle:.1f} x NumPy, one thread each ({low:.1f} to {high:.1f} in {turns})"
    return [("speed", speed), ("speed-up", against)]
