"""`coefs_` and `intercepts_` that a user replaces: they act, or are refused by name; faults leave an estimator as it was."""

from fractions import Fraction

import numpy as np
import pytest
from sklearn import neural_network

from fastbp import MLPClassifier, MLPRegressor, network

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
X = np.random.default_rng(0).normal(size=(20, 4))
Y = np.arange(20) % 3
BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
USES = {
    "predict": lambda model: model.predict(X),
    "score": lambda model: model.score(X, Y),
    "partial_fit": lambda model: model.partial_fit(X, Y),
    "fit": lambda model: model.set_params(warm_start=True).fit(X, Y),
    "transform": lambda model: model.transform(X),
    "input_gradient": lambda model: model.input_gradient(X),
}


def fitted(cls, **options):
    return cls(hidden_layer_sizes=(5,), **{"max_iter": 2, "random_state": 0} | options).fit(X, Y)


def put(name, value, index=None):
    def change(model):
        if index is None:
            setattr(model, name, value)
        else:
            getattr(model, name)[index] = value

    return change


BAD = {
    "coefs_ None": put("coefs_", None),
    "intercepts_ 5": put("intercepts_", 5),
    "coefs_ a word": put("coefs_", "ab"),
    "no coefs_": put("coefs_", []),
    "coefs_ without the last": lambda model: model.coefs_.pop(),
    "intercepts_ without the last": lambda model: model.intercepts_.pop(),
    "coefs_ once more": lambda model: model.coefs_.append(model.coefs_[1]),
    "coefs_[0] transposed": lambda model: put("coefs_", model.coefs_[0].T, 0)(model),
    "coefs_[0] for more units": put("coefs_", np.ones((4, 6)), 0),
    "coefs_[1] for more outputs": lambda model: put("coefs_", np.ones((5, 7)), 1)(model),
    "coefs_ and intercepts_ for more outputs": lambda model: (
        put("coefs_", [np.ones((4, 5)), np.ones((5, 7))])(model),
        put("intercepts_", [np.ones(5), np.ones(7)])(model),
    ),
    "coefs_[0] a number": put("coefs_", 1.0, 0),
    "coefs_[0] of one dimension": put("coefs_", np.ones(20), 0),
    "coefs_[0] ragged": put("coefs_", [[1.0], [1.0, 2.0]], 0),
    "coefs_[0] words": put("coefs_", np.full((4, 5), "a"), 0),
    "coefs_[0] complex": put("coefs_", np.ones((4, 5)) * 1j, 0),
    "coefs_[0] None": put("coefs_", None, 0),
    "coefs_[0] NaN": put("coefs_", np.full((4, 5), np.nan), 0),
    "coefs_[0] masked": put("coefs_", np.ma.masked_array(np.ones((4, 5)), np.eye(4, 5)), 0),
    "intercepts_[0] a column": put("intercepts_", np.ones((5, 1)), 0),
    "intercepts_[0] shorter": put("intercepts_", np.ones(4), 0),
    "intercepts_[1] infinite": lambda model: put("intercepts_", np.full(model.n_outputs_, np.inf), 1)(model),
}


@BOTH
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("bad", BAD)
def test_what_makes_no_network_is_refused_by_name(cls, use, bad):
    model = fitted(cls)
    BAD[bad](model)
    with pytest.raises((ValueError, TypeError), match=r"coefs_|intercepts_") as caught:
        USES[use](model)
    assert caught.type in (ValueError, TypeError)


@BOTH
@pytest.mark.parametrize("use", USES)
def test_networks_of_more_inputs_than_X_has_columns_read_no_further(cls, use, monkeypatch):
    """The kernels take the numbers of inputs from the network: rows of fewer columns would end behind the samples."""
    model = fitted(cls)
    model.coefs_[0] = np.ones((4000, 5))
    computed = []
    for name in ("_fill", "trace"):
        monkeypatch.setattr(network.Network, name, lambda self, *_, name=name: computed.append(name))
    with pytest.raises(ValueError, match=r"X has 4 features, but .*coefs_.* 4000 inputs"):
        USES[use](model)
    assert not computed


@BOTH
def test_arrays_of_any_kind_are_copied_into_the_network(cls):
    theirs, ours = fitted(getattr(neural_network, cls.__name__)), fitted(cls)
    rng = np.random.default_rng(1)
    coefs, intercepts = [rng.normal(size=w.shape) for w in ours.coefs_], [rng.normal(size=b.shape) for b in ours.intercepts_]
    theirs.coefs_, theirs.intercepts_ = coefs, intercepts
    expected = theirs.predict(X)
    for convert in (
        list,
        tuple,
        lambda arrays: [np.asfortranarray(a) for a in arrays],
        lambda arrays: [a.tolist() for a in arrays],
    ):
        ours.coefs_, ours.intercepts_ = convert(coefs), convert(intercepts)
        np.testing.assert_allclose(ours.predict(X), expected, rtol=1e-9)
    wider = [rng.normal(size=(4, 7)), rng.normal(size=(7, ours.n_outputs_))], [rng.normal(size=7), intercepts[1]]
    theirs.coefs_, theirs.intercepts_ = wider
    ours.coefs_, ours.intercepts_ = wider
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


TAMPERING = {
    "shape": lambda model: setattr(model.intercepts_[0], "shape", (1, 5)),
    "dtype": lambda model: setattr(model.intercepts_[0], "dtype", np.int64),
    "resize": lambda model: model.intercepts_[0].resize(1000, refcheck=False),
    "read-only": lambda model: model.coefs_[0].setflags(write=False),
}


@BOTH
@pytest.mark.parametrize("tamper", TAMPERING)
@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")  # of NumPy, some day
def test_tampering_with_views_harms_nobody(cls, tamper):
    model = fitted(cls)
    expected = model.predict(X)
    try:
        TAMPERING[tamper](model)
    except ValueError:
        assert tamper == "resize"
    np.testing.assert_array_equal(model.predict(X), expected)
    model.partial_fit(X, Y)


@BOTH
@pytest.mark.parametrize("name", ["coefs_init", "intercepts_init"])
@pytest.mark.parametrize(
    "value", [5, "ab", [], [None, None], [np.ones((2, 2))] * 2, [[1.0, [2.0]], 1.0], [np.full((4, 5), np.nan)] * 2]
)
def test_first_weights_that_do_not_fit_change_nothing(cls, name, value):
    model = fitted(cls, random_state=np.random.RandomState(0))
    before, state = {key: id(value) for key, value in vars(model).items()}, model.random_state.get_state()[1].copy()
    arrays = [array.copy() for array in (*model.coefs_, *model.intercepts_)]
    with pytest.raises((ValueError, TypeError), match=name):
        model.fit(X, Y, **{name: value})
    assert {key: id(value) for key, value in vars(model).items()} == before
    np.testing.assert_array_equal(model.random_state.get_state()[1], state)
    for array, kept in zip((*model.coefs_, *model.intercepts_), arrays, strict=True):
        np.testing.assert_array_equal(array, kept)


# --- what else is refused before any work ------------------------------------------------------------------------------------

SWITCHES = ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping")


@BOTH
@pytest.mark.parametrize("name", [*SWITCHES, "verbose"])
@pytest.mark.parametrize("value", ["x", "", None, 1.0, [], [True], -1])
def test_switches_are_true_or_false(cls, name, value):
    model = fitted(cls)
    expected = model.predict(X)
    with pytest.raises(ValueError, match=name):
        model.set_params(**{name: value}).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), expected)
    for fine in (True, False, np.True_, np.False_):
        fitted(cls, **{name: fine}, max_iter=2) if name != "verbose" else None


@BOTH
@pytest.mark.parametrize("sizes", [10**18, (10**9, 10**9), (10**400,), [3, 10**15]])
def test_networks_that_no_memory_holds_are_refused_before_they_are_drawn(cls, sizes):
    model = fitted(cls, random_state=np.random.RandomState(0))
    expected, state = model.predict(X), model.random_state.get_state()[1].copy()
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=.* needs \d+ GiB, but this machine has \d+ GiB of memory"):
        model.set_params(hidden_layer_sizes=sizes).fit(X, Y)
    np.testing.assert_array_equal(model.set_params(hidden_layer_sizes=(5,)).predict(X), expected)
    np.testing.assert_array_equal(model.random_state.get_state()[1], state)
    assert not hasattr(cls(hidden_layer_sizes=(5,)), "coefs_")


@BOTH
@pytest.mark.parametrize("name", ["alpha", "tol", "learning_rate_init", "power_t", "l1", "clip_norm", "max_norm", "epsilon"])
def test_numbers_too_large_for_a_float_are_refused_by_name(cls, name):
    for value in (10**400, np.inf)[: 1 if name == "tol" else 2]:
        with pytest.raises(ValueError, match=name):
            fitted(cls, **{name: value}, solver="sgd")


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, True) for name in ("max_iter", "batch_size", "n_iter_no_change", "max_fun", "n_threads", "alpha", "dropout")),
        *((name, Fraction(1, 10)) for name in ("alpha", "tol", "learning_rate_init", "momentum", "l1", "dropout", "clip_norm")),
        *((name, np.array(3)) for name in ("max_iter", "batch_size", "hidden_layer_sizes", "n_threads")),
        *((name, np.array(0.1)) for name in ("alpha", "tol", "dropout", "input_dropout", "clip_norm", "hidden_layer_sizes")),
    ],
)
def test_what_is_no_number_of_its_kind_is_refused_by_name(cls, name, value):
    model = cls(**{"hidden_layer_sizes": (5,), "random_state": 0, name: value})
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b.* must "):
        model.fit(X, Y)
    assert not hasattr(model, "coefs_")


@BOTH
def test_a_rate_that_underflows_is_zero(cls):
    """learning_rate_init / (t + 1)^power_t, whose denominator no float holds."""
    model = fitted(cls, solver="sgd", learning_rate="invscaling", power_t=1e308, momentum=0, max_iter=1)
    before = model.coefs_[0].copy()
    model.partial_fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], before)


@BOTH
@pytest.mark.parametrize("name", ["max_iter", "batch_size", "n_iter_no_change", "max_fun", "n_threads"])
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
def test_counts_may_be_as_large_as_they_like(cls, name):
    fitted(cls, **{"max_iter": 2, "tol": 1e9, name: 10**30}, n_iter_no_change=2) if name == "max_iter" else fitted(
        cls, **{name: 10**30}
    )


def test_sets_of_labels_are_zeros_and_ones():
    labels = np.eye(3, dtype=int)[Y]
    model = MLPClassifier((5,), max_iter=2).fit(X, labels)
    with pytest.raises(ValueError, match="y of several columns must hold 0 and 1"):
        model.fit(X, labels + 1)
