"""Sample weights: what counts is their ratio, of whatever size they are."""

import warnings

import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets, oracle
from scipy.sparse import csr_array

from fastbp import MLPClassifier, MLPRegressor

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
# outside float32, at its edges, and where sums or their inverses are outside float64; powers of two, so that ratios keep their bits
FACTORS = [2.0**k for k in (-1000, -160, -140, -1, 3, 126, 127, 1000, 1020)]
SIZES = [(5, 8, 1), (5, 20, 3)]  # lanes over samples, and over units


def problem(sizes, dtype="float64", n=19):
    weights = np.random.default_rng(3).integers(0, 8, n) / 4
    return make_net(sizes, dtype=dtype), make_samples(n, sizes[0], dtype), make_targets("squared", n, sizes[-1], dtype), weights


@DTYPES
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("batch_size", [1, 4, 19])
def test_a_factor_of_all_weights_changes_no_bit(sizes, dtype, batch_size):
    net, X, y, weights = problem(sizes, dtype)
    options = {"epochs": 3, "batch_size": batch_size, "rng": 0, "optimizer": "adam", "l2": 0.3}
    expected = net.copy()
    losses = expected.fit(X, y, sample_weight=weights, **options).loss
    for factor in FACTORS:
        trained = net.copy()
        assert trained.fit(X, y, sample_weight=factor * weights, **options).loss == losses
        np.testing.assert_array_equal(trained.params, expected.params)
        loss, gradient = net.value_and_grad(X, y, factor * weights)
        exact, exact_gradient = net.value_and_grad(X, y, weights)
        assert loss == net.loss(X, y, factor * weights) == exact
        np.testing.assert_array_equal(gradient.params, exact_gradient.params)


@DTYPES
@pytest.mark.parametrize("sizes", SIZES)
def test_weights_of_a_mini_batch_count_among_each_other(sizes, dtype):
    net, X, y, _ = problem(sizes, dtype)
    weights = 10.0 ** np.random.default_rng(0).uniform(-60, 60, len(X))  # most mini-batches are nothing beside one of them
    exact = oracle(net)
    loss = net.fit(X, y, sample_weight=weights, epochs=4, batch_size=3, shuffle=False).loss
    expected = exact.fit(X, y, sample_weight=weights, epochs=4, batch_size=3)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(loss, expected, rtol=tolerance)
    np.testing.assert_allclose(net.params, exact.params, rtol=tolerance, atol=tolerance)
    assert not np.array_equal(net.params, make_net(sizes, dtype=dtype).params)


def test_a_mini_batch_that_weighs_nothing_makes_no_step():
    for sizes in SIZES:
        net, X, y, weights = problem(sizes)
        weights[4:8] = 1e-305  # the inverse of their sum is no number
        weights[8:12] = 0.0
        exact = oracle(net)
        loss = net.fit(X, y, sample_weight=weights, epochs=2, batch_size=4, shuffle=False).loss
        weights[4:8] = 0.0
        np.testing.assert_allclose(loss, exact.fit(X, y, sample_weight=weights, epochs=2, batch_size=4), rtol=1e-12)
        np.testing.assert_allclose(net.params, exact.params, rtol=1e-12)


@DTYPES
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_estimators_divide_by_the_sum_of_weights_of_any_size(solver, dtype, is_sparse):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(60, 40)).astype(dtype), rng.integers(0, 3, 60)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    weights = rng.integers(1, 8, 60) / 4
    options = {"solver": solver, "hidden_layer_sizes": (9,), "max_iter": 4, "random_state": 0}
    rows = csr_array(X) if is_sparse else X
    for estimator, y in (MLPClassifier, labels), (MLPRegressor, X @ np.ones(40)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # four iterations are no training
            expected = estimator(alpha=0.5, **options).fit(rows, y, sample_weight=weights)
            for factor in FACTORS:
                # alpha is divided by the sum of the weights
                alpha = 0.5 * factor
                fitted = estimator(alpha=alpha, **options).fit(rows, y, sample_weight=factor * weights)
                for coefs, others in zip(fitted.coefs_, expected.coefs_, strict=True):
                    np.testing.assert_array_equal(coefs, others)
                assert fitted.loss_ == expected.loss_


@pytest.mark.parametrize(
    ("of_classes", "of_samples", "message"),
    [
        (1e-200, 1e-200, "too small or too large"),
        (1e200, 1e200, "too small or too large"),
        (0.0, 1.0, "leave no sample a weight"),
        (-1.0, 1.0, r"class_weight\[0\] must be finite and >= 0"),
        (np.nan, 1.0, r"class_weight\[0\] must be finite"),
        (None, 1.0, r"class_weight\[0\] must be a number"),
        ("a", 1.0, r"class_weight\[0\] must be a number"),
    ],
)
def test_weights_of_classes_that_are_none(of_classes, of_samples, message):
    X = make_samples(20, 3)
    model = MLPClassifier((4,), max_iter=3, random_state=0, class_weight={0: of_classes, 1: of_classes})
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, (X[:, 0] > 0) * 1, sample_weight=np.full(20, of_samples))
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("factor", [1e-300, 1e200, 1e308])
def test_early_stopping_scores_by_weights_of_any_size(factor):
    X = make_samples(80, 3)
    options = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 60, "random_state": 0, "alpha": 0.0}
    for estimator, y in (MLPClassifier, X @ [1.0, 2, 3] > 0), (MLPRegressor, X @ [1.0, 2, 3]):
        model = estimator(hidden_layer_sizes=(4,), learning_rate_init=0.1, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = model.fit(X, y, sample_weight=np.ones(80)).validation_scores_
            found = model.fit(X, y, sample_weight=np.full(80, factor)).validation_scores_
        np.testing.assert_allclose(found, expected, rtol=1e-9)
