"""Folders that hold one folder of images for each class, as people have them."""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from vig_pyg._io.text import terminal_text
from vig_pyg.image_io._files import IMAGE_EXTENSIONS, folders_in, image_files, is_above, is_passed_over

_log = logging.getLogger("vig_pyg.image_io")


def class_folders(folder: Path) -> dict[str, list[str]]:
    """Find the images of each class, by the name of its folder; of an empty folder none.

    What systems leave behind is no class, and neither is a link to a folder that is there already, or to one above.
    Names are composed (Unicode's NFC), since a Mac writes accents in another way. Images in no folder are logged.

    Args:
        folder: The folder of the folders.

    Raises:
        ValueError: If there is no folder in it.
        OSError: If it cannot be read.
    """
    found: dict[str, list[str]] = {}
    seen: dict[str, Path] = {}
    links: dict[str, str] = {}
    here = os.path.realpath(folder)
    for inside in sorted(folders_in(folder), key=lambda path: (path.is_symlink(), path)):
        real = os.path.realpath(inside)
        if real in seen or here == real or is_above(real, here):
            _log.warning("%s is no class: it links to %s.", *map(terminal_text, (inside, seen.get(real, real))))
            continue
        seen[real] = inside
        name = composed(inside.name)
        if name in found:
            _log.warning("%s has two folders called %s, with accents written in two ways: they are one class.",
                         *map(terminal_text, (folder, name)))  # fmt: skip
        files = image_files(inside)
        found[name] = found.get(name, []) + sorted(files.values())
        links |= {path: file for file, path in files.items() if not is_above(real, file)}
    if not found:
        raise ValueError(f"{folder} needs one folder of images for each class: it has no folders.")
    _check_links(links, list(seen))
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not is_passed_over(entry.name) and entry.is_file())
    loose = [name for name in names if os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS]
    if loose:
        _log.warning(
            "%d images in %s are in no folder of a class and are not used (%s).",
            len(loose), terminal_text(folder), some(loose),
        )  # fmt: skip
    return dict(sorted(found.items()))


def _check_links(links: dict[str, str], classes: list[str]) -> None:
    """Log images that are reached by links from two classes."""
    first: dict[str, str] = {}
    both = [path for path, file in links.items()
            if first.setdefault(file, path) != path or any(is_above(real, file) for real in classes)]  # fmt: skip
    if both:
        path = both[0]
        _log.warning("%d images are in two classes by links, such as %s, which is %s.",
                     len(both), *map(terminal_text, (path, links[path])))  # fmt: skip


def composed(name: str) -> str:
    r"""Compose the accents of a name in one way.

    Example:
        >>> composed("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def some(values: Iterable[object], most: int = 4) -> str:
    """Show the first values in one line, safe for a terminal.

    Example:
        >>> some("abcdef")
        'a, b, c, d, ...'
    """
    shown = [terminal_text(value) for value in values]
    return ", ".join(shown[:most] + ["..."] * (len(shown) > most))
