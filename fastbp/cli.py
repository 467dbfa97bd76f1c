"""The command line: ``fastbp train``, ``predict``, ``check-gradients``, ``info``, ``cache`` and ``bench``."""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp import bench, cache_command
from fastbp._version import __version__
from fastbp.engine import validation
from fastbp.files import datasets, tables

if TYPE_CHECKING:
    from fastbp.bench.comparison import Comparison
    from fastbp.network import Network

TEST_FRACTION = 0.25
REGRESSION_VALIDATION, PATIENCE = 0.2, 10
SAME_WEIGHTS = 1e-3  # relative; the two round differently, and what float32 rounds grows with the steps


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Its arguments, by default those of the process.

    Returns
    -------
    int
        Exit status: 0; 1 if gradients are wrong, or could not be compared; 2 after bad input, with one line on standard error;
        130 after Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except (ValueError, OSError, ImportError) as error:
        print(f"fastbp {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    from fastbp.optimizers import OPTIMIZERS

    parser = argparse.ArgumentParser(prog="fastbp", description="Train fully connected networks in compiled kernels on the CPU.")
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sources = f"{', '.join(datasets.NAMES)}; or a {', '.join(tables.SUFFIXES)} file"

    train = commands.add_parser("train", help="train a network, test it on a held-out quarter, save it")
    train.set_defaults(run=_train)
    train.add_argument("data", help=sources)
    train.add_argument("--target", metavar="COLUMN", help="what to predict; for a file (default: y)")
    train.add_argument("--task", choices=datasets.TASKS, help="default: found from the target")
    train.add_argument("--hidden", type=_sizes, default=(64,), metavar="N,N", help="sizes of the hidden layers (default: 64)")
    train.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    train.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    train.add_argument("--lr", type=float, help="learning rate (default: the optimizer's own)")
    train.add_argument("--optimizer", choices=OPTIMIZERS.names, default="adam", help="default: %(default)s")
    train.add_argument("--seed", type=int, default=0, help="of the split, the first weights and the shuffles (default: 0)")
    train.add_argument(
        "--validation-fraction",
        type=float,
        help=f"held out of training, to stop early by (default: 0; {REGRESSION_VALIDATION} for regression)",
    )
    train.add_argument(
        "--out", type=Path, metavar="MODEL", help="model file; history and picture go beside it (default: NAME.fastbp)"
    )

    predict = commands.add_parser("predict", help="predict with a saved model, as CSV")
    predict.set_defaults(run=_predict)
    predict.add_argument("model", type=Path, metavar="MODEL")
    predict.add_argument("file", type=Path, metavar="FILE", help=f"a {', '.join(tables.SUFFIXES)} file with the model's features")
    predict.add_argument("--out", type=Path, metavar="CSV", help="default: standard output")

    check = commands.add_parser("check-gradients", help="compare a saved model's gradients with finite differences")
    check.set_defaults(run=_check_gradients)
    check.add_argument("model", type=Path, metavar="MODEL")
    check.add_argument("data", metavar="DATA", help=sources)
    check.add_argument("--samples", type=int, default=16, help="rows of the data to use (default: %(default)s)")
    check.add_argument("--eps", type=float, help="step of the differences (default: by dtype and scheme)")
    check.add_argument("--scheme", choices=("central", "forward"), default="central", help="default: %(default)s")

    info = commands.add_parser("info", help="versions, CPU, vector width, kernel cache")
    info.set_defaults(run=_info)
    info.add_argument("--json", action="store_true", help="print JSON")

    cache_command.add_parser(commands)
    bench.add_parser(commands)
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(",") if text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers with commas between them, not {text!r}") from error


def _open(source: str, target: str | None, task: str | None) -> datasets.Dataset:
    """A dataset by name, or a file."""
    if source not in datasets.NAMES:
        return datasets.read(source, target, task)
    if target is not None or task is not None:
        raise ValueError(f"--target and --task are for files; {source} has its own")
    return datasets.load(source)


def _table(rows: Iterable[tuple[str, Any]]) -> None:
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _train(arguments: argparse.Namespace) -> None:
    from sklearn.model_selection import train_test_split

    from fastbp import optimizers, plotting
    from fastbp.bench.comparison import compare
    from fastbp.engine.threads import flop_of_sample
    from fastbp.network import Network

    validation.integer("--seed", arguments.seed, least=0)
    data = _open(arguments.data, arguments.target, arguments.task)
    model = arguments.out or Path(f"{Path(arguments.data).stem}.fastbp")
    history_file, picture = model.with_suffix(".history.json"), model.with_suffix(".loss.png")
    if not model.parent.is_dir():
        raise ValueError(f"--out: there is no directory {model.parent}")
    classes = data.task == "classification"
    if classes:
        _check_classes(data)
    X_train, X_test, y_train, y_test = train_test_split(
        data.X, data.y, test_size=TEST_FRACTION, random_state=arguments.seed, stratify=data.y if classes else None
    )
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
    history = net.fit(
        X_train,
        y_train,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        optimizer=optimizer,
        validation_fraction=fraction,
        patience=PATIENCE if fraction else None,
        record_score=True,
        progress=True,
        rng=arguments.seed,
    )

    net.save(
        model,
        extra={
            "task": data.task,
            "feature_names": data.feature_names,
            "feature_kinds": data.kinds,
            "target": arguments.target,
            "target_names": data.target_names,
            "target_scaling": target,
            "preprocessor": datasets.preprocessor_state(transformer),
        },
    )
    history.save(history_file)
    plotting.save_loss_curve(history, picture)

    comparison = compare(first, X_train, y_train, arguments.batch_size, optimizer)
    test = net.score(X_test, y_test)
    n_rows = len(X_train) - round(fraction * len(X_train))
    _table(
        [
            ("network", f"{'-'.join(map(str, sizes))}, {net.params.size} parameters, {net.dtype}"),
            ("test", f"{f'accuracy {100 * test:.2f} %' if classes else f'R^2 {test:.4f}'} on {len(X_test)} held-out rows"),
            ("training", f"{len(history.loss)} epochs of {n_rows} rows in {history.time[-1]:.2f} s, scores included"),
            *_speed(comparison, n_rows, flop_of_sample(net.sizes)),
            ("model", model),
            ("history", history_file),
            ("loss curve", picture),
        ]
    )


def _check_classes(data: datasets.Dataset) -> None:
    """Whether every class can be in the held-out rows and in the others."""
    counts = np.bincount(data.y)
    rare = int(counts.argmin())
    if counts[rare] < 2:
        raise ValueError(f"target: the class {data.target_names[rare]!r} has one row only: drop it, or give it more")
    if int(np.ceil(TEST_FRACTION * len(data.y))) < len(counts):
        raise ValueError(
            f"target: {len(data.y)} rows are too few for {len(counts)} classes, each of which must be among the held-out quarter"
        )


def _compile(net: Network, X: NDArray[Any], y: NDArray[Any], optimizer: Any) -> None:
    """Compile the kernels, or load them, before anything is timed."""
    if not _cached_kernels():
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


def _saved(path: Path) -> tuple[Network, dict[str, Any]]:
    """A network and what `_train` saved with it."""
    from fastbp.files import model_file
    from fastbp.network import load

    net, extra = load(path), model_file.read_header(path)["extra"]
    if "preprocessor" not in extra:
        raise ValueError(
            f"{path} was not saved by 'fastbp train', so how to prepare the data is not known; use fastbp.load in Python"
        )
    if "feature_kinds" not in extra:
        raise ValueError(f"{path} does not say which of its columns are numbers and which are text; train it again")
    return net, extra


def _features(source: str | Path, extra: dict[str, Any], command: str) -> NDArray[Any]:
    """Features of a file as a saved network was trained on them; what it never saw is said."""
    state, names = extra["preprocessor"], extra["feature_names"]
    X = datasets.read_features(source, names, extra["feature_kinds"], state)
    for sentence in datasets.unseen_categories(X, names, state):
        print(f"fastbp {command}: {sentence}", file=sys.stderr)
    features: NDArray[Any] = datasets.restore_preprocessor(state).transform(X)
    return features


def _predict(arguments: argparse.Namespace) -> None:
    net, extra = _saved(arguments.model)
    predictions = net.predict(_features(arguments.file, extra, arguments.command))
    if extra["task"] == "classification":
        name, values = extra["target"] or "class", [extra["target_names"][k] for k in predictions]
    else:
        scaling = extra["target_scaling"]
        name = extra["target_names"][0]
        values = (predictions.astype(np.float64) * scaling["scale"] + scaling["mean"]).tolist()
    with open(arguments.out, "w", newline="", encoding="utf-8") if arguments.out else nullcontext(sys.stdout) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name])
        writer.writerows([value] for value in values)


def _check_gradients(arguments: argparse.Namespace) -> int:
    count = validation.integer("--samples", arguments.samples)
    net, extra = _saved(arguments.model)
    X, y = _prepared(arguments.data, extra, arguments.command)
    report = net.check_gradients(X[:count], y[:count], eps=arguments.eps, scheme=arguments.scheme)
    print(report)
    return 0 if report.passed else 1


def _prepared(source: str, extra: dict[str, Any], command: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Data and targets as a saved network was trained on them, from a dataset's name or a file."""
    if source in datasets.NAMES:
        data = datasets.load(source)
        if (data.feature_names, data.task) != (extra["feature_names"], extra["task"]):
            raise ValueError(f"the model was not trained on {source}: its features are {extra['feature_names'][:4]} ...")
        if data.target_names != extra["target_names"]:
            raise ValueError(f"the model was not trained on {source}: it predicts {', '.join(extra['target_names'][:4])} ...")
        X, y = datasets.restore_preprocessor(extra["preprocessor"]).transform(data.X), data.y
    else:
        y = datasets.read_target(source, extra["target"] or "y", extra["task"], extra["target_names"])
        X = _features(source, extra, command)
    if extra["task"] == "regression":
        y = (y - extra["target_scaling"]["mean"]) / extra["target_scaling"]["scale"]
    return X, y


def _info(arguments: argparse.Namespace) -> None:
    from fastbp.bench.machine import cores, cpu, installed_version
    from fastbp.compiler import cache_directory
    from fastbp.simd.register import register_bytes

    width, directory, files = 8 * register_bytes(), cache_directory(), _cached_kernels()
    n_bytes = sum(file.stat().st_size for file in files)
    facts: dict[str, Any] = {
        "fastbp": __version__,
        "python": platform.python_version(),
        **{
            name: installed_version(name)
            for name in ("numpy", "numba", "llvmlite", "scikit-learn", "matplotlib", "tqdm", "pandas", "pyarrow")
        },
        "platform": platform.platform(),
        "cpu": cpu(),
        "cores": len(cores()),
        "vector_bits": width,
        "cache": str(directory) if directory else None,
        "cached_kernels": len(files),
        "cached_bytes": n_bytes,
    }
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return
    facts["vector_bits"] = f"{width}: {width // 32} float32 or {width // 64} float64"
    facts["cache"] = facts["cache"] or "none: switched off, or no private directory can be written"
    facts["cached_bytes"] = f"{n_bytes / 1e6:.1f} MB" if files else "none: the next command compiles"
    _table((name.replace("_", " "), "not installed" if value is None else value) for name, value in facts.items())


def _cached_kernels() -> list[Path]:
    """Files of kernels that were compiled in this environment."""
    from fastbp.compiler import cache_directory

    directory = cache_directory()
    return list(directory.glob("*.bin")) if directory else []
