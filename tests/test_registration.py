"""Classes of users: an activation and a loss defined outside the package are compiled, differentiated, trained and cached."""

import copy
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import cloudpickle
import pytest
from sklearn.base import clone

import fastbp
import fastbp.activations
import fastbp.losses
import fastbp.optimizers

SHOWN = re.search(
    r"^   ```python\n(.*?)^   ```$", (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)
PROGRAM = '''
import ctypes
import pickle
import sys
import warnings

import numpy as np
from numba import types

from fastbp import MLPClassifier, MLPRegressor, Network
from fastbp.compiler import cache
from fastbp.compiler import Entry
from fastbp.compiler.choice import choose
from fastbp.activations import ACTIVATIONS, ELU, Activation
from fastbp.kernels.sweeps import activate
from fastbp.simd.register import absolute, fma, like, maximum, load, pointer, store, width
from fastbp.losses import LOSSES, Loss
from fastbp.schedules import SCHEDULES, Schedule

warnings.simplefilter("ignore")
compiled = []
save = cache.DiskCache.save_overload
cache.DiskCache.save_overload = lambda self, *args: (compiled.append(self.name), save(self, *args))[1]
if sys.argv[1] == "warm":
    def fail(*args):
        raise AssertionError("compiled")

    import fastbp.compiler.linker
    fastbp.compiler.linker.CompilerBase.compile_extra = fail


def values(code, z):
    activate(code, pointer(z), z.size, width(pointer(z)), pointer(z))


sweep = Entry(values, lambda dtype: types.void(types.int64, dtype[::1]))


def value(cls, number=-2.0):
    z, choice = np.full(64, number), choose([cls])
    sweep.compiled(choice, "float64")(choice.code(cls), z)
    return z[0]


# an entry over all classes is there before the first class of our own
assert value(ELU) > -2.0


# what CONTRIBUTING.md shows


@LOSSES.register
class Quartic(Loss):
    """l = sum_k (a_k - y_k)^4 / 4."""

    name = "quartic"

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
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


rng = np.random.default_rng(0)
net = Network([5, 20, 3], "softsign", "quartic", dtype="float64", rng=0)
X, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 3))
assert net.loss(X, y) == np.float64(net.loss(X, y))
np.testing.assert_allclose(net.loss(X, y), ((net(X) - y) ** 4).sum() / 4 / 30, rtol=1e-13)
assert net.check_gradients(X, y).max_error < 1e-7
losses = net.fit(X, y, epochs=200, batch_size=7, optimizer="adam").loss
assert losses[-1] < losses[0] / 2
assert value(Softsign) == -2.0 / 3.0

function, out = net.cfunc, np.empty((30, 3))  # what compiled code calls, too
real = ctypes.POINTER(ctypes.c_double)
assert function.ctypes(function.network, 30, X.ctypes.data_as(real), out.ctypes.data_as(real)) == 0
np.testing.assert_array_equal(out, net(X))

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
PROGRAM = PROGRAM.replace("# what CONTRIBUTING.md shows", dedent(SHOWN[1]))


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

from fastbp.compiler.choice import choose
from fastbp.compiler import Entry
from fastbp.simd.register import fma, pointer
from fastbp.kernels.sweeps import prepare
from fastbp.optimizers import OPTIMIZERS, Optimizer


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


MINE = '''
from numba import types

from fastbp.compiler import Entry, choose, inline
from fastbp.activations import ACTIVATIONS, Activation
from fastbp.kernels.sweeps import activate
from fastbp.initializers import INITIALIZERS, Initializer
from fastbp.simd.register import fma, like, load, pointer, store, width
from fastbp.losses import LOSSES, Loss
from fastbp.optimizers import OPTIMIZERS, Optimizer
from fastbp.schedules import SCHEDULES, Schedule

SCALE = 2.0


@inline
def scaled(z):
    return SCALE * z


@ACTIVATIONS.register
class Double(Activation):
    """f(z) = 2 z."""

    name = "double"

    @staticmethod
    def value(z, alpha):
        return scaled(z)

    @staticmethod
    def slope(z, a, alpha):
        return like(z, SCALE)


@LOSSES.register
class Quartic(Loss):
    """l = sum_k (a_k - y_k)^4 / 4."""

    name = "quartic"

    @staticmethod
    def value_and_grad(x, y, d, count, stride, scale):
        total = like(scale, 0.0)
        for k in range(0, count * stride, stride):
            error = load(x, k) - load(y, k)
            cube = error * error * error
            total = fma(0.25 * error, cube, total)
            store(d, k, cube)
        return total


@OPTIMIZERS.register
class Half(Optimizer):
    """w <- w - lr / 2 g."""

    name = "half"

    @staticmethod
    def prepare(h, c):
        c[1] = -0.5 * h[0]

    @staticmethod
    def step(w, g, c):
        return fma(c[1], g, w)


@INITIALIZERS.register
class Comb(Initializer):
    """Weights = 0.1, 0.2, ..."""

    name = "comb"

    def _draw(self, rng, shape):
        return 0.1 * (1 + np.arange(shape[0] * shape[1]).reshape(shape))


@SCHEDULES.register
class Halves(Schedule):
    """rate = lr / 2^t."""

    name = "halves"

    def factor(self, t, epochs):
        return 0.5**t


def values(code, z):
    activate(code, pointer(z), z.size, width(pointer(z)), pointer(z))


def value(cls):
    z, choice = np.ones(64), choose([cls])
    sweep = Entry(values, lambda dtype: types.void(types.int64, dtype[::1]))
    sweep.compiled(choice, "float64")(choice.code(cls), z)
    return z[0]


'''

WORKERS = (
    """
import sys
import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import fastbp
from fastbp import MLPRegressor, Network
"""
    + MINE
    + """
def compute(net, X, y, rule, init, schedule, path):
    net.fit(X, y, epochs=3, batch_size=8, optimizer=rule, schedule=schedule, shuffle=False)
    net.save(path)
    found_by_name = fastbp.load(path)
    drawn = Network([2, 3, 1], init=init, dtype="float64").weights[0]
    names = [registry.names[-1] for registry in (ACTIVATIONS, LOSSES, OPTIMIZERS, INITIALIZERS, SCHEDULES)]
    return net(X), net.loss(X, y), net.params.copy(), found_by_name(X), drawn, np.array(names), net


def alone(X):
    return Network([4, 5, 2], Double(), Quartic(), dtype="float64", rng=0)(X)  # classes alone were sent


def cloned(model, X, y):
    return clone(model).fit(X, y).predict(X)


def occupied(net, X):
    @ACTIVATIONS.register
    class Tripled(Activation):
        name = "tripled"

        @staticmethod
        def value(z, alpha):
            return 3.0 * z

        @staticmethod
        def slope(z, a, alpha):
            return like(z, 3.0)

    # as if the worker had a class of the name of the one that was sent, with another formula
    ACTIVATIONS.classes = [cls for cls in ACTIVATIONS.classes if cls.name != "double"]
    Tripled.name = "double"
    tripled = Network([4, 5, 2], "double", "quartic", dtype="float64", weights=net.weights, biases=net.biases)
    (ours,), (theirs,) = net.hidden, tripled.hidden
    return net(X), value(type(ours)), value(type(theirs)), ours == theirs


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 2))
    net = Network([4, 5, 2], Double(), Quartic(), dtype="float64", rng=0)
    sent = X, y, Half(1e-4), Comb(), Halves(), sys.argv[1]
    model = MLPRegressor(Quartic(), (5,), Double(), max_iter=5, learning_rate_init=1e-4, random_state=0)
    predicted = cloned(model, X, y)  # in the order of the workers, which load what is compiled here
    expected = compute(net.copy(), *sent)
    np.testing.assert_allclose(net(X), 2.0 * (X @ net.weights[0].T) @ net.weights[1].T, rtol=1e-12)
    with Parallel(n_jobs=2) as parallel:
        for got in parallel([delayed(cloned)(model, X, y)] * 2):
            np.testing.assert_array_equal(got, predicted)
        for got in parallel(delayed(compute)(net, *sent[:-1], f"{sys.argv[1]}{i}") for i in range(3)):
            for ours, theirs in zip(expected[:-1], got[:-1], strict=True):
                np.testing.assert_array_equal(ours, theirs)
            assert type(got[-1].hidden[0]) is Double and got[-1].loss_function == Quartic()
        for got in parallel(delayed(alone)(X) for _ in range(2)):
            np.testing.assert_array_equal(got, net(X))
        for got, doubled, tripled, is_equal in parallel([delayed(occupied)(net, X)]):
            np.testing.assert_array_equal(got, net(X))
            assert (doubled, tripled, is_equal) == (2.0, 3.0, False)

    grid = {"activation": [Double(), "tanh"], "loss": [Quartic(), "squared_error"]}
    scores = [GridSearchCV(clone(model), grid, cv=2, n_jobs=n, error_score="raise").fit(X, y).cv_results_ for n in (1, 2)]
    np.testing.assert_array_equal(scores[0]["mean_test_score"], scores[1]["mean_test_score"])
    assert len(set(scores[0]["mean_test_score"])) == 4
    print("done")
"""
)


@pytest.mark.slow
def test_a_worker_computes_what_the_class_that_it_was_sent_computes(tmp_path):
    path = tmp_path / "workers.py"
    path.write_text(WORKERS)
    done = run(path, str(tmp_path / "net"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]


NOTEBOOK = (
    """
import cloudpickle
import numpy as np

from fastbp import MLPRegressor, Network
"""
    + MINE
    + """
rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 4)), rng.normal(size=(40, 20))
DEFINITION = '''
@ACTIVATIONS.register
class Cell(Activation):
    name = "cell"

    @staticmethod
    def value(z, alpha):
        return FACTOR * z

    @staticmethod
    def slope(z, a, alpha):
        return like(z, FACTOR)
'''


def run_cell(text):
    exec(compile(text, f"<cell {run_cell.count}>", "exec"), globals())
    run_cell.count += 1


def check(net, factor, *others):
    '''Outputs, loss and training of a network and of copies that have computed nothing yet are those of this factor.'''
    linear = Network([4, 16, 20], "identity", dtype="float64", weights=net.weights, biases=net.biases)
    linear.weights[0][:] *= factor
    linear.biases[0][:] *= factor
    for each in (net, net.copy(), *others):
        np.testing.assert_allclose(each(X), linear(X), rtol=1e-12)
        np.testing.assert_allclose(each.loss(X, y), linear.loss(X, y), rtol=1e-12)
        assert each.check_gradients(X, y).max_error < 1e-6
        before, gradient = each.params.copy(), each.value_and_grad(X, y)[1].params
        each.fit(X, y, epochs=1, batch_size=40, optimizer="sgd")
        np.testing.assert_allclose(each.params, before - 0.01 * gradient, rtol=1e-12)
        each.params[:] = before


run_cell.count, FACTOR = 0, 2.0
run_cell(DEFINITION)
old, kept = Network([4, 16, 20], "cell", dtype="float64", rng=0), Cell()
check(old, 2.0)
run_cell(DEFINITION.replace("FACTOR", "(0.5 + FACTOR)"))  # a corrected formula
new = Network([4, 16, 20], "cell", dtype="float64", rng=0)
both = Network([4, 16, 16, 20], [Cell(), kept], dtype="float64", rng=0)  # side by side in one network
plain = Network([4, 16, 16, 20], "identity", dtype="float64", rng=0)
plain.weights[0][:] *= 2.5
plain.weights[1][:] *= 2.0
np.testing.assert_allclose(both(X), plain(X), rtol=1e-12)
for _ in range(2):
    check(old, 2.0)
    check(new, 2.5)
assert Cell() != kept and MLPRegressor(activation=kept).get_params()["activation"] is kept

FACTOR = 3.0  # the cell of the constant alone: kernels have the value it had
for net in (old, new):
    before = net.params.copy()
    try:
        net.fit(X, y, epochs=1)
    except ValueError as error:
        assert "Cell has changed" in str(error) and "define the class again" in str(error)
    else:
        raise AssertionError("trained by another formula than predicted by")
    np.testing.assert_array_equal(net.params, before)
run_cell(DEFINITION)
assert value(type(Network([4, 16, 20], "cell").hidden[0])) == value(Cell) == 3.0
FACTOR = 2.0
check(old, 2.0, cloudpickle.loads(cloudpickle.dumps(old)))  # what it was when the class was first used
print("done")
"""
)


@pytest.mark.slow
def test_a_cell_that_is_run_again_changes_no_network_that_is_there(tmp_path):
    path = tmp_path / "notebook.py"
    path.write_text(NOTEBOOK)
    done = run(path, "")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]


SENT_AGAIN = """
import cloudpickle
from joblib.externals.loky import get_reusable_executor

from fastbp.activations import ACTIVATIONS, Activation


def define(factor):
    class Cell(Activation):
        name = "cell"

        @staticmethod
        def value(z, alpha):
            return factor * z

        @staticmethod
        def slope(z, a, alpha):
            return factor

    return ACTIVATIONS.register(Cell)


def factors(instance):
    return instance.value(1.0, 0.0), ACTIVATIONS.get("cell").value(1.0, 0.0)  # what arrived, and what its name means


worker = get_reusable_executor(max_workers=1)
old = define(2.0)
assert factors(old()) == worker.submit(factors, old()).result() == (2.0, 2.0)
new = define(3.0)
stored = cloudpickle.dumps(old())
never_sent, last = define(4.0), define(5.0)
for cls in (new, last, old, never_sent, last):
    worker.submit(factors, new())
    expected = cls.value(1.0, 0.0), 5.0 if cls is not new else 3.0
    assert worker.submit(factors, cls()).result() == expected, (cls.value(1.0, 0.0), expected)
assert type(cloudpickle.loads(stored)) is old and ACTIVATIONS.get("cell") == last()  # an old pickle renames nothing
print("done")
"""


def test_a_class_that_is_defined_again_takes_its_name_in_a_worker_that_is_kept(tmp_path):
    path = tmp_path / "sent_again.py"
    path.write_text(SENT_AGAIN)
    done = run(path, "")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["done"]


def test_hyper_parameters_are_fixed_once_an_instance_is_made(monkeypatch):
    registry = fastbp.activations.ACTIVATIONS
    monkeypatch.setattr(registry, "classes", [*registry.classes])  # other tests run over the classes of the package

    @fastbp.activations.ACTIVATIONS.register
    class Scaled(fastbp.activations.LeakyReLU):
        """One that sets its own before and after those of its base, and again."""

        name = "scaled_of_a_test"

        def __init__(self, alpha=0.1, scale=2.0):
            self.scale = scale
            super().__init__(alpha)
            self.alpha = 2.0 * alpha
            self.scale += 1.0

    monkeypatch.setattr(
        fastbp.activations.ACTIVATIONS, "classes", [each for each in fastbp.activations.ACTIVATIONS.classes if each is not Scaled]
    )
    assert inspect.signature(Scaled) == inspect.signature(lambda alpha=0.1, scale=2.0: None)
    made = [Scaled(0.2), fastbp.LeakyReLU(0.3), fastbp.ReLU(), fastbp.losses.Huber(2.0), fastbp.Adam(0.1), fastbp.schedules.Step(3)]
    assert repr(made[0]) == "Scaled(scale=3.0, alpha=0.4)"
    for one in made:
        copies = [copy.copy(one), copy.deepcopy(one), clone(one, safe=False), cloudpickle.loads(cloudpickle.dumps(one))]
        for each in (one, *copies):
            assert each == one
            before = dict(vars(each))
            for name in (*before, "alpha"):
                with pytest.raises(AttributeError, match=rf"{name} of {type(one).__qualname__} is fixed: make another"):
                    setattr(each, name, 0.5)
                with pytest.raises(AttributeError, match="is fixed"):
                    delattr(each, name)
            assert vars(each) == before
    net = fastbp.Network([2, 3, 1], made[1])
    model = fastbp.MLPRegressor(activation=made[1])
    for one in (net.hidden[0], model.activation):
        with pytest.raises(AttributeError, match=r"make another LeakyReLU\(alpha=...\)"):
            one.alpha = 0.5
    with pytest.raises(ValueError, match="alpha must be"):  # and after an __init__ that failed
        made[1].__init__(-1.0)
    with pytest.raises(AttributeError, match="is fixed"):
        made[1].alpha = 0.5


def test_an_init_may_take_back_what_it_has_set(monkeypatch):
    monkeypatch.setattr(fastbp.activations.ACTIVATIONS, "classes", [*fastbp.activations.ACTIVATIONS.classes])

    @fastbp.activations.ACTIVATIONS.register
    class Halved(fastbp.activations.LeakyReLU):
        name = "halved"

        def __init__(self, alpha=0.1):
            super().__init__(alpha)
            del self.alpha
            self.alpha = alpha / 2

    assert repr(Halved(0.5)) == "Halved(alpha=0.25)"
    with pytest.raises(AttributeError, match="is fixed"):
        del Halved(0.5).alpha


def test_a_class_that_comes_later_is_not_common():
    """Codes of the common classes come first: those of entries that are compiled for them alone."""
    classes = [*fastbp.activations.ACTIVATIONS.classes]
    late = type("Late", (fastbp.activations.ReLU,), {"name": "late", "common": True})
    with pytest.raises(ValueError, match="Late must not be common: the common classes are the first"):
        fastbp.activations.ACTIVATIONS.register(late)
    assert classes == fastbp.activations.ACTIVATIONS.classes


@pytest.mark.parametrize("count", [pytest.param(0, marks=pytest.mark.slow), 9, 41])
def test_a_rule_of_too_many_hyper_parameters_is_refused(count, monkeypatch):
    monkeypatch.setattr(fastbp.optimizers.OPTIMIZERS, "classes", [*fastbp.optimizers.OPTIMIZERS.classes])

    @fastbp.optimizers.OPTIMIZERS.register
    class Long(fastbp.SGD):
        name, common = "long", False

        def hyper(self):
            return (self.learning_rate, *[5.0] * 40)[:count]

    net = fastbp.Network([2, 1], rng=0)
    before = net.params.copy()
    with pytest.raises(ValueError, match=rf"hyper\(\) of .*Long must give 1 to 8 numbers, .* got {count}"):
        net.fit([[1.0, 2.0]], [[1.0]], optimizer=Long())
    assert (net.params == before).all()


EDITED = """
import sys

import numpy as np
from numba import types
from numba.extending import overload

from fastbp.compiler.choice import choose
from fastbp.compiler import Entry
from fastbp.activations import ACTIVATIONS, Activation
from fastbp.kernels.sweeps import activate
from fastbp.simd.register import like, pointer, width

A, B, S = 2.0, 5.0, 2.0


def values(code, z):
    activate(code, pointer(z), z.size, width(pointer(z)), pointer(z))


sweep = Entry(values, lambda dtype: types.void(types.int64, dtype[::1]))


def value(cls, *others, dtype):
    z, choice = np.full(64, 1.0, dtype), choose([cls, *others])
    sweep.compiled(choice, dtype)(choice.code(cls), z)
    return z[0]


@ACTIVATIONS.register
class Mine(Activation):
    name = "mine"

    @staticmethod
    def value(z, alpha):
        return A * z

    @staticmethod
    def slope(z, a, alpha):
        return like(z, A)


@ACTIVATIONS.register
class Other(Activation):
    name = "other"

    @staticmethod
    def value(z, alpha):
        return B * z

    @staticmethod
    def slope(z, a, alpha):
        return like(z, B)


def same(z):
    raise NotImplementedError


@overload(same)
def _(z):
    return lambda z: z


@ACTIVATIONS.register
class Unseen(Activation):
    name = "unseen"

    @staticmethod
    def value(z, alpha):
        return S * same(z)

    @staticmethod
    def slope(z, a, alpha):
        return like(z, S)


def refused(*classes, dtype):
    try:
        value(*classes, dtype=dtype)
    except ValueError as error:
        return f"{classes[0].__qualname__} has changed" in str(error) and "define the class again" in str(error)
    return False


"""
HELPED = """
import re

import numba

from fastbp.simd.vmath import exp

FACTOR = 3.0


def made(by):
    @numba.njit
    def shifted(z, by_default=0.5):
        return by + by_default + z

    return shifted


one, two = made(1.0), made(2.0)


@numba.njit(fastmath=True)
def helper(z):
    return FACTOR * one(z) + two(z)


assert helper(1.0) == 11.0  # compiled by Numba for its own use


@ACTIVATIONS.register
class Helped(Activation):
    name = "helped"

    @staticmethod
    def value(z, alpha):
        return helper(z)

    @staticmethod
    def slope(z, a, alpha):
        return like(z, 4.0)


for dtype in ("float32", "float64"):
    assert value(Helped, dtype=dtype) == 11.0
FACTOR = 4.0
assert refused(Helped, dtype="float64")


def message(formula):
    class Wrong(Activation):
        name = "wrong"
        value = staticmethod(formula)

        @staticmethod
        def slope(z, a, alpha):
            return like(z, 1.0)

    Wrong.__qualname__ = "Wrong"
    Wrong.registered = True
    try:
        value(Wrong, dtype="float64")
    except TypeError as error:
        assert error.__cause__ is not None
    else:
        raise AssertionError("compiled")
    try:
        value(Wrong, Other, dtype="float64")  # with one that is right, and when all that Numba knows has been looked at
    except TypeError as error:
        return str(error)


@numba.vectorize
def ufunc(z):
    return 2.0 * z


formulas = (lambda z, alpha: z + "1", lambda z, alpha: z.nothing, lambda z, alpha: missing(z), lambda z, alpha: ufunc(z),
            lambda z, alpha: exp(z, z, z), lambda z, alpha: [z], lambda z, alpha: None)
for formula in formulas[:1] if sys.argv[1] == "again" else formulas:
    text = message(formula)
    print(text)
    assert re.match(r"Wrong cannot be compiled: .*\\w{3}.*; its value", text) and "fastbp.compiler.inline or numba.njit" in text
    assert len(text) < 600 and "\\n" not in text, text
assert value(Other, dtype="float64") == 5.0
"""
TOGETHER = """
assert value(Mine, Other, dtype="float64") == 2.0
A = 3.0
assert value(Other, dtype="float32") == 5.0  # with which Mine was compiled
assert refused(Mine, Other, dtype="float32")
A = 2.0
"""
EDITS = {
    "of a class that another was compiled with": f"{TOGETHER}assert value(Mine, Other, dtype='float32') == 2.0\n",
    "that was stored": f"{TOGETHER}\nif sys.argv[1] == 'again':\n    assert value(Mine, Other, dtype='float32') == 2.0\n",
    "of a class that has been chosen": """
held, A = choose([Mine, Other]), 3.0
try:
    sweep.compiled(held, "float32")
except ValueError as error:
    assert "Mine has changed" in str(error)
else:
    raise AssertionError("compiled under the digest of another formula")
""",
    "of what can be seen of a class that cannot be followed": """
assert value(Unseen, dtype="float64") == value(Unseen, dtype="float64") == 2.0
S = 3.0
assert refused(Unseen, dtype="float64") and refused(Unseen, dtype="float32")
S = 2.0
assert value(Unseen, dtype="float32") == 2.0
""",
}


@pytest.mark.slow
def test_helpers_of_numba_and_formulas_that_are_wrong(tmp_path):
    path = tmp_path / "helped.py"
    path.write_text(EDITED + HELPED)
    for state in ("", "again"):
        done = run(path, state)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("edit", EDITS)
def test_a_constant_that_is_edited_between_two_entries_is_in_neither(edit, tmp_path, monkeypatch):
    """Whether by this process or by one that finds what it stored: entries have the formulas of the time they were asked for."""
    monkeypatch.setenv("FASTBP_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "edited.py"
    path.write_text(EDITED + EDITS[edit])
    for state in ("", "again"):
        done = run(path, state)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_pickle_of_a_class_in_a_module_is_read_where_nothing_was_registered(tmp_path):
    (tmp_path / "mine.py").write_text("import numpy as np\n" + MINE)
    write = "import pickle, sys, mine\nfrom fastbp import Network\n"
    write += "net = Network([4, 5, 2], 'double', 'quartic', dtype='float64', rng=0)\n"
    write += "pickle.dump(net, open(sys.argv[1], 'wb'))\nprint(*net([1, 2, 3, 4]))\n"
    read = "import pickle, sys\nnet = pickle.load(open(sys.argv[1], 'rb'))\nprint(*net([1, 2, 3, 4]))\n"
    outputs = []
    for name, text in (("write", write), ("read", read)):
        (tmp_path / f"{name}.py").write_text(text)
        done = run(tmp_path / f"{name}.py", str(tmp_path / "net.pickle"))
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


def test_what_is_no_class_of_the_kind_is_refused():
    class Unregistered(fastbp.Tanh):
        name = "unregistered"

    class Loss(fastbp.losses.Loss):
        name = "of_another_kind"

    for value in (Unregistered(), Unregistered, Loss(), fastbp.Softmax(), fastbp.SquaredError(), object()):
        with pytest.raises(TypeError, match="hidden must be a name"):
            fastbp.Network([2, 3, 1], value)
    with pytest.raises(TypeError, match="Loss must be a subclass of Activation"):
        fastbp.activations.ACTIVATIONS.register(Loss)
    assert copy.deepcopy(fastbp.activations.ACTIVATIONS) is fastbp.activations.ACTIVATIONS


@pytest.mark.parametrize(
    ("base", "missing"),
    [(fastbp.activations.Activation, "value"), (fastbp.losses.Loss, "value_and_grad"), (fastbp.optimizers.Optimizer, "prepare")],
)
def test_a_class_without_its_formula_is_refused(base, missing):
    before = list(base.registry.classes)
    with pytest.raises(TypeError, match=f"Nothing must have a static method '{missing}'"):
        base.registry.register(type("Nothing", (base,), {"name": "nothing", "common": True}))
    assert base.registry.classes == before
