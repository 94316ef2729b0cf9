"""Checks that optional packages are installed before any work begins; errors give the command that installs them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

TRAIN = ("lightning", "torchmetrics", "sklearn", "safetensors", "timm", "yaml", "rich", "jsonargparse")


def require(purpose: str, modules: Sequence[str], extras: str) -> None:
    """Check that modules can be imported, without importing them.

    Args:
        purpose: The feature that needs the modules; it is the subject of the error message.
        modules: Names of the modules.
        extras: Extras of this package that install the modules, separated by commas.

    Raises:
        ImportError: If a module is missing; the message states the command that installs it.

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
    """Check the packages that are needed to train a detector, or if `curves` is false, to evaluate one."""
    modules = [*TRAIN, "pycocotools", *(["matplotlib"] if curves else [])]
    require(purpose, modules, "train,plot,detection" if curves else "train,detection")
