"""Classes of users: an activation and a loss defined outside the package are compiled, differentiated, trained and cached."""

import os
import subprocess
import sys
from pathlib import Path

import fastbp

PROGRAM = '''
import pickle
import sys
import warnings

import numpy as np
from numba import types

from fastbp import MLPClassifier, MLPRegressor, Network, _cache, _jit
from fastbp._choice import choose
from fastbp.activations import ACTIVATIONS, ELU, Activation, activate
from fastbp.kernels.simd import absolute, fma, like, load, pointer, store
from fastbp.losses import LOSSES, Loss
from fastbp.schedules import SCHEDULES, Schedule

warnings.simplefilter("ignore")
compiled = []
save = _cache.DiskCache.save_overload
_cache.DiskCache.save_overload = lambda cache, *args: (compiled.append(cache.name), save(cache, *args))[1]
if sys.argv[1] == "warm":
    def fail(*args):
        raise AssertionError("compiled")

    import fastbp._linker
    fastbp._linker.CompilerBase.compile_extra = fail


def values(code, z):
    activate(code, pointer(z), z.size, pointer(z))


sweep = _jit.Entry(values, lambda dtype: types.void(types.int64, dtype[::1]))


def value(cls, number=-2.0):
    z, choice = np.full(64, number), choose([cls])
    sweep.compiled(choice, "float64")(choice.code(cls), z)
    return z[0]


# an entry over all classes is there before the first class of our own
assert value(ELU) > -2.0


@ACTIVATIONS.register
class Softsign(Activation):
    """f(z) = z / (1 + |z|)."""

    name = "softsign"

    @staticmethod
    def value(z, alpha):
        return z / (1.0 + absolute(z))

    @staticmethod
    def slope(z, a, alpha):
        rest = 1.0 - absolute(a)
        return rest * rest


@LOSSES.register
class Quartic(Loss):
    """l = sum_k (a_k - y_k)^4 / 4."""

    name = "quartic"

    @staticmethod
    def block(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(0, count * stride, stride):
            error = load(x, k) - load(y, k)
            cube = error * error * error
            total = fma(0.25 * error, cube, total)
            store(d, k, cube)
        return total


@SCHEDULES.register
class Halves(Schedule):
    """rate = lr / 2^t."""

    name = "halves"

    def factor(self, t, epochs):
        return 0.5**t


assert value(Softsign) == -2.0 / 3.0

rng = np.random.default_rng(0)
net = Network([5, 20, 3], "softsign", "quartic", dtype="float64", rng=0)
X, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 3))
assert net.loss(X, y) == np.float64(net.loss(X, y))
np.testing.assert_allclose(net.loss(X, y), ((net(X) - y) ** 4).sum() / 4 / 30, rtol=1e-13)
assert net.check_gradients(X, y).max_error < 1e-7
losses = net.fit(X, y, epochs=200, batch_size=7, optimizer="adam").loss
assert losses[-1] < losses[0] / 2

for activation, loss in (("softsign", "quartic"), (Softsign(), Quartic())):
    model = MLPRegressor(loss, (20,), activation, max_iter=20, learning_rate="halves", random_state=0).fit(X, y)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.history_.learning_rate[:3] == [0.001, 0.0005, 0.00025]
    np.testing.assert_array_equal(model.predict(X), pickle.loads(pickle.dumps(model)).predict(X))
    assert MLPClassifier((8,), activation, max_iter=2).fit(X, y[:, 0] > 0).predict(X).shape == (30,)

for name, registry, base in (("relu", ACTIVATIONS, Activation), ("softsign", ACTIVATIONS, Activation), ("squared", LOSSES, Loss)):
    try:
        registry.register(type("Another", (base,), {"name": name}))
    except ValueError as error:
        assert name in str(error) and "choose another" in str(error)
    else:
        raise AssertionError(f"{name} was taken twice")


def redefine():
    @ACTIVATIONS.register
    class Softsign(Activation):
        """f(z) = 2 z / (1 + |z|)."""

        name = "softsign"

        @staticmethod
        def value(z, alpha):
            return 2.0 * z / (1.0 + absolute(z))

        @staticmethod
        def slope(z, a, alpha):
            rest = 1.0 - absolute(0.5 * a)
            return 2.0 * (rest * rest)

    return Softsign


redefine.__qualname__ = ""
Softsign.__qualname__ = "redefine.<locals>.Softsign"  # as if the first had stood where the second does
again = redefine()
assert ACTIVATIONS.get("softsign") == again() and value(again) == -4.0 / 3.0
assert ACTIVATIONS.get(Softsign()) == Softsign() and value(Softsign) == -2.0 / 3.0
print(len(compiled))
'''


def run(path, state):
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parent.parent)}
    return subprocess.run([sys.executable, path, state], capture_output=True, text=True, env=environment)


def test_a_class_of_a_user_is_compiled_differentiated_trained_and_cached(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PROGRAM)
    cold = run(path, "cold")
    assert cold.returncode == 0, cold.stderr
    warm = run(path, "warm")  # a second process in which the compiler fails
    assert warm.returncode == 0, warm.stderr
    assert warm.stdout.split() == ["0"]
    # another formula under the same name is another entry
    path.write_text(PROGRAM.replace("-2.0 / 3.0", "-4.0 / 3.0").replace("return z / (1.0 +", "return 2.0 * z / (1.0 +"))
    changed = run(path, "warm")
    assert "compiled" in changed.stderr


NUMPY = """
import numpy as np
from numba import types

from fastbp._choice import choose
from fastbp._jit import Entry
from fastbp.kernels.simd import fma, pointer
from fastbp.optimizers import OPTIMIZERS, Optimizer, prepare


@OPTIMIZERS.register
class Rooted(Optimizer):
    '''w <- w - sqrt(lr) floor(lr) g.'''

    name = "rooted"

    @staticmethod
    def prepare(h, c):
        c[1] = -np.sqrt(h[0]) * int(h[0])

    @staticmethod
    def step(w, g, c):
        return fma(c[1], g, w)


def coefficients(code, h, c):
    prepare(code, pointer(h), pointer(c))


c = np.zeros(8)
entry = Entry(coefficients, lambda dtype: types.void(types.int64, types.float64[::1], dtype[::1]))
choice = choose([Rooted])
entry.compiled(choice, "float64")(choice.code(Rooted), np.full(8, 6.25), c)
assert c[1] == -15.0
"""


def test_a_class_of_a_user_may_call_what_the_package_does_without(tmp_path):
    path = tmp_path / "rooted.py"
    path.write_text(NUMPY)
    for _ in range(2):  # compiled, then loaded
        done = run(path, "")
        assert done.returncode == 0, done.stderr
