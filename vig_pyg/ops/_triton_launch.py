"""Fast launches of Triton kernels that are already compiled.

In each launch, Triton binds every argument by name and hashes the specialization, which takes longer than a small
kernel runs. The launch in this module compares only the properties for which a kernel is compiled: dtypes, alignments
and sizes.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

#: Compiled kernels by kernel, device, constants, and the specialization of the arguments.
_COMPILED: dict[tuple[Any, ...], Any] = {}
#: Kernels whose compiled form does not accept pointers; Triton binds the arguments of each of their launches.
_BINDS: list[Any] = []


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    args: tuple[Tensor | float | None, ...],
    constants: dict[str, Any],
    **options: int,
) -> None:
    """Launch a kernel as `kernel[grid](*args, **constants, **options)` does.

    Args:
        kernel: A function decorated with `triton.jit`.
        grid: Number of programs along up to three axes.
        args: All arguments except the constants; the first is a tensor on the device of the launch.
        constants: The last arguments of the kernel, in its order.
        options: `num_warps` and `num_stages`.

    Raises:
        TypeError: If the constants are not the last arguments of the kernel.
    """
    device = args[0].get_device()  # type: ignore[union-attr]
    if device >= 0 and device != torch.cuda.current_device():
        with torch.cuda.device(device):
            return launch(kernel, grid, args, constants, **options)
    plain: list[Any] = []
    special: list[Any] = []
    for arg in args:
        if isinstance(arg, Tensor):
            address = arg.data_ptr()  # passing a tensor would make Triton query the driver for its address
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
        if compiled is not None and not _BINDS:  # the interpreter returns no compiled kernel
            _COMPILED[key] = compiled
        return None
    try:
        _run(compiled, (*grid, 1, 1)[:3], device, (*plain, *constants.values()))
    # This Triton version launches differently; it raises the error before the launch.
    except (TypeError, AttributeError):
        _BINDS.append(kernel)
        _COMPILED.clear()
        kernel[grid](*args, **constants, **options)
    return None


def _run(compiled: Any, grid: tuple[int, ...], device: int, args: tuple[Any, ...]) -> None:
    """Launch as `compiled[grid](*args)` does, but prepare the call of hooks only if there are hooks."""
    if device < 0 or _has_hooks() or not hasattr(compiled, "packed_metadata"):
        compiled[grid](*args)
        return
    stream = torch._C._cuda_getCurrentRawStream(device)
    compiled.run(*grid, stream, compiled.function, compiled.packed_metadata, None, None, None, *args)


def _has_hooks() -> bool:
    """True if a Triton profiler has hooks for launches, or if this Triton version stores its hooks elsewhere."""
    knobs = getattr(triton, "knobs", None)
    if knobs is None:
        return True
    hooks = knobs.runtime.launch_enter_hook, knobs.runtime.launch_exit_hook
    return any(getattr(hook, "calls", hook) for hook in hooks)


def power_of_two(number: int) -> int:
    """Return the smallest power of two that is at least the given number.

    Example:
        >>> power_of_two(1), power_of_two(9), power_of_two(16)
        (1, 16, 16)
    """
    return 1 << (number - 1).bit_length()
