"""The registry of graph convolutions (operators)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from vig_pyg._registry import Registry

#: A callable `(in_channels, out_channels) -> Module`. The `forward(x, edge_index)` of the module receives
#: `x (N, in_channels)`, or `(x_src (M, in_channels), x_dst (N, in_channels))` if the sources are pooled, and returns
#: `(N, out_channels)`.
ConvFactory = Callable[[int, int], nn.Module]

Operator = TypeVar("Operator", bound=Callable[..., nn.Module])

#: All registered operators, by name. The operators of this library also have a keyword argument `heads`.
CONVS: Registry[Callable[..., nn.Module]] = Registry(
    "conv",
    advice=", or pass a callable (in_channels, out_channels) -> Module (on the command line an import path such as "
    "my_ops:MyConv)",
)


def register_conv(name: str) -> Callable[[Operator], Operator]:
    """Register an operator under a name; a decorator for a class or function `(in_channels, out_channels)`.

    The name is then valid for `conv=`, `--conv` and `config.json`, and `list_convs` includes it.

    Args:
        name: The name, without spaces.

    Returns:
        A decorator that returns the operator unchanged.

    Raises:
        ValueError: If another operator is registered under this name.
        TypeError: If the decorated object is not callable.

    Example:
        >>> @register_conv("targets_alone")
        ... class TargetsAlone(nn.Linear):
        ...     def forward(self, x, edge_index):
        ...         return super().forward(x[1] if isinstance(x, tuple) else x)
        >>> list_convs()[-1]
        'targets_alone'
        >>> CONVS.remove("targets_alone")  # undo the example
    """
    return CONVS.register(name)


def list_convs() -> list[str]:
    """List the registered operators: the valid names for `conv=`.

    Example:
        >>> list_convs()[:4]
        ['mr', 'edge', 'gin', 'sage']
    """
    return CONVS.names()
