"""Checks that optional packages are installed before any work begins; errors give the command that installs them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec

TRAIN = ("lightning", "torchmetrics", "sklearn", "safetensors", "timm", "yaml", "rich", "jsonargparse")
#: The extra whose packages are compiled when they are installed, and import torch while they are built.
CLUSTER = "cluster"


def install_command(extras: str) -> str:
    """Return a command that installs the packages of extras into this environment.

    The command names the packages themselves rather than `vig-pyg[EXTRA]`, so that it works in a clone, after the
    installation of a wheel, and whether or not a package index has vig-pyg. Packages that are installed are left out.

    Example:
        >>> "install" in install_command("hub")
        True
    """
    names = extras.split(",")
    needed = [one for name in names for one in requirements_of(name)]
    absent = [one for one in needed if not _is_installed(one)] or needed
    pip = "pip" if find_spec("pip") else "uv pip"  # environments of uv contain no pip
    quoted = " ".join(f'"{one}"' for one in dict.fromkeys(absent))
    if not quoted:  # the package is used without being installed
        return f"install the packages of the extra{'s' if len(names) > 1 else ''} {', '.join(names)} in pyproject.toml"
    if CLUSTER in names:
        return f"{pip} install setuptools && {pip} install --no-build-isolation {quoted}"
    return f"{pip} install {quoted}"


def missing_message(problem: str, extras: str) -> str:
    """Return an error message that states the problem, the extras, and the command that installs them.

    Args:
        problem: What needs which package, without a period.

    Example:
        >>> missing_message("Drawing needs matplotlib", "plot").partition(": ")[0]
        'Drawing needs matplotlib (extra plot)'
    """
    names = extras.split(",")
    return f"{problem} (extra{'s' if len(names) > 1 else ''} {', '.join(names)}): {install_command(extras)}"


def requirements_of(extra: str) -> list[str]:
    """Return the requirements of an extra such as `["matplotlib>=3.10.7"]`; empty if vig-pyg is not installed."""
    try:
        lines = metadata.requires("vig-pyg") or []
    except metadata.PackageNotFoundError:
        return []
    found: list[str] = []
    for line in lines:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if re.search(rf"""\bextra\s*==\s*['"]{re.escape(extra)}['"]""", marker):
            own = re.match(r"vig[-_]pyg\[(.+)\]", requirement)
            found += [one for part in own[1].split(",") for one in requirements_of(part)] if own else [requirement]
    return list(dict.fromkeys(found))


def is_complete(extra: str) -> bool:
    """True if all packages of an extra are installed."""
    return all(_is_installed(one) for one in requirements_of(extra))


def _is_installed(requirement: str) -> bool:
    """True if any version of the distribution is installed."""
    name = re.match(r"[\w.-]+", requirement)
    try:
        metadata.version(name[0] if name else requirement)
    except metadata.PackageNotFoundError:
        return False
    return True


def require(purpose: str, modules: Sequence[str], extras: str) -> None:
    """Check that modules can be imported, without importing them.

    Args:
        purpose: The feature that needs the modules; it is the subject of the error message.

    Raises:
        ImportError: If a module is missing; the message states the command that installs it.

    Example:
        >>> require("Training", ["torch"], "train")
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(missing_message(f"{purpose} needs {', '.join(missing)}", extras))


def require_training() -> None:
    """Check the packages of the extra `train`."""
    require("Training", TRAIN, "train,plot")


def require_detection(purpose: str = "Training a detector", *, curves: bool = True) -> None:
    """Check the packages that are needed to train a detector, or if `curves` is false, to evaluate one."""
    modules = [*TRAIN, "pycocotools", *(["matplotlib"] if curves else [])]
    require(purpose, modules, "train,plot,detection" if curves else "train,detection")
