"""`Trainer.state`: a training goes on from it anywhere, to the same bits; what is no state changes nothing."""

import copy
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import make_net, problem, same_state

import fastbp
from fastbp import SGD, Adam, Momentum, Trainer

N, BATCH = 23, 5  # the last mini-batch is short
WIDE, NARROW = (4, 20, 3), (4, 7, 3)

GO_ON = """
import pickle, sys
import numpy as np
import fastbp
net, options, state, X, y = pickle.load(sys.stdin.buffer)
trainer = net.trainer(**options)
trainer.load_state(state)
for _ in range(3):
    trainer.step(X[:5], y[:5])
trainer.run(X, y, 2)
sys.stdout.buffer.write(pickle.dumps((net.params, trainer.state())))
"""


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
@pytest.mark.parametrize("rule", [Adam(0.01), Momentum(0.05), SGD(0.1), fastbp.AdamW(0.01)])
def test_a_trainer_goes_on_from_its_state_in_another_process(rule, sizes):
    net, X, y = problem(sizes, N)
    options = {"optimizer": rule, "batch_size": BATCH, "dropout": 0.2 if sizes == WIDE else 0.0, "n_samples": N}
    trainer = net.trainer(rng=1, **options)
    trainer.run(X, y, 2)
    trainer.step(X[:3], y[:3])
    state, other = trainer.state(), make_net(sizes, seed=8)
    for _ in range(3):
        trainer.step(X[:5], y[:5])
    trainer.run(X, y, 2)
    sent = pickle.dumps((other, options, state, X, y))
    done = subprocess.run([sys.executable, "-c", GO_ON], input=sent, capture_output=True, check=True)
    params, last = pickle.loads(done.stdout)
    np.testing.assert_array_equal(params, net.params)
    same_state(last, trainer.state())


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_state_is_a_copy_and_counts(sizes):
    net, X, y = problem(sizes, N)
    trainer = net.trainer(optimizer=Adam(0.01), batch_size=BATCH, n_samples=2 * BATCH)
    before = trainer.state()
    assert (before["epochs"], before["first"], before["seed"]) == (0, 0, None)
    assert not before["slots"].any()
    assert before["slots"].shape == (2, net.params.size)
    params = net.params.copy()
    trainer.step(X[:BATCH], y[:BATCH])
    after = trainer.state()
    assert (after["epochs"], after["first"]) == (0, BATCH)
    assert (before["params"] == params).all()
    _, gradient = make_net(sizes).value_and_grad(X[:BATCH], y[:BATCH])
    # the first moment is 0.1 g after one step, laid out as the parameters are
    np.testing.assert_allclose(after["slots"][0], 0.1 * gradient.params, rtol=1e-9, atol=1e-15)
    trainer.step(X[:BATCH], y[:BATCH])
    assert (trainer.epochs, trainer.state()["first"]) == (1, 0)
    trainer.load_state(before)
    same_state(trainer.state(), before)
    trainer.step(X[:BATCH], y[:BATCH])
    same_state(trainer.state(), after)


def test_a_trainer_is_pickled_with_its_network_and_state():
    net, X, y = problem(WIDE, N)
    trainer = net.trainer(optimizer=Adam(0.01), batch_size=BATCH)
    trainer.step(X[:BATCH], y[:BATCH])
    other = pickle.loads(pickle.dumps(trainer))
    assert other.net is not net
    for each in (trainer, other):
        each.step(X[5:9], y[5:9])
        each.run(X, y, 1)
    same_state(other.state(), trainer.state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: None, "state must be what `state` of a trainer gave: a dict of params"),
        (
            lambda state: {**state, "slots": state["slots"][:1]},
            r"state\['slots'\] must be finite numbers float64 of shape \(2,",
        ),
        (lambda state: {**state, "params": state["params"] * np.nan}, r"state\['params'\] must be finite"),
        (lambda state: {**state, "params": state["params"].astype("f")}, r"state\['params'\] must be finite numbers float64"),
        (lambda state: {**state, "hyper": "x"}, r"state\['hyper'\] must be finite numbers float64"),
        (lambda state: {**state, "optimizer": "sgd"}, r"state\['optimizer'\] is 'sgd', but this trainer has 'adam'"),
        (lambda state: {**state, "learning_rate": -1.0}, r"state\['learning_rate'\] must be finite and > 0"),
        (lambda state: {**state, "epochs": 1.5}, r"state\['epochs'\] must be an integer"),
        (lambda state: {**state, "first": -1}, r"state\['first'\] must be at least 0"),
        (lambda state: {**state, "epochs": (1 << 63) - 1}, r"state\['epochs'\] must be at most"),
        (lambda state: {**state, "first": 10**30}, r"state\['first'\] must be at most"),
        (lambda state: {**state, "seed": 1 << 64}, r"state\['seed'\] must be at most"),
        (lambda state: {**state, "optimizer": np.zeros(3)}, r"state\['optimizer'\] is array"),
        (lambda state: {**state, "rng": {**state["rng"], "state": -1}}, r"state\['rng'\] must be the state of a PC"),
        (lambda state: {**state, "rng": {**state["rng"], "uinteger": "x"}}, r"state\['rng'\] must be the state of a PCG64: "),
        (lambda state: {**state, "seed": "x"}, r"state\['seed'\] must be an integer"),
        (lambda state: {**state, "rng": {"bit_generator": "MT19937"}}, r"state\['rng'\] must be the state of a PCG64"),
        (lambda state: {name: state[name] for name in list(state)[1:]}, "state must be what `state` of a trainer gave"),
    ],
)
def test_a_state_that_is_none_is_refused(change, message):
    net, X, y = problem(WIDE, N)
    trainer = net.trainer(optimizer=Adam(0.01))
    trainer.step(X, y)
    before = trainer.state()
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.load_state(change(trainer.state()))
    same_state(trainer.state(), before)


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_a_callback_may_ask_for_the_state(sizes):
    net, X, y = problem(sizes, N)
    found = []
    options = {"optimizer": Adam(0.01), "batch_size": BATCH, "n_samples": N}
    trainer = Trainer(net, rng=1, callbacks=[lambda epoch, *_: found.append((epoch, trainer.epochs, trainer.state()))], **options)
    trainer.step(X[:3], y[:3])
    trainer.run(X, y, 4)
    assert [each[:2] for each in found] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    for _, epochs, state in found:
        other = Trainer(make_net(sizes, seed=8), rng=5, **options)
        other.load_state(state)
        if epochs < 5:
            other.run(X, y, 5 - epochs)
        same_state(other.state(), trainer.state())


@pytest.mark.parametrize("sizes", [WIDE, NARROW])
def test_nobody_else_writes_in_a_trainer(sizes):
    net, X, y = problem(sizes, N)
    trainer = net.trainer(optimizer=Adam(0.01), batch_size=BATCH)
    trainer.step(X[:BATCH], y[:BATCH])
    other = make_net(sizes).trainer(optimizer=Adam(0.01), batch_size=BATCH)
    state = trainer.state()
    other.load_state(state)  # before a session is there
    for array in (state["slots"], state["hyper"], other.state()["slots"], other.state()["hyper"]):
        array[:] = 7
    same_state({**other.state(), "rng": 0}, {**trainer.state(), "rng": 0})


def test_a_copy_is_a_trainer_of_its_own():
    net, X, y = problem(WIDE, N)
    trainer = net.trainer(optimizer=Adam(0.01), batch_size=BATCH)
    trainer.step(X[:BATCH], y[:BATCH])
    before = trainer.state()
    other = copy.copy(trainer)
    other.step(X[:BATCH], y[:BATCH])
    assert other.net is not net
    same_state(trainer.state(), before)
    trainer.step(X[:BATCH], y[:BATCH])
    same_state(trainer.state(), other.state())


@pytest.mark.parametrize(
    ("options", "run", "error"),
    [
        ({"schedule": "step"}, {}, "ZeroDivisionError"),
        ({"validation_fraction": 0.5}, {"sample_weight": np.eye(N)[0], "seeds": True}, "sample_weight must not be all zero for"),
        ({}, {"order": [1, 2, 3], "sample_weight": np.eye(N)[0]}, "sample_weight must not be all zero for the rows"),
        ({}, {"epochs": 1 << 50}, "epochs=.* needs .* GiB"),
    ],
)
def test_a_run_that_does_not_begin_changes_nothing(options, run, error, monkeypatch):
    """Half an epoch of steps is still open after it."""
    monkeypatch.setattr(fastbp.schedules.Step, "factor", lambda self, t, epochs: 1 / 0)
    net, X, y = problem(WIDE, N)
    run = dict(run)
    seeds = range(40) if run.pop("seeds", False) else range(1)  # a draw may leave a weight that is not zero
    failed = 0
    for seed in seeds:
        trainer = Trainer(net, rng=seed, batch_size=BATCH, **options)
        if "schedule" not in options:
            trainer.step(X[:BATCH], y[:BATCH])
        before = trainer.state()
        try:
            trainer.run(X, y, **run)
        except (ZeroDivisionError, ValueError) as raised:
            failed += 1
            assert re.match(error, repr(raised)) or re.match(error, str(raised))  # noqa: PT017
            same_state(trainer.state(), before)
    assert failed == 1 if len(seeds) == 1 else 5 < failed < 35
