"""Numbers as commands and progress lines write them; files have all digits."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """Return a share as percent with one decimal, or `"-"` if it is not a number.

    Args:
        share: The share, 1 for all.

    Example:
        >>> percent(0.9754), percent(float("nan"))
        ('97.5 %', '-')
    """
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def counted(count: int, what: str) -> str:
    """Return a number with separators of thousands, and what it counts.

    Args:
        count: The number.
        what: What is counted, in the plural, such as `"images"`, `"classes"` or `"epochs each"`.

    Example:
        >>> counted(1234, "images"), counted(1, "images"), counted(1, "classes")
        ('1,234 images', '1 image', '1 class')
    """
    if count == 1:
        first, *rest = what.split(" ")
        one = first.removesuffix("es") if first.endswith(("sses", "xes")) else first.removesuffix("s")
        what = " ".join([one, *rest])
    return f"{count:,} {what}"


def per_second(rate: float, what: str = "images") -> str:
    """Return a speed; a slow one has a decimal.

    Args:
        rate: How many in a second.
        what: What is counted, in the plural.

    Example:
        >>> per_second(1234.5), per_second(2.34)
        ('1,234 images/s', '2.3 images/s')
    """
    return f"{rate:,.0f} {what}/s" if rate >= 100 else f"{rate:.1f} {what}/s"
