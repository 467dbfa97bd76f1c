"""Networks as C programs: they compile without a warning, and agree with the kernels as far as rounding goes."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from exported import agree, bound, drawn, every_kind, random_network, samples
from problems import ACTIVATIONS, DTYPES, LOSSES, error, flat, make_targets

import fastbp
from fastbp import activations, losses
from fastbp.exports.c import formulas, source

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="needs gcc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow", "-Wdouble-promotion"]
CHECKED = ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
KINDS = {"float32": "float", "float64": "double"}

PREDICT = """    {{ static {kind} x[{n} * {name}_n_inputs], y[{n} * {name}_n_outputs];
      if (fread(x, sizeof x, 1, stdin) != 1) return 1;
      {name}_predict_rows(x, y, {n});
      fwrite(y, sizeof y, 1, stdout); }}
"""
STEP = """    {{ static {kind} x[{n} * {name}_n_inputs], y[{n} * {name}_n_outputs], loss; int i;
      if (fread(x, sizeof x, 1, stdin) != 1 || fread(y, sizeof y, 1, stdin) != 1) return 1;
      for (i = 0; i < {steps}; i++) loss = {name}_step(x, y, {n}, ({kind}){rate});
      fwrite({name}_parameters, sizeof {name}_parameters, 1, stdout); fwrite(&loss, sizeof loss, 1, stdout); }}
"""


def run(folder, sources, calls, data, flags=(*STRICT, *CHECKED, "-O0"), compiler=GCC):
    """What a program of these sources writes: that calls them one after the other, and reads `data`."""
    main = "#include <stdio.h>\nint main(void)\n{\n" + "".join(calls) + "    return 0;\n}\n"
    path = folder / "program.c"
    path.write_text("\n".join([*sources, main]))
    built = subprocess.run([compiler, *flags, path, "-o", folder / "program", "-lm"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[:3000]
    done = subprocess.run([folder / "program"], input=b"".join(map(np.ndarray.tobytes, data)), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr[:3000]
    return done.stdout


def outputs_in_c(folder, nets, inputs, change=lambda text: text, **options):
    """Outputs of networks, computed by one program."""
    named = {f"net{number}": net for number, net in enumerate(nets)}
    sources = [change(source.source(net, name)) for name, net in named.items()]
    calls = [PREDICT.format(kind=KINDS[net.dtype.name], name=name, n=len(inputs[0])) for name, net in named.items()]
    written, results = run(folder, sources, calls, inputs, **options), []
    for net, X in zip(nets, inputs, strict=True):
        count = len(X) * net.sizes[-1]
        results.append(np.frombuffer(written, net.dtype, count).reshape(len(X), -1))
        written = written[count * net.dtype.itemsize :]
    assert not written
    return results


# --- outputs -----------------------------------------------------------------------------------------------------------------


@needs_gcc
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_activation_and_link(tmp_path, dtype):
    nets = list(every_kind(dtype))
    inputs = [samples(net, 9) for net in nets]
    flags = [*STRICT, *CHECKED, "-O2"]
    for net, X, outputs in zip(nets, inputs, outputs_in_c(tmp_path, nets, inputs, flags=flags), strict=True):
        agree(net, X, outputs)
        value, off = bound(net, X)
        assert (off < 1e-4 * np.finfo(dtype).eps / np.finfo("float32").eps * np.maximum(1, np.abs(value).max())).all()


@needs_gcc
def test_random_networks(tmp_path):
    nets = [random_network(seed) for seed in range(200)]
    inputs = [samples(net, 5, seed) for seed, net in enumerate(nets)]
    for net, X, outputs in zip(nets, inputs, outputs_in_c(tmp_path, nets, inputs), strict=True):
        agree(net, X, outputs)


@needs_gcc
@pytest.mark.parametrize(
    ("activation", "right", "wrong"),
    [
        ("elu", "expm1f(z)", "(expf(z) - 1.0f)"),
        ("tanh", "tanhf(z)", "(tanhf(z) * 1.000004f)"),
        ("gelu", "erfcf", "0.99999f * erfcf"),
    ],
)
def test_a_formula_that_loses_digits_is_seen(tmp_path, activation, right, wrong):
    net = drawn([1, 1, 1], activation, "squared", 0)
    net.weights, net.biases = [[[1.0]], [[1.0]]], [[0.0], [0.0]]
    X = np.float32([[-1e-4], [0.5], [-2e-3]])

    def change(text):
        assert right in text
        return text.replace(right, wrong)

    agree(net, X, *outputs_in_c(tmp_path, [net], [X]))
    with pytest.raises(AssertionError, match="of what rounding explains"):
        agree(net, X, *outputs_in_c(tmp_path, [net], [X], change=change))


@needs_gcc
def test_parameters_are_exact(tmp_path):
    """One unit that reads one input: the weight itself, of every binary order."""
    for dtype in DTYPES:
        info = np.finfo(dtype)
        numbers = np.float64(2.0) ** np.arange(np.log2(info.smallest_subnormal), info.maxexp - 1, 7)
        numbers = np.append(numbers, [info.max, info.min, -0.0, info.smallest_normal * (1 - info.eps), 1 + info.eps, np.pi]).astype(
            dtype
        )
        net = fastbp.Network([1, len(numbers)], dtype=dtype, weights=[numbers[:, None]], rng=0)
        (outputs,) = outputs_in_c(tmp_path, [net], [np.ones((1, 1), dtype)])
        np.testing.assert_array_equal(outputs[0], numbers)


@needs_gcc
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_it_is_a_program_in_cxx_too(tmp_path):
    nets = [drawn([3, 5, 2], activation, "cross_entropy", 0, dtype=dtype) for activation in ACTIVATIONS[::3] for dtype in DTYPES]
    inputs = [samples(net, 5) for net in nets]
    flags = ["-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    for net, X, outputs in zip(nets, inputs, outputs_in_c(tmp_path, nets, inputs, flags=flags, compiler="g++"), strict=True):
        agree(net, X, outputs)


@needs_gcc
def test_a_sample_may_be_overwritten_by_its_outputs(tmp_path):
    net = drawn([4, 6, 4], "tanh", "squared", 0)
    call = (
        PREDICT.format(kind="float", name="net", n=1)
        .replace("net_predict_rows(x, y, 1)", "net_predict(x, x)")
        .replace("fwrite(y, sizeof y", "(void)y; fwrite(x, sizeof x")
    )
    X = samples(net, 1)
    written = run(tmp_path, [source.source(net, "net")], [call], [X])
    agree(net, X, np.frombuffer(written, "f4")[None])


@needs_gcc
def test_undefined_behaviour_would_be_seen(tmp_path):
    with pytest.raises(AssertionError, match="out of bounds"):
        run(tmp_path, ["static int a[2];\n"], ["    { volatile int i = 2; a[i] = 1; }\n"], [])


# --- training ----------------------------------------------------------------------------------------------------------------

STEPS, RATE, ROWS = 3, 0.05, 7
UNITS_OF_TRAINING = 16  # in the last place of the largest parameter, after so many steps
TRAINED = [(loss, activations.Tanh()) for loss in LOSSES]
TRAINED += [(losses.SquaredError(), activation) for activation in ACTIVATIONS]


def trained_alike(folder, dtype, problems, change=lambda text: text):
    """Raise unless three steps with one batch end with the parameters and the loss of a `Trainer`, for losses and activations."""
    sources, calls, data, cases = [], [], [], []
    for number, (loss, activation) in enumerate(problems):
        output = None if loss.link else activation
        net = drawn([3, 5, 4, 2], activation, loss, number, output=output, dtype=dtype, input_scale=0.5)
        X, y = samples(net, ROWS, number), make_targets(loss, ROWS, 2, dtype, number)
        sources.append(change(source.source(net, f"net{number}", training=True)))
        calls.append(STEP.format(kind=KINDS[dtype], name=f"net{number}", n=ROWS, steps=STEPS, rate=RATE))
        data += [X, y]
        trained = net.copy()
        trainer = trained.trainer(optimizer=fastbp.SGD(RATE), batch_size=ROWS)
        cases.append((trained, [trainer.step(X, y) for _ in range(STEPS)][-1]))
    written = np.frombuffer(run(folder, sources, calls, data), dtype)
    tolerance = UNITS_OF_TRAINING * np.finfo(dtype).eps
    for net, loss in cases:
        params, reached = written[: net.params.size], written[net.params.size]
        written = written[net.params.size + 1 :]
        assert error(params, flat([w.T for w in net.weights], net.biases)) < tolerance, net
        assert abs(reached - loss) < tolerance * max(1, abs(loss)), net
    assert not written.size


@needs_gcc
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_is_that_of_a_trainer(tmp_path, dtype):
    trained_alike(tmp_path, dtype, TRAINED)


@needs_gcc
@pytest.mark.parametrize(
    ("loss", "right", "wrong"),
    [
        ("squared", "(1.0f - a) * (1.0f + a)", "(1.0f - a) * (1.0f + 0.9999f * a)"),
        ("squared", "g[n_in * n_out + k] += d[k]", "g[n_in * n_out + k] += 0.9999f * d[k]"),
        ("cross_entropy", "mass * logf(sum)", "mass * logf(sum) + 1e-4f"),
        ("huber", "e > most ? most", "e > most ? 1.001f * most"),
    ],
)
def test_a_step_that_is_slightly_wrong_is_seen(tmp_path, loss, right, wrong):
    def change(text):
        assert right in text
        return text.replace(right, wrong)

    problems = [(losses.Huber(0.1) if loss == "huber" else losses.get(loss), activations.Tanh())]
    with pytest.raises(AssertionError, match=r"Network\("):
        trained_alike(tmp_path, "float32", problems, change)


@needs_gcc
def test_a_step_with_no_samples_changes_nothing(tmp_path):
    net = drawn([2, 3, 1], "relu", "squared", 0, dtype="float64")
    call = "    { net_step(0, 0, 0, 1.0); fwrite(net_parameters, sizeof net_parameters, 1, stdout); }\n"
    written = run(tmp_path, [source.source(net, "net", training=True)], [call], [])
    np.testing.assert_array_equal(np.frombuffer(written), flat([w.T for w in net.weights], net.biases))


# --- the file ----------------------------------------------------------------------------------------------------------------


@needs_gcc
def test_hyper_parameters_beyond_the_dtype(tmp_path):
    """In float32, 1e39 is infinite: so it is in C, which has a macro for it."""
    net = fastbp.Network([3, 4, 2], fastbp.ELU(1e39), fastbp.Huber(1e39), rng=0)
    run(tmp_path, [text := source.source(net, "net", training=True)], [], [])
    assert text.count("INFINITY") == 4


def test_every_class_has_a_formula():
    """Add that of a new one to `fastbp/exports/c/formulas.py`."""
    assert formulas.ACTIVATIONS.keys() == {*activations.ACTIVATIONS.classes, activations.Softmax}
    assert formulas.LOSSES.keys() == set(losses.LOSSES.classes)


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("digits.c", None, "digits"),
        ("my-net.v2.c", None, "my_net"),
        ("2.c", None, "net_2"),
        ("é.c", None, "net_"),
        ("a.c", "B_1", "B_1"),
    ],
)
def test_names(tmp_path, file, name, expected):
    net = fastbp.Network([2, 1], rng=0)
    net.to_c(tmp_path / file, name=name)
    assert f"void {expected}_predict(const float *x, float *y);" in (tmp_path / file).read_text()


@pytest.mark.parametrize("name", ["", "2a", "a-b", "_a", "é", "a b", "a;", "a\n"])
def test_a_name_that_is_none_in_c_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"name must be a letter, and then letters"):
        fastbp.Network([2, 1], rng=0).to_c(tmp_path / "a.c", name=name)
    with pytest.raises(TypeError, match=r"name must be a string"):
        fastbp.Network([2, 1], rng=0).to_c(tmp_path / "a.c", name=1)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, monkeypatch):
    path = tmp_path / "net.c"
    path.write_text("old")
    net = fastbp.Network([2, 3, 1], rng=0)
    with pytest.raises(TypeError, match="training must be True or False"):
        net.to_c(path, training=1)
    net.biases[1][0] = np.nan
    with pytest.raises(ValueError, match=r"to_c writes numbers, but biases\[1\] holds NaN"):
        net.to_c(path)
    monkeypatch.setattr(source, "MOST_PARAMETERS", 12)
    with pytest.raises(ValueError, match="at most 12 parameters, but this network has 13: use to_onnx"):
        fastbp.Network([2, 3, 1], rng=0).to_c(path)
    assert path.read_text() == "old"


def test_the_limit_is_that_of_the_documentation():
    assert f"{source.MOST_PARAMETERS:,}" in re.sub(r"\s+", " ", fastbp.Network.to_c.__doc__)


def test_names_of_columns_cannot_end_the_comment_that_they_are_in():
    for name in ("a*/b", "/*", "??/", "@x", 'quote"', "new\nline", "ä", "back\\"):
        quoted = source._quoted(name)
        assert quoted.isascii()
        assert not set("*/?@\n") & set(quoted)
