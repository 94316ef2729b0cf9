"""Messages about unknown names: the name that was probably meant, and a few of the valid ones."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

#: Number of names up to which all are listed.
_ALL = 16
#: Number of names that are listed of more.
_FEW = 6


def choose(name: object, known: Collection[str], *, verb: str = "choose one of", every: str = "") -> str:
    """Return the end of a message about an unknown name: the nearest valid name first, and then which ones there are.

    Letter case counts little.

    Args:
        verb: The advice before the names, as the rest of a sentence.
        every: What lists all names, if a few are shown only.

    Example:
        >>> f"Unknown conv 'mrx'{choose('mrx', ['mr', 'edge'])}."
        "Unknown conv 'mrx'. Did you mean 'mr'? Choose one of mr, edge."
        >>> f"Unknown conv 'gcn'{choose('gcn', ['mr', 'edge'])}."
        "Unknown conv 'gcn': choose one of mr, edge."
    """
    close = _near(name, known, n=1)
    listed = few_names(name, known, every=every)
    return f". Did you mean {close[0]!r}? {verb[0].upper()}{verb[1:]} {listed}" if close else f": {verb} {listed}"


def few_names(name: object, known: Collection[str], *, every: str = "") -> str:
    """Return the valid names; of many those nearest to an unknown one, or the first ones if no name is near.

    Example:
        >>> few_names("x9", [f"x{i}" for i in range(40)], every="list_x() has all")
        'x7, x8, x9, x19, x29, x39 and 34 more (list_x() has all)'
    """
    if len(known) <= _ALL:
        return ", ".join(known)
    order = list(known)
    near = order[:_FEW]
    if _near(name, order, n=1):
        near = sorted(_near(name, order, n=_FEW, cutoff=0), key=order.index)
    return f"{', '.join(near)} and {len(order) - len(near)} more{f' ({every})' if every else ''}"


def _near(name: object, known: Collection[str], *, n: int, cutoff: float = 0.6) -> list[str]:
    """Return the valid names that are nearest to a name, the nearest first, whatever the case of their letters."""
    by_folded: dict[str, list[str]] = {}
    for one in known:
        by_folded.setdefault(one.casefold(), []).append(one)
    close = get_close_matches(str(name)[:100].casefold(), by_folded, n=n, cutoff=cutoff)
    return [one for folded in close for one in by_folded[folded]][:n]
