"""Resolution of `conv=` into a factory of operators."""

from __future__ import annotations

from functools import partial

from vig_pyg.conv.base import VisionConv
from vig_pyg.conv.registry import CONVS, ConvFactory


def resolve_conv(conv: str | ConvFactory, *, heads: int) -> ConvFactory:
    """Return the factory of a model's operators; a callable is returned unchanged.

    Args:
        conv: A name from `list_convs()`, or a `ConvFactory`.
        heads: Number of heads of the linear layers. It applies only to registered subclasses of `VisionConv`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `conv` is neither a name nor callable.

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
