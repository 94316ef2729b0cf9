"""Detection of `torch.export`."""

from __future__ import annotations

import torch


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_exporting() -> bool:
    """True while `torch.export` traces the program, but not under `torch.compile` alone.

    In older versions (torch 2.11), `torch.compiler.is_exporting()` always returns true inside `torch.compile`. A
    compiled model would then run the code for export, which is several times slower. Therefore Python evaluates this
    function during compilation, and the compiler treats the result as a constant.

    Example:
        >>> is_exporting()
        False
    """
    return torch.compiler.is_exporting()
