"""Bad inputs of the estimators: an error that names the argument, or scikit-learn's own words; and nothing is changed by it."""

import datetime
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn import neural_network
from test_validation import bad_arrays, snapshot

import fastbp
from fastbp import MLPClassifier, MLPRegressor

N = 6
X = np.random.default_rng(0).normal(size=(N, 3))
CLASSES, NUMBERS = np.arange(N) % 3, X.sum(axis=1)
DAY = datetime.timedelta(1)
pytestmark = [pytest.mark.filterwarnings("ignore:Stochastic Optimizer"), pytest.mark.filterwarnings("ignore:R.2 score")]


def make(cls, **options):
    return cls(hidden_layer_sizes=(4,), **{"max_iter": 2, "random_state": 0} | options)


def y_of(cls):
    return CLASSES if cls.__name__ == "MLPClassifier" else NUMBERS


# --- arrays that are at fault ------------------------------------------------------------------------------------------------

ODD = {
    "words and numbers": ["a", 1] * 3,
    "words and numbers as objects": np.array(["a", 1] * 3, object),
    "words and None": ["a", None] * 3,
    "numbers and None": [1, None] * 3,
    "None only": [None] * N,
    "words and NaN": np.array(["a", np.nan] * 3, object),
    "missing words of pandas": pd.Series(["a", pd.NA] * 3, dtype="string"),
    "missing integers of pandas": pd.Series([1, pd.NA] * 3, dtype="Int64"),
    "missing categories": pd.Series(pd.Categorical(["a", None] * 3)),
    "missing dates": pd.Series([pd.Timestamp("2020-01-01"), pd.NaT] * 3),
    "a list with NaN": [1.0, float("nan")] * 3,
    "integers of 400 digits": [10**400] * N,
    "no dimension": np.array(5),
    "None as an array": np.array(None, object),
    "lists of several lengths": [[1], [1, 2]] * 3,
    "dictionaries": [{}] * N,
    "bytes": [b"a", b"b"] * 3,
    "a list of masked arrays": [np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])] * N,
    "complex numbers": [1j, 2] * 3,
    "durations": [DAY] * N,
    "an iterator": iter(range(N)),
    "a set of all": set(range(N)),
    "a long word": "a" * N,
    "infinity": np.full(N, np.inf),
}
FOR_NUMBERS = {"words that are numbers": ["1", "2"] * 3, "words as an array": np.array(["1", "2"] * 3)}
# what is no fault of targets, classes, or samples
FINE = {
    "y": {"too large for float32", "words", "sparse matrix", "sparse array", "more columns", "fewer columns"},
    "X": {"more columns", "too large for float32", "fewer rows", "more rows", "fewer columns", "sparse matrix", "sparse array"},
    "sample_weight": {"too large for float32", "None as an array", "no dimension", "a number", "words that are numbers"},
}


def bad_of(argument, cls):
    shape = (N, 3) if argument == "X" else (N,)
    values = dict(bad_arrays(shape)) | ODD | (FOR_NUMBERS if argument == "y" and cls is MLPRegressor else {})
    without = FINE[argument] - ({"words"} if cls is MLPRegressor and argument == "y" else set())
    return {name: value for name, value in values.items() if name not in without}


def classes_of(cls):
    return {"classes": [0, 1, 2]} if cls.__name__ == "MLPClassifier" else {}


CALLS = {
    "y": {
        "fit": lambda model, bad: model.fit(X, bad),
        "partial_fit": lambda model, bad: model.partial_fit(X, bad, **classes_of(type(model))),
        "score": lambda model, bad: model.score(X, bad),
    },
    "X": {
        "fit": lambda model, bad: model.fit(bad, y_of(type(model))),
        "partial_fit": lambda model, bad: model.partial_fit(bad, y_of(type(model)), **classes_of(type(model))),
        "predict": lambda model, bad: model.predict(bad),
        "score": lambda model, bad: model.score(bad, y_of(type(model))),
    },
    "sample_weight": {
        "fit": lambda model, bad: model.fit(X, y_of(type(model)), bad),
        "score": lambda model, bad: model.score(X, y_of(type(model)), bad),
    },
}


def failure_of(call, model, bad):
    with np.errstate(all="ignore"):
        try:
            call(model, bad)
        except Exception as failure:
            return failure
    return None


def state(model):
    """What an estimator holds."""
    own = {name: id(value) for name, value in vars(model).items() if name not in ("_turn", "coefs_", "intercepts_")}
    arrays = [array.tobytes() for name in ("coefs_", "intercepts_") for array in getattr(model, name, [])]
    return own, arrays


ARGUMENTS = [(cls, argument, name) for cls in (MLPClassifier, MLPRegressor) for argument in CALLS for name in bad_of(argument, cls)]


@pytest.mark.parametrize(("cls", "argument", "name"), ARGUMENTS)
@pytest.mark.filterwarnings("ignore:.*converting a masked element")
def test_an_error_by_name_or_in_the_words_of_scikit_learn(cls, argument, name):
    theirs = getattr(neural_network, cls.__name__)
    for method, call in CALLS[argument].items():
        for is_fitted in (False, True) if method in ("fit", "partial_fit") else (True,):
            bad = bad_of(argument, cls)[name]
            rng = np.random.RandomState(3)
            model, other = (make(kind, random_state=np.random.RandomState(3)) for kind in (cls, theirs))
            model.random_state = rng
            if is_fitted:
                model.fit(X, y_of(cls)), other.fit(X, y_of(cls))
            before, drawn = state(model), pickle.dumps(rng.get_state())
            held = [snapshot(each) for each in (bad, X, y_of(cls))]
            failure = failure_of(call, model, bad)
            assert type(failure) in (ValueError, TypeError, fastbp.DivergenceError), (method, failure)
            is_named = type(failure) is not fastbp.DivergenceError and re.search(rf"\b{argument}\b|\bSample weight", str(failure))
            if not is_named:
                expected = failure_of(call, other, bad)
                assert type(expected) is type(failure) is ValueError, (method, failure)
                assert _message(failure) == _message(expected), method
            assert state(model) == before, method
            assert [snapshot(each) for each in (bad, X, y_of(cls))] == held, method
            assert pickle.dumps(rng.get_state()) == drawn, method


def _message(failure):
    return re.sub("0x[0-9a-f]+", "", str(failure)).replace("MLP", "")
