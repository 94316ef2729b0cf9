"""The GPU kernels, which are available if Triton is installed and can compile for the GPU."""

from __future__ import annotations

import logging
from functools import cache
from subprocess import SubprocessError
from typing import Any, NamedTuple

import torch

#: Largest number of images in a batch, because the second and third axis of a launch grid are limited.
MOST_IMAGES = 2**16 - 1
#: Smallest compute capability for which the kernels compile.
LEAST_CAPABILITY = (7, 5)
#: Smallest compute capability of the search. Older GPUs (T4) have no products in bfloat16 and TF32. Without them, the
#: search compiles to code that moves its scores between registers and memory.
LEAST_FOR_SEARCH = (8, 0)
#: First numbers of the compute capabilities for which Triton before this version fails to compile the search (B200).
NEEDS_NEWER_TRITON, SEARCH_TRITON = (10, 11), (3, 8)
#: Errors of Triton's first contact with a GPU: no C compiler, no headers of Python, no driver, no folder to write to.
_FAULTS = (RuntimeError, SubprocessError, OSError, AssertionError, ImportError)
_log = logging.getLogger(__name__)


class TritonKernels(NamedTuple):
    """The modules of the kernels: search, gathered maxima, their gradients, bias and GELU, batch norm."""

    search: Any
    gather: Any
    scatter: Any
    bias_gelu: Any
    batch_norm: Any


def triton_kernels(device: int = -1) -> TritonKernels | None:
    """Return the GPU kernels, which are imported on first use; if they are not available, log this once.

    Args:
        device: Index of the GPU, or -1 for the interpreter, which runs the kernels on a CPU.

    Returns:
        The kernels, or `None` without Triton and on GPUs that they do not support.
    """
    kernels = _load()
    return kernels if kernels is None or device < 0 or _runs_on(device) else None


@cache
def _load() -> TritonKernels | None:
    """Load the kernels for all callers; a test or benchmark can replace this function to disable all kernels."""
    try:
        from vig_pyg.ops import (
            _triton_batch_norm,
            _triton_bias_gelu,
            _triton_knn,
            _triton_max_relative,
            _triton_scatter_winners,
        )
    except ImportError as error:
        _log.warning("The GPU kernels need Triton (%s): plain torch is used instead.", error)
        return None
    return TritonKernels(
        _triton_knn, _triton_max_relative, _triton_scatter_winners, _triton_bias_gelu, _triton_batch_norm
    )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_triton_kernels(device: torch.device) -> bool:
    """True if the GPU kernels are available on a GPU."""
    return triton_kernels(_index(device)) is not None


def _index(device: torch.device) -> int:
    """Return the index of a GPU; without an index, a device is the current one."""
    if device.index is not None:
        return device.index
    return torch.cuda.current_device() if torch.cuda.is_available() else -1


@cache
def _runs_on(device: int) -> bool:
    reason = why_unsupported(device)
    if reason:
        _log.warning("The GPU kernels are not used on GPU %d, because %s: plain torch is used instead.", device, reason)
    return not reason


@cache
def runs_search_on(device: int) -> bool:
    """True if the kernels that run on a GPU include the search; if not, log this once.

    Example:
        >>> runs_search_on(-1)
        True
    """
    reason = why_plain_search(device)
    if reason:
        _log.warning("Plain torch searches neighbors on GPU %d, because %s.", device, reason)
    return not reason


def why_unsupported(device: int) -> str:
    """Return the reason for which the kernels cannot run on a GPU, or an empty string.

    Args:
        device: Index of the GPU. One that does not exist belongs to fake tensors, and counts as supported.

    Example:
        >>> why_unsupported(1000)
        ''
    """
    if torch.version.hip is not None:
        return "they were written for NVIDIA GPUs"
    if device >= torch.cuda.device_count():
        return ""
    return _too_old(device, LEAST_CAPABILITY) or _compiler_fault()


def why_plain_search(device: int) -> str:
    """Return the reason for which the search cannot run on a GPU that supports the other kernels, or an empty string.

    Args:
        device: Index of the GPU, or -1 for the interpreter.

    Example:
        >>> why_plain_search(1000)
        ''
    """
    if not 0 <= device < torch.cuda.device_count():
        return ""
    return _too_old(device, LEAST_FOR_SEARCH) or _triton_too_old(device)


def _triton_too_old(device: int) -> str:
    import triton

    version = triton.__version__
    if torch.cuda.get_device_capability(device)[0] not in NEEDS_NEWER_TRITON:
        return ""
    if tuple(int(part) for part in version.split(".")[:2]) >= SEARCH_TRITON:
        return ""
    needed = ".".join(map(str, SEARCH_TRITON))
    name = torch.cuda.get_device_name(device)
    return f"Triton {version} cannot compile the kernel for {name}; {needed} can, which newer versions of torch install"


def _too_old(device: int, least: tuple[int, int]) -> str:
    capability = torch.cuda.get_device_capability(device)
    if capability >= least:
        return ""
    name, (has, needed) = torch.cuda.get_device_name(device), (".".join(map(str, pair)) for pair in (capability, least))
    return f"{name} has compute capability {has}, and the kernels need {needed}"


@cache
def _compiler_fault() -> str:
    """Return why Triton cannot compile kernels, or an empty string: its driver needs a C compiler and a cache folder.

    Images of containers often have none. Otherwise the first launch would end the program.
    """
    import triton

    try:
        triton.runtime.driver.active.get_current_target()
    except _FAULTS as error:
        return f"Triton cannot compile them ({' '.join(str(error).split())[:200]})"
    return ""
