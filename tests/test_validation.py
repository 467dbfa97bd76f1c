"""Bad inputs: a ValueError or TypeError that names the argument, before anything is changed; and inputs that must be taken."""

import datetime
import decimal
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from conftest import ACTIVATIONS, LOSSES, RULES, error, make_net, make_samples, make_targets, oracle
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import fastbp
from fastbp import Network, activations, losses, optimizers
from fastbp.engine import validation

N, N_IN, N_OUT = 6, 3, 2


@pytest.fixture
def net():
    return make_net((N_IN, 4, N_OUT), dtype="float32")


def samples():
    return make_samples(N, N_IN)


def targets():
    return make_targets("squared", N, N_OUT)


def state(net):
    return net.params.tobytes(), repr(net.rng.bit_generator.state), repr(net)


def snapshot(value):
    """What an input holds, for comparison."""
    if isinstance(value, np.ma.MaskedArray):
        return value.data.tobytes(), value.mask.tobytes()
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype != object else repr(value.tolist())
    return repr(value)


def names(failure, argument):
    """Whether a message has the argument's name as a word."""
    return re.search(rf"\b{argument}\b", str(failure))


def check_refused(net, argument, call, *inputs):
    """The call raises an error that names the argument, and neither the network nor the inputs are changed; its message."""
    before, held = state(net) if net else None, [snapshot(each) for each in inputs]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert caught.type in (ValueError, TypeError)  # none of NumPy's or Numba's own
    assert names(caught.value, argument)
    assert before == (state(net) if net else None)
    assert held == [snapshot(each) for each in inputs]
    return str(caught.value)


# --- arrays ------------------------------------------------------------------------------------------------------------------


def with_one(value, shape):
    array = np.ones(shape)
    array[-1, ...] = value
    return array


def bad_arrays(shape):
    """Arrays that no argument takes, made from good ones of a shape."""
    good = np.ones(shape)
    yield "nan", with_one(np.nan, shape)
    yield "infinity", with_one(np.inf, shape)
    yield "minus infinity", with_one(-np.inf, shape)
    for value in (np.nan, np.inf, -np.inf):
        yield f"{value} in the network's dtype", with_one(value, shape).astype(np.float32)
    yield "too large for float32", with_one(1e39, shape)
    yield "too large for float64", with_one(1, shape).astype(np.longdouble) * np.longdouble("1e4000")
    yield "too large an integer", np.full(shape, 10**400, object)
    yield "words", np.full(shape, "red")
    yield "word", "red"
    yield "bytes", np.full(shape, b"\xff")
    yield "complex", good + 1j
    yield "complex objects", (good + 1j).astype(object)
    yield "none", np.full(shape, None)
    yield "objects", np.full(shape, object())
    yield "ragged", [[1.0, 2.0, 3.0], [1.0]]
    yield "ragged deeper", [[[1.0], [2.0, 3.0]], [[1.0], [1.0]]]
    yield "dates", np.full(shape, np.datetime64("2026-01-01"))
    yield "dates as objects", np.full(shape, datetime.date(2026, 1, 1))
    yield "durations", np.full(shape, np.timedelta64(1, "s"))
    yield "structured", np.zeros(shape, [("a", float), ("b", float)])
    yield "masked", np.ma.masked_array(good, good > 0)
    yield "partly masked", np.ma.masked_array(good, np.arange(good.size).reshape(shape) == 0)
    yield (
        "masked in a list",
        list(np.ma.masked_array(good, np.arange(good.size).reshape(shape) == 0))
        if len(shape) > 1
        else [np.ma.masked_array([1.0], [True])],
    )
    yield "integers of 400 digits", [[10**400] * shape[-1]] * N if len(shape) > 1 else [10**400] * N
    yield "words and numbers", np.full(shape, "1", object)
    yield "nullable integers with a missing one", pd.Series([1, pd.NA] * 3, dtype="Int64")
    yield "missing dates", pd.Series([pd.Timestamp("2026-01-01"), pd.NaT] * 3)
    yield "no rows", good[:0]
    yield "no rows, a list", []
    yield "fewer rows", good[: N - 1]
    yield "more rows", np.ones((N + 1, *shape[1:]))
    yield "one more dimension", good[None]
    yield "no dimension", np.float64(1)
    yield "a number", 1
    yield "a dict", {"a": 1}
    yield "a set", {1.0, 2.0}
    yield "a generator", (each for each in [1.0])
    yield "a function", len
    if len(shape) == 2:
        yield "no columns", good[:, :0]
        yield "fewer columns", good[:, :-1]
        yield "more columns", np.ones((N, shape[1] + 1))
        yield "sparse matrix", scipy.sparse.csr_matrix(good)
        yield "sparse array", scipy.sparse.coo_array(good)
        yield "missing values", pd.DataFrame([[1.0, pd.NA, *[2.0] * (shape[1] - 2)]] * N).astype("Float64")
        yield "words in a frame", pd.DataFrame(good).astype(object).assign(colour="red")


FINE = {"fewer rows", "more rows", "sparse matrix", "sparse array"}  # samples that are not at fault


def cases(shape, without=()):
    return [pytest.param(value, id=name) for name, value in bad_arrays(shape) if name not in without]


@pytest.mark.parametrize("bad", cases((N, N_IN), FINE))
@pytest.mark.parametrize("method", ["__call__", "predict", "trace"])
def test_samples_alone(net, method, bad):
    check_refused(net, "X", lambda: getattr(net, method)(bad), bad)


METHODS = ("loss", "score", "value_and_grad", "check_gradients", "trace", "fit")


@pytest.mark.parametrize("bad", cases((N, N_IN), FINE))
@pytest.mark.parametrize("method", METHODS)
def test_samples(net, method, bad):
    y = targets()
    check_refused(net, "X", lambda: getattr(net, method)(bad, y), bad, y)


@pytest.mark.parametrize("count", [N - 1, N + 1, 1])
@pytest.mark.parametrize("method", METHODS)
def test_another_number_of_samples_than_of_targets(net, method, count):
    check_refused(net, "y", lambda: getattr(net, method)(make_samples(count, N_IN), targets()))


@pytest.mark.parametrize("bad", [*cases((N, N_OUT)), pytest.param(np.ones(N), id="one column, as a vector")])
@pytest.mark.parametrize("method", METHODS)
def test_targets(net, method, bad):
    X = samples()
    check_refused(net, "y", lambda: getattr(net, method)(X, bad), X, bad)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "trace"])
def test_no_targets(net, method):
    check_refused(net, "y", lambda: getattr(net, method)(samples(), None))


NOT_WEIGHTS = [
    pytest.param([1, 1, 1, 1, 1, -1], id="negative"),
    pytest.param(np.zeros(N), id="all zero"),
    pytest.param(np.ones((N, 1)), id="a column"),
]


@pytest.mark.parametrize("bad", [*cases((N,), {"too large for float32"}), *NOT_WEIGHTS])
@pytest.mark.parametrize("method", ["loss", "value_and_grad", "fit"])
def test_sample_weights(net, method, bad):
    X, y = samples(), targets()
    check_refused(net, "sample_weight", lambda: getattr(net, method)(X, y, sample_weight=bad), X, y, bad)


@pytest.mark.parametrize("bad", cases((N, N_IN), FINE))
def test_samples_for_validation(net, bad):
    check_refused(net, "validation_data", lambda: net.fit(samples(), targets(), validation_data=(bad, targets())), bad)


@pytest.mark.parametrize("bad", cases((N, N_OUT)))
def test_targets_for_validation(net, bad):
    check_refused(net, "validation_data", lambda: net.fit(samples(), targets(), validation_data=(samples(), bad)), bad)


LABELS = {
    "too high": [0, 1, 2, 0, 1, 3],
    "negative": [0, 1, 2, 0, 1, -1],
    "huge": [0, 1, 2, 0, 1, 2**62],
    "beyond integers": [0, 1, 2, 0, 1, 1e300],
    "fractions": [0, 1, 2, 0, 1, 0.5],
    "nan": [0, 1, 2, 0, 1, np.nan],
    "words": list("abcabc"),
    "too few": [0, 1, 2],
    "a column": [[0], [1], [2], [0], [1], [2]],
    "negative probabilities": np.tile([-0.5, 0.5, 1.0], (N, 1)),
    "probabilities that add up to 2": np.tile([1.0, 0.5, 0.5], (N, 1)),
    "no probability": np.zeros((N, 3)),
}


@pytest.mark.parametrize("bad", [pytest.param(value, id=name) for name, value in LABELS.items()])
@pytest.mark.parametrize("method", METHODS)
def test_labels(method, bad):
    net = make_net((N_IN, 3), loss="cross_entropy")
    check_refused(net, "y", lambda: getattr(net, method)(samples(), bad), bad)


@pytest.mark.parametrize(
    "bad", [2 * np.ones((N, N_OUT)), -np.ones((N, N_OUT)), np.full((N, N_OUT), 1.001)], ids=["2", "-1", "1.001"]
)
@pytest.mark.parametrize("method", METHODS)
def test_yes_or_no(method, bad):
    net = make_net((N_IN, N_OUT), loss="binary_cross_entropy")
    check_refused(net, "y", lambda: getattr(net, method)(samples(), bad), bad)


@pytest.mark.parametrize(("loss", "value"), [("poisson", -1.0), ("poisson", -1e-30), ("gamma", 0.0), ("gamma", -1.0)])
@pytest.mark.parametrize("method", METHODS)
def test_counts_and_positive_numbers(method, loss, value):
    net, bad = make_net((N_IN, N_OUT), loss=loss), with_one(value, (N, N_OUT))
    message = check_refused(net, "y", lambda: getattr(net, method)(samples(), bad), bad)
    assert ("positive" if loss == "gamma" else "not be negative") in message
    bad[-1] = 1e-30 if loss == "gamma" else 0.0  # the least that there is
    assert np.isfinite(net.loss(samples(), bad))


# --- options of fit ----------------------------------------------------------------------------------------------------------

HELD_OUT = {"validation_fraction": 0.5}
OPTIONS = [
    *({"epochs": value} for value in (0, -1, 1.0, "2", True, None, np.array([1, 2]))),
    *({"batch_size": value} for value in (0, -1, 2.5, None, "auto", True)),
    *({"optimizer": value} for value in ("sdg", 5, None, losses.CrossEntropy(), object)),
    *({"shuffle": value} for value in ("yes", None, 2, [], np.array([True, False]))),
    *({"order": value} for value in ([0, N], [-1], [0.5], [], [[0, 1]], [[0, 1], [1]], "abc", 5, [True], [2**70], [[[0]]])),
    {"order": np.array([2**63], np.uint64)},
    {"order": [0, 5], **HELD_OUT},
    *({"l2": value} for value in (-1, np.nan, np.inf, "x", None, 1j, [1.0])),
    *({"validation_data": value} for value in (np.ones((N, N_IN)), (np.ones((N, N_IN)),), "ab", 5, (1, 2, 3), {})),
    *({"validation_fraction": value} for value in (1.0, -0.1, 0.01, 2, np.nan, "x", None)),
    *({"tol": value} for value in (-1, np.nan, "x")),
    {"tol": -1, **HELD_OUT},
    *({"n_iter_no_change": value} for value in (0, 1.5, None)),
    *({"gradient_tol": value} for value in (-1, np.nan, "a")),
    *({"patience": value, **HELD_OUT} for value in (0, -1, 1.5, "a")),
    {"patience": 3},
    *({"callbacks": value} for value in (None, 5, [5], len, "ab", [None])),
    *({"n_threads": value} for value in (0, -1, 1.5, "all", True)),
    *({name: value} for name in ("record_norms", "record_score", "progress") for value in ("x", "", None, 0, 1, 1.0, [], [True])),
    {"epochs": 10**18},
    *({name: 10**400} for name in ("epochs", "l2", "l1", "tol", "clip_norm")),
    *({name: np.array(3)} for name in ("epochs", "batch_size", "n_iter_no_change", "n_threads", "order", "callbacks", "rng")),
    *({name: np.array(0.1)} for name in ("l2", "l1", "tol", "dropout", "input_dropout", "clip_norm", "sample_weight")),
    {"patience": np.array(3), **HELD_OUT},
    *({"rng": value} for value in ("abc", -1, 1.5)),
]


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: "-".join(f"{name}={value}" for name, value in options.items())[:60]
)
def test_options_of_fit(net, options):
    X, y = samples(), targets()
    check_refused(net, next(iter(options)), lambda: net.fit(X, y, **options), X, y)


def test_unknown_options_of_fit(net):
    check_refused(net, "epoch", lambda: net.fit(samples(), targets(), epoch=3))


# --- networks and the classes they are made of -------------------------------------------------------------------------------

W, B = np.ones((2, 3)), np.ones(2)
SIZES = (
    [3],
    [],
    5,
    "32",
    [3, 0],
    [3, -2],
    [3, 2.0],
    [3, True],
    None,
    [3, "2"],
    {3: 1, 2: 1},
    [[3, 2]],
    np.ones((2, 2), int),
    [3, None],
    np.array(3),
    [10**18, 2],
    [2, 10**18, 1],
    (10**9, 10**9),
    [10**400, 1],
)
NETWORKS = [
    *(("sizes", (value,), {}) for value in SIZES),
    ("sizes", (np.array([3.0, 2.0]),), {}),
    *(("hidden", ([3, 4, 2], value), {}) for value in (["relu", "relu"], [], ["relu", "tanh", "relu"])),
    *(
        ("hidden", ([3, 4, 2], value), {})
        for value in ("rleu", None, 5, "softmax", fastbp.Softmax(), fastbp.CrossEntropy, ["rleu"])
    ),
    *(("loss", ([3, 2], "relu", value), {}) for value in ("mse", None, 5, fastbp.ReLU())),
    *(("output", ([3, 2],), {"output": value}) for value in ("sofmax", 5, "softmax", fastbp.CrossEntropy())),
    *(("output", ([3, 2], "relu", "cross_entropy"), {"output": value}) for value in ("sigmoid", "identity", fastbp.ReLU())),
    *(("output", ([3, 2], "relu", "binary_cross_entropy"), {"output": value}) for value in ("softmax", "identity", 5)),
    *(("dtype", ([3, 2],), {"dtype": value}) for value in ("float16", int, "flot32", 5, ">f4", complex, None)),
    *(("init", ([3, 2],), {"init": value}) for value in ("helium", 5)),
    *(
        ("weights", ([3, 2],), {"weights": value})
        for value in (5, np.array(3.0), [], "ab", W, [W, W], [W.T], [W * np.nan], [W * 1e39], [None], [[[1, 2, 3], [1]]])
    ),
    *(
        ("biases", ([3, 2],), {"biases": value})
        for value in (5, np.array(3.0), [], "ab", [B[:1]], [B[None]], [["a", "b"]], [B * np.inf], [1.0])
    ),
    *(("rng", ([3, 2],), {"rng": value}) for value in ("abc", -1, 1.5)),
    ("bias", ([3, 2],), {"bias": 1}),
]


@pytest.mark.parametrize(
    ("argument", "args", "options"), [pytest.param(*case, id=f"{case[0]}-{i}") for i, case in enumerate(NETWORKS)]
)
def test_networks(argument, args, options):
    check_refused(None, argument, lambda: Network(*args, **options))


NUMBERS = {
    "learning_rate": (0, -1, np.nan, np.inf, "a", None, [1, 2], True, 1j, np.array([1.0, 2.0])),
    "momentum": (1.01, -0.1, np.nan, "a"),
    "rho": (1.0, -0.1, np.nan, "a"),
    "beta_1": (1, -0.1, np.nan, "a"),
    "beta_2": (1, -0.1, np.nan, "a"),
    "epsilon": (0, -1, np.nan, "a"),
    "weight_decay": (-1, np.nan, np.inf, "a"),
    "alpha": (-1, 0, np.nan, np.inf, "a", None),
    "epsilon_hat": (0, 1.0, None, "yes"),
    "smoothing": (1, -0.1, np.nan, "a"),
    "delta": (0, -1, np.nan, np.inf, "a"),
    "quantile": (0, 1, -0.1, np.nan, "a"),
    "reduction": ("avg", None, 1, "half"),
}


def test_hyper_parameters():
    seen = set()
    for instance in (*RULES, *ACTIVATIONS, *LOSSES):
        for name in instance.parameters():
            for value in (*NUMBERS[name], 10**400, -(10**400)):
                with pytest.raises((ValueError, TypeError), match=name):
                    type(instance)(**{name: value})
                seen.add(name)
    assert seen == set(NUMBERS)


def test_integers_too_long_to_be_printed_are_refused_by_name(net):
    with pytest.raises(ValueError, match=r"^delta must be finite"):
        fastbp.Huber(10**5000)
    with pytest.raises(ValueError, match=r"^l2 must be finite"):
        net.fit(samples(), targets(), l2=10**5000)


@pytest.mark.parametrize("get", [activations.get, losses.get, optimizers.get], ids=["activation", "loss", "optimizer"])
def test_names_classes_and_instances_are_taken(get):
    module = {activations.get: activations.ACTIVATIONS, losses.get: losses.LOSSES, optimizers.get: optimizers.OPTIMIZERS}[get]
    for cls in module.classes:
        instance = cls()
        assert get(cls.name) == get(cls) == instance
        assert get(instance) is instance
    with pytest.raises(ValueError, match=module.argument) as caught:
        get("nothing")
    assert all(name in str(caught.value) for name in module.names)  # what there is to choose from


# --- inputs that are taken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        pd.DataFrame,
        lambda X: pd.DataFrame(X).astype("Float64"),
        lambda X: [[decimal.Decimal(float(each)) for each in row] for row in X],
        lambda X: X.astype(object),
        lambda X: np.ma.masked_array(X).filled(),
        np.ma.masked_array,
        lambda X: np.ma.masked_array(X, np.zeros_like(X, bool)),
        lambda X: list(np.ma.masked_array(X)),
        lambda X: X.astype(">f8"),
        lambda X: X.astype(np.longdouble),
    ],
    ids=[
        "DataFrame",
        "nullable DataFrame",
        "decimals",
        "objects",
        "filled",
        "no mask",
        "an empty mask",
        "a list without a mask",
        "big-endian",
        "long double",
    ],
)
def test_other_ways_to_hold_numbers(net, convert):
    X, y = samples(), targets()
    assert net(convert(X)).tobytes() == net(X).tobytes()
    assert net.loss(convert(X), convert(y)) == net.loss(X, y)


@pytest.mark.parametrize("rows", [1, 1365, 1366, 5000])
def test_one_number_that_is_not_finite_is_found_anywhere(net, rows):
    for place in {0, 1, rows * N_IN // 2, rows * N_IN - 1}:
        for value in (np.nan, np.inf, -np.inf):
            X = make_samples(rows, N_IN, "float32")
            X.flat[place] = value
            check_refused(net, "X", lambda X=X: net(X), X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_that_are_looked_at_in_parts(dtype, monkeypatch):
    looked, look = [], dict(validation.all_finite)
    monkeypatch.setattr(
        validation, "all_finite", {kind: lambda part, kind=kind: (looked.append(part.size), look[kind](part))[1] for kind in look}
    )
    monkeypatch.setattr(validation, "PART_BYTES", 800)
    X = make_samples(100, 7, dtype)
    assert validation.is_plain(X)
    assert sum(looked) == X.size
    assert max(looked) == 800 // X.itemsize
    for place in (0, 199, 200, 699):
        for value in (np.nan, np.inf, -np.inf):
            bad = X.copy()
            bad.flat[place] = value
            assert not validation.is_plain(bad)
    assert not validation.is_plain(X.T)


def test_large_numbers_are_finite():
    for dtype in ("float32", "float64"):
        X = np.full((N, N_IN), np.finfo(dtype).max, dtype)
        net = Network([N_IN, 1], weights=[[[0.25] * N_IN]], biases=[[0.0]], dtype=dtype)
        np.testing.assert_array_equal(net(X), np.full((N, 1), np.finfo(dtype).max / 4 * 3))


def test_rows_that_are_one_and_the_same(net):
    row = samples()[:1]
    np.testing.assert_array_equal(net(np.broadcast_to(row, (5, N_IN))), np.repeat(net(row), 5, axis=0))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64])
def test_sizes_and_counts_may_be_numpy_integers(kind):
    net = Network([kind(3), kind(2)], rng=0)
    assert len(net.fit(samples(), targets(), epochs=kind(2), batch_size=kind(4)).loss) == 2


def test_one_of_everything():
    net = make_net((1, 1), dtype="float32")
    assert net([[1.0]]).shape == (1, 1)
    assert np.isfinite(net.fit([[1.0]], [1.0], epochs=2).loss).all()
    assert np.isfinite(net.loss([[1.0]], [[1.0]]))


def test_inputs_are_not_written_to(net):
    X, y, w, order = samples(), targets(), np.arange(1.0, N + 1), np.arange(N)[::-1].copy()
    held = [snapshot(each) for each in (X, y, w, order)]
    for array in (X, y, w, order):
        array.flags.writeable = False
    net(X)
    net.trace(X, y)
    net.value_and_grad(X, y, w)
    net.fit(X, y, epochs=2, sample_weight=w, order=order, validation_data=(X, y), record_norms=True)
    net.fit(X, y, epochs=2, sample_weight=w, shuffle="replacement", validation_fraction=0.3)
    assert held == [snapshot(each) for each in (X, y, w, order)]


# --- whatever it is ----------------------------------------------------------------------------------------------------------

anything = arrays.arrays(
    st.one_of(
        arrays.floating_dtypes(endianness="?"),
        arrays.integer_dtypes(endianness="?"),
        arrays.unsigned_integer_dtypes(),
        arrays.boolean_dtypes(),
        arrays.complex_number_dtypes(),
        arrays.unicode_string_dtypes(max_len=3),
        arrays.byte_string_dtypes(max_len=3),
        arrays.datetime64_dtypes(),
    ),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
shared = make_net((N_IN, 4, N_OUT), dtype="float32")


def attempt(call):
    """(exception, None) or (None, result)."""
    try:
        return None, call()
    except Exception as failure:
        return failure, None


@given(anything)
@settings(max_examples=300)
def test_any_array_is_refused_by_name_or_computed(X):
    before, held = state(shared), snapshot(X)
    failure, out = attempt(lambda: shared(X))
    if failure:
        assert type(failure) in (ValueError, TypeError)
        assert names(failure, "X")
    else:
        assert out.shape == (*X.shape[:-1], N_OUT)
        assert X.shape[-1] == N_IN
    assert state(shared) == before
    assert snapshot(X) == held


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=2), st.lists, max_leaves=12))
@settings(max_examples=300)
def test_any_nested_list_is_refused_by_name_or_computed(y):
    before = state(shared)
    failure, loss = attempt(lambda: shared.loss(np.ones((2, N_IN)), y))
    if failure:
        assert type(failure) in (ValueError, TypeError)
        assert names(failure, "y")
    else:
        assert np.shape(y) == (2, N_OUT)
        assert loss >= 0
    assert state(shared) == before


@given(st.data())
@settings(max_examples=200)
def test_any_network_trains_like_the_oracle(data):
    draw = data.draw
    sizes = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    hidden = [draw(st.sampled_from(ACTIVATIONS)) for _ in sizes[2:]]
    loss, rule = draw(st.sampled_from(LOSSES)), draw(st.sampled_from(RULES))
    n, seed = draw(st.integers(1, 70)), draw(st.integers(0, 1000))
    batch, rng = draw(st.integers(1, n)), np.random.default_rng(seed)
    order = draw(st.sampled_from([np.arange(n), rng.permutation(n), rng.integers(0, n, n)]))
    options = {
        "epochs": -(-20 // -(-n // batch)),  # about twenty steps
        "batch_size": batch,
        "optimizer": rule,
        "order": order,
        "l2": draw(st.sampled_from([0, 0.3])),
        "sample_weight": draw(st.sampled_from([None, rng.uniform(0.1, 2, n)])),
    }
    net = make_net(sizes, hidden, loss, seed=seed)
    X, y = make_samples(n, sizes[0], seed=seed), make_targets(loss, n, sizes[-1], seed=seed)
    exact = oracle(net)
    with np.errstate(all="ignore"):
        expected = exact.fit(X, y, **options)
    assume(np.abs(exact.params).max() < 100)  # what diverges magnifies rounding errors
    history = net.fit(X, y, **options, n_threads=draw(st.sampled_from([1, 2])), record_norms=draw(st.booleans()))
    assert error(history.loss, expected) < 1e-9
    assert error(net.params, exact.params) < 1e-9
    np.testing.assert_allclose(net(X), exact(X), rtol=0, atol=1e-8 * (1 + np.abs(exact(X)).max()))


def test_what_is_done_again_counts_once():
    """By which slower versions are made that are right, for what compares versions."""
    calls = []
    counted = validation.again(lambda *arguments: calls.append(arguments) or len(calls), 2)
    assert counted(1, "a") == 3
    assert calls == [(1, "a")] * 3
    assert validation.again(len, 0) is len
