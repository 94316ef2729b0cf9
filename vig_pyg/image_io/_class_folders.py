"""Reading of folders that contain one folder of images for each class."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from vig_pyg._io.numbers import are, counted
from vig_pyg._io.text import terminal_text
from vig_pyg.image_io._files import IMAGE_EXTENSIONS, folders_in, image_files, is_above, is_passed_over

_log = logging.getLogger("vig_pyg.image_io")


def class_folders(folder: Path) -> dict[str, list[str]]:
    """Return a mapping from the name of each class folder to its images; an empty folder has no images.

    Folders that an operating system creates are not classes. Links to a parent folder, or to a folder that was already
    found, are not classes either. Names are normalized to Unicode NFC, because macOS stores accents in another form.
    Images outside of the class folders are logged.

    Raises:
        ValueError: If it contains no folder.
        OSError: If it cannot be read.
    """
    found: dict[str, list[str]] = {}
    seen: dict[str, Path] = {}
    links: dict[str, str] = {}
    here = os.path.realpath(folder)
    for inside in sorted(folders_in(folder), key=lambda path: (path.is_symlink(), path)):
        real = os.path.realpath(inside)
        if real in seen or here == real or is_above(real, here):
            _log.warning("%s is not a class: it links to %s.", *map(terminal_text, (inside, seen.get(real, real))))
            continue
        seen[real] = inside
        name = composed(inside.name)
        if name in found:
            _log.warning("%s has two folders called %s, with accents encoded differently: they become one class.",
                         *map(terminal_text, (folder, name)))  # fmt: skip
        files = image_files(inside)
        found[name] = found.get(name, []) + sorted(files.values())
        links |= {path: file for file, path in files.items() if not is_above(real, file)}
    if not found:
        raise ValueError(f"{folder} needs one folder of images for each class: it contains no folders.")
    _check_links(links, list(seen))
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not is_passed_over(entry.name) and entry.is_file())
    loose = [name for name in names if os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS]
    if loose:
        _log.warning(
            "%s in %s %s outside of the class folders and %s not used (%s).",
            counted(len(loose), "images"), terminal_text(folder), are(len(loose)), are(len(loose)), some(loose),
        )  # fmt: skip
    return dict(sorted(found.items()))


def _check_links(links: dict[str, str], classes: list[str]) -> None:
    """Log images that are reached by links from two classes."""
    first: dict[str, str] = {}
    both = [path for path, file in links.items()
            if first.setdefault(file, path) != path or any(is_above(real, file) for real in classes)]  # fmt: skip
    if both:
        path = both[0]
        _log.warning("%s %s in two classes because of links, such as %s, which links to %s.",
                     counted(len(both), "images"), are(len(both)),
                     *map(terminal_text, (path, links[path])))  # fmt: skip


def composed(name: str) -> str:
    r"""Normalize a name to Unicode NFC, so that accents have one form.

    Example:
        >>> composed("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def some(values: Iterable[object], most: int = 4) -> str:
    """Return the first values in one line, escaped for a terminal, and how many are left out.

    Example:
        >>> some("abcdef"), some("abcd")
        ('a, b, c, d and 2 more', 'a, b, c, d')
    """
    shown = [terminal_text(value) for value in values]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return f"{', '.join(shown[:most])}{more}"
