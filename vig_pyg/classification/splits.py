"""Division of a data set into training and validation images, and checks for probable mistakes."""

from __future__ import annotations

import filecmp
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vig_pyg._io.numbers import counted
from vig_pyg._io.text import terminal_text
from vig_pyg.image_io import StoredImage, UnreadableImageError
from vig_pyg.image_io._class_folders import some

_log = logging.getLogger(__name__)

#: An image file, or an image that is stored in another file.
Source = str | StoredImage
#: Images, and their labels as class indices.
Samples = tuple[Sequence[Source], list[int]]

#: Share of the images that is used for validation if the data is not divided.
SHARE = 0.2
#: Limits of the search for copies: number of files whose size is read, and number of bytes that are compared.
_MOST_FILES, _MOST_BYTES = 200_000, 1 << 28
#: Number of bytes at the start and in the middle of a file, by which most images of the same size differ.
_PIECE = 4096


@dataclass(frozen=True)
class Split:
    """The training and validation images of a folder or a table."""

    class_names: list[str]
    train: Samples
    val: Samples
    left_out: Sequence[str] = field(default=(), kw_only=True, repr=False)


def divided(paths: Sequence[Source], labels: list[int], class_names: list[str], where: Path | str) -> Split:
    """Use a stratified fifth of the images for validation, at least one per class; the split is always the same.

    Raises:
        ValueError: If a class has only one image, which cannot be used for both training and validation.

    Example:
        >>> len(divided([f"{i}.png" for i in range(20)], [0, 1] * 10, ["cat", "dog"], Path("pets")).val[0])
        4
    """
    counts = Counter(labels)
    single = [class_names[label] for label in sorted(counts) if counts[label] == 1]
    if single:
        have = "has" if len(single) == 1 else "have"
        raise ValueError(
            f"{where} is not divided into train and val, and {len(single)} of {len(counts)} classes {have} only one "
            f"image ({some(single)}), so it cannot be divided: add images, remove these classes, or divide the data "
            "yourself into train and val."
        )
    from sklearn.model_selection import train_test_split  # evaluation imports this module without scikit-learn

    size = max(math.ceil(SHARE * len(labels)), len(counts))
    held = set(train_test_split(range(len(labels)), test_size=size, stratify=labels, random_state=0)[1])
    _log.warning(
        "%s is not divided: a fixed, stratified fifth is used for validation, %d of %d images of %s (%s).",
        terminal_text(where), len(held), len(labels), counted(len(counts), "classes"), some(class_names),
    )  # fmt: skip
    return Split(class_names, *(chosen(paths, labels, [(i in held) == val for i in range(len(labels))])
                                for val in (False, True)))  # fmt: skip


def without_classes(split: Split, lost: Sequence[int]) -> Split:
    """Return a division without some classes; the others keep their order.

    Example:
        >>> without_classes(Split(["cat", "dog"], (["a.png"], [1]), (["b.png", "c.png"], [0, 1])), [0])
        Split(class_names=['dog'], train=(['a.png'], [0]), val=(['c.png'], [0]))
    """
    kept = [i for i in range(len(split.class_names)) if i not in lost]
    number = {label: i for i, label in enumerate(kept)}
    parts = []
    for paths, labels in (split.train, split.val):
        there, old = chosen(paths, labels, [label in number for label in labels])
        parts.append((there, [number[label] for label in old]))
    return Split([split.class_names[i] for i in kept], *parts, left_out=split.left_out)


def chosen(paths: Sequence[Source], labels: Sequence[int], choice: Sequence[bool]) -> Samples:
    """Return the images for which `choice` is true.

    Example:
        >>> chosen(["a.png", "b.png"], [0, 1], [False, True])
        (['b.png'], [1])
    """
    return [p for p, yes in zip(paths, choice, strict=True) if yes], [
        c for c, yes in zip(labels, choice, strict=True) if yes
    ]


def check_split(split: Split, where: Path | str) -> None:
    """Log probable mistakes in a division: similar class names, missing classes, and copied images."""
    shown = terminal_text(where)
    similar = [f"{first} and {second}" for first, second in similar_names(split.class_names)]
    if similar:
        _log.warning("%s has separate classes whose names are nearly equal: %s.", shown, some(similar))
    there = set(split.val[1])
    absent = [name for i, name in enumerate(split.class_names) if i not in there]
    if absent:
        _log.warning(
            "%s has no validation images of %d of %d classes (%s): these classes are not evaluated.",
            shown, len(absent), len(split.class_names), some(absent),
        )  # fmt: skip
    copies = find_copies(split.train[0], split.val[0])
    if copies:
        held, trained = map(terminal_text, copies[0])
        copy = "is an exact copy" if len(copies) == 1 else "are exact copies"
        _log.warning(
            "%d of %d validation images of %s %s of training images, such as %s of %s: the validation "
            "accuracy will be too high.",
            len(copies), len(split.val[0]), shown, copy, held, trained,
        )  # fmt: skip


def similar_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of names that differ only in letter case, spaces or leading zeros.

    Example:
        >>> similar_names(["cat", "dog", "Cat"])
        [('cat', 'Cat')]
    """
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        key = "".join(name.casefold().split()).replace("_", "").replace("-", "")
        if key.replace(".", "", 1).isdecimal():
            key = key.lstrip("0").removesuffix(".0")
        if first.setdefault(key, name) != name:
            pairs.append((first[key], name))
    return pairs


def find_copies(train: Sequence[Source], val: Sequence[Source]) -> list[tuple[Source, Source]]:
    """Find validation files that are copies of a training file, in bounded time.

    For files of the same size, two parts are compared first, and if these are equal, all bytes.
    """
    held = [(path, _size(path)) for path in val[:_MOST_FILES]]
    wanted = {size for _, size in held} - {0}
    sizes: defaultdict[int, list[Source]] = defaultdict(list)
    for path in train[:_MOST_FILES]:
        if (size := _size(path)) in wanted:
            sizes[size].append(path)
    left = _MOST_BYTES
    pieces: dict[int, defaultdict[tuple[bytes, bytes], list[Source]]] = {}
    found: list[tuple[Source, Source]] = []
    for path, size in held:
        if size not in sizes or left < 0:
            continue
        if size not in pieces:
            pieces[size] = defaultdict(list)
            for other in sizes[size][: left // (2 * _PIECE) + 1]:
                pieces[size][_pieces(other, size)].append(other)
                left -= 2 * _PIECE
        left -= 2 * _PIECE
        for other in pieces[size].get(_pieces(path, size), [])[:4]:
            left -= 2 * size
            if left < 0 or _same(path, other):
                found += [(path, other)] if left >= 0 else []
                break
    return found


def _size(source: Source) -> int:
    if isinstance(source, StoredImage):
        return source.size
    try:
        return os.stat(source).st_size
    except (OSError, ValueError):  # a missing file is reported when it is read
        return 0


def _pieces(source: Source, size: int) -> tuple[bytes, bytes]:
    try:
        if isinstance(source, StoredImage):
            content = _content(source)
            return content[:_PIECE], content[size // 2 : size // 2 + _PIECE]
        with open(source, "rb") as file:
            start = file.read(_PIECE)
            file.seek(size // 2)
            return start, file.read(_PIECE)
    except (OSError, UnreadableImageError):
        return b"", os.fsencode(str(source))


def _same(first: Source, second: Source) -> bool:
    try:
        if isinstance(first, str) and isinstance(second, str):
            return filecmp.cmp(first, second, shallow=False)
        return _content(first) == _content(second)
    except (OSError, UnreadableImageError):
        return False


def _content(source: Source) -> bytes:
    content = source.content() if isinstance(source, StoredImage) else Path(source).read_bytes()
    return content if isinstance(content, bytes) else b""
