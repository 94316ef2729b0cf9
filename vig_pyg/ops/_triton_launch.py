"""Launches of Triton kernels that were launched before, without the search for what was compiled.

Triton binds every argument by name and hashes what it specializes on in each launch, which takes longer than a small
kernel runs. A launch here looks at types and alignments alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Compiled kernels by kernel, device, constants, and what Triton specializes arguments on.
_COMPILED: dict[tuple[Any, ...], Any] = {}
#: Kernels whose compiled form took no pointers: this Triton binds every launch.
_BINDS: list[Any] = []


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    args: tuple[Tensor | float | None, ...],
    constants: dict[str, Any],
    **options: int,
) -> None:
    """The same as `kernel[grid](*args, **constants, **options)`.

    Args:
        kernel: A function under `triton.jit`.
        grid: Programs along up to three axes.
        args: All arguments but the constants; the first is a tensor, on the device to launch on.
        constants: The last arguments, in the order of the kernel.
        options: `num_warps`, `num_stages`.

    Raises:
        TypeError: If the constants are not the kernel's last arguments.
    """
    device = args[0].get_device()  # type: ignore[union-attr]
    if device >= 0 and device != torch.cuda.current_device():
        with torch.cuda.device(device):
            return launch(kernel, grid, args, constants, **options)
    plain = [
        arg.data_ptr() if isinstance(arg, Tensor) else arg for arg in args
    ]  # Triton asks the driver for a tensor's
    key = (kernel, device, *map(_special, args, plain), *constants.values(), *options.values())
    compiled = _COMPILED.get(key)
    if compiled is None:
        if list(constants) != list(kernel.arg_names[len(args) :]):
            raise TypeError(f"Expected the constants {list(kernel.arg_names[len(args) :])}, got {list(constants)}.")
        compiled = kernel[grid](*args, **constants, **options)
        if compiled is not None and not _BINDS:  # the interpreter compiles nothing
            _COMPILED[key] = compiled
        return None
    try:
        compiled[(*grid, 1, 1)[:3]](*plain, *constants.values())
    except (TypeError, AttributeError):  # a Triton that launches in another way, and says so before it launches
        _BINDS.append(kernel)
        _COMPILED.clear()
        kernel[grid](*args, **constants, **options)
    return None


def _special(arg: Tensor | float | None, plain: Any) -> Any:
    """What a compiled kernel depends on: type and alignment of a tensor; size, one and divisibility of a number."""
    if isinstance(arg, Tensor):
        return arg.dtype, plain % 16 == 0
    return arg if arg is None else (arg == 1, arg % 16 == 0, -(2**31) <= arg < 2**31)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number.

    Example:
        >>> power_of_two(1), power_of_two(9), power_of_two(16)
        (1, 16, 16)
    """
    return 1 << (number - 1).bit_length()
