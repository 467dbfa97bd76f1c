"""What the tests of `fastbp.mpi` run on every rank: ``mpiexec -n 2 python mpi_cases.py FOLDER CASE``, a file from each."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from zlib import crc32

import numpy as np
from mpi4py import MPI

import fastbp
from fastbp.engine.threads import usable_threads

COMM = MPI.COMM_WORLD
PARTS = 4
SIZES = [20, 37, 33, 3]


def data(n=480, dtype=np.float32):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, SIZES[0])).astype(dtype)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


def own(*arrays):
    """The rows of this rank."""
    count = len(arrays[0]) // COMM.size
    return tuple(array[COMM.rank * count : (COMM.rank + 1) * count] for array in arrays)


def network(dtype="float32", **options):
    return fastbp.Network(SIZES, dtype=dtype, rng=COMM.rank, **({"loss": "cross_entropy", "hidden": "tanh"} | options))


def result(net, history):
    return [crc32(net.params.tobytes()), history.loss]


def fits():
    """Settings, each with the options of the network."""
    weights = np.random.default_rng(2).random(480)
    weights[:120] = 1e-200  # all of a rank, which may be in another unit by itself
    adam = fastbp.Adam(1e-2)
    # first what compiles the kernel that serves all others
    yield {"hidden": ["relu", "gelu"]}, {"optimizer": adam, "dropout": 0.2, "input_dropout": 0.1, "l1": 0.01}
    yield {}, {"optimizer": fastbp.SGD(0.1)}
    yield {"dtype": "float64"}, {"optimizer": adam, "l2": 0.1, "shuffle": False, "max_norm": 5.0}
    yield {}, {"optimizer": fastbp.Momentum(0.1), "clip_norm": 0.5, "max_norm": 2.0, "record_norms": True}
    yield {}, {"optimizer": "adam", "sample_weight": weights, "l2": 0.1}
    yield {}, {"optimizer": "adam", "sample_weight": 1e250 * weights * (weights > 1e-9)}
    yield {}, {"optimizer": "adam", "schedule": fastbp.schedules.OneCycle(), "n_threads": 2}
    yield {"hidden": "sigmoid"}, {"optimizer": fastbp.RMSprop(1e-3), "batch_size": 480}


def bits(memory=None, parts=PARTS):
    """Of all settings."""
    X, y = data()
    found = []
    for options, settings in fits():
        net, settings = network(**options), {"epochs": 3, "batch_size": 112} | settings
        chosen = own(X, y, *([settings["sample_weight"]] if "sample_weight" in settings else []))
        if len(chosen) > 2:
            settings["sample_weight"] = chosen[2]
        history = net.fit(*chosen[:2], comm=fastbp.mpi.Ranks(COMM, parts=parts, memory=memory), **settings)
        found.append(result(net, history))
        assert all(np.isfinite(each).all() for each in (net.params, history.loss))
        assert not settings.get("record_norms") or len(history.gradient_norms) == 3
    return found


def bits_of_nodes():
    """The same, as if each two ranks had a memory of their own."""
    return bits(COMM.Split(COMM.rank // 2))


def bits_of_uneven_nodes():
    """The same, where ranks with one memory are not next to each other."""
    return bits(COMM.Split(COMM.rank % 3))


def ordinary():
    """Of one part, with `comm` and without."""
    X, y = data()
    found = {"with": [], "without": []}
    for options, settings in fits():
        for name, more in {"with": {"comm": fastbp.mpi.Ranks(COMM, parts=1)}, "without": {}}.items():
            net = network(**options)
            net.fit(X, y, **({"epochs": 3, "batch_size": 112} | settings), **more)
            found[name].append(crc32(net.params.tobytes()))
    return found


def threads():
    """By one thread and by two: a wide network, and a small one whose members have blocks of their own."""
    found = []
    for n_threads in (1, 2):
        for sizes, n in (([20, 512, 512, 3], 480), ([20, 64, 3], 24_000)):
            X, y = data(n)
            net = fastbp.Network(sizes, loss="cross_entropy", rng=0)
            trainer = net.trainer(batch_size=n, optimizer="adam", n_threads=n_threads)
            history = trainer.run(*own(X, y), epochs=3, comm=fastbp.mpi.Ranks(COMM, parts=2))
            found.append(result(net, history))
    return [min(2, usable_threads()), *found]


def sparse_bits():
    from scipy import sparse

    X, y = data()
    X = sparse.csr_array(X * (X > 1.5))
    net = network()
    count = 480 // COMM.size
    rows = slice(COMM.rank * count, (COMM.rank + 1) * count)
    return result(net, net.fit(X[rows], y[rows], epochs=2, batch_size=48, comm=fastbp.mpi.Ranks(COMM, parts=PARTS)))


def fast():
    """Parameters after some steps in both dtypes, summed as MPI likes, on nodes of two ranks."""
    found = []
    for dtype in ("float32", "float64"):
        X, y = data(dtype=dtype)
        net = network(dtype)
        memory = COMM.Split(COMM.rank // 2) if COMM.size > 2 else None
        net.fit(*own(X, y), epochs=4, batch_size=480, shuffle=False, comm=fastbp.mpi.Ranks(COMM, memory=memory))
        found.append(net.params.tolist())
    return found


def stops():
    """Rules of stopping, callbacks, and validation: alike on all ranks."""
    X, y = data()
    found = []
    chosen = {"comm": COMM, "epochs": 40, "batch_size": 48, "optimizer": fastbp.Adam(0.02)}
    net = network()
    history = net.fit(*own(X, y), validation_data=(X[:100], 2 - y[:100]), patience=2, **chosen)
    found.append([*result(net, history), history.stopped_by, history.validation_loss])
    history = net.fit(*own(X, y), tol=1e3, n_iter_no_change=3, **chosen)
    found.append([*result(net, history), history.stopped_by])
    callback = lambda epoch, net, history: COMM.rank == COMM.size - 1 and epoch == 1  # noqa: E731
    history = net.fit(*own(X, y), callbacks=[callback], **chosen)
    found.append([*result(net, history), history.stopped_by])
    trainer = net.trainer(batch_size=48, optimizer="adam")
    for _ in range(2):
        history = trainer.run(*own(X, y), epochs=2, comm=COMM)
    found.append([*result(net, history), trainer.epochs])
    return found


def checkpoint():
    """Up to an epoch, and on from there: with these ranks or others."""
    X, y = data()
    path, net = sys.argv[3], network()
    last = int(sys.argv[4])
    keep = [fastbp.Checkpoint(path)] if COMM.rank == 0 else []
    resume = path if os.path.exists(path) else None
    COMM.Barrier()
    settings = {"batch_size": 48, "optimizer": "adam", "dropout": 0.1, "patience": 100, "validation_data": (X[:50], y[:50])}
    history = net.fit(
        *own(X, y), epochs=last, comm=fastbp.mpi.Ranks(COMM, parts=PARTS), callbacks=keep, resume=resume, rng=5, **settings
    )
    return result(net, history)


# --- what goes wrong: every rank tells its error, and its parameters before and after ------------------------------------------


def spoilt(change, **options):
    X, y = data()
    net, chosen = network(), {"epochs": 3, "batch_size": 48, "comm": fastbp.mpi.Ranks(COMM, timeout=5)} | options
    X, y, chosen = change(*own(X, y), chosen)
    before = net.params.copy()
    began = time.perf_counter()
    try:
        net.fit(X, y, **chosen)
    except BaseException as error:
        told = [type(error).__name__, str(error)]
    else:
        told = ["", ""]
    is_same = bool((net.params == before).all())
    return [*told, is_same, bool(np.isfinite(net.params).all()), time.perf_counter() - began]


def is_last():
    return COMM.rank == COMM.size - 1


def errors():
    """What is found before anything is changed; and MPI is as good as before."""

    def nan(X, y, chosen):
        if is_last():
            X = X.copy()
            X[3, 4] = np.nan
        return X, y, chosen

    def fewer(X, y, chosen):
        return (X[:-1], y[:-1], chosen) if is_last() else (X, y, chosen)

    def narrow(X, y, chosen):
        return (X[:, 1:], y, chosen) if is_last() else (X, y, chosen)

    def doubles(X, y, chosen):
        return X, (y.astype(float) + 0.5 if is_last() else y), chosen

    def unknown(X, y, chosen):
        return X, (y + 1 if is_last() else y), chosen

    def none(X, y, chosen):
        return (X[:0], y[:0], chosen) if is_last() else (X, y, chosen)

    def batch(X, y, chosen):
        return X, y, chosen | {"batch_size": 24 if is_last() else 48}

    def rule(X, y, chosen):
        return X, y, chosen | {"optimizer": "adam" if is_last() else "sgd"}

    def odd(X, y, chosen):
        return X, y, chosen | {"batch_size": 47}

    def judged(X, y, chosen):
        return X, y, chosen | {"validation_data": (X, y)}

    def callback(X, y, chosen):
        def fail(epoch, net, history):
            if is_last() and epoch == 1:
                raise OSError("the disk is full")

        return X, y, chosen | {"callbacks": [fail]}

    def written(X, y, chosen):
        def overwrite(epoch, net, history):
            if is_last():
                net.params[0] += 1

        return X, y, chosen | {"callbacks": [overwrite]}

    def diverging(X, y, chosen):
        return X, y, chosen | {"optimizer": fastbp.SGD(1e38)}

    def zeros(X, y, chosen):
        return X, y, chosen | {"sample_weight": np.zeros(len(X))}

    def forever(X, y, chosen):
        return X, y, chosen | {"epochs": 10**12}

    def nested(X, y, chosen):
        def fit(epoch, net, history):
            network().fit(X, y, epochs=1, batch_size=48, comm=chosen["comm"])

        return X, y, chosen | {"callbacks": [fit]}

    cases = (
        nan,
        fewer,
        narrow,
        doubles,
        unknown,
        none,
        batch,
        rule,
        odd,
        judged,
        zeros,
        forever,
        nested,
        callback,
        written,
        diverging,
    )
    found = {case.__name__: spoilt(case) for case in cases}
    found["given order"] = spoilt(lambda X, y, chosen: (X, y, chosen | {"order": [0, 1]}))
    X, y = data()
    net = network()
    return found | {"after": result(net, net.fit(*own(X, y), comm=COMM, epochs=1))}


def trainers():
    """What trainers differ in."""
    X, y = own(*data())

    def rate(trainer):
        trainer.learning_rate = 0.5

    def step(trainer):
        trainer.step(X[:4], y[:4])

    def full(trainer):
        def seen(rows):
            raise MemoryError("no room")

        trainer._seen = seen

    found = {}
    for change in (rate, step, full):
        trainer = network().trainer(n_samples=480, rng=0, batch_size=48)
        if is_last():
            change(trainer)
        try:
            trainer.run(X, y, epochs=2, comm=fastbp.mpi.Ranks(COMM, timeout=5))
        except BaseException as error:
            found[change.__name__] = [type(error).__name__, str(error)]
    return found


def unlike_checkpoints():
    """Each rank has a file of its own, of which one is older."""
    X, y = own(*data())
    path = f"{sys.argv[3]}-{COMM.rank}.ckpt"
    ranks = fastbp.mpi.Ranks(COMM, timeout=5)
    for epochs, keeper in ((3, 0), (2, COMM.size - 1)):
        keep = [fastbp.Checkpoint(path)] if COMM.rank == keeper else []
        network().fit(X, y, epochs=epochs, batch_size=48, comm=ranks, callbacks=keep)
    return spoilt(lambda X, y, chosen: (X, y, chosen | {"resume": path}))


def generators():
    """After a fit: the ranks' are alike, and as far as that of a fit without `comm`."""
    X, y = data()
    found = []
    for options in ({}, {"shuffle": False}):
        nets = [fastbp.Network(SIZES, loss="cross_entropy", rng=7) for _ in range(2)]
        nets[0].fit(*own(X, y), batch_size=48, epochs=1, comm=COMM, **options)
        nets[1].fit(*own(X, y), batch_size=48, epochs=1, **options)
        found.append([int(net.rng.integers(1 << 60)) for net in nets])
    return found


def caught():
    """A fit of one rank is interrupted, and the program goes on."""

    def stop(*_):
        raise KeyboardInterrupt

    alarm(stop, 0.5)
    try:
        network().fit(*data(), epochs=10**5, batch_size=1, comm=MPI.COMM_SELF)
    except KeyboardInterrupt:
        return True


class _Interrupting:
    """Lets something happen to the last rank in its second epoch."""

    def __init__(self, what):
        self.what = what

    def __call__(self, epoch, net, history):
        if is_last() and epoch == 0:
            alarm(self.what, 0.02)


def alarm(what, seconds):
    signal.signal(signal.SIGALRM, what)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def long_fit(what, timeout=5.0):
    """A fit that would take minutes, in which something happens to the last rank."""
    rng = np.random.default_rng(0)
    X, y = rng.random((40_000, 20), dtype=np.float32), rng.integers(0, 3, 40_000)
    options = {"epochs": 2000, "batch_size": 400, "callbacks": [_Interrupting(what)]}
    return spoilt(lambda *_: (X, y, options | {"comm": fastbp.mpi.Ranks(COMM, timeout=timeout)}))


def interrupted():
    def stop(*_):
        raise KeyboardInterrupt

    return long_fit(stop)


def asleep():
    return long_fit(lambda *_: time.sleep(8), timeout=2.0)


def killed():
    return long_fit(lambda *_: os.kill(os.getpid(), signal.SIGKILL))


def absent():
    if is_last():
        time.sleep(6)
        return ["", "", True, True, 0.0]
    return spoilt(lambda X, y, chosen: (X, y, chosen | {"comm": fastbp.mpi.Ranks(COMM, timeout=2.0)}))


if __name__ == "__main__":
    result = globals()[sys.argv[2]]()
    Path(sys.argv[1], str(COMM.rank)).write_text(json.dumps(result), encoding="utf-8")
