"""One run after the other, each recorded as soon as it has ended; what is recorded is not run again."""

import json
import multiprocessing
import platform
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import cache
from time import process_time

import numpy as np

from benchmarks.tables.contestants import CONTESTANTS
from benchmarks.tables.data_sets import BY_NAME, load
from benchmarks.tables.scores import scores
from fastbp.bench.machine import installed_version
from fastbp.bench.measure import say

TEST = 0.25  # of the rows


def split(name, number):
    """Rows for training and rows for testing: the same for everybody."""
    from sklearn.model_selection import train_test_split

    X, y = load(name)
    classes = None if BY_NAME[name].task == "regression" else y
    return train_test_split(np.arange(len(X)), test_size=TEST, random_state=number, stratify=classes)


def measure(contestant, name, number):
    """One run: scores, CPU seconds, versions; or the error that ended it."""
    who, data_set = CONTESTANTS[contestant], BY_NAME[name]
    X, y = load(name)
    train, test = split(name, number)
    parts = X.iloc[train], y[train], X.iloc[test]
    classify = data_set.task != "regression"
    run = {
        "contestant": contestant,
        "data_set": name,
        "split": number,
        "rows": len(X),
        "columns": X.shape[1],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(who),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rounds that did not converge, of categories that are new
        try:
            before = warm_up(contestant, classify, name if who.compiles else None)
            predicted, fit_seconds, predict_seconds = fit_and_predict(who, classify, number, *parts)
            run |= {
                "scores": scores(data_set.task, y[test], predicted),
                "fit_seconds": fit_seconds,
                "predict_seconds": predict_seconds,
                "first_seconds": before,
            }
        except Exception as error:
            run["error"] = f"{type(error).__name__}: {error}"[:500]
            run["traceback"] = traceback.format_exc()[-2000:]
    return run


def fit_and_predict(who, classify, seed, X, y, X_test):
    """Probabilities or numbers, and the CPU seconds of fit and of prediction."""
    model = who.build(classify, seed)
    start = process_time()
    model.fit(X, y)
    fitted = process_time()
    predicted = model.predict_proba(X_test) if classify else model.predict(X_test)
    return np.asarray(predicted), fitted - start, process_time() - fitted


@cache
def warm_up(contestant, classify, name):
    """CPU seconds of a first fit and prediction in this process, which are in no run's: imports, and compiling of who compiles.

    The first split of the data set is fitted, or without one a small table with columns of all kinds.
    """
    if name is None:
        parts = small_table(classify)
    else:
        X, y = load(name)
        train, test = split(name, 0)
        parts = X.iloc[train], y[train], X.iloc[test]
    return sum(fit_and_predict(CONTESTANTS[contestant], classify, 0, *parts)[1:])


def small_table(classify):
    import pandas as pd

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((120, 4)), columns=[*"abcd"])
    X.loc[::7, "a"] = np.nan
    X["e"] = rng.choice(["one", "two", "three"], len(X))
    y = X["b"] + (X["e"] == "one")
    return X, (y > y.median()).to_numpy(int) if classify else y.to_numpy(), X


def versions(who):
    """Of Python, and of all that the contestant stands on."""
    from fastbp import __version__

    names = dict.fromkeys(("numpy", "scikit-learn", *who.modules))
    names.pop("sklearn", None)  # by which name it is imported
    found = {name: __version__ if name == "fastbp" else installed_version(name) for name in names}
    return {"python": platform.python_version()} | found


def read(path):
    """The last run of each (contestant, data set, split) in the file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(run["contestant"], run["data_set"], run["split"]): run for run in map(json.loads, filter(None, lines))}


def missing_runs(done, contestants, data_sets, splits, again=()):
    """What there is to do: a split of all data sets by all contestants before the next; those that failed are tried once more."""
    jobs = [(who, name, number) for number in range(splits) for who in CONTESTANTS if who in contestants for name in data_sets]
    return [job for job in jobs if job[0] in again or "scores" not in done.get(job, {})]


def run(jobs, path, processes=1):
    """Do them in processes of their own, and append each to the file."""
    spawn = multiprocessing.get_context("spawn")  # which reads the limits of threads before any library
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        for number, found in enumerate(pool.map(measure, *zip(*jobs, strict=True)), 1) if jobs else ():
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            say(f"{number} of {len(jobs)}: {found['contestant']}, {found['data_set']}, {found['split']}: {_short(found)}")


def _short(found):
    if "error" in found:
        return found["error"]
    return f"{' '.join(f'{key} {value:.4f}' for key, value in found['scores'].items())}, {found['fit_seconds']:.2f} s"
