"""The command line: ``fastbp train``, ``predict``, ``check-gradients``, ``info``, ``cache`` and ``bench``."""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp import bench
from fastbp._version import __version__
from fastbp.commands import cache as cache_command
from fastbp.commands import train as train_command
from fastbp.commands.table import print_table
from fastbp.engine import validation
from fastbp.files import datasets, tables

if TYPE_CHECKING:
    from fastbp.network import Network


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
    train.set_defaults(run=train_command.train)
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
        help=f"held out of training, to stop early by (default: 0; {train_command.REGRESSION_VALIDATION} for regression)",
    )
    train.add_argument(
        "--out", type=Path, metavar="MODEL", help="model file; history and picture go beside it (default: NAME.fastbp)"
    )
    train.add_argument("--resume", action="store_true", help="go on where training with these arguments was interrupted or killed")

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


def _saved(path: Path) -> tuple[Network, dict[str, Any]]:
    """A network and what `_train` saved with it."""
    from fastbp.files import model_file
    from fastbp.loading import load

    extra = model_file.read_header(path)["extra"]
    if "preprocessor" not in extra:
        raise ValueError(
            f"{path} was not saved by 'fastbp train', so how to prepare the data is not known; use fastbp.load in Python"
        )
    if "feature_kinds" not in extra:
        raise ValueError(f"{path} does not say which of its columns are numbers and which are text; train it again")
    net: Any = load(path)
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
    from fastbp.compiler import cache_directory, cache_trouble
    from fastbp.simd.register import register_bytes

    width, directory = 8 * register_bytes(), cache_directory()
    files = cache_command.sizes_of_kernels() if directory else []
    n_bytes = sum(files)
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
    facts["cache"] = facts["cache"] or f"none: {cache_trouble()}"
    facts["cached_bytes"] = f"{n_bytes / 1e6:.1f} MB" if files else "none: the next command compiles"
    print_table((name.replace("_", " "), "not installed" if value is None else value) for name, value in facts.items())
