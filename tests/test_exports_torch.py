"""Networks as modules of PyTorch and back: the same bits, the same outputs, and a refusal that names the module."""

import copy
import io
import sys

import numpy as np
import pytest
from exported import agree, every_kind, random_network, samples
from problems import ACTIVATIONS, DTYPES, make_net

import fastbp
from fastbp import activations, from_torch
from fastbp.exports import torch_module

try:
    import torch
    from torch import nn
except ImportError:
    torch = nn = None
needs_torch = pytest.mark.skipif(torch is None, reason="needs PyTorch")


def computed(module, X):
    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


# --- to --------------------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_activation_and_link(dtype):
    for net in every_kind(dtype):
        agree(net, samples(net, 9), computed(net.to_torch(), samples(net, 9)))


@needs_torch
def test_random_networks_compute_the_same_and_come_back_to_the_bit():
    for seed in range(200):
        net = random_network(seed)
        module = net.to_torch()
        agree(net, samples(net, 5, seed), computed(module, samples(net, 5, seed)))
        back = from_torch(module, loss=net.loss_function)
        assert back._settings() == net._settings()
        assert back.params.tobytes() == net.params.tobytes()


@needs_torch
def test_raw_outputs_are_those_that_a_loss_of_pytorch_takes():
    X, y = np.random.default_rng(0).normal(size=(6, 3)).astype("f4"), np.array([0, 1, 2, 0, 1, 2])
    net = make_net([3, 4, 3], "tanh", "cross_entropy", dtype="float32")
    module = net.to_torch(link=False)
    assert not isinstance(module[-1], nn.Softmax)
    loss = nn.CrossEntropyLoss()(module(torch.from_numpy(X)), torch.from_numpy(y))
    assert float(loss.detach()) == pytest.approx(net.loss(X, y), rel=1e-5)
    _, gradient = net.value_and_grad(X, y)
    loss.backward()
    np.testing.assert_allclose(module[0].weight.grad.numpy(), gradient.weights[0], rtol=1e-4, atol=1e-6)
    squared = make_net([3, 4, 3], "tanh", output="sigmoid", dtype="float32")
    assert [type(each) for each in squared.to_torch(link=False)] == [nn.Linear, nn.Tanh, nn.Linear, nn.Sigmoid]


@needs_torch
def test_parameters_are_copies_and_no_random_number_is_drawn():
    net = make_net([3, 4, 2], "relu", dtype="float32")
    before, state = net.params.copy(), torch.get_rng_state()
    module = net.to_torch()
    with torch.no_grad():
        module[0].weight.zero_()
    np.testing.assert_array_equal(net.params, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.requires_grad for each in module.parameters())


@needs_torch
def test_modules_are_kept_and_copied_as_others_are():
    net = make_net([3, 4, 2], "exp", "poisson", dtype="float32", input_scale=0.5)
    module, X = net.to_torch(), samples(net, 4)
    assert [name for name, _ in module.named_children()] == ["scale", "0", "1", "2", "3"]
    assert repr(module[0]) == "Scale(0.5)"
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        np.testing.assert_array_equal(computed(other, X), computed(module, X))


@needs_torch
def test_a_module_takes_the_tensors_of_a_safetensors_file(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    net = make_net([3, 4, 5, 2], ["tanh", "identity"], "cross_entropy", dtype="float32", input_scale=0.5)
    net.save_safetensors(tmp_path / "net")
    module = make_net([3, 4, 5, 2], ["tanh", "identity"], "cross_entropy", dtype="float32", input_scale=0.5, seed=1).to_torch()
    module.load_state_dict(library.load_file(tmp_path / "net"))
    np.testing.assert_array_equal(computed(module, samples(net, 4)), computed(net.to_torch(), samples(net, 4)))
    theirs = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    library.save_file(theirs.state_dict(), tmp_path / "theirs")
    found = fastbp.load_safetensors(tmp_path / "theirs", hidden="tanh")
    agree(found, samples(net, 4), computed(theirs, samples(net, 4)))


def test_every_class_has_a_module():
    """Add that of a new one to `fastbp/exports/torch_module.py`, and to what it reads."""
    assert torch_module.MODULES.keys() == {*activations.ACTIVATIONS.classes, activations.Softmax}


@needs_torch
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_every_module_is_read_back(activation):
    net = fastbp.Network([2, 3, 1], activation, output=activation, rng=0)
    assert from_torch(net.to_torch(), loss="squared")._settings() == net._settings()


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="to_torch needs PyTorch: pip install torch"):
        fastbp.Network([2, 1], rng=0).to_torch()
    with pytest.raises(ImportError, match="from_torch needs PyTorch"):
        from_torch(3)


@needs_torch
def test_what_is_given_is_checked():
    with pytest.raises(TypeError, match="link must be True or False"):
        fastbp.Network([2, 1], rng=0).to_torch(link=1)
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got 3"):
        from_torch(3)


# --- from ------------------------------------------------------------------------------------------------------------------


@needs_torch
def test_modules_inside_modules_and_what_only_trains():
    module = nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(6, 5, bias=False), nn.Dropout(0.5), nn.LeakyReLU(0.2)),
        nn.Sequential(nn.Identity(), nn.Sequential(nn.Linear(5, 4), nn.Softplus()), nn.Linear(4, 4), nn.ELU(0.3)),
        nn.Linear(4, 2),
    )
    X = np.random.default_rng(0).normal(size=(7, 6)).astype("f4")
    for each in (module.train(), module.eval()):
        net = from_torch(each)
        assert net.hidden == (fastbp.LeakyReLU(0.2), fastbp.Softplus(), fastbp.ELU(0.3))
        np.testing.assert_array_equal(net.biases[0], 0)
        agree(net, X, computed(module.eval(), X.reshape(7, 2, 3)))


@needs_torch
def test_one_layer_is_a_network():
    net = from_torch(nn.Linear(3, 2).double())
    assert (net.sizes, net.dtype, net.hidden) == ((3, 2), np.float64, ())


@needs_torch
def test_layers_without_activations_have_the_identity():
    assert from_torch(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2), nn.Identity())).hidden == (fastbp.Identity(),)


LAST = {"Softmax": "cross_entropy", "Sigmoid": "binary_cross_entropy", "Tanh": "squared", "Identity": "squared"}


@needs_torch
@pytest.mark.parametrize("last", LAST)
def test_the_loss_is_that_of_the_last_activation(last):
    end = nn.Softmax(1) if last == "Softmax" else getattr(nn, last)()
    net = from_torch(nn.Sequential(nn.Linear(3, 2), end))
    assert net.loss_function.name == LAST[last]
    assert net.output.name == last.lower()


@needs_torch
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "poisson"])
def test_a_loss_that_is_given_puts_its_activation_behind_raw_outputs(loss):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    net, X = from_torch(module, loss=loss), np.ones((1, 3), np.float32)
    agree(net, X, computed(nn.Sequential(module, net.to_torch()[-1]), X))


@needs_torch
@pytest.mark.parametrize(("end", "loss"), [("Softmax", "squared"), ("Sigmoid", "cross_entropy"), ("Tanh", "poisson")])
def test_a_loss_of_other_outputs_is_refused(end, loss):
    module = nn.Sequential(nn.Linear(3, 2), nn.Softmax(1) if end == "Softmax" else getattr(nn, end)())
    with pytest.raises(ValueError, match="loss must be"):
        from_torch(module, loss=loss)


@needs_torch
def test_parameters_keep_their_bits():
    module = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid())
    with torch.no_grad():
        module[0].weight[:, 0] = torch.tensor([1e-45, -0.0, 3.4e38, -1e-40])
    net = from_torch(module)
    assert net.weights[0].tobytes() == module[0].weight.detach().numpy().tobytes()
    assert not np.shares_memory(net.params, module[0].weight.detach().numpy())


def refused():
    """(name of the case, module, message)."""
    if nn is None:
        return []
    linear = nn.Linear(2, 2)
    own = type("Own", (nn.Linear,), {"forward": lambda self, x: x})(2, 2)
    sequence = type("Sequence", (nn.Sequential,), {"forward": lambda self, x: x})(linear)
    block = type("Block", (nn.Module,), {})()
    block.layer = linear
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *_: None)
    normed = torch.nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    wrapped, wrapped_sequence = nn.ReLU(), nn.Sequential(linear)
    wrapped.forward = wrapped_sequence.forward = lambda x: x
    called = type("Called", (nn.Sequential,), {"__call__": lambda self, x: x})(linear)
    reversed_ = type("Reversed", (nn.Sequential,), {"__iter__": lambda self: reversed(self._modules.values())})(linear)
    sparse, without, none = nn.Linear(2, 2), nn.Linear(2, 2), nn.Sequential(linear)
    sparse.weight = nn.Parameter(sparse.weight.data.to_sparse())
    without.register_parameter("weight", None)
    none.register_module("z", None)
    around = nn.Sequential(linear)
    around.append(around)
    chain = nn.Sequential
    return [
        ("relu6", chain(linear, nn.ReLU6()), r"module 1 \(ReLU6\) is none of what a network is made of"),
        ("nested", chain(linear, chain(nn.ReLU(), nn.Conv1d(1, 1, 1))), r"module 1\.1 \(Conv1d\) is none of what"),
        ("norm", chain(linear, nn.BatchNorm1d(2)), r"module 1 \(BatchNorm1d\)"),
        ("prelu", chain(linear, nn.PReLU()), r"module 1 \(PReLU\)"),
        ("block", block, r"the module \(Block\) is none of what"),
        ("own layer", chain(own), r"module 0 \(Own\) is none of what"),
        ("own sequence", chain(sequence), r"module 0 \(Sequence\) is none of what"),
        ("gelu", chain(linear, nn.GELU("tanh")), r"module 1 \(GELU\) is approximate='tanh', which is another function"),
        ("softplus", chain(linear, nn.Softplus(2)), r"module 1 \(Softplus\) is another function .* beta must be 1"),
        ("threshold", chain(linear, nn.Softplus(1, 10)), r"threshold at least 20"),
        ("flatten", chain(nn.Flatten(0), linear), r"module 0 \(Flatten\) flattens some dimensions"),
        ("softmax", chain(linear, nn.Softmax(0)), r"module 1 \(Softmax\) is over dimension 0"),
        ("hidden softmax", chain(linear, nn.Softmax(1), linear), r"module 2 \(Linear\) comes after a softmax"),
        ("logarithms", chain(linear, nn.LogSoftmax(1)), r"leave it out, as in module\[:-1\], and give loss='cross_entropy'"),
        ("two", chain(linear, nn.ReLU(), nn.Tanh()), r"module 2 \(Tanh\) is an activation, but there is no layer before it"),
        ("first", chain(nn.ReLU(), linear), r"module 0 \(ReLU\) is an activation, but"),
        ("shapes", chain(linear, nn.Linear(3, 1)), r"module 1 \(Linear\) has weights of shape \(1, 3\), which do not fit"),
        ("half", chain(nn.Linear(2, 2).bfloat16()), r"has parameters of torch.bfloat16: give module.float\(\)"),
        ("mixed", chain(linear, nn.Linear(2, 2).double()), r"module 1 \(Linear\) has weights of float64; all must be"),
        ("meta", chain(nn.Linear(2, 2, device="meta")), r"is on the device meta: give module.cpu\(\)"),
        ("lazy", chain(nn.LazyLinear(2)), r"module 0 \(LazyLinear\)"),
        ("own forward", chain(linear, wrapped), r"module 1 \(ReLU\) has a forward of its own"),
        ("own forward of a sequence", wrapped_sequence, r"the module \(Sequential\) has a forward of its own"),
        ("own call", called, r"the module \(Called\) is none of what"),
        ("own order", reversed_, r"the module \(Reversed\) is none of what"),
        ("sparse", chain(sparse), r"module 0 \(Linear\) has parameters of the layout torch.sparse_coo"),
        ("without", chain(without), r"module 0 \(Linear\) has no weights"),
        ("none", none, r"module z \(NoneType\) is no module"),
        ("elu", chain(linear, nn.ELU(-1.0)), r"module 1 \(ELU\) is no elu that fastbp has: alpha must be finite and > 0, got -1"),
        ("leaky", chain(linear, nn.LeakyReLU(-0.1)), r"module 1 \(LeakyReLU\) is no leaky_relu .* got -0.1"),
        ("slopes", chain(linear, nn.LeakyReLU(torch.ones(2))), r"module 1 \(LeakyReLU\) is no leaky_relu .* must be a number"),
        ("hook", chain(hooked), r"module 0 \(Linear\) has hooks"),
        ("parametrised", chain(normed), r"module 0 \(ParametrizedLinear\)"),
        ("circle", around, r"module 1 \(Sequential\) contains itself"),
        ("empty", chain(), "it has no layer"),
        ("scales", chain(linear, torch_module._layers().Scale(0.5)), r"module 1 \(Scale\) scales what is no input"),
    ]


@needs_torch
@pytest.mark.parametrize(("module", "message"), [pytest.param(*case[1:], id=case[0]) for case in refused()])
def test_what_is_no_network_is_refused_by_its_place(module, message):
    with pytest.raises(ValueError, match=message):
        from_torch(module)


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_numbers_that_are_none_are_refused():
    module = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"module 0 \(Linear\) has NaN or infinity among its weights or biases"):
        from_torch(module)
