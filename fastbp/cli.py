"""The command line: ``fastbp train``, ``predict``, ``evaluate``, ``export``, ``check-gradients``, ``info`` and others."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fastbp import __version__, bench
from fastbp.commands import cache as cache_command
from fastbp.commands import evaluate as evaluate_command
from fastbp.commands import export as export_command
from fastbp.commands import predict as predict_command
from fastbp.commands import train as train_command
from fastbp.commands.saved import PlainModel, open_model
from fastbp.commands.table import print_table
from fastbp.engine import validation
from fastbp.files import datasets, reading

BROKEN_PIPE = 128 + 13  # what a shell makes of a process that SIGPIPE ends


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
        130 after Ctrl-C; 141 if what reads standard output has closed it.
    """
    try:
        arguments = _parser().parse_args(argv)
        arguments.argv = list(sys.argv[1:] if argv is None else argv)
        status = arguments.run(arguments) or 0
        sys.stdout.flush()  # what a reader has closed is found here, not while the interpreter ends
        return status
    except BrokenPipeError:  # of a reader such as `head`, which has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
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
    files = f"a {', '.join(reading.SUFFIXES)} file, also compressed ({', '.join(reading.COMPRESSIONS)}), or - for standard input"
    sources = f"{', '.join(datasets.NAMES)}; or {files}"

    train = commands.add_parser("train", help="train a model, test it on a held-out quarter, save it")
    train.set_defaults(run=train_command.train)
    train.add_argument("data", help=sources)
    train.add_argument("--target", metavar="COLUMN", help="what to predict; for a file (default: y)")
    train.add_argument("--task", choices=datasets.TASKS, help="default: found from the target")
    train.add_argument("--epochs", type=int, help="default: the preset's, or of a plain network 40")
    train.add_argument("--seed", type=int, default=0, help="of the split, the first weights and the shuffles (default: 0)")
    train.add_argument("--out", type=Path, metavar="MODEL", help="model file (default: NAME.fastbp)")
    table = train.add_argument_group("presets, which files are trained with: tables as they are, missing values and all")
    table.add_argument("--preset", choices=("fast", "default", "best"), help="how much is spent (default: default)")
    table.add_argument("--drop", type=_names, metavar="A,B", help="columns to leave out")
    table.add_argument("--use", type=_names, metavar="A,B", help="columns to learn from, though their values seem to name rows")
    table.add_argument("--test", metavar="FILE", help="rows to test on, instead of a held-out quarter")
    table.add_argument("--metric", type=_names, metavar="A,B", help="what to print, by scikit-learn's names (default: the usual)")
    table.add_argument("--report", type=Path, metavar="HTML", help="a page about the columns, the training and the tests")
    plain = train.add_argument_group(
        "plain networks, which the data sets named above are trained with; history and picture are kept"
    )
    plain.add_argument("--hidden", type=_sizes, metavar="N,N", help="sizes of the hidden layers (default: 64)")
    plain.add_argument("--batch-size", type=int, help="default: 32")
    plain.add_argument("--lr", type=float, help="learning rate (default: the optimizer's own)")
    plain.add_argument("--optimizer", choices=OPTIMIZERS.names, help="default: adam")
    plain.add_argument(
        "--validation-fraction",
        type=float,
        help=f"held out of training, to stop early by (default: 0; {train_command.REGRESSION_VALIDATION} for regression)",
    )
    plain.add_argument(
        "--resume", action="store_true", default=None, help="go on where training with these arguments was interrupted or killed"
    )

    predict = commands.add_parser("predict", help="predict with a saved model, as CSV")
    predict.set_defaults(run=predict_command.predict)
    predict.add_argument("model", type=Path, metavar="MODEL")
    predict.add_argument("file", metavar="FILE", help=f"{files}, with the model's columns")
    predict.add_argument("--proba", action="store_true", help="the probability of each class, too")
    predict.add_argument(
        "--keep",
        type=_names,
        nargs="?",
        const=predict_command.ID_COLUMNS,
        metavar="A,B",
        help="columns of the file to write beside (default: those that name rows)",
    )
    predict.add_argument("--out", type=Path, metavar="CSV", help="default: standard output")

    evaluate = commands.add_parser("evaluate", help="metrics of a saved model on the rows of a file, with intervals")
    evaluate.set_defaults(run=evaluate_command.evaluate)
    evaluate.add_argument("model", type=Path, metavar="MODEL")
    evaluate.add_argument("file", metavar="FILE", help=f"{files}, with the model's columns and the target")
    evaluate.add_argument("--metric", type=_names, metavar="A,B", help="by scikit-learn's names (default: the usual)")
    evaluate.add_argument("--seed", type=int, default=0, help="of the resampled rows (default: 0)")

    export = commands.add_parser("export", help="write a saved plain network for other programs and languages")
    export.set_defaults(run=export_command.export)
    export.add_argument("model", type=Path, metavar="MODEL")
    export.add_argument("--to", required=True, choices=export_command.FORMATS, help="what to write")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: the model's name, with the suffix of the format")

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


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_gradients(arguments: argparse.Namespace) -> int:
    count = validation.integer("--samples", arguments.samples)
    model = open_model(arguments.model)
    if not isinstance(model, PlainModel):
        raise ValueError(f"{arguments.model} is of a preset: gradients are checked of plain networks, which train --hidden makes")
    X, y = _prepared(arguments.data, model, arguments.command)
    report = model.net.check_gradients(X[:count], y[:count], eps=arguments.eps, scheme=arguments.scheme)
    print(report)
    return 0 if report.passed else 1


def _prepared(source: str, model: PlainModel, command: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Data and targets as a saved network was trained on them, from a dataset's name or a file."""
    extra = model.extra
    if source in datasets.NAMES:
        data = datasets.load(source)
        if (data.feature_names, data.task) != (extra["feature_names"], extra["task"]):
            raise ValueError(f"the model was not trained on {source}: its features are {extra['feature_names'][:4]} ...")
        if data.target_names != extra["target_names"]:
            raise ValueError(f"the model was not trained on {source}: it predicts {', '.join(extra['target_names'][:4])} ...")
        X, y = datasets.restore_preprocessor(extra["preprocessor"]).transform(data.X), data.y
    else:
        y = datasets.read_target(source, model.target, model.task, extra["target_names"])
        X = model.features(source, command)
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
            for name in ("numpy", "numba", "llvmlite", "scikit-learn", "matplotlib", "tqdm", "pandas", "pyarrow", "skrub", "skops")
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
