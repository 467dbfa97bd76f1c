"""Initialisers: moments and bounds of what they draw, shapes, reproducibility, lookup."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastbp import Network
from fastbp.initializers import INITIALIZERS, Initializer, Normal, Uniform, get

N_OUT, N_IN = 300, 500
VARIANCE = {
    "glorot_uniform": 2 / (N_IN + N_OUT),
    "glorot_normal": 2 / (N_IN + N_OUT),
    "he_uniform": 2 / N_IN,
    "he_normal": 2 / N_IN,
    "lecun_uniform": 1 / N_IN,
    "lecun_normal": 1 / N_IN,
    "normal": 1.0,
    "uniform": 0.05**2 / 3,
}
KURTOSIS = {"uniform": 9 / 5, "normal": 3.0}  # fourth moment over squared variance


def draw(name, seed=0, n_out=N_OUT, n_in=N_IN):
    return get(name).weights(np.random.default_rng(seed), n_out, n_in)


def test_every_initializer_is_covered():
    assert sorted(INITIALIZERS.names) == sorted(VARIANCE)


@pytest.mark.parametrize("name", VARIANCE)
def test_moments(name):
    """Mean, variance and fourth moment of 150 000 draws, each within four standard errors."""
    w = draw(name)
    n, variance, kurtosis = w.size, VARIANCE[name], KURTOSIS[name.rpartition("_")[2]]
    assert abs(w.mean()) < 4 * math.sqrt(variance / n)
    assert abs((w**2).mean() / variance - 1) < 4 * math.sqrt((kurtosis - 1) / n)
    eighth = 105.0 if kurtosis == 3 else 9.0  # eighth moment over variance^4
    assert abs((w**4).mean() / variance**2 - kurtosis) < 4 * math.sqrt((eighth - kurtosis**2) / n)


@pytest.mark.parametrize("name", [name for name in VARIANCE if name.endswith("uniform")])
def test_uniform_draws_fill_their_bounds(name):
    bound = math.sqrt(3 * VARIANCE[name])
    assert 0.999 * bound < np.abs(draw(name)).max() <= bound


@pytest.mark.parametrize("name", VARIANCE)
def test_variance_depends_on_inputs_and_outputs_as_stated(name):
    """Ratio of the variances of a tall and a wide layer, which tells n_in from n_out."""
    ratio = (draw(name, 1, 800, 100) ** 2).mean() / (draw(name, 2, 100, 800) ** 2).mean()
    expected = 8.0 if name.startswith(("he", "lecun")) else 1.0
    assert ratio == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", VARIANCE)
@pytest.mark.parametrize(("n_out", "n_in"), [(1, 1), (2, 7), (7, 2)])
def test_shapes_and_dtype(name, n_out, n_in):
    rng, initializer = np.random.default_rng(0), get(name)
    weights, biases = initializer.weights(rng, n_out, n_in), initializer.biases(rng, n_out)
    assert weights.shape == (n_out, n_in)
    assert biases.shape == (n_out,)
    assert weights.dtype == biases.dtype == np.float64
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("name", VARIANCE)
def test_same_seed_same_numbers(name):
    assert_array_equal(draw(name, 3), draw(name, 3))
    assert not np.array_equal(draw(name, 3), draw(name, 4))


@pytest.mark.parametrize("name", VARIANCE)
def test_biases(name):
    biases = get(name).biases(np.random.default_rng(5), 10_000)
    if name in ("normal", "uniform"):
        assert abs(biases.var() / VARIANCE[name] - 1) < 0.06
    else:
        assert_array_equal(biases, 0)


def test_normal_of_another_width():
    rng = np.random.default_rng(0)
    assert_array_equal(Normal(0.5).weights(np.random.default_rng(0), 3, 2), 0.5 * rng.standard_normal((3, 2)))
    assert Normal(0.5) == Normal(std=0.5) != Normal()


def test_uniform_of_other_bounds():
    assert_array_equal(Uniform(0, 1).weights(np.random.default_rng(0), 3, 2), np.random.default_rng(0).random((3, 2)))
    biases = Uniform(2, 3).biases(np.random.default_rng(0), 1000)
    assert biases.min() >= 2
    assert biases.max() < 3


@pytest.mark.parametrize("std", [0, -1, float("nan"), float("inf")])
def test_std_must_be_positive(std):
    with pytest.raises(ValueError, match="std must be finite and > 0"):
        Normal(std)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 0), (-1, -2)])
def test_bounds_must_be_in_order(low, high):
    with pytest.raises(ValueError, match="low must be less than high"):
        Uniform(low, high)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "1", True, None, [0.5], 10**400])
def test_bounds_must_be_finite_numbers(value):
    with pytest.raises((ValueError, TypeError), match=r"^low must be (finite|a number), got"):
        Uniform(low=value)
    with pytest.raises((ValueError, TypeError), match=r"^high must be (finite|a number), got"):
        Uniform(high=value)


def test_get_takes_names_classes_and_instances():
    instance = Normal(2.0)
    assert get(instance) is instance
    assert get(Normal) == get("normal") == Normal()
    with pytest.raises(ValueError, match=f"init 'orthogonal' is not known; choose from {', '.join(VARIANCE)}"):
        get("orthogonal")
    for wrong in (None, 3, object(), Initializer()):
        with pytest.raises(TypeError, match="init must be a name"):
            get(wrong)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        *((name, "he_normal") for name in ("relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "mish")),
        ("selu", "lecun_normal"),
        *((name, "glorot_uniform") for name in ("identity", "sigmoid", "tanh", "hard_sigmoid", "softmax")),
    ],
)
def test_default_for_an_activation(activation, expected):
    net = Network([5, 7], loss="cross_entropy", rng=3) if activation == "softmax" else Network([5, 7], output=activation, rng=3)
    assert net.output.init == expected
    assert_array_equal(net.weights[0], get(expected).weights(np.random.default_rng(3), 7, 5).astype(np.float32))


@pytest.mark.parametrize("cls", INITIALIZERS.classes)
def test_docstrings_state_the_distribution_and_its_source(cls):
    assert "from N(" in cls.__doc__ or "from U(" in cls.__doc__
    assert "References" in cls.__doc__ or cls is Uniform
