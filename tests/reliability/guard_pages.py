"""Every entry of the kernels on arrays that touch pages which must not be read or written: no fault, and the results of others.

Each case is computed with all arrays between ordinary memory, then with each of them at the left and at the right edge of what may
be touched. A fault kills the process. The controls are rows before the first and after the last, which must do so.
"""

import argparse
import ctypes
import mmap
import os
import resource
import signal
import sys
from itertools import product as combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import embedded
import numpy as np
from scipy.sparse import csr_array

from fastbp import Network, optimizers
from fastbp.engine.regularization import Regularization
from fastbp.engine.session import Session
from fastbp.engine.sparsity import CompressedRows, entries
from fastbp.kernels.accuracy import count_right
from fastbp.kernels.check import all_below, all_finite, order_of_places
from fastbp.kernels.draws.mersenne import shuffle_often
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE, JACOBIAN, JVP, PREDICT, STEP, TRAIN, VJP
from fastbp.kernels.regularize import draw_mask
from fastbp.kernels.train import draw_order
from fastbp.kernels.tuning import NARROW_LIMIT

SIDES = "left", "right"
DTYPES = "float32", "float64"
WIDTHS = 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33
EVERYTHING = Regularization(l1=1e-3, clip_norm=0.5, clip_value=0.2, max_norm=1.5, dropout=(0.2, 0.4, 0.0))
PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def guarded(array, side):
    """A copy whose first (or last) number touches a page that must not be read or written."""
    pages = -(-array.nbytes // PAGE) or 1
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for start in (address, address + (pages + 1) * PAGE):
        if libc.mprotect(start, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = PAGE if side == "left" else (pages + 1) * PAGE - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset)
    copy[:] = array.reshape(-1)
    return copy


# --- networks ----------------------------------------------------------------------------------------------------------------


def session_of(net, options, x, y, labels, weights, order, out, side):
    session = Session(net, options["batch"], **options["session"])
    session.set_data(x, y, labels, weights, order)
    session.plan.order_stride = 0
    session.plan.epochs = 2
    session.rates, session.record = np.full(2, 0.01), np.full(2 * (1 + 4 * len(net.weights)), np.nan)
    session.out = np.full(out, np.nan, net.dtype)
    if side:
        for name in ("x", "columns", "starts", *["y", "labels", "sample_weight", "order", "out", "rates", "record", "work"]):
            setattr(session, name, guarded(getattr(session, name), side))
        for name in ("plan", "reals"):
            record = getattr(session, name)
            setattr(session, name, type(record).of(guarded(record.numbers, side)))
        net._vector = session._params = guarded(net._vector, side)
    return session


def of_session(net, mode, options, *data, side):
    """Bits of what a call gives and leaves."""
    net = net.copy()
    session = session_of(net, options, *data, side)
    loss = session.call(mode)
    session.close()
    return loss, net.params.tobytes(), session.out.tobytes(), session.record.tobytes(), session.reals.numbers.tobytes()


def ways(number, net, n, order, count):
    """(mode, options, order, numbers of `out`) of what is done with samples and targets."""
    members = 1 + number % 2
    for rule in ("sgd", "momentum", "adam"):
        optimizer = optimizers.get(rule)
        yield TRAIN, {"batch": min(5, n), "session": {"optimizer": optimizer, "members": members}}, order, 0
        yield STEP, {"batch": n, "session": {"optimizer": optimizer, "members": members}}, None, 0
        extra = Regularization(**vars(EVERYTHING) | {"dropout": EVERYTHING.dropout[: len(net.weights)]})
        yield TRAIN, {"batch": min(5, n), "session": {"optimizer": optimizer, "members": members, "extra": extra}}, order, 0
        if max(net.sizes) <= NARROW_LIMIT:
            yield TRAIN, {"batch": len(order), "session": {"optimizer": optimizer, "narrow": True}}, order, 0
    yield DIFFERENTIATE, {"batch": n, "session": {"differentiate": True}}, None, net.params.size
    yield EVALUATE, {"batch": n, "session": {}}, None, 0


def of_networks(dtype):
    """(net, mode, options, data) of all modes, losses and kinds of samples."""
    rng = np.random.default_rng(0)
    shapes = list(zip(WIDTHS, WIDTHS[5:] + WIDTHS[:5], WIDTHS[3:] + WIDTHS[:3], strict=True))
    shapes += [(a, a) for a in WIDTHS] + [(4, 65, 3), (400, 3, 2), (3, 400, 33)]
    shapes += [(1, 1, 1), (2, 3, 1), (12, 5, 12), (3, 7, 11, 2), (5, 12, 8), (9, 1, 9)]
    for number, sizes in enumerate(shapes):
        n = (1, 3, 8, 17, 6, 25, 70)[number % 7]
        loss = ("squared", "cross_entropy", "binary_cross_entropy")[number % 3]
        net = Network(sizes, ("relu", "tanh", "gelu")[number % 3], loss, dtype=dtype, rng=number)
        x = rng.normal(size=(n, sizes[0])).astype(dtype)
        y = rng.uniform(size=(n, sizes[-1])).astype(dtype)
        order = rng.integers(0, n, max(1, n - 1), np.int32)
        targets = [(y, None, rng.uniform(size=n))]
        targets += [(None, rng.integers(0, sizes[-1], n), None)] if loss == "cross_entropy" else []
        for own, (mode, options, rows, out) in combinations(targets, ways(number, net, n, order, len(order))):
            yield net, mode, options, x, *own, rows, out
        yield net, PREDICT, {"batch": min(4, n), "session": {}}, x, None, None, None, None, n * sizes[-1]
        derived = {"batch": min(4, n), "session": {"differentiate": True, "derives": True}}
        for mode, v, out in ((VJP, y, sizes[0]), (JVP, x, sizes[-1]), (JACOBIAN, None, sizes[0] * sizes[-1])):
            yield net, mode, derived, x, v, None, None, None, n * out


def of_sparse_samples(dtype):
    rng = np.random.default_rng(0)
    for number, (n_in, n_out) in enumerate([(1, 1), (8, 3), (33, 17), (100, 80), (300, 15)]):
        net = Network((n_in, n_out, 3), dtype=dtype, rng=number)
        x, y = rng.normal(size=(19, n_in)).astype(dtype), rng.uniform(size=(19, 3)).astype(dtype)
        x[rng.random(x.shape) < 0.8] = 0
        compressed = CompressedRows.of(csr_array(x))
        kept = entries(compressed, n_out)._replace(most=n_in)
        for rows in (compressed, x):
            order = rng.integers(0, 19, 18, np.int32)
            for rule in ("sgd", "adam"):
                session = {"optimizer": optimizers.get(rule), "members": 1 + number % 2, "entries": kept}
                yield net, TRAIN, {"batch": 5, "session": session}, rows, y, None, None, order, 0
            gradient = {"batch": 19, "session": {"differentiate": True, "entries": kept}}
            yield net, DIFFERENTIATE, gradient, rows, y, None, None, None, net.params.size
            for batch in (1, 4):
                few = rows[:1] if batch == 1 else rows
                yield net, PREDICT, {"batch": batch, "session": {"entries": kept}}, few, None, None, None, None, 3 * len(few)


def of_sessions(dtype):
    """Those with samples of the network's dtype, and those that are arrays once more, of another kind."""
    plain = [*of_networks(dtype), *of_sparse_samples(dtype)]
    yield from plain
    for number, (net, mode, options, x, *others) in enumerate(plain):
        if type(x) is np.ndarray and mode != JVP:
            yield net, mode, options, np.abs(8 * x).astype(("uint8", "int8", "float16")[number % 3]), *others


# --- other entries -----------------------------------------------------------------------------------------------------------


def of_entries(dtype):
    """(entry, arguments) of those that take arrays and no plan."""
    rng = np.random.default_rng(0)
    for n in (*range(1, 70), 255, 1025):
        yield all_finite[dtype], (rng.normal(size=n).astype(dtype),)
        yield all_below["float64"], (rng.integers(0, 9, n), 9)
        yield draw_order["float64"], (np.zeros(n, np.int32), 3, n)
        key = rng.integers(0, 1 << 32, 624)
        yield shuffle_often["float64"], (key, n % 624, n, 2, np.arange(n, dtype=np.int32), np.zeros(2 * n, np.int32))
        yield draw_mask["float64"], (np.zeros(16 * n), 16, 3, n, 1, 1 << 31)
        matrix = csr_array(rng.normal(size=(n, 7)) * (rng.random((n, 7)) < 0.5))
        yield order_of_places["float64"], (matrix.indices.astype(np.int32), matrix.indptr.astype(np.int64), 7)
        yield count_right[dtype], (rng.normal(size=3 * n).astype(dtype), rng.integers(0, 3, n))


def of_entry(entry, arguments, side):
    given = [(guarded(each, side) if side else each.copy()) if isinstance(each, np.ndarray) else each for each in arguments]
    return entry(*given), *(each.tobytes() for each in given if isinstance(each, np.ndarray))


# --- compiled functions of users ---------------------------------------------------------------------------------------------


def of_embedded(dtype):
    """(function, arguments) of calls of networks and trainers, right and wrong ones."""
    rng = np.random.default_rng(0)
    for n, sizes in ((1, (3, 1)), (5, (4, 7, 2)), (9, (4, 32, 1)), (17, (33, 17, 5))):
        net = Network(sizes, "tanh", dtype=dtype, rng=n)
        x, y = rng.normal(size=(n, sizes[0])).astype(dtype), rng.normal(size=(n, sizes[-1])).astype(dtype)
        grad, whole = np.zeros_like(net.params), np.zeros((n, sizes[-1], sizes[0]), dtype)
        calls = [
            ("outputs", x),
            ("predict_into", x, np.zeros_like(y)),
            ("value_and_grad_into", x, y, grad),
            ("jacobian_into", x, whole),
            ("vjp_into", x, y, np.zeros_like(x)),
            ("jvp_into", x, x, np.zeros_like(y)),
        ]
        for name, *arrays in calls:
            yield getattr(embedded, name), (net, *arrays)
            yield getattr(embedded, name), (net, *(each[0] if len(each) == n and each is not grad else each for each in arrays))
            for i, wrong in enumerate(arrays):
                for part in (wrong[:-1], wrong[..., :-1].copy()):
                    yield getattr(embedded, name), (net, *arrays[:i], part, *arrays[i + 1 :])
        yield embedded.step, (net, x, y)
        yield embedded.step, (net, x, y[:-1])
        yield embedded.step, (net, x[:, :-1].copy(), y)


def of_call(function, arguments, side):
    """Bits of what is computed, or the error."""
    net, *arrays = arguments
    net = net.copy()
    subject = net.trainer(batch_size=32) if function is embedded.step else net
    given = [guarded(each, side).reshape(each.shape) if side and each.size else each.copy() for each in arrays]
    try:
        result = function(subject, *given)
    except ValueError as error:
        return str(error)
    return None if result is None else np.asarray(result).tobytes(), net.params.tobytes(), *(each.tobytes() for each in given)


# --- controls ----------------------------------------------------------------------------------------------------------------


def dies(side):
    """Whether a kernel that is told of one row too many, on one side or the other, is killed."""
    child = os.fork()
    if child == 0:
        net = Network([3, 2], dtype="float64", rng=0)
        order = np.array([0, 5 if side == "right" else -1], np.int32)
        session = session_of(net, {"batch": 2, "session": {}}, np.ones((5, 3)), None, None, None, order, 4, side)
        session.call(PREDICT)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGBUS)


def dies_in_c():
    """Whether a C function that is told of one row too many is killed."""
    child = os.fork()
    if child == 0:
        net = Network([3, 2], dtype="float64", rng=0)
        x, out = guarded(np.ones((5, 3)), "right"), np.zeros((6, 2))
        real = ctypes.POINTER(ctypes.c_double)
        net.cfunc.ctypes(net.cfunc.network, 6, x.ctypes.data_as(real), out.ctypes.data_as(real))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSEGV, signal.SIGBUS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one case of 10")
    step = 10 if parser.parse_args().quick else 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    count, wrong = 0, []
    for dtype in DTYPES:
        ways = (of_session, of_sessions), (of_entry, of_entries), (of_call, of_embedded)
        for compute, cases in [(compute, list(cases(dtype))) for compute, cases in ways]:
            for case in cases[::step]:
                expected = compute(*case, side=None)
                for side in SIDES:
                    wrong += [f"{case[:3]}, {side}"] if compute(*case, side=side) != expected else []
                    count += 1
    missed = [side for side in SIDES if not dies(side)] + ([] if dies_in_c() else ["C"])
    print(*wrong, sep="\n", end="\n" * bool(wrong))
    print(f"{count} calls beside guard pages lived, {len(wrong)} with other results; {3 - len(missed)} of 3 that go too far died")
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
