"""Numbers and truths that are given one by one: by one mechanism, wherever they are given."""

import fractions
from pathlib import Path

import numpy as np
import pytest
from conftest import make_net, make_samples, make_targets

import fastbp
from fastbp import arguments, schedules, textbook
from fastbp.arguments import boolean, integer, positive, real
from fastbp.engine import validation

# what is no number, though Python or NumPy would make one of it
NO_NUMBERS = (True, np.True_, "1", b"1", np.str_("1"), 1j, np.complex128(1), np.array(0.5), [0.5], None, np.timedelta64(1, "s"))


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize("check", [real, positive, integer])
def test_what_is_no_number_is_refused_by_name(check, value):
    with pytest.raises(TypeError, match=r"^rate must be an? (number|integer), got "):
        check("rate", value)


@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.float64, np.longdouble, fractions.Fraction])
def test_every_kind_of_real_number_is_taken(kind):
    assert type(real("rate", kind(0.5))) is type(positive("rate", kind(0.5))) is float
    assert real("rate", kind(0.5)) == positive("rate", kind(0.5)) == 0.5
    assert integer("epochs", np.uint8(3)) == 3


@pytest.mark.parametrize(
    ("check", "limits", "good", "bad", "message"),
    [
        (real, {}, (0, 1e300), (-1e-300, np.inf, np.nan), " and >= 0"),
        (real, {"below": 1.0}, (0, 0.99), (-0.1, 1, np.nan), " and >= 0 and < 1"),
        (real, {"most": 1.0}, (0, 1), (-0.1, 1.01, np.inf), " and >= 0 and <= 1"),
        (real, {"least": -np.inf}, (-1e300, 0), (-np.inf, np.inf, np.nan), ""),
        (real, {"least": -1.0, "below": 2.0}, (-1, 1.9), (-1.1, 2), " and >= -1 and < 2"),
        (positive, {}, (5e-324, 1e300), (0, -0.0, -1, np.inf, np.nan), " and > 0"),
        (positive, {"below": 1.0}, (0.01,), (0, 1), " and > 0 and < 1"),
    ],
)
def test_ranges(check, limits, good, bad, message):
    for value in good:
        assert check("rate", value, **limits) == value
    for value in bad:
        with pytest.raises(ValueError, match=f"^rate must be finite{message}, got "):
            check("rate", value, **limits)
    with pytest.raises(ValueError, match=r"^rate must be finite, got a number that no float holds$"):
        check("rate", 10**400, **limits)


def test_integers_below_their_bound():
    for value, shown in ((0, "0"), (-3, "-3"), (-(10**5000), "a number far below")):
        with pytest.raises(ValueError, match=f"^epochs must be at least 1, got {shown}$"):
            integer("epochs", value)
    assert integer("seed", 0, least=0) == 0
    assert integer("seed", 10**5000) == 10**5000


def test_truths():
    assert boolean("shuffle", np.True_) is True
    for value in (0, 1, None, "yes", [True], np.array(True)):
        with pytest.raises(TypeError, match=r"^shuffle must be True or False, got "):
            boolean("shuffle", value)


def fit(**options):
    net = make_net((3, 4, 2))
    return net.fit(make_samples(6, 3), make_targets("squared", 6, 2), **options)


# (the name, and a call with the value): one of each kind of place where numbers are given
PLACES = [
    ("l2", lambda value: fit(l2=value)),
    ("dropout", lambda value: fit(dropout=value)),
    ("dropout[0]", lambda value: fit(dropout=[value])),
    ("clip_norm", lambda value: fit(clip_norm=value)),
    ("tol", lambda value: fit(tol=value)),
    ("learning_rate", fastbp.SGD),
    ("momentum", lambda value: fastbp.Momentum(0.1, value)),
    ("alpha", fastbp.ELU),
    ("smoothing", fastbp.CrossEntropy),
    ("peak", lambda value: schedules.OneCycle(value)),
    ("eps", lambda value: make_net((3, 2)).check_gradients(np.ones((1, 3)), np.ones((1, 2)), eps=value)),
    ("eta", lambda value: textbook.Network([3, 2]).SGD([], 1, 1, value)),
]


@pytest.mark.parametrize("value", [np.True_, 1j, np.array(0.5), "1", np.timedelta64(1, "s"), np.nan, -1, 10**400], ids=repr)
@pytest.mark.parametrize(("name", "call"), PLACES, ids=[name for name, _ in PLACES])
def test_everywhere_the_same_words(name, call, value):
    with pytest.raises((TypeError, ValueError)) as expected:
        real(name, value)
    with pytest.raises(type(expected.value)) as caught:
        call(value)
    assert str(caught.value).startswith(str(expected.value).partition(" >= 0")[0].partition(", got")[0])


def test_the_place_is_one():
    files = Path(fastbp.__file__).parent.rglob("*.py")
    assert [file.name for file in files if "must be a number, got" in file.read_text(encoding="utf-8")] == ["arguments.py"]
    assert (validation.integer, validation.real) == (arguments.integer, arguments.real)
