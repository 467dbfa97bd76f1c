"""Networks as modules of PyTorch, and modules read back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from fastbp import activations
from fastbp.arguments import boolean
from fastbp.exports import parts
from fastbp.exports.assembly import Assembly
from fastbp.exports.parts import Array

OF_SEQUENCE = "__call__", "forward", "__iter__"  # what makes modules one after the other of a Sequential
LINEAR_FROM = 50.0  # where softplus(z) is z in float64, too; PyTorch's 20 is for float32
MODULES: dict[type, Callable[[Any, Any], Any]] = {
    activations.Identity: lambda nn, f: nn.Identity(),
    activations.Sigmoid: lambda nn, f: nn.Sigmoid(),
    activations.Tanh: lambda nn, f: nn.Tanh(),
    activations.ReLU: lambda nn, f: nn.ReLU(),
    activations.Exp: lambda nn, f: _layers().Exp(),
    activations.LeakyReLU: lambda nn, f: nn.LeakyReLU(f.alpha),
    activations.ELU: lambda nn, f: nn.ELU(f.alpha),
    activations.SELU: lambda nn, f: nn.SELU(),
    activations.Softplus: lambda nn, f: nn.Softplus(threshold=LINEAR_FROM),
    activations.SiLU: lambda nn, f: nn.SiLU(),
    activations.GELU: lambda nn, f: nn.GELU(),
    activations.Mish: lambda nn, f: nn.Mish(),
    activations.HardSigmoid: lambda nn, f: nn.Hardsigmoid(),
    activations.Softmax: lambda nn, f: nn.Softmax(dim=-1),
}


def library(caller: str) -> Any:
    """PyTorch, or an error that says what needs it."""
    try:
        return import_module("torch")
    except ImportError as error:
        raise ImportError(f"{caller} needs PyTorch: pip install torch") from error


def _layers() -> Any:
    from fastbp.exports import torch_layers

    return torch_layers


def module(net: Any, link: bool) -> Any:
    """The module of a network; see `Network.to_torch`."""
    parts.check(net, "to_torch", MODULES)
    link = boolean("link", link)
    torch = library("to_torch")
    modules = OrderedDict() if net.input_scale == 1.0 else OrderedDict(scale=_layers().Scale(net.input_scale))
    last = len(net.weights) - 1
    for number, (w, b, activation) in enumerate(zip(net.weights, net.biases, (*net.hidden, net.output), strict=True)):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, w.shape[1], w.shape[0])  # which draws no random numbers
        linear.weight, linear.bias = (torch.nn.Parameter(torch.from_numpy(np.array(each))) for each in (w, b))
        modules[str(2 * number)] = linear
        is_left_out = activation.name == "identity" if net.loss_function.link is None else not link
        if number < last or not is_left_out:
            modules[str(2 * number + 1)] = MODULES[type(activation)](torch.nn, activation)
    return torch.nn.Sequential(modules)


def arguments(given: Any, loss: Any) -> dict[str, Any]:
    """Arguments of the network that a module is; see `fastbp.from_torch`."""
    torch = library("from_torch")
    if not isinstance(given, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {given!r}")
    assembly = Assembly("from_torch")
    for name, each in _leaves(torch.nn, assembly, given, "", []):
        where = f"module {name} ({type(each).__name__})" if name else f"the module ({type(each).__name__})"
        _read(torch, assembly, each, where)
    return assembly.arguments(loss)


def _leaves(nn: Any, assembly: Assembly, given: Any, name: str, inside: list[int]) -> Iterator[tuple[str, Any]]:
    """Modules that are no sequences of others, in order, and the names by which they are reached."""
    where = f"module {name} ({type(given).__name__})" if name else f"the module ({type(given).__name__})"
    if not isinstance(given, nn.Module):
        raise assembly.refusal(where, "is no module")
    if given._forward_hooks or given._forward_pre_hooks:
        raise assembly.refusal(where, "has hooks, which may change what it computes: remove them")
    if "forward" in vars(given):
        raise assembly.refusal(where, "has a forward of its own, which may compute something else")
    if not (isinstance(given, nn.Sequential) and all(getattr(type(given), f) is getattr(nn.Sequential, f) for f in OF_SEQUENCE)):
        yield name, given
        return
    if id(given) in inside:
        raise assembly.refusal(where, "contains itself")
    for own, each in given._modules.items():
        yield from _leaves(nn, assembly, each, f"{name}.{own}".lstrip("."), [*inside, id(given)])


def _read(torch: Any, assembly: Assembly, each: Any, where: str) -> None:
    """Put one module into the network."""
    nn, own, kind = torch.nn, _layers(), type(each)
    if kind in (nn.Identity, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout):
        return
    if kind is nn.Flatten:
        if (each.start_dim, each.end_dim) != (1, -1):
            raise assembly.refusal(where, "flattens some dimensions of a sample only")
    elif kind is nn.Linear:
        biases = None if each.bias is None else _array(torch, assembly, each.bias, where)
        assembly.layer(_array(torch, assembly, each.weight, where), biases, where)
    elif kind is own.Scale:
        assembly.scale(each.factor, where)
    else:
        assembly.activation(_activation(nn, own, assembly, each, where), where)


def _array(torch: Any, assembly: Assembly, tensor: Any, where: str) -> Array:
    if tensor is None:
        raise assembly.refusal(where, "has no weights")
    if tensor.layout != torch.strided:
        raise assembly.refusal(where, f"has parameters of the layout {tensor.layout}: give them as to_dense() has them")
    if tensor.device.type != "cpu":
        raise assembly.refusal(where, f"is on the device {tensor.device}: give module.cpu()")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise assembly.refusal(where, f"has parameters of {tensor.dtype}: give module.float() or module.double()")
    return np.array(tensor.detach().numpy())


def _activation(nn: Any, own: Any, assembly: Assembly, each: Any, where: str) -> Any:
    """The activation that a module is."""
    kind = type(each)
    simple = {
        **{nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.SELU: "selu", nn.SiLU: "silu", nn.Mish: "mish"},
        **{nn.Hardsigmoid: "hard_sigmoid", own.Exp: "exp"},
    }
    if kind in simple:
        return activations.get(simple[kind])
    if kind is nn.LeakyReLU:
        return assembly.rectifier(each.negative_slope, where)
    if kind is nn.ELU:
        return assembly.elu(each.alpha, where)
    if kind is nn.Softmax:
        if each.dim not in (1, -1):
            raise assembly.refusal(where, f"is over dimension {each.dim}, not over the outputs, which are dimension 1")
        return activations.Softmax()
    if kind is nn.GELU:
        if each.approximate != "none":
            raise assembly.refusal(where, f"is approximate={each.approximate!r}, which is another function than fastbp's gelu")
        return activations.GELU()
    if kind is nn.Softplus:
        if each.beta != 1 or each.threshold < 20:
            raise assembly.refusal(where, "is another function than fastbp's softplus: beta must be 1, threshold at least 20")
        return activations.Softplus()
    if kind in (nn.LogSoftmax, nn.LogSigmoid):
        links = {nn.LogSoftmax: "cross_entropy", nn.LogSigmoid: "binary_cross_entropy"}
        raise assembly.refusal(where, f"gives logarithms: leave it out, as in module[:-1], and give loss={links[kind]!r}")
    raise assembly.refusal(
        where,
        "is none of what a network is made of: torch.nn.Linear and activations that fastbp has, in a torch.nn.Sequential; Flatten, "
        "Identity and Dropout are left out",
    )
