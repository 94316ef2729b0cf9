"""Detection of image files by their names, and search for them in folders."""

from __future__ import annotations

import fnmatch
import glob
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import features

from vig_pyg._io.faults import raise_all, read_each
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text

_log = logging.getLogger("vig_pyg.image_io")

_EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "AVIF": (".avif", ".avifs"),
}
#: Formats without which Pillow can be built.
_NEEDS = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}

#: Pillow's names of the supported formats. Other decoders are never used, because some run programs or have no limits.
IMAGE_FORMATS = tuple(name for name in _EXTENSIONS if name not in _NEEDS or features.check(_NEEDS[name]))
#: The message for files in other formats.
NOT_AN_IMAGE = f"not an image, or not in one of the formats {', '.join(IMAGE_FORMATS)} and NPY"
#: The extensions of image files in lower case, and that of NumPy arrays.
IMAGE_EXTENSIONS = frozenset({".npy"}.union(*(_EXTENSIONS[name] for name in IMAGE_FORMATS)))

#: Extensions of unsupported image formats; such files in a folder are logged.
_NOT_READ = {
    *(".heic", ".heif", ".jxl", ".tga", ".ico", ".psd", ".svg", ".exr", ".hdr", ".pcx", ".dds"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),  # raw photos
}
_OTHER = (_NOT_READ | {end for ends in _EXTENSIONS.values() for end in ends}) - IMAGE_EXTENSIONS
#: Folders and files that systems and programs create next to images, in addition to names that start with a dot.
_LEFT_BEHIND = frozenset({"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
_LEFT_BEHIND_FILES = frozenset({"thumbs.db", "desktop.ini"})


def is_passed_over(name: str) -> bool:
    """True if a file or folder with this name is skipped: hidden (`._photo.jpg`) or created by a system (`__MACOSX`).

    Args:
        name: The name without the folder.

    Example:
        >>> is_passed_over(".ipynb_checkpoints"), is_passed_over("Thumbs.db"), is_passed_over("cat")
        (True, True, False)
    """
    return name.startswith(".") or name in _LEFT_BEHIND or name.lower() in _LEFT_BEHIND_FILES


def find_images(sources: Iterable[str | Path]) -> list[Path]:
    """Find the image files that files, folders and patterns name; each is listed once, in order.

    Args:
        sources: Files with any name; folders, in which all files with an image extension are found (see `images_in`);
            or patterns such as `"photos/**/*.jpg"`, in which `**` searches the same subfolders as `images_in`.

    Raises:
        FileNotFoundError: If a file or folder does not exist, or nothing matches a pattern.
        ValueError: If a folder contains no images, or a path is empty.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "cat.jpg").touch()
        ...     [path.name for path in find_images([folder])]
        ['cat.jpg']
    """
    named, errors = list(map(str, sources)), list[Exception]()
    found = read_each(_images_at, named, errors)
    raise_all(errors, len(named), what="paths")
    return list(dict.fromkeys(path for inside in found for path in inside))


def _images_at(source: str) -> list[Path]:
    """Return the image files that one file, folder or pattern names."""
    if not source:  # Path("") would be the current folder
        raise ValueError("A path of images is empty (''): name a file, a folder or a pattern, or . for this folder.")
    path = Path(source)
    if path.is_dir():
        inside = images_in(path)
        if not inside:
            ends = ", ".join(sorted(IMAGE_EXTENSIONS))
            raise ValueError(f"The folder {path} has no images: no file has one of the extensions {ends}.")
        return inside
    if os.path.lexists(path):
        return [path]
    inside = list(_matches(Path(path.anchor), path.relative_to(path.anchor).parts))
    if not inside:
        raise FileNotFoundError(f"There is no image at {source}.{did_you_mean(source)}")
    return inside


def images_in(folder: str | Path) -> list[Path]:
    """List the image files in a folder and its subfolders, in order; the extension may have any letter case.

    Names for which `is_passed_over` is true are skipped, and so are pipes, sockets and devices. Links are followed,
    but every folder and every file is listed once, and a link to a parent folder is skipped. A broken link is listed,
    so that reading it raises an error. Images in unsupported formats, and skipped links, are logged.

    Args:
        folder: The folder.

    Raises:
        OSError: If a folder cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "notes.txt").touch()
        ...     images_in(folder)
        []
    """
    return [Path(path) for path in sorted(image_files(folder).values())]


def image_files(folder: str | Path) -> dict[str, str]:
    """Return the files of `images_in` by their real paths, with links resolved."""
    files: list[tuple[bool, str, str]] = []  # links are last, so that a file is preferred to a link to this file
    other: dict[str, str] = {}
    for here, real, entries in _folders(_name(folder)):
        for entry in entries:
            end = os.path.splitext(entry.name)[1].lower()
            if end in _OTHER:
                other.setdefault(end, os.path.join(here, entry.name))
            link = entry.is_symlink()
            if end in IMAGE_EXTENSIONS and (_holds(entry.is_file) or (link and not os.path.exists(entry.path))):
                path = os.path.join(here, entry.name)
                files.append((link, path, os.path.realpath(path) if link else os.path.join(real, entry.name)))
    for end, path in other.items():
        _log.warning("Files that end in %s are not read: convert them to JPEG or PNG (%s).", end, terminal_text(path))
    found: dict[str, str] = {}
    for _, path, real in sorted(files):
        if found.setdefault(real, path) is not path:
            here, there = map(terminal_text, (path, found[real]))
            _log.warning("%s is skipped: it links to the file of %s.", here, there)
    return found


def folders_in(folder: str | Path) -> list[Path]:
    """List the folders in a folder, in order, without those for which `is_passed_over` is true.

    Args:
        folder: The folder.

    Raises:
        OSError: If the folder cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / "cat").mkdir()
        ...     [path.name for path in folders_in(folder)]
        ['cat']
    """
    return [Path(folder) / entry.name for entry in _entries(_name(folder)) if _holds(entry.is_dir)]


def is_above(real: str, other: str) -> bool:
    """True if the first folder contains the second; both are real paths."""
    return other.startswith(os.path.join(real, "")) and real != other


def _name(folder: str | Path) -> str:
    """Return the path in the form of `Path`; for the current folder, file names have no prefix."""
    name = str(Path(folder))
    return "" if name == "." else name


def _folders(folder: str) -> Iterator[tuple[str, str, list[os.DirEntry[str]]]]:
    """Yield the folder and its subfolders with real path and content, each once, even if several links refer to it."""
    start = os.path.realpath(folder)
    seen: set[str] = set()
    waiting = [(folder, start)]
    while waiting:
        here, real = waiting.pop()
        if real in seen:
            continue
        if is_above(real, start):
            _log.warning("%s is skipped: it links to a parent folder, %s.", *map(terminal_text, (here, real)))
            continue
        seen.add(real)
        entries = _entries(here)
        yield here, real, entries
        for entry in reversed(entries):
            if _holds(entry.is_dir):
                path = os.path.join(here, entry.name)
                waiting.append((path, os.path.realpath(path) if entry.is_symlink() else os.path.join(real, entry.name)))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """Return the entries of a folder in order, without the skipped ones."""
    with os.scandir(folder or ".") as entries:
        return sorted((entry for entry in entries if not is_passed_over(entry.name)), key=lambda entry: entry.name)


def _holds(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:  # circular links
        return False


def _matches(start: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Return the files that match a pattern; unlike in `glob`, circular links are followed only once."""
    if not parts:
        if os.path.lexists(start) and not start.is_dir():
            yield start
        return
    first, rest = parts[0], parts[1:]
    if not glob.has_magic(first):
        yield from _matches(start / first, rest)
    elif not start.is_dir():
        return
    elif first == "**":
        for folder, _, _ in _folders(_name(start)):
            yield from _matches(Path(folder), rest or ("*",))
    else:
        hidden = first.startswith(".")
        with os.scandir(start) as entries:
            names = sorted(entry.name for entry in entries if hidden or not is_passed_over(entry.name))
        for name in names:
            if fnmatch.fnmatch(name, first):
                yield from _matches(start / name, rest)
