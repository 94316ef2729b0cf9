"""Packages of extras: found before any work begins, or named with the command that installs them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

TRAIN = ("lightning", "torchmetrics", "sklearn", "safetensors", "timm", "yaml", "rich", "jsonargparse")


def require(purpose: str, modules: Sequence[str], extras: str) -> None:
    """Check that modules can be imported, without importing them.

    Args:
        purpose: The work that needs them, as the subject of the message.
        modules: Names of modules.
        extras: Extras of this package that bring them, separated by commas.

    Raises:
        ImportError: If one is missing, with the command that installs it.

    Example:
        >>> require("Training", ["torch"], "train")
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(f'{purpose} needs {", ".join(missing)}: pip install "vig-pyg[{extras}]".')


def require_training() -> None:
    """Check the packages of the extra `train`."""
    require("Training", TRAIN, "train,plot")


def require_detection(purpose: str = "Training a detector", *, curves: bool = True) -> None:
    """Check what training a detector needs, or without `curves` what evaluating one needs."""
    modules = [*TRAIN, "pycocotools", *(["matplotlib"] if curves else [])]
    require(purpose, modules, "train,plot,detection" if curves else "train,detection")
