"""Whether a program is being exported."""

from __future__ import annotations

import torch


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_exporting() -> bool:
    """Whether `torch.export` follows the program, and not only `torch.compile`.

    Inside `torch.compile` older compilers (torch 2.11) answer `torch.compiler.is_exporting()` with yes, always. A
    compiled model would then run what is made for other runtimes, several times slower. So the flag itself is read,
    by Python and not by the compiler.

    Example:
        >>> is_exporting()
        False
    """
    return torch.compiler.is_exporting()
