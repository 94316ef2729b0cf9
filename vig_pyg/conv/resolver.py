"""An operator from what a user names."""

from __future__ import annotations

from functools import partial

from vig_pyg.conv.base import VisionConv
from vig_pyg.conv.registry import CONVS, ConvFactory


def resolve_conv(conv: str | ConvFactory, *, heads: int) -> ConvFactory:
    """An operator from its name, or the user's callable as it is.

    Args:
        conv: A name of `list_convs()` or a `ConvFactory`.
        heads: Heads of the linear layers; only for operators by name that are a `VisionConv`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor callable.

    Example:
        >>> resolve_conv("gin", heads=4)(8, 16)
        GINConv(8, 16, heads=4)
    """
    if isinstance(conv, str):
        found = CONVS.resolve(conv)
        takes_heads = isinstance(found, type) and issubclass(found, VisionConv)
        return partial(found, heads=heads) if takes_heads else found
    if not callable(conv):
        raise TypeError(f"conv must be a name or a callable (in_channels, out_channels) -> Module, got {conv!r}.")
    return conv
