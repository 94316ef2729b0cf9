"""What an operator takes and gives, and the names of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from vig_pyg.conv.edge_conv import EdgeConv
from vig_pyg.conv.gin_conv import GINConv
from vig_pyg.conv.graph_sage_conv import GraphSAGEConv
from vig_pyg.conv.max_relative_conv import MaxRelativeConv

#: `(in_channels, out_channels)` to a module whose `forward(x, edge_index)` takes `x (N, in_channels)`, or
#: `(x_src (M, in_channels), x_dst (N, in_channels))` where sources are pooled, and returns `(N, out_channels)`.
ConvFactory = Callable[[int, int], nn.Module]

CONVS: dict[str, Callable[..., nn.Module]] = {
    "mr": MaxRelativeConv,
    "edge": EdgeConv,
    "gin": GINConv,
    "sage": GraphSAGEConv,
}


def resolve_conv(conv: str | ConvFactory, *, heads: int) -> ConvFactory:
    """An operator from its name, or the user's callable as it is.

    Args:
        conv: A name from `CONVS` or a `ConvFactory`.
        heads: Heads of the linear maps; for our own operators only.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor callable.

    Example:
        >>> resolve_conv("gin", heads=4)(8, 16)
        GINConv(8, 16, heads=4)
    """
    if isinstance(conv, str):
        if conv not in CONVS:
            raise ValueError(
                f"Unknown conv {conv!r}: choose one of {', '.join(CONVS)}, or pass a callable "
                "(in_channels, out_channels) -> Module."
            )
        return partial(CONVS[conv], heads=heads)
    if not callable(conv):
        raise TypeError(f"conv must be a name or a callable (in_channels, out_channels) -> Module, got {conv!r}.")
    return conv
