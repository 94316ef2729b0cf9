"""Detection of sizes that a compiler or exporter leaves open."""

from __future__ import annotations

import torch

#: A number whose remainder no expression of a size determines: sizes are halved, pooled and multiplied by small powers
#: of two.
_PRIME = 7


def is_open(*sizes: int) -> bool:
    """True if a size is a symbol of `torch.compile` or `torch.export` rather than a number.

    Code that computes constants from a size, or compares it, would tie the compiled program to this size. torch.compile
    hides symbols from Python, which sees integers. So there a size counts as a number if its remainder is known.

    Args:
        sizes: Sizes of tensors, or integers computed from them.

    Example:
        >>> is_open(3, 4)
        False
    """
    if any(isinstance(size, torch.SymInt) for size in sizes):
        return True
    return torch.compiler.is_dynamo_compiling() and not all(_is_known(size) for size in sizes)


def _is_known(size: int) -> bool:
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # heavy, and loaded with the compiler

    return any(statically_known_true(size % _PRIME == remainder) for remainder in range(_PRIME))


def is_surely(condition: bool) -> bool:
    """True if a comparison of sizes holds for all sizes of the program; it is not tied to the sizes of the example.

    Args:
        condition: A comparison, which is symbolic if a size is open.

    Example:
        >>> is_surely(3 < 4), is_surely(4 < 3)
        (True, False)
    """
    if not torch.compiler.is_compiling():
        return condition
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return statically_known_true(condition)
