"""Numbers as commands and progress lines write them; files have all digits."""

from __future__ import annotations

import math


def percent(share: float) -> str:
    """Return a share as percent with one decimal, or `"-"` if it is not a number.

    Example:
        >>> percent(0.9754), percent(float("nan"))
        ('97.5 %', '-')
    """
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def counted(count: int, what: str) -> str:
    """Return a number with separators of thousands, and what it counts.

    Args:
        what: What is counted, in the plural, such as `"images"`, `"classes"`, `"epochs each"` or `"training steps"`.

    Example:
        >>> counted(1234, "images"), counted(1, "images"), counted(1, "classes")
        ('1,234 images', '1 image', '1 class')
    """
    if count == 1:
        words = what.split(" ")
        noun = next((word for word in words if word.endswith("s")), "")
        one = noun.removesuffix("es") if noun.endswith(("sses", "xes", "tches")) else noun.removesuffix("s")
        what = " ".join(one if word == noun else word for word in words)
    return f"{count:,} {what}"


def are(count: int) -> str:
    """Return the verb for a number of things.

    Example:
        >>> are(1), are(2)
        ('is', 'are')
    """
    return "is" if count == 1 else "are"


def per_second(rate: float, what: str = "images") -> str:
    """Return a speed; a slow one has a decimal.

    Example:
        >>> per_second(1234.5), per_second(2.34)
        ('1,234 images/s', '2.3 images/s')
    """
    return f"{rate:,.0f} {what}/s" if rate >= 100 else f"{rate:.1f} {what}/s"


def few_images(count: int, *, shares: bool) -> str:
    """Return a remark if scores of so few validation images are imprecise, otherwise an empty text.

    Example:
        >>> few_images(5, shares=True), few_images(5, shares=False), few_images(100, shares=True)
        ('5 validation images, each counts 20.0 %', '5 validation images', '')
    """
    if not 0 < count < 100:
        return ""
    part = f", each counts {percent(1 / count)}" if shares and count > 1 else ""
    return f"{counted(count, 'validation images')}{part}"
