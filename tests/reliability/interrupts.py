"""How soon Ctrl-C ends what is being computed: 200 times in each kind of work, 99 of 100 within half a second.

After each, the network is whole: its parameters are finite, and it goes on training. The control is a kernel that does a whole
mini-batch in each call.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from numba import njit

import fastbp
from fastbp import cli
from fastbp.engine import session

LIMIT = 0.5  # seconds
EPOCHS = 1_000_000


def samples(n, sizes, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, sizes[0])).astype(dtype), rng.integers(sizes[-1], size=n)


def fit(n, sizes, **options):
    """A fit that does not end, of a network that goes on with the parameters it has."""
    X, y = samples(n, sizes)
    net = fastbp.Network(sizes, "relu", "cross_entropy", rng=0)

    def work():
        net.fit(X, y, epochs=EPOCHS, optimizer=fastbp.SGD(1e-3), **options)

    return work, lambda: bool(np.isfinite(net.params).all()) and np.isfinite(net.loss(X[:100], y[:100]))


def estimator():
    X, y = samples(20_000, (64, 10))
    model = fastbp.MLPClassifier((256,), batch_size=20_000, max_iter=EPOCHS, tol=0, n_iter_no_change=EPOCHS)

    def work():
        model.fit(X, y)
        raise KeyboardInterrupt  # which fit takes for the end of the training, as scikit-learn's does

    return work, lambda: model.predict(X[:10]).shape == (10,)


def predictions():
    X, _ = samples(200_000, (1024, 10))
    net = fastbp.Network([1024, 1024, 10], "relu", "cross_entropy", rng=0)

    def work():
        while True:
            net.predict(X)

    return work, lambda: net(X[:3]).shape == (3, 10)


def gradients():
    X, y = samples(50_000, (512, 10))
    net = fastbp.Network([512, 512, 10], "relu", "cross_entropy", rng=0)
    expected = net.loss(X[:99], y[:99])

    def work():
        while True:
            net.value_and_grad(X, y)

    return work, lambda: net.loss(X[:99], y[:99]) == expected


def command_line():
    folder = tempfile.mkdtemp()
    rng = np.random.default_rng(0)
    np.savez(Path(folder, "table.npz"), X=rng.normal(size=(50_000, 30)), y=rng.integers(3, size=50_000))
    model = Path(folder, "table.fastbp")
    command = ["train", str(Path(folder, "table.npz")), "--epochs", str(EPOCHS // 100), "--out", str(model), "--batch-size", "256"]

    def work():
        if cli.main(command) == 130:
            raise KeyboardInterrupt

    # one that came before training has left no model
    return work, lambda: not model.exists() or fastbp.load(model).sizes == (30, 64, 3)


@njit(nogil=True)  # else the thread that sends the signal would wait for it
def _steps(trainer, X, y, times):
    for _ in range(times):
        for i in range(len(X) // 32):
            trainer.step(X[32 * i : 32 * i + 32], y[32 * i : 32 * i + 32])


def compiled():
    X, y = samples(3200, (64, 10))
    net = fastbp.Network([64, 128, 10], "relu", "cross_entropy", rng=0)
    trainer = net.trainer(batch_size=32, optimizer=fastbp.SGD(1e-3))
    _steps(trainer, X, y, 1)

    def work():
        _steps(trainer, X, y, EPOCHS)

    return work, lambda: bool(np.isfinite(net.params).all()) and np.isfinite(trainer.step(X[:32], y[:32]))


WORK = {
    "small": lambda: fit(200, [4, 20, 3]),
    "big batch": lambda: fit(20_000, [1024, 1024, 1024, 10], batch_size=20_000),
    "many rows": lambda: fit(4_000_000, [2, 3, 3, 2]),
    "estimator": estimator,
    "predictions": predictions,
    "gradients": gradients,
    "command line": command_line,
    "compiled code of the user": compiled,
}


def latencies(work, is_whole, count):
    """Seconds from each of so many signals to the end of the work, sorted; whether the state is whole after all of them."""
    rng, found, whole = np.random.default_rng(1), [], True
    for _ in range(count):
        sent = []

        def send(after, sent):
            time.sleep(after)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=send, args=(rng.uniform(0.02, 0.6), sent))
        thread.start()
        try:
            work()
        except KeyboardInterrupt:
            found.append(time.perf_counter() - sent[0])
        thread.join()
        whole = whole and is_whole()
    return sorted(found), whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 in each of two kinds")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", choices=list(WORK))
    arguments = parser.parse_args()
    quick = arguments.quick
    names, count = (["small", "big batch"], 3) if quick else ([arguments.only] if arguments.only else list(WORK), arguments.count)
    parts, failed = [], False
    silent = open(os.devnull, "w")  # noqa: SIM115
    for name in names:
        work, is_whole = WORK[name]()
        with mock.patch.object(sys, "stderr", silent):
            found, whole = latencies(work, is_whole, count)
        slow = found[max(0, int(np.ceil(0.99 * len(found))) - 1)]
        failed = failed or not whole or len(found) < count or (slow > LIMIT and not quick)
        parts.append(f"{name} {1000 * found[len(found) // 2]:.0f} and {1000 * slow:.0f}{'' if whole else ' NOT WHOLE'}")
    work, is_whole = WORK["big batch"]()
    with mock.patch.object(session.Session, "pieces_in", lambda self, seconds: -(-self.batch // self._piece)):
        control = latencies(work, is_whole, 2)[0][-1]
    failed = failed or control < LIMIT
    print(
        f"ms to end, median and 99th of 100 of {count}: {', '.join(parts)}; control: a mini-batch in one call {1000 * control:.0f}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
