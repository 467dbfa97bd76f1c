"""Parameters that a user sets, replaces or tampers with: they act, or are refused, and no kernel leaves its memory."""

import copy
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets

import fastbp
from fastbp import Network

SIZES = (4, 6, 3)
X, Y = make_samples(9, 4), make_targets("squared", 9, 3)


@pytest.fixture
def net():
    """A network with sessions of every kind that it keeps."""
    net = make_net(SIZES)
    use(net)
    return net


def use(net):
    """What all the ways to compute make of the parameters, each of which keeps a session."""
    trained = net.copy()
    trained.fit(X, Y, epochs=2, batch_size=4, rng=0)
    return [net(X), net(X[0]), net.loss(X, Y), net.value_and_grad(X, Y)[1].params, net.trace(X, Y).delta[0], trained.params]


def same(net, weights, biases):
    """Whether a network computes as another that was made with these parameters, and holds them."""
    other = Network(SIZES, "tanh", dtype="float64", weights=weights, biases=biases)
    pairs = [*zip(use(net), use(other), strict=True), (net.params, other.params)]
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)


# --- setting copies ----------------------------------------------------------------------------------------------------------

OTHER = make_net(SIZES, seed=7)
W, B = [w.copy() for w in OTHER.weights], [b.copy() for b in OTHER.biases]


def put_params(net):
    net.params = OTHER.params


def put_lists(net):
    net.weights, net.biases = W, B


def put_items(net):
    net.weights[0], net.weights[-1] = W
    net.biases[0], net.biases[1] = B[0].tolist(), B[1][:, None]


def put_slices(net):
    net.weights[:], net.biases[:1], net.biases[1:] = W, B[:1], B[1:]


def put_in_place(net):
    for mine, other in zip((*net.weights, *net.biases), (*W, *B), strict=True):
        mine[:] = other


def put_by_arithmetic(net):
    net.params *= 0
    net.params += OTHER.params
    net.weights[0] *= 2
    net.weights[0] /= 2


def put_other_numbers(net):
    net.params = OTHER.params.astype(np.longdouble)[:, None]
    net.weights[0] = np.asfortranarray(W[0])


WAYS = [put_params, put_lists, put_items, put_slices, put_in_place, put_by_arithmetic, put_other_numbers]


@pytest.mark.parametrize("put", WAYS)
def test_parameters_that_are_set_act(net, put):
    views = net.params, net.weights, net.weights[0], net.biases[1]
    assert not same(net, W, B)
    put(net)
    assert same(net, W, B)
    assert all(np.shares_memory(view, net.params) for view in (views[0], views[1][0], *views[2:]))  # those of before act, too
    views[0][:] = 0
    assert not net(X).any()


@pytest.mark.parametrize("put", WAYS)
def test_parameters_that_a_callback_sets_are_trained_on(put):
    net, expected = make_net(SIZES), OTHER.copy()
    net.fit(X, Y, epochs=2, shuffle=False, batch_size=3, callbacks=[lambda epoch, net, _: put(net) if epoch == 0 else None])
    expected.fit(X, Y, epochs=1, shuffle=False, batch_size=3)
    np.testing.assert_array_equal(net.params, expected.params)


def test_what_is_set_is_copied_even_from_itself():
    net = make_net((3, 3, 3))
    first, second = (w.copy() for w in net.weights)
    net.weights = [net.weights[1], net.weights[0]]
    np.testing.assert_array_equal(net.weights[0], second)
    np.testing.assert_array_equal(net.weights[1], first)
    net.params = net.params[::-1]
    given = np.ones((3, 3))
    net.weights[0] = given
    given[:] = 5
    assert (net.weights[0] == 1).all()


def test_a_gradient_is_set_likewise():
    gradient = make_net(SIZES).value_and_grad(X, Y)[1]
    gradient.weights[0] = np.zeros((6, 4))
    gradient.biases = [np.ones(6), np.ones(3)]
    assert not gradient.params[:24].any()
    assert (gradient.params[24:30] == 1).all()
    gradient.params = OTHER.params
    np.testing.assert_array_equal(gradient.weights[1], W[1])
    with pytest.raises(ValueError, match=r"params must have shape \(51,\), got \(3,\)"):
        gradient.params = np.zeros(3)


def test_arrays_of_layers_are_a_sequence(net):
    assert len(net.weights) == 2
    assert [w.shape for w in net.weights] == [w.shape for w in net.weights[:]] == [(6, 4), (3, 6)]
    assert repr(net.biases) == repr(list(net.biases))
    np.testing.assert_array_equal(net.weights[-1], next(reversed(net.weights)))
    for added in (net.weights + net.biases, list(net.weights) + net.biases, net.weights + list(net.biases)):
        assert [array.shape for array in added] == [(6, 4), (3, 6), (6,), (3,)]
        assert all(np.shares_memory(array, net.params) for array in added)
    for index in (2, -3):
        with pytest.raises(IndexError):
            net.weights[index]


# --- what does not fit is refused --------------------------------------------------------------------------------------------

N = OTHER.params.size
BAD = [
    ("params", lambda net, bad: setattr(net, "params", bad), value)
    for value in (np.zeros(3), np.zeros(N + 1), np.zeros((1, N)), [], 0.0, None, "abc", np.full(N, np.nan), np.ones(N) * 1j)
]
BAD += [
    (name, lambda net, bad, name=name: setattr(net, name, bad), value)
    for name in ("weights", "biases")
    for value in (None, 5, "ab", [], W[:1], [*W, *W], B[::-1], W[::-1], [None, None], np.zeros(N), {0: W[0], 1: W[1]}, iter(W))
]
BAD += [
    (r"weights\[1\]", lambda net, bad: net.weights.__setitem__(1, bad), value)
    for value in (W[0], W[1].T, W[1][0], 0.0, None, "a", W[1] * np.inf, np.ma.masked_array(W[1], W[1] > 0))
]
BAD += [
    (r"biases\[0\]", lambda net, bad: net.biases.__setitem__(0, bad), value) for value in (B[1], B[0][None], [1.0], [None] * 6, 7)
]
BAD += [(r"weights\[1\]", lambda net, bad: net.weights.__setitem__(slice(None), bad), [W[0], W[0]])]
BAD += [("rng", lambda net, bad: setattr(net, "rng", bad), value) for value in ("a", -1, 1.5)]


@pytest.mark.parametrize(("name", "put", "bad"), [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(BAD)])
def test_what_does_not_fit_is_refused_by_name_and_changes_nothing(net, name, put, bad):
    before, rng = use(net), net.rng
    with pytest.raises((ValueError, TypeError), match=name):
        put(net, bad)
    assert all(np.array_equal(mine, old) for mine, old in zip(use(net), before, strict=True))
    assert net.rng is rng


def test_a_number_too_large_for_the_precision_is_refused():
    net = Network([1, 1])
    for name in ("params", "weights", "biases"):
        with pytest.raises(ValueError, match=name):
            setattr(net, name, [1e39, 1.0] if name == "params" else [[[1e39]] if name == "weights" else [1e39]])


@pytest.mark.parametrize("name", ["sizes", "dtype", "hidden", "output", "loss_function"])
def test_what_the_buffers_are_laid_out_for_is_fixed(net, name):
    before, value = use(net), {"sizes": (40, 6, 3), "dtype": np.dtype("float32"), "hidden": (fastbp.ReLU(),)}
    with pytest.raises(AttributeError, match=f"{name} of a network is fixed: make another"):
        setattr(net, name, value.get(name, fastbp.Tanh()))
    with pytest.raises(AttributeError, match=f"{name} of a network cannot be deleted"):
        delattr(net, name)
    with pytest.raises(AttributeError, match="sizes of a network is fixed"):
        net.__init__((40, 6, 3))
    with pytest.raises(TypeError):
        net.hidden[0] = fastbp.ReLU()
    assert all(np.array_equal(mine, old) for mine, old in zip(use(net), before, strict=True))


def test_a_seed_may_be_set(net):
    net.rng = 5
    state = net.rng.bit_generator.state
    assert state == np.random.default_rng(5).bit_generator.state
    generator = net.rng = np.random.default_rng(6)
    assert net.rng is generator


TAMPERING = {
    "resize": lambda net: net.params.resize(3),
    "resize without asking": lambda net: net.params.resize(3, refcheck=False),
    "shape": lambda net: setattr(net.params, "shape", (3, -1)),
    "dtype": lambda net: setattr(net.params, "dtype", np.int64),
    "narrower dtype": lambda net: setattr(net.params, "dtype", np.float32),
    "read-only": lambda net: net.params.setflags(write=False),
    "shape of weights": lambda net: setattr(net.weights[0], "shape", (24,)),
    "dtype of biases": lambda net: setattr(net.biases[0], "dtype", np.int64),
    "read-only weights": lambda net: net.weights[0].setflags(write=False),
    "append": lambda net: net.weights.append(W[0]),
    "del": lambda net: net.weights.__delitem__(0),
    "clear": lambda net: net.biases.clear(),
    "del params": lambda net: delattr(net, "params"),
}


@pytest.mark.parametrize("tamper", TAMPERING)
@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")  # of NumPy, some day
def test_tampering_with_views_harms_nobody(net, tamper):
    before = use(net)
    with suppress(AttributeError, TypeError, ValueError):
        TAMPERING[tamper](net)
    assert all(np.array_equal(mine, old) for mine, old in zip(use(net), before, strict=True))
    net.params += 1
    assert not np.array_equal(net(X), before[0])


# --- copies ------------------------------------------------------------------------------------------------------------------


CLONES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "method": Network.copy,
}


@pytest.mark.parametrize("clone", CLONES.values(), ids=CLONES)
def test_copies_have_memory_of_their_own_where_kernels_want_it(net, clone):
    other, before = clone(net), net.params.copy()
    assert other.params.ctypes.data % 64 == 0
    other.weights[0] = W[0] + 1
    np.testing.assert_array_equal(net.params, before)
    np.testing.assert_array_equal(other.weights[0], W[0] + 1)


DAMAGES = {
    "sizes": {"sizes": (400, 6, 3)},
    "fewer": {"_vector": np.zeros(3)},
    "shape": {"_vector": np.zeros((1, N))},
    "dtype of the vector": {"_vector": np.zeros(N, np.float32)},
    "dtype": {"dtype": np.dtype(np.float32)},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_that_does_not_fit_itself_is_refused(net, damage):
    with pytest.raises(ValueError, match="the pickle is damaged"):
        Network.__new__(Network).__setstate__(net.__getstate__() | DAMAGES[damage])


# --- memory ------------------------------------------------------------------------------------------------------------------

GUARDED = r'''
import os, signal, sys
import numpy as np
sys.path.append("reliability")
from guard_pages import guarded  # arrays beside pages that must not be touched
from test_parameters import BAD, TAMPERING, WAYS, X, Y, make_net, SIZES


def use(net):
    """Everything but what copies the parameters out of the guarded memory."""
    net(X), net(X[0]), net.loss(X, Y), net.value_and_grad(X, Y), net.trace(X, Y)
    net.fit(X, Y, epochs=2, batch_size=4)


def guarded_net(side):
    net = make_net(SIZES)
    net._vector = guarded(net._vector, side)
    use(net)
    return net


def canary(side):
    """Die, as a kernel must that is given a shorter vector than its plan is for."""
    child = os.fork()
    if child == 0:
        net = make_net(SIZES)
        net._vector = guarded(np.zeros(3), side)
        use(net)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGBUS)


count = 0
actions = [*WAYS, *TAMPERING.values(), *(lambda net, put=put, bad=bad: put(net, bad) for _, put, bad in BAD)]
for side in ("left", "right"):
    for action in actions:
        net = guarded_net(side)
        try:
            action(net)
        except (AttributeError, TypeError, ValueError):
            pass
        use(net)
        count += 1
assert canary("right")
print(count)
'''


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect and fork")
def test_no_kernel_leaves_its_memory_whatever_is_put_in_place_of_parameters():
    command = [sys.executable, "-W", "ignore", "-c", GUARDED]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    assert int(done.stdout) == 2 * (len(WAYS) + len(TAMPERING) + len(BAD))
