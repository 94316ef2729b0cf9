"""Loading of the compiled CPU kernels through ctypes."""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch

from vig_pyg._io.launcher import as_started

_log = logging.getLogger(__name__)

#: Expected result of `vig_version` in cpu.c; kernels of another version have other arguments.
VERSION = 4
_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
#: Arguments of each function of cpu.c: p for a pointer, n for a number; the result is an int.
_SIGNATURES = {
    "vig_version": "",
    "vig_nearest": "pppnnnnnnnnnnppn",
    "vig_first_edges": "ppnnnpn",
    "vig_max_relative": "ppppnnnnppn",
    "vig_max_relative_backward": "ppppnnppn",
    "vig_norm_stats": "pnnnppn",
    "vig_norm_apply": "pnnnnppppnn",
    "vig_norm_slope": "pnnpppn",
    "vig_each": "pnn",
    "vig_norm_backward": "pnpnnnnpppppppn",
}


def candidates() -> list[Path]:
    """Return the possible paths of the compiled kernels."""
    return [Path(__file__).with_name(f"_cpu{suffix}") for suffix in EXTENSION_SUFFIXES]


@cache
def library() -> Any:
    """Return the compiled kernels, or `None` if they were not built or cannot be loaded."""
    for path in candidates():
        if not path.is_file():
            continue
        try:
            return load(path)
        except (OSError, AttributeError) as error:  # the OpenMP library is missing, or the kernels have another version
            _log.warning("The native kernels at %s cannot be loaded (%s): plain torch is used instead.", path, error)
            return None
    _log.warning(
        "vig_pyg was installed without its native kernels, because no C compiler was found or it failed: plain torch "
        "is used instead, which is slower on a CPU. `%s` shows details.",
        as_started("vig-pyg doctor"),
    )
    return None


def load(path: Path) -> Any:
    """Load the kernels from a file.

    Raises:
        OSError: If the file cannot be loaded, or contains kernels of another version.
        AttributeError: If a function is missing.
    """
    found = ctypes.CDLL(str(path))
    for name, arguments in _SIGNATURES.items():
        function = getattr(found, name)
        function.argtypes = [_POINTER if letter == "p" else _NUMBER for letter in arguments]
    if found.vig_version() != VERSION:
        raise OSError(f"version {found.vig_version()} and not {VERSION}: install vig_pyg again")
    return found


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_native_kernels() -> bool:
    """True if the native CPU kernels are available.

    Example:
        >>> has_native_kernels() in (True, False)
        True
    """
    return library() is not None
