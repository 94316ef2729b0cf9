"""Detection of dynamic sizes, which a compiler or exporter represents by symbols."""

from __future__ import annotations

import torch

#: Division by this number has an unknown remainder for every dynamic size, because sizes are only halved, pooled, and
#: multiplied by small powers of two.
_PRIME = 7


def is_open(*sizes: int) -> bool:
    """True if a size is a symbol of `torch.compile` or `torch.export` rather than a number.

    Code that compares a size, or computes constants from it, would specialize the compiled program to this size. While
    `torch.compile` traces a program, symbols look like integers to Python. Then a size counts as a number if the
    compiler knows its remainder modulo a prime.

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
    # The import is slow, but the compiler has already done it.
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return any(statically_known_true(size % _PRIME == remainder) for remainder in range(_PRIME))


def is_surely(condition: bool) -> bool:
    """True if a comparison holds for all sizes that the program accepts; this does not specialize the program.

    Args:
        condition: A comparison, which is symbolic if a size is dynamic.

    Example:
        >>> is_surely(3 < 4), is_surely(4 < 3)
        (True, False)
    """
    if not torch.compiler.is_compiling():
        return condition
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    return statically_known_true(condition)
