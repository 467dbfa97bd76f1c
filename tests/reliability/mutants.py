"""Faults planted one by one into a copy of the package: each is noticed by tests that every run has.

A fault is a piece of text that stands exactly once in a file, what takes its place, and the tests that must fail. One whose text is
no longer there is an error, so that the list stays true. The control is the copy as it is, which must pass them all.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
QUICK = 2  # faults


class Mutant(NamedTuple):
    """A fault of the package."""

    name: str
    file: str
    source: str
    changed: str
    tests: str  # and words that choose among them
    words: str = ""


MUTANTS = [  # first those whose tests compile least
    Mutant(
        "dropout keeps what it is to drop",
        "engine/planner.py",
        "round((1.0 - dropout) * 2**32)",
        "round(dropout * 2**32)",
        "test_jit.py",
        "masks_of_dropout",
    ),
    Mutant(
        "what dropout keeps is not scaled",
        "simd/philox.py",
        "scale = builder.fdiv(ir.Constant(number, float(1 << 32)), builder.sitofp(args[-1], number))",
        "scale = ir.Constant(number, 1.0)",
        "test_jit.py",
        "masks_of_dropout",
    ),
    Mutant(
        "the penalty is on biases, too",
        "kernels/minibatch.py",
        "step.l2[0], step.l2[1] = l2, 0",
        "step.l2[0], step.l2[1] = l2, l2",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "Nesterov does not look ahead",
        "optimizers.py",
        "return w + fma(c[2], s, down), s",
        "return w + s, s",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "the bias gradient of a later block forgets those before",
        "kernels/gradient.py",
        "column_sums(d, rows, g, start)",
        "column_sums(d, rows, g, ZERO)",
        "test_blocks.py",
    ),
    Mutant(
        "the other bias correction of Adam",
        "optimizers.py",
        "h[6] *= h[2]",
        "h[6] *= h[1]",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "momentum of the wrong sign",
        "optimizers.py",
        "s = fma(c[2], s, c[1] * g)",
        "s = fma(-c[2], s, c[1] * g)",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "AdamW decays biases",
        "optimizers.py",
        "fma(c[0] * c[7], w, w)",
        "fma(c[7], w, w)",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "the norm that is clipped is that of the first panel",
        "kernels/regularize.py",
        "norm_of_norms(norms, before), 1.0",
        "norm_of_norms(norms, 1), 1.0",
        "test_regularization.py",
        "oracle",
    ),
    Mutant(
        "max-norm is that of a panel, not of a unit",
        "kernels/regularize.py",
        "                one = unit = like(load(w, 0), 1.0)\n                norms = column_norms(w, layer.n_in, panel, unit)\n",
        "                one = unit = like(load(w, 0), 1.0)\n                norms = like(one, norm(w, layer.n_in * panel))\n",
        "test_regularization.py",
        "oracle",
    ),
    Mutant(
        "clipping of one side only",
        "kernels/regularize.py",
        "maximum(minimum(fma(l2, weight, load(g, i)) + sign, limit), -limit)",
        "minimum(fma(l2, weight, load(g, i)) + sign, limit)",
        "test_regularization.py",
        "oracle",
    ),
    Mutant(
        "L1 pulls weights of 0",
        "kernels/regularize.py",
        "select(weight < 0.0, -l1, zero)",
        "-l1",
        "test_regularization.py",
    ),
    Mutant(
        "deltas of dropped units go on",
        "kernels/regularize.py",
        "store(d, i, load(d, i) * load(mask, i))",
        "store(d, i, load(d, i))",
        "test_regularization.py",
        "dropout",
    ),
    Mutant(
        "the last short mini-batch is divided by the size of the others",
        "kernels/samples.py",
        "total = float(count)",
        "total = float(plan.batch)",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "the weights of a later block are divided by another sum",
        "kernels/samples.py",
        "batch.epoch, batch.first + top, batch.inverse)",
        "batch.epoch, batch.first + top, batch.inverse if top == 0 else 1.0 / count)",
        "test_blocks.py",
    ),
    Mutant(
        "deltas without the slope",
        "kernels/backward.py",
        "if below.code != RELU and below.code != IDENTITY:",
        "if below.code != RELU and below.code != IDENTITY and piece.top > 0:",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
    Mutant(
        "deltas past the last unit of the last row are left",
        "kernels/backward.py",
        "clear_past(d, rows, columns)",
        "clear_past(d, rows - 1, columns)",
        "test_padding.py",
    ),
    Mutant(
        "entries of the last piece are left out",
        "kernels/sparse/first_layer.py",
        "        for q in range(plan.pieces):\n            entries = Entries(",
        "        for q in range(max(1, plan.pieces - 1)):\n            entries = Entries(",
        "test_sparse.py",
        "pieces",
    ),
    Mutant(
        "the highest output is not subtracted in the cross-entropy",
        "losses.py",
        "shifted = load(x, k * stride) - highest",
        "shifted = load(x, k * stride)",
        "test_laws.py",
        "extreme",
    ),
    Mutant(
        "the gradient of the second member takes the place of that of the first",
        "kernels/block.py",
        "add_gradient(plan, work, theirs, top == 0 and other == 0, team)",
        "add_gradient(plan, work, theirs, top == 0 and other < 2, team)",
        "test_blocks.py",
    ),
    Mutant(
        "norms of gradients without the biases",
        "kernels/norms.py",
        "biases = norm_of_two(biases, norm(w + count, panel_width(packed)))",
        "biases = norm_of_two(biases, 0.0)",
        "test_training.py",
        "gradient_tol or norms",
    ),
    Mutant(
        "the first block of a narrow network's gradient is the last",
        "kernels/narrow/minibatch.py",
        "partials + layer.pack * lanes, top == 0)",
        "partials + layer.pack * lanes, True)",
        "test_blocks.py",
    ),
    Mutant(
        "half the penalty in the loss is whole",
        "kernels/minibatch.py",
        "reals.loss_sum += 0.5 * l2 *",
        "reals.loss_sum += l2 *",
        "test_laws.py",
        "test_twenty_steps_equal_the_oracle",
    ),
]


def copied(folder):
    """A copy of what the tests need, and the environment in which they use it and no other."""
    for name in ("fastbp", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    cache = folder / "cache"
    cache.mkdir(mode=0o700)
    used = {"PYTHONPATH": str(folder), "FASTBP_CACHE_DIR": str(cache), "FASTBP_TEST_CACHE_DIR": str(cache)}
    return os.environ | used | {"PYTHONDONTWRITEBYTECODE": "1"}


def outcome(folder, environment, tests, words=""):
    """ "caught" or "passed", or what else came of some tests, and the end of what they wrote."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"tests/{tests}"]
    done = subprocess.run([*command, "-k", words], cwd=folder, env=environment, capture_output=True, text=True)
    text = done.stdout + done.stderr
    if done.returncode == 1 and ("numba.core.errors" in text or "ImportError" in text):
        return "does not compile", text[-2000:]
    return {0: "passed", 1: "caught"}.get(done.returncode, f"exit status {done.returncode}"), text[-2000:]


def tried(mutant, folder, environment):
    """What the tests say of a fault."""
    path = folder / "fastbp" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.source) != 1:
        return f"its text stands {text.count(mutant.source)} times in {mutant.file}", ""
    path.write_text(text.replace(mutant.source, mutant.changed), encoding="utf-8")
    try:
        return outcome(folder, environment, mutant.tests, mutant.words)
    finally:
        path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} faults only")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    arguments = parser.parse_args()
    missing = [m.name for m in MUTANTS if (ROOT / "fastbp" / m.file).read_text(encoding="utf-8").count(m.source) != 1]
    mutants = [mutant for mutant in MUTANTS if arguments.only in mutant.name][: QUICK if arguments.quick else None]
    caught, failed = 0, [f"its text does not stand once where it should: {name}" for name in missing]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = copied(folder)
        for tests, words in dict.fromkeys((mutant.tests, mutant.words) for mutant in mutants):
            said, text = outcome(folder, environment, tests, words)
            if said != "passed":
                failed.append(f"{tests} of the package as it is: {said}\n{text}")
        for mutant in mutants:
            said, text = tried(mutant, folder, environment)
            caught += said == "caught"
            if said != "caught":
                failed.append(f"{mutant.name}: {said}\n{text}")
    print(*failed, sep="\n", end="\n" * bool(failed))
    print(f"{caught} of {len(mutants)} planted faults caught by the tests of every run")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
