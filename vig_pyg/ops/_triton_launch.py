"""Launches of Triton kernels that were launched before, without the search for what was compiled.

Triton binds every argument by name and hashes what it specializes on in each launch, which takes longer than a small
kernel runs. A launch here looks at types, alignments and sizes alone: what a kernel is compiled for.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
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
    plain: list[Any] = []
    special: list[Any] = []
    for arg in args:
        if isinstance(arg, Tensor):
            address = arg.data_ptr()  # Triton asks the driver for a tensor's
            plain.append(address)
            special += (arg.dtype, address % 16 == 0)
        else:
            plain.append(arg)
            special.append(arg if arg is None else (arg == 1, arg % 16 == 0, -(2**31) <= arg < 2**31))
    key = (kernel, device, *special, *constants.values(), *options.values())
    compiled = _COMPILED.get(key)
    if compiled is None:
        if list(constants) != list(kernel.arg_names[len(args) :]):
            raise TypeError(f"Expected the constants {list(kernel.arg_names[len(args) :])}, got {list(constants)}.")
        compiled = kernel[grid](*args, **constants, **options)
        if compiled is not None and not _BINDS:  # the interpreter compiles nothing
            _COMPILED[key] = compiled
        return None
    try:
        _run(compiled, (*grid, 1, 1)[:3], device, (*plain, *constants.values()))
    except (TypeError, AttributeError):  # a Triton that launches in another way, and says so before it launches
        _BINDS.append(kernel)
        _COMPILED.clear()
        kernel[grid](*args, **constants, **options)
    return None


def _run(compiled: Any, grid: tuple[int, ...], device: int, args: tuple[Any, ...]) -> None:
    """The same as `compiled[grid](*args)`, which prepares a call of the hooks even where there are none."""
    if device < 0 or _has_hooks() or not hasattr(compiled, "packed_metadata"):
        compiled[grid](*args)
        return
    stream = torch._C._cuda_getCurrentRawStream(device)
    compiled.run(*grid, stream, compiled.function, compiled.packed_metadata, None, None, None, *args)


def _has_hooks() -> bool:
    """True if a profiler of Triton's wants to know about launches, or if this Triton keeps its hooks elsewhere."""
    knobs = getattr(triton, "knobs", None)
    if knobs is None:
        return True
    hooks = knobs.runtime.launch_enter_hook, knobs.runtime.launch_exit_hook
    return any(getattr(hook, "calls", hook) for hook in hooks)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number.

    Example:
        >>> power_of_two(1), power_of_two(9), power_of_two(16)
        (1, 16, 16)
    """
    return 1 << (number - 1).bit_length()
