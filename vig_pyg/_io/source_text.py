"""Sources of data as text: a file or folder, and the part of it after a colon."""

from __future__ import annotations

from pathlib import Path


def path_and_part(source: str | Path) -> tuple[Path, str | None]:
    """Divide a source such as `voc:train` at its last colon, unless a file or folder has the whole text as its name.

    Example:
        >>> path, part = path_and_part("nowhere:train"); str(path), part
        ('nowhere', 'train')
    """
    text = str(source)
    head, _, tail = text.rpartition(":")
    return (Path(head), tail) if head and not Path(text).exists() else (Path(text), None)
