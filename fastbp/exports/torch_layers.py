"""Modules of PyTorch for what networks have and `torch.nn` has not."""

from importlib import import_module
from typing import Any

torch: Any = import_module("torch")


class Scale(torch.nn.Module):  # type: ignore[misc]
    """x times a number: the `input_scale` of a network.

    Parameters
    ----------
    factor : float
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Any) -> Any:
        """Of a tensor."""
        return x * self.factor

    def extra_repr(self) -> str:
        """What stands in the parentheses."""
        return repr(self.factor)


class Exp(torch.nn.Module):  # type: ignore[misc]
    """The activation exp."""

    def forward(self, z: Any) -> Any:
        """Of a tensor."""
        return torch.exp(z)
