"""Tables and runs of the command line, for the tests of both."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd

from fastbp import cli

QUICK = ["--preset", "fast", "--epochs", "2"]


def made(n_samples=80):
    """A table whose kind and price follow from its columns."""
    rng = np.random.default_rng(0)
    size, colour = rng.normal(10.0, 2.0, n_samples).round(6), rng.choice(["red", "green", "blue"], n_samples)
    price = (1000.0 + 50.0 * size + np.where(colour == "red", 200.0, 0.0)).round(2)
    return pd.DataFrame({"size": size, "colour": colour, "price": price, "kind": np.where(size > 10.0, "big", "small")})


def write(name="t.csv", table=None, **options):
    table = made() if table is None else table
    text = table.to_csv(index=False, **options)
    Path(name).write_bytes(text.encode())
    return text


def run(capsys, *arguments):
    """Exit status, standard output and the sentences on standard error."""
    capsys.readouterr()
    status = cli.main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, [line for line in err.splitlines() if line.startswith("fastbp ")]


def columns_of(out):
    """{column: (kind, missing, distinct, why it is left out)} as it was printed."""
    lines = out.split("\n\n")[0].splitlines()[1:]
    cells = [re.split(r" {2,}", line) for line in lines]
    return {name: (kind, int(missing), int(distinct), *rest) for name, kind, missing, distinct, *rest in cells}


def facts_of(out):
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in out.split("\n\n")[1].splitlines())


def trained(capsys, source="t.csv", target="kind", *options):
    status, out, told = run(capsys, "train", source, "--target", target, *QUICK, *options)
    assert status == 0, told
    return columns_of(out), facts_of(out), told


def refused(capsys, *arguments):
    """The one sentence."""
    status, out, told = run(capsys, *arguments)
    assert (status, out, len(told)) == (2, "", 1)
    return told[0]


def predicted(capsys, model, table, *options):
    """Rows of what is predicted for a table, and what is told."""
    write("new.csv", table)
    status, out, told = run(capsys, "predict", model, "new.csv", *options)
    assert status == 0, told
    return list(csv.DictReader(io.StringIO(out))), told
