"""What others do during a fit: callbacks, scorers and threads that train too, or write into the parameters."""

import copy
import os
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import problem
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import fastbp
from fastbp import MLPClassifier, MLPRegressor
from fastbp.engine import supervisor
from fastbp.engine.training_session import TrainingSession
from fastbp.engine.turn import Turn

# --- what others write into the parameters -----------------------------------------------------------------------------------

WROTE = "NaN or infinity was written into the parameters after epoch {}, not by training, but by a callback or another thread"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("epoch", "epochs", "patience"), [(0, 5, None), (2, 5, None), (4, 5, None), (1, 5, 3), (0, 1, None)])
def test_what_a_callback_writes_is_said_and_the_finite_parameters_from_before_are_restored(bad, epoch, epochs, patience):
    net, X, y = problem(n=20)
    kept = [net.params.copy()]

    def spoil(now, net, history):
        kept.append(net.params.copy())
        if now == epoch:
            net.weights[1][0, 0] = bad

    options = {"patience": patience, "validation_data": (X, y)} if patience else {}
    with pytest.raises(fastbp.DivergenceError, match=WROTE.format(epoch + 1)) as caught:
        net.fit(X, y, epochs=epochs, callbacks=[spoil], **options)
    assert "those from before the last call of the kernel" in str(caught.value)
    assert caught.value.epoch == epoch + 1
    np.testing.assert_array_equal(net.params, kept[epoch])
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), fastbp.DivergenceError)
    net.fit(X, y, epochs=1)


def test_where_patience_restores_the_best_what_was_written_in_the_end_is_gone():
    net, X, y = problem(n=20)
    spoil = lambda epoch, net, history: net.params.fill(np.nan) if epoch == 2 else None  # noqa: E731
    history = net.fit(X, y, epochs=3, callbacks=[spoil], patience=3, validation_data=(X, y))
    assert np.isfinite(net.params).all()
    assert len(history.loss) == 3


def test_another_thread_may_not_write_what_is_not_finite_either(monkeypatch):
    net, X, y = problem(n=20)
    is_finite, seen = TrainingSession.is_finite, []

    def meanwhile(self):
        answer = is_finite(self)
        seen.append(net.params.copy())
        if len(seen) == 3:
            net.params[3] = np.nan
        return answer

    monkeypatch.setattr(TrainingSession, "is_finite", meanwhile)
    monkeypatch.setattr(supervisor, "seconds_of_call", lambda net, copies: 1e-9)  # calls of one step
    with pytest.raises(fastbp.DivergenceError, match="not by training"):
        net.fit(X, y, epochs=50, batch_size=2)
    np.testing.assert_array_equal(net.params, seen[1])


def test_what_another_thread_writes_before_the_first_step_is_told(monkeypatch):
    net, X, y = problem(n=20)
    run = supervisor.Supervisor.run

    def meanwhile(self, *arguments, **options):
        net.params[3] = np.inf
        return run(self, *arguments, **options)

    monkeypatch.setattr(supervisor.Supervisor, "run", meanwhile)
    with pytest.raises(fastbp.DivergenceError, match="another thread has written NaN or infinity into the parameters") as caught:
        net.fit(X, y, epochs=3)
    assert caught.value.history.loss == []
    assert np.isfinite(np.delete(net.params, 3)).all()


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_parameters_that_are_not_finite_from_the_beginning_are_refused(bad):
    net, X, y = problem(n=20)
    net.biases[0][1] = bad
    before, state = net.params.tobytes(), net.rng.bit_generator.state
    with pytest.raises(ValueError, match="params must be finite before training begins") as caught:
        net.fit(X, y, epochs=3)
    assert caught.type is ValueError
    assert (net.params.tobytes(), net.rng.bit_generator.state) == (before, state)


# --- one at a time -----------------------------------------------------------------------------------------------------------

BUSY = "this network is being trained already"


def test_a_fit_by_another_thread_is_an_error_and_the_first_goes_on(monkeypatch):
    net, X, y = problem(n=20)
    expected = net.copy()
    expected.fit(X, y, epochs=4, rng=0)
    messages, outputs = [], []

    def other(epoch, net, history):
        with ThreadPoolExecutor(1) as pool:
            outputs.append(pool.submit(net, X).result())  # to predict is allowed
            try:
                pool.submit(net.fit, X, y + 1, epochs=2, rng=1).result()
            except RuntimeError as error:
                messages.append(str(error))

    rng = net.rng.bit_generator.state
    net.fit(X, y, epochs=4, rng=0, callbacks=[other])
    np.testing.assert_array_equal(net.params, expected.params)
    assert len(messages) == len(outputs) == 4
    assert all(BUSY in message and "train a copy" in message for message in messages)
    assert net.rng.bit_generator.state == rng
    # without turns the results are a mixture
    for name in ("__enter__", "__exit__"):
        monkeypatch.setattr(Turn, name, lambda *_: None)
    net, _, _ = problem(n=20)
    net.fit(X, y, epochs=4, rng=0, callbacks=[other])
    assert len(messages) == 4
    assert (net.params != expected.params).any()


def test_many_threads_at_once_one_of_which_trains():
    net, X, y = problem(n=2000)
    expected = net.copy()
    expected.fit(X, y, epochs=200, rng=0)
    begin = threading.Barrier(4)

    def work():
        begin.wait()
        try:
            return net.fit(X, y, epochs=200, rng=0)
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        results = [future.result() for future in [pool.submit(work) for _ in range(4)]]
    trained = [each for each in results if not isinstance(each, str)]
    assert len(trained) >= 1
    assert all(BUSY in each for each in results if isinstance(each, str))
    if len(trained) == 1:
        np.testing.assert_array_equal(net.params, expected.params)


def test_a_callback_may_not_fit_its_network_but_a_copy():
    net, X, y = problem(n=20)
    expected = net.copy()
    expected.fit(X, y, epochs=2, rng=0)

    def again(epoch, net, history):
        with pytest.raises(RuntimeError, match=BUSY):
            net.fit(X, y)
        for other in (net.copy(), copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net))):
            other.fit(X, y, epochs=1)
        net.value_and_grad(X, y), net.loss(X, y), net.score(X, y), net.trace(X)

    net.fit(X, y, epochs=2, rng=0, callbacks=[again])
    np.testing.assert_array_equal(net.params, expected.params)


@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_a_turn_ends_with_the_fit_however_that_ends(failure):
    net, X, y = problem(n=20)

    def fail(epoch, net, history):
        raise failure

    with pytest.raises(failure):
        net.fit(X, y, callbacks=[fail])
    with pytest.raises(fastbp.DivergenceError):
        net.fit(X, y * 1e200, optimizer=fastbp.SGD(1e200))
    with pytest.raises(ValueError, match="X"):
        net.fit(X * np.nan, y)
    net.fit(X, y, epochs=1)


# --- estimators --------------------------------------------------------------------------------------------------------------

X, LABELS = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
quiet = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def make(cls, **options):
    return cls(hidden_layer_sizes=(5,), **{"max_iter": 3, "random_state": 0} | options)


@quiet
@BOTH
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_estimator_is_trained_by_one_call_at_a_time(cls, method, monkeypatch):
    messages = []

    def score(model, X, y):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(model.predict, X).result()
            for _ in range(2):
                try:
                    pool.submit(getattr(model, method), X, y).result()
                except RuntimeError as error:
                    messages.append(str(error))
        try:
            getattr(model, method)(X, y)
        except RuntimeError as error:
            messages.append(str(error))
        return 1.0

    def run():
        if method == "fit":
            return make(cls, early_stopping=True, scoring=score).fit(X, LABELS)
        model = make(cls, scoring=score).fit(X, LABELS)
        return model.fit(X, LABELS, X_val=X, y_val=LABELS)

    model, other = run(), make(cls, early_stopping=method == "fit", scoring=lambda *_: 1.0)
    other.fit(X, LABELS) if method == "fit" else other.fit(X, LABELS).fit(X, LABELS, X_val=X, y_val=LABELS)
    assert len(messages) == 9
    assert all("this estimator is being trained already" in message for message in messages)
    for ours, expected in zip(model.coefs_, other.coefs_, strict=True):
        np.testing.assert_array_equal(ours, expected)
    copy.deepcopy(model).set_params(scoring=None).fit(X, LABELS)


@quiet
@BOTH
def test_a_turn_ends_with_the_fit_of_an_estimator_however_that_ends(cls):
    model = make(cls).fit(X, LABELS)
    for bad in (
        lambda: model.fit(X * np.nan, LABELS),
        lambda: model.fit(X, LABELS, coefs_init=5),
        lambda: model.fit(X[:0], LABELS),
    ):
        with pytest.raises((ValueError, TypeError)):
            bad()
        model.partial_fit(X, LABELS)


@quiet
@BOTH
@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_nan_that_a_scorer_writes_is_said_and_finite_weights_are_restored(cls, epoch, early_stopping):
    calls = []

    def score(model, X, y):
        calls.append(1)
        if len(calls) == epoch:
            model.coefs_[0][0, 0] = np.nan
        return 1.0

    data = {} if early_stopping else {"X_val": X, "y_val": LABELS}
    model = make(cls, early_stopping=early_stopping, scoring=score)
    if early_stopping and epoch == 3:  # the weights of the first epoch are kept anyway
        model.fit(X, LABELS)
    else:
        with pytest.raises(fastbp.DivergenceError, match=r"NaN or infinity was written into the parameters .*, not by training"):
            model.fit(X, LABELS, **data)
    assert all(np.isfinite(array).all() for array in (*model.coefs_, *model.intercepts_))


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("way", ["partial_fit", "warm_start"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_weights_that_are_not_finite_from_the_beginning_are_refused(cls, solver, way):
    if (solver, way) == ("lbfgs", "partial_fit"):
        pytest.skip("lbfgs has no partial_fit")
    model = make(cls, solver=solver, warm_start=way == "warm_start").fit(X, LABELS)
    kept = model.coefs_[0].copy()
    model.coefs_[0][2, 1] = np.nan
    with pytest.raises(ValueError, match="coefs_ and intercepts_ must be finite before training begins"):
        getattr(model, "fit" if way == "warm_start" else way)(X, LABELS)
    model.coefs_[0] = kept
    getattr(model, "fit" if way == "warm_start" else way)(X, LABELS)


@BOTH
@pytest.mark.parametrize("rate", [1e2, 1e4])
def test_a_fit_with_early_stopping_that_has_diverged_says_so(cls, rate):
    """Its criterion is that of a fit without, which is an error then: a loss of 10^6 times the first, or 1 if that is more."""
    options = {"solver": "sgd", "learning_rate_init": rate, "n_iter_no_change": 2 if cls is MLPRegressor else 10, "max_iter": 50}
    model = make(cls, early_stopping=True, **options)
    with pytest.warns(ConvergenceWarning, match=r"diverged: the loss was .* at first and is .* now\. The weights of the best"):
        model.fit(X, LABELS)
    assert model.loss_ > 1e6
    assert np.isfinite(model.coefs_[0]).all()
    np.testing.assert_allclose(model.best_validation_score_, np.nanmax(model.validation_scores_))
    with pytest.raises(fastbp.DivergenceError, match="diverged"):
        make(cls, **options).fit(X, LABELS)


@BOTH
@pytest.mark.filterwarnings("error")
def test_a_fit_with_early_stopping_that_learns_says_nothing(cls):
    for scale in (1, 1e5):
        y = LABELS if cls is MLPClassifier else LABELS * scale
        make(cls, learning_rate_init=0.01, early_stopping=True, max_iter=1000, n_iter_no_change=5).fit(X, y)


@quiet
@BOTH
def test_scores_that_are_no_numbers_are_no_progress(cls):
    model = make(cls, early_stopping=True, scoring=lambda *_: float("nan"), n_iter_no_change=3, max_iter=50).fit(X, LABELS)
    assert model.n_iter_ == 4
    assert make(cls, early_stopping=True, scoring=lambda *_: 1.0, n_iter_no_change=3, max_iter=50).fit(X, LABELS).n_iter_ == 5


@BOTH
def test_lbfgs_that_ends_in_nan_leaves_the_weights_from_before(cls):
    model = make(cls, solver="lbfgs", warm_start=True, max_iter=500, tol=1e9).fit(X, LABELS)
    kept = [array.copy() for array in model.coefs_]
    weights = np.r_[np.inf, np.ones(len(X) - 1)]
    with (
        config_context(assume_finite=True),
        pytest.raises(ValueError, match=r"non-finite parameter weights.*those from before the fit"),
    ):
        model.fit(X, LABELS, weights)
    for ours, before in zip(model.coefs_, kept, strict=True):
        np.testing.assert_array_equal(ours, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_while_another_thread_trains_may_train():
    net, X, y = problem(n=20)
    codes = []

    def forked(epoch, net, history):
        def in_child():
            child = os.fork()
            if child == 0:
                try:
                    net.copy().fit(X, y, epochs=1)
                    net.fit(X, y, epochs=1)
                    os._exit(0)
                except BaseException:
                    os._exit(1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        with ThreadPoolExecutor(1) as pool:
            pool.submit(in_child).result()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 and later warn of any fork beside threads
        net.fit(X, y, epochs=1, callbacks=[forked])
    assert codes == [0]


def test_a_copy_of_an_estimator_goes_on_by_itself():
    X, y = load_iris(return_X_y=True)
    alone = MLPClassifier((4,), random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    expected = copy.deepcopy(alone).partial_fit(X, y).coefs_[0].copy()
    other = copy.copy(alone)
    other.partial_fit(X, y)
    np.testing.assert_array_equal(other.coefs_[0], expected)
    np.testing.assert_array_equal(alone.partial_fit(X, y).coefs_[0], expected)


@pytest.mark.parametrize("is_shared", [False, True])
def test_many_networks_and_one_of_them_are_not_trained_at_the_same_time(is_shared):
    nets, (_, X, y) = fastbp.Networks(4, [2, 3, 1], rng=0), problem(sizes=[2, 3, 1], n=20)
    first, second = nets[0], nets[1]
    if is_shared:  # with compiled code
        first._turn.share()
    with nets._turn:
        before = nets.params.copy()
        for net in (first, nets[2]):  # one that was there before, and one that was not
            with pytest.raises(RuntimeError, match="is being trained already"):
                net.fit(X, y)
        assert not is_shared or first._turn.word[0] == 1
        with pytest.raises(RuntimeError, match="is being trained already"):
            nets[3]._turn.share()
        np.testing.assert_array_equal(nets.params, before)
    with first._turn:
        with pytest.raises(RuntimeError, match="is being trained already"):
            nets.fit(X, y)
        np.testing.assert_array_equal(nets.params, before)
        second.fit(X, y, epochs=1)
    nets.fit(X, y, epochs=1)
    nets.fit(X, y, epochs=1, l1=0.1)  # one after another
    first.fit(X, y, epochs=1)
