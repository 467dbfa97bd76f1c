"""The estimators against scikit-learn's on the same fits: `python -m benchmarks.bench_estimators`, or asv.

A ratio is the median over rounds of scikit-learn's time divided by ours; the two take turns. With one thread each, the default, it
is time of the processor, with more (``--threads 2``) that of the wall, after a pause in which the threads of the other go to sleep.
Nothing is timed before both have ended with the same loss.
"""

import argparse
import statistics
import warnings
from time import perf_counter, process_time, sleep

import numpy as np
from scipy import ndimage, sparse
from sklearn import datasets, model_selection, neural_network
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, normalize, scale
from threadpoolctl import threadpool_limits

from . import common as common  # keeps every environment's compiled kernels apart

PAUSE = 0.1  # seconds before a turn of several threads


def _digits():
    X, y = datasets.load_digits(return_X_y=True)
    return X / 16, y


def _scaled(load):
    X, y = load(return_X_y=True)
    return scale(X), y


def _images():
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=6000)
    return np.clip(rng.random((10, 784))[y] + 0.5 * rng.normal(size=(6000, 784)), 0, 1).astype(np.float32), y


def _large_digits():
    """Digits of 28 x 28 pixels, of which as many are zero as in the MNIST set: four fifths."""
    images, y = datasets.load_digits().images, datasets.load_digits().target
    large = ndimage.zoom(images, (1, 3.5, 3.5), order=1)
    return np.clip((large - 11) / 5, 0, 1).reshape(-1, 784).astype(np.float32), y


def _categories():
    """Twenty columns of eight categories each, one-hot, and classes told by sums of random scores."""
    rng = np.random.default_rng(0)
    columns = rng.integers(8, size=(10000, 20))
    scores = rng.normal(size=(20, 8))[np.arange(20), columns].sum(axis=1)
    return OneHotEncoder(sparse_output=False).fit_transform(columns), (scores > 0).astype(int)


def _words(n_words):
    """Counts of 80 words of a sample, rare and frequent as in texts, and classes told by sums of random scores."""
    rng = np.random.default_rng(0)
    often = np.cumsum(1 / np.arange(1, n_words + 1) ** 0.9)
    words = np.searchsorted(often, often[-1] * rng.random((4000, 80))).ravel()
    X = sparse.coo_matrix((np.ones(words.size), (np.repeat(np.arange(4000), 80), words)), shape=(4000, n_words)).tocsr()
    return normalize(X), np.asarray(X @ rng.normal(size=(n_words, 4))).argmax(axis=1)


# name: (estimator, data, parameters); what is not named is scikit-learn's default
PROBLEMS = {
    "digits": ("MLPClassifier", _digits, {}),
    "breast-cancer": ("MLPClassifier", lambda: _scaled(datasets.load_breast_cancer), {}),
    "iris": ("MLPClassifier", lambda: _scaled(datasets.load_iris), {}),
    "10000 x 20": (
        "MLPClassifier",
        lambda: datasets.make_classification(10000, 20, n_informative=10, random_state=0),
        {"max_iter": 20},
    ),
    "784-128-10": ("MLPClassifier", _images, {"max_iter": 5, "hidden_layer_sizes": (128,)}),
    "digits of 28 x 28": ("MLPClassifier", _large_digits, {"max_iter": 20, "hidden_layer_sizes": (128,)}),
    "categories, one-hot": ("MLPClassifier", _categories, {"max_iter": 10}),
    "2000 words, sparse": ("MLPClassifier", lambda: _words(2000), {"max_iter": 10}),
    "20000 words, sparse": ("MLPClassifier", lambda: _words(20000), {"max_iter": 5}),
    "diabetes": ("MLPRegressor", lambda: _scaled(datasets.load_diabetes), {"max_iter": 100}),
    "digits, sgd": ("MLPClassifier", _digits, {"solver": "sgd", "max_iter": 50}),
    "digits, lbfgs": ("MLPClassifier", _digits, {"solver": "lbfgs", "max_iter": 50}),
    "digits, early stopping": ("MLPClassifier", _digits, {"early_stopping": True}),
    "digits, float32": ("MLPClassifier", lambda: (_digits()[0].astype(np.float32), _digits()[1]), {"max_iter": 50}),
}


def estimators(name, threads=1):
    """scikit-learn's estimator, ours, and the data."""
    import fastbp

    kind, load, parameters = PROBLEMS[name]
    parameters = {"random_state": 0} | parameters
    return getattr(neural_network, kind)(**parameters), getattr(fastbp, kind)(**parameters, n_threads=threads), load()


def fit(model, X, y):
    """Fit in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def seconds(work, clock, least=0.0):
    """Time of one call, repeated for at least so long."""
    if clock is perf_counter:
        sleep(PAUSE)
    start, count = clock(), 0
    while count == 0 or clock() - start < least:
        work()
        count += 1
    return (clock() - start) / count


def turns(slow, fast, rounds, clock=process_time, least=0.0):
    """(median of slow, of fast, of their ratio)."""
    pairs = [(seconds(slow, clock, least), seconds(fast, clock, least)) for _ in range(rounds)]
    return [statistics.median(values) for values in (*zip(*pairs, strict=True), [a / b for a, b in pairs])]


def compare(name, rounds, threads=1):
    """Rows of the table for a problem: the fit, and the prediction of one row and of all."""
    threadpool_limits(threads)  # of BLAS, from now on: setting it takes 5 ms
    clock = process_time if threads == 1 else perf_counter
    theirs, ours, (X, y) = estimators(name, threads)
    fit(theirs, X, y), fit(ours, X, y)
    assert abs(ours.loss_ - theirs.loss_) < (0.02 if X.dtype == np.float32 else 1e-4) * (abs(theirs.loss_) + 1e-3), name
    rows = [("fit", *turns(lambda: fit(theirs, X, y), lambda: fit(ours, X, y), rounds, clock))]
    for what, samples in (("predict one row", X[:1].copy()), ("predict all rows", X)):
        rows.append((what, *turns(lambda s=samples: theirs.predict(s), lambda s=samples: ours.predict(s), rounds, clock, 0.02)))
    return rows


def at_peak(name, rounds):
    """How many times faster a fit is; and would be, if it took no longer than its multiply-adds at the FMA peak measured beside it.

    For dense data without many zeros, solvers "sgd" and "adam", and no early stopping: then every epoch has all products.
    """
    from fastbp.bench.machine import Machine
    from fastbp.engine.threads import flop_of_sample

    threadpool_limits(1)
    theirs, ours, (X, y) = estimators(name)
    fit(theirs, X, y), fit(ours, X, y)
    machine = Machine("float32" if X.dtype == np.float32 else "float64", 1)
    flop = len(X) * theirs.n_iter_ * flop_of_sample((X.shape[1], *theirs.hidden_layer_sizes, theirs.n_outputs_))
    pairs = []
    for _ in range(rounds):
        before = machine.flops(0.05)
        slow = seconds(lambda: fit(theirs, X, y), process_time)
        after = machine.flops(0.05)
        fast = seconds(lambda: fit(ours, X, y), process_time)
        pairs.append((slow / fast, slow * (before + after) / 2 / flop))
    return [statistics.median(values) for values in zip(*pairs, strict=True)]


def searches():
    """18 candidates on 5 folds: our search, scikit-learn's with our estimators, and scikit-learn's with its own; and the data."""
    import fastbp.model_selection

    grid = {"hidden_layer_sizes": [(8,), (16,), (32,)], "alpha": [1e-4, 1e-2, 1.0], "learning_rate_init": [1e-3, 1e-2]}
    grid = {f"mlpclassifier__{name}": values for name, values in grid.items()}
    ours, theirs = (
        make_pipeline(StandardScaler(), cls(max_iter=60, n_iter_no_change=1000, random_state=0))
        for cls in (fastbp.MLPClassifier, neural_network.MLPClassifier)
    )
    kinds = (
        (fastbp.model_selection.GridSearchCV, ours),
        (model_selection.GridSearchCV, ours),
        (model_selection.GridSearchCV, theirs),
    )
    return [cls(estimator, grid, cv=5) for cls, estimator in kinds], datasets.load_breast_cancer(return_X_y=True)


def compare_searches(rounds):
    """(seconds of ours, how many times longer the others take); they take turns, and the least of each is taken."""
    threadpool_limits(1)
    found, data = searches()
    for each in found:
        fit(each, *data)
    assert all(each.best_params_ == found[0].best_params_ for each in found)
    times = [[seconds(lambda s=each: fit(s, *data), process_time) for each in found] for _ in range(rounds)]
    ours, *others = np.min(times, axis=0)
    return ours, *(other / ours for other in others)


class Searches:
    """asv: time of a search, and how many times faster than scikit-learn's with our estimators it is."""

    timeout = 300

    def setup(self):
        threadpool_limits(1)
        (self.ours, self.same, _), self.data = searches()
        fit(self.ours, *self.data), fit(self.same, *self.data)

    def time_search(self):
        fit(self.ours, *self.data)

    def track_times_faster(self):
        return turns(lambda: fit(self.same, *self.data), lambda: fit(self.ours, *self.data), 5)[2]


class Fits:
    """asv: times of whole fits, and how many times faster than scikit-learn's they are."""

    params = (list(PROBLEMS),)
    param_names = ("problem",)
    timeout = 300

    def setup(self, name):
        threadpool_limits(1)
        self.theirs, self.ours, self.data = estimators(name)
        fit(self.ours, *self.data)

    def time_fit(self, name):
        fit(self.ours, *self.data)

    def time_predict_one_row(self, name):
        self.ours.predict(self.data[0][:1])

    def track_times_faster(self, name):
        return turns(lambda: fit(self.theirs, *self.data), lambda: fit(self.ours, *self.data), 3)[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of each (default: %(default)s)")
    parser.add_argument(
        "--peak", action="store_true", help="instead: what the FMA peak leaves room for (not for sparse data, lbfgs)"
    )
    parser.add_argument("--search", action="store_true", help="instead: a search of 18 candidates on 5 folds")
    parser.add_argument("problem", nargs="*", choices=[[], *PROBLEMS], default=[])
    chosen = parser.parse_args()
    if chosen.search:
        ours, same, theirs = compare_searches(chosen.rounds)
        print("| GridSearchCV of fastbp | of scikit-learn, estimators of fastbp | all of scikit-learn |\n| --- | --- | --- |")
        print(f"| {ours * 1e3:.3g} ms | {same:.1f} times | {theirs:.1f} times |")
        return
    if chosen.peak:
        print("| fit | times faster | times faster at the FMA peak |\n| --- | --- | --- |")
        for problem in chosen.problem or ("digits", "breast-cancer", "10000 x 20", "784-128-10"):
            print("| {} | {:.1f} | {:.1f} |".format(problem, *at_peak(problem, chosen.rounds)), flush=True)
        return
    print("| problem | work | scikit-learn | fastbp | times faster |\n| --- | --- | --- | --- | --- |")
    for problem in chosen.problem or PROBLEMS:
        for work, slow, fast, ratio in compare(problem, chosen.rounds, chosen.threads):
            print(f"| {problem} | {work} | {slow * 1e3:.3g} ms | {fast * 1e3:.3g} ms | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
