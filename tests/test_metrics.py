"""Scores: those of scikit-learn and NumPy, to the bit where they are counts."""

import numpy as np
import pytest
from conftest import DTYPES, make_net, make_samples
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, r2_score

from fastbp.engine import metrics, threads


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.integers(1, 40), st.integers(2, 37), st.integers(0, 2**32 - 1))
def test_accuracy_counts_the_first_highest_output(dtype, count, n_out, seed):
    rng = np.random.default_rng(seed)
    outputs = rng.integers(0, 4, size=(count, n_out)).astype(dtype)  # many ties
    labels = rng.integers(n_out, size=count)
    assert metrics.accuracy(outputs, labels) == accuracy_score(labels, outputs.argmax(axis=1))
    assert metrics.accuracy(outputs[::-1], labels[::-1]) == accuracy_score(labels, outputs.argmax(axis=1))
    weights = rng.random(count) + 0.1
    expected = accuracy_score(labels, outputs.argmax(axis=1), sample_weight=weights)
    assert metrics.accuracy(outputs, labels, weights) == pytest.approx(expected, rel=1e-12)


def test_scores_by_task():
    rng = np.random.default_rng(0)
    outputs, targets = rng.random((9, 3)), rng.random((9, 3))
    assert metrics.score("labels", outputs, targets) == np.mean(outputs.argmax(1) == targets.argmax(1))
    assert metrics.score("binary", outputs, targets) == np.mean(((outputs > 0.5) == (targets > 0.5)).all(axis=1))
    for task in ("regression", "positive", "not_negative"):
        assert metrics.score(task, outputs, targets) == pytest.approx(r2_score(targets, outputs), rel=1e-12)


def test_large_losses_and_gradients_are_the_work_of_all_threads_and_have_the_same_bits(monkeypatch):
    net, X = make_net((30, 40, 3), loss="cross_entropy"), make_samples(500, 30)
    y = np.arange(500) % 3
    alone = net.loss(X, y), net.value_and_grad(X, y)[1].params
    asked, net._few = [], 3
    monkeypatch.setattr(threads, "members_for", lambda flop, limit, least: asked.append((flop, least)) or 2)
    loss, gradient = net.value_and_grad(X, y)
    assert (net.loss(X, y), loss) == (alone[0], alone[0])
    np.testing.assert_array_equal(gradient.params, alone[1])
    flop = 2 * 500 * net.params.size
    assert asked == [(3 * flop, threads.FLOP_PER_START), (flop, threads.FLOP_PER_START)]
