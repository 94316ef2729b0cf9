"""The tables and lists of all commands: plain text in columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vig_pyg._io.numbers import percent
from vig_pyg._io.text import terminal_text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines with aligned columns: the first column to the left, which holds names, and the others to the right.

    Args:
        head: Names of the columns; if all are empty, there is no such line.

    Example:
        >>> print(table(["class", "images"], [["cat", "12"], ["tiger", "3"]]))
        class  images
        cat        12
        tiger       3
    """
    lines = [[terminal_text(row[0], limit=60), *row[1:]] for row in rows]
    lines = [list(head), *lines] if any(head) else lines
    if not lines:
        return ""
    columns = [padded(column, right=i > 0) for i, column in enumerate(zip(*lines, strict=True))]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def padded(texts: Sequence[str], *, right: bool = False) -> list[str]:
    """Return the texts of a column with spaces, so that all have one width on a terminal.

    Example:
        >>> padded(["a", "bcd"])
        ['a  ', 'bcd']
    """
    most = max(map(_width, texts), default=0)
    spaces = [" " * (most - _width(text)) for text in texts]
    return [space + text if right else text + space for text, space in zip(texts, spaces, strict=True)]


def scores_table(scores: Mapping[str, float]) -> str:
    """Return the scores of a detector or a segmentation network, one in a line.

    Args:
        scores: Shares by name; below 0 where the data has nothing to be scored.

    Example:
        >>> print(scores_table({"AP": 0.25, "AP50": -1.0}))
        AP            25.0 %
        AP50  no such object
    """
    return table(
        ["", ""], [[name, "no such object" if share < 0 else percent(share)] for name, share in scores.items()]
    )


def file_list(paths: Iterable[Path]) -> str:
    """Return the written files, one in a line.

    Example:
        >>> file_list([Path("run/a.png")])
        '  run/a.png'
    """
    return "\n".join(f"  {terminal_text(path)}" for path in paths)


def _width(text: str) -> int:
    """Return the number of columns on a terminal: letters of East Asia have two, and accents none."""
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
