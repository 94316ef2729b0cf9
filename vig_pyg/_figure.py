"""Figures without global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vig_pyg._requirements import missing_message

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(width: float, height: float) -> Figure:
    """Create an empty figure with a size in inches; if matplotlib is missing, the error states the install command."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(missing_message("Drawing needs matplotlib", "plot")) from error
    return Figure(figsize=(width, height), layout="constrained", dpi=120)
