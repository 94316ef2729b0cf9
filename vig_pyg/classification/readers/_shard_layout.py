"""Assignment of the shards in a folder to the parts of a data set."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from vig_pyg._io.bounded_json import read_bounded, read_json
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text
from vig_pyg.classification.folders import TEST, TRAIN, VAL, part_of
from vig_pyg.image_io import is_passed_over
from vig_pyg.image_io._class_folders import some

_log = logging.getLogger(__name__)

#: timm's files that describe the parts, and files of other collections with one class name per line.
_INFO, _NAMES = ("_info.json", "info.json"), ("classnames.txt", "class_names.txt", "classes.txt")
#: Largest file of class names in bytes, and largest number of names that a pattern may describe.
_NAMES_LIMIT, _MOST_SHARDS = 4 << 20, 1 << 17
_BRACES = re.compile(r"\{([^{}]*)\}")
_WILD = re.compile(r"[{*?\[]")
_PART_WORDS = {word: words[0] for words in (TRAIN, VAL, TEST) for word in words}


def find_shards(name: str, splits: Sequence[str]) -> tuple[Path, dict[str, list[Path]]]:
    """Return the folder of a data set, and the shards of each of its parts; `""` is the name of data without parts.

    Args:
        name: A folder, an archive, or a pattern such as `"shards/pets-{train,val}-{000..127}.tar"`.
        splits: Further parts, as patterns within the folder, such as `"pets-train-{000..099}.tar"`.

    Raises:
        FileNotFoundError: If there is no such folder or archive, or a listed shard does not exist.
        ValueError: If the folder has no shards, or its list of shards is not as expected.
    """
    path = Path(name)
    if path.is_file():
        return path.parent, {"": [_plain(path)]}
    if not path.is_dir():
        first = next((i for i, part in enumerate(path.parts) if _WILD.search(part)), None)
        if first is None:
            raise FileNotFoundError(f"There is no folder with shards at {path}.{did_you_mean(path)}")
        root = Path(*path.parts[:first])
        return root, _by_name(root, _matches(root, "/".join(path.parts[first:])))
    info = _info_of(path)
    parts = _listed(path, info) if info else _by_name(path, _all_shards(path))
    for split in splits:
        # Timm's list also has the number of samples, which is not needed, because samples are counted.
        pattern = split.partition("|")[0]
        if split not in parts and pattern.endswith(".tar"):
            parts[split] = _matches(path, pattern)
    return path, parts


def class_names_of(root: Path) -> list[str] | None:
    """Return the class names that a folder lists, or `None`."""
    path = next((root / one for one in _NAMES if (root / one).is_file()), None)
    if path is None:
        return None
    names = [line.strip() for line in read_bounded(path, limit=_NAMES_LIMIT).splitlines()]
    while names and not names[-1]:
        names.pop()
    return names


def json_key_of(root: Path, split: str) -> str | None:
    """Return the key of the labels that timm's list of shards names for a part (`alt_label`), or `None`."""
    info = _info_of(root)
    entry = read_json(info).get("splits", {}).get(split) if info else None
    key = entry.get("alt_label") if isinstance(entry, dict) else None
    return key if isinstance(key, str) and key else None


def _info_of(root: Path) -> Path | None:
    """Return the list of shards, or `None` if there is none; an `info.json` of another program is ignored."""
    found = next((root / name for name in _INFO if (root / name).is_file()), None)
    is_list = found is not None and (found.name == _INFO[0] or "splits" in read_json(found))
    return found if is_list else None


def _listed(root: Path, info: Path) -> dict[str, list[Path]]:
    """Return the parts of timm's list of shards; a name that leads out of the folder raises an error."""
    splits = read_json(info).get("splits")
    if not isinstance(splits, dict) or not splits:
        raise ValueError(f"{info} must have the entry splits, a mapping from the names of parts to their shards.")
    return {name: _shards_of(root, f"{info}: splits.{terminal_text(name)}", entry) for name, entry in splits.items()}


def _shards_of(root: Path, where: str, entry: Any) -> list[Path]:
    names = entry.get("filenames") if isinstance(entry, dict) else None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where} must have the entry filenames, a list of shards.")
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or ":" in name or "\0" in name:
            raise ValueError(f"{where} names the shard {terminal_text(name)!r}, which is not in {root}.")
        if not (root / name).is_file():
            raise FileNotFoundError(f"{where} names the shard {terminal_text(name)}, which does not exist in {root}.")
    return [_plain(root / name) for name in names]


def _all_shards(root: Path) -> list[Path]:
    """Return the archives in a folder and in its subfolders, in order."""
    found = [path for pattern in ("*.tar", "*/*.tar") for path in root.glob(pattern) if path.is_file()]
    shards = sorted(path for path in found if not any(map(is_passed_over, path.relative_to(root).parts)))
    if not shards:
        packed = next((path for end in ("gz", "bz2", "xz", "zst") for path in root.glob(f"*.tar.{end}")), None)
        advice = (
            f" Uncompress {packed.name} and the others: images cannot be read one by one from a compressed archive."
            if packed
            else ""
        )
        raise ValueError(f"{root} has no shards: no file ends in .tar.{advice}")
    return shards


def _plain(path: Path) -> Path:
    if path.suffix.lower() != ".tar":
        raise ValueError(f"{path} is not a shard: expected an archive that ends in .tar, and is not compressed.")
    return path


def _by_name(root: Path, shards: list[Path]) -> dict[str, list[Path]]:
    """Divide shards by the words train, val and test in the names of their folders or files."""
    parts: dict[str, list[Path]] = {}
    for shard in shards:
        folders = [part_of(name) for name in shard.relative_to(root).parts[:-1]]
        parts.setdefault(next(filter(None, folders), "") or _part_in(shard.stem), []).append(shard)
    if len(parts) > 1 and "" in parts:
        others = parts.pop("")
        _log.warning(
            "%s has %d shards whose names contain none of train, val and test; they are not used (%s).",
            terminal_text(root), len(others), some(path.name for path in others),
        )  # fmt: skip
    return parts


def _part_in(stem: str) -> str:
    """Return the part that a file name contains as a word, or `""`.

    Example:
        >>> _part_in("imagenet1k-validation-00"), _part_in("train0001"), _part_in("constrained-1")
        ('val', 'train', '')
    """
    words = re.split(r"[^a-z]+", stem.casefold())
    found = {_PART_WORDS[word] for word in words if word in _PART_WORDS}
    return found.pop() if len(found) == 1 else ""


def _matches(root: Path, pattern: str) -> list[Path]:
    """Return the shards that a pattern with braces and wildcards names, relative to a folder."""
    found: list[Path] = []
    for name in _expanded(pattern):
        if _WILD.search(name):
            inside = [path for path in _all_shards(root) if fnmatchcase(path.relative_to(root).as_posix(), name)]
        else:
            inside = [_plain(root / name)]
            if not inside[0].is_file():
                raise FileNotFoundError(f"There is no shard {inside[0]}, which {pattern} names.")
        found += inside
    if not found:
        raise FileNotFoundError(f"There is no shard {pattern} in {root}.")
    return list(dict.fromkeys(found))


def _expanded(pattern: str) -> list[str]:
    """Return the names that a pattern with braces describes.

    Example:
        >>> _expanded("{train,val}-{08..10}.tar")[:4]
        ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']
    """
    choices: list[list[str]] = []
    total = 1
    for i, piece in enumerate(_BRACES.split(pattern)):
        numbers = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", piece) if i % 2 else None
        if numbers:
            first, last = int(numbers[1]), int(numbers[2])
            total *= max(0, last - first + 1)
        choice = piece.split(",") if i % 2 and not numbers else [piece]
        total *= len(choice)
        if not 0 < total <= _MOST_SHARDS:
            raise ValueError(f"The pattern {pattern} names {total} shards, expected 1 to {_MOST_SHARDS}.")
        if numbers:
            width = len(numbers[1])
            choice = [f"{number:0{width}}" for number in range(first, last + 1)]
        choices.append(choice)
    return ["".join(parts) for parts in product(*choices)]
