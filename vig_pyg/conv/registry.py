"""Operators by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from vig_pyg._registry import Registry

#: `(in_channels, out_channels)` to a module whose `forward(x, edge_index)` takes `x (N, in_channels)`, or
#: `(x_src (M, in_channels), x_dst (N, in_channels))` where sources are pooled, and returns `(N, out_channels)`.
ConvFactory = Callable[[int, int], nn.Module]

Operator = TypeVar("Operator", bound=Callable[..., nn.Module])

#: All operators that have a name. Those of this library take `heads`, too.
CONVS: Registry[Callable[..., nn.Module]] = Registry(
    "conv",
    advice=", or pass a callable (in_channels, out_channels) -> Module (on the command line an import path such as "
    "my_ops:MyConv)",
)


def register_conv(name: str) -> Callable[[Operator], Operator]:
    """Give an operator a name: for `conv=`, the command line, `config.json`, and the lists.

    Args:
        name: Its name, without spaces.

    Raises:
        ValueError: If another operator has the name.
        TypeError: If what is decorated is not callable.

    Example:
        >>> @register_conv("targets_alone")
        ... class TargetsAlone(nn.Linear):
        ...     def forward(self, x, edge_index):
        ...         return super().forward(x[1] if isinstance(x, tuple) else x)
        >>> list_convs()[-1]
        'targets_alone'
        >>> CONVS.remove("targets_alone")  # this was an example
    """
    return CONVS.register(name)


def list_convs() -> list[str]:
    """Names for `conv=`.

    Example:
        >>> list_convs()[:4]
        ['mr', 'edge', 'gin', 'sage']
    """
    return CONVS.names()
