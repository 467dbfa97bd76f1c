"""Long mini-batches, which are taken a block of samples at a time: gradients and fits equal the oracle, whoever adds them up."""

import numpy as np
import pytest
from conftest import error, flat, make_net, make_samples, make_targets, oracle
from scipy.sparse import csr_array

from fastbp.engine import planner
from fastbp.engine.session import Session

N, BLOCK = 47, 5
SIZES = (40, 20, 3)
OPTIONS = [{}, {"optimizer": "adam"}, {"l2": 0.5}, {"clip_norm": 0.05}, {"record_norms": True}]


@pytest.fixture(params=["added up in place", "added up from areas"])
def blocks(request, monkeypatch):
    """Blocks of few samples, whose gradients are added to those of the blocks before, or computed apart and added up then."""
    monkeypatch.setattr(planner, "block_rows", lambda batch, *_: min(batch, BLOCK))
    if request.param == "added up in place":
        monkeypatch.setattr(planner, "SMALL_GRADIENT", 0)
    return request.param


def data(weighted, kind=np.array, n=N, n_in=SIZES[0], n_out=SIZES[-1]):
    X, y = make_samples(n, n_in), make_targets("squared", n, n_out)
    if kind is csr_array:
        X[np.random.default_rng(0).uniform(size=X.shape) < 0.9] = 0
    weights = np.random.default_rng(1).uniform(0, 2, n) if weighted else None
    return X, y, weights


def test_gradients_are_added_up_in_either_way(blocks):
    plan = Session(make_net(SIZES), N, differentiate=True).plan
    assert plan.block == BLOCK
    assert (plan.area > 0) == (blocks == "added up from areas")


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [np.array, csr_array])
def test_losses_and_gradients_equal_the_oracle(kind, weighted):
    net, (X, y, weights) = make_net(SIZES), data(weighted, kind)
    loss, gradient = net.value_and_grad(kind(X), y, weights)
    expected, *gradients = oracle(net).value_and_grad(X, y, weights)
    assert error(loss, expected) < 1e-13
    assert error(gradient.params, flat(*gradients)) < 1e-13
    for own, of_oracle in zip(gradient.biases, gradients[1], strict=True):
        assert error(own, of_oracle) < 1e-13


def check_fit(net, X, data, teams, n_threads, **options):
    dense, y, weights = data
    exact, shared = oracle(net), {"batch_size": len(y) - 3, "epochs": 3, "sample_weight": weights, **options}
    history = net.fit(X, y, n_threads=n_threads, shuffle=False, **shared)
    shared.pop("record_norms", None)
    losses = exact.fit(dense, y, **shared)
    assert error(net.params, exact.params) < 1e-12
    assert error(history.loss, losses) < 1e-12
    assert set(teams) <= {n_threads, 1}


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", [np.array, csr_array])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_fits_equal_the_oracle(kind, n_threads, options, weighted, teams):
    samples = data(weighted, kind)
    check_fit(make_net(SIZES), kind(samples[0]), samples, teams, n_threads, **options)
    assert n_threads in teams


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fits_of_narrow_networks_equal_the_oracle(optimizer, weighted, teams):
    samples = data(weighted, n=3 * 64 + 9, n_in=5)
    check_fit(make_net((5, 7, 3)), samples[0], samples, teams, 1, optimizer=optimizer)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_fits_by_mini_batches_above_the_longest_block_equal_the_oracle(n_threads, optimizer, teams):
    sizes = (9, 150, 140, 3)
    assert planner.block_rows(2100, sizes, 8) < 1400
    samples = data(False, n=2100, n_in=9)
    check_fit(make_net(sizes), samples[0], samples, teams, n_threads, optimizer=optimizer)
