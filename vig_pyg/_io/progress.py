"""The progress bar of everything that takes long, except for training: its bar also shows the epochs, in this form."""

from __future__ import annotations

import sys
from typing import Any


def bar_look(*, shown: bool, unit: str = "images") -> dict[str, Any]:
    """Return the options of tqdm for a bar on standard error, which is hidden unless that is a terminal.

    Args:
        unit: What is counted; a unit of bytes (`"B"`) gets prefixes such as `MB`.

    Example:
        >>> bar_look(shown=False)["disable"]
        True
    """
    plain = not (getattr(sys.stderr, "encoding", None) or "").lower().startswith("utf")
    scaled: dict[str, Any] = {"unit_scale": True, "unit_divisor": 1024} if unit == "B" else {}
    return {
        "bar_format": "{bar:40} {percentage:3.0f} % {n_fmt}/{total_fmt}  {rate_noinv_fmt}  {elapsed} left {remaining}",
        "unit": f" {unit}" if unit != "B" else unit,
        "ascii": True if plain else " ━",
        # With None, the bar is shown only on a terminal; a closed standard error is None itself.
        "disable": None if shown and sys.stderr is not None else True,
        "leave": False,
        **scaled,
    }


def progress_bar(total: int, *, shown: bool = True, unit: str = "images") -> Any:
    """Return a bar (tqdm) for a `with` statement, whose `update` gets the number of things that are done.

    Example:
        >>> with progress_bar(2, shown=False) as bar:
        ...     _ = bar.update(1)
    """
    from tqdm import tqdm

    return tqdm(total=total, **bar_look(shown=shown, unit=unit))
