"""`wds/...`: tar archives of WebDataset, in which files with the same name before the first dot form a sample."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from vig_pyg._io.text import terminal_text
from vig_pyg.classification.readers._shard_layout import class_names_of, find_shards, json_key_of
from vig_pyg.classification.readers._tar import DamagedTarError, Member, members
from vig_pyg.classification.readers.registry import Collection, Faults, Part, ReaderOptions, register_reader
from vig_pyg.image_io import IMAGE_EXTENSIONS, MAX_BYTES, StoredImage, UnreadableImageError, is_passed_over
from vig_pyg.image_io._class_folders import composed, some

_log = logging.getLogger(__name__)

#: Size in bytes of the largest label file, and of the largest `.json` file of a sample.
_LABEL_LIMIT, _JSON_LIMIT = 1_000, 1 << 16
#: Name and ending of a file, which WebDataset separates at the first dot of the file name.
_SAMPLE = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.S)


class ShardImage(StoredImage):
    """An image in a shard.

    Example:
        >>> str(ShardImage("a.tar", Member("1.jpg", 512, 3, "")))
        'a.tar: 1.jpg'
    """

    __slots__ = ("file", "name", "offset", "size")

    file: str

    def __init__(self, file: str, member: Member) -> None:
        self.file, self.name, self.offset, self.size = file, member.name, member.offset, member.size

    def content(self) -> bytes:
        if self.size > MAX_BYTES:
            raise UnreadableImageError(f"the file is larger than {MAX_BYTES} bytes")
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise UnreadableImageError("damaged or cut short (the shard has become shorter)")
        return content

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


@register_reader("wds")
def read_shards(name: str, options: ReaderOptions) -> Collection:
    """Read shards of WebDataset: tar archives with an image and a label (`.cls`) for each sample.

    Only the headers of the archives and the labels are read in advance, which gives each sample an index. Therefore a
    resumed training continues exactly in the middle of an epoch, and each process reads only its own images. The parts
    are those of timm's `_info.json`, or the words train, val and test in the names of folders or files. Class names are
    read from `classnames.txt`. Nothing is extracted.

    Args:
        name: A folder of shards, one shard, or a pattern such as `"shards/pets-{train,val}-{000..127}.tar"`.
        options: `input_key` is the ending of the images, if a sample has several (`"jpg;png"`); `target_key` is the
            ending of the label, or its key in the sample's `.json`.

    Raises:
        FileNotFoundError: If there are no such files.
        ValueError: If the files are not shards of labeled images.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "train-0.tar").write_bytes(bytes(1024))
        ...     list(read_shards(root, ReaderOptions()).parts)
        1024
        ['train']
    """
    root, parts = find_shards(name, options.splits)
    names = class_names_of(root)
    title = Path(name).stem if Path(name).is_file() else root.resolve().name
    reading = {part: partial(_read, part, root, shards, names, options) for part, shards in parts.items()}
    return Collection(title, names, reading)


def _read(part: str, root: Path, shards: list[Path], names: list[str] | None, options: ReaderOptions) -> Part:
    key = options.target_key or json_key_of(root, part)
    faults = Faults(options.on_bad, str(root))
    images: list[str | StoredImage] = []
    labels: list[str] = []
    for shard in shards:
        with open(shard, "rb") as file:
            for sample, files in _samples(shard, faults):
                try:
                    image = _image(files, options.input_key)
                    label = None if image is None else _label(file, files, key, names)
                except ValueError as error:
                    faults.add(f"{shard}: {sample} {error}")
                    continue
                if image is not None and label is not None:
                    images.append(ShardImage(str(shard), image))
                    labels.append(label)
    faults.end(len(images))
    numbers = [label for label in labels if label.isdecimal() and len(label) < 19]
    if len(numbers) == len(labels):
        return Part(images, [int(label) for label in labels], faults.count)
    if numbers:
        _log.warning(
            "%s has numbers and names as labels, %d of %d are numbers (%s; %s).",
            terminal_text(root), len(numbers), len(labels),
            some(sorted(set(numbers))), some(sorted(set(labels) - set(numbers))),
        )  # fmt: skip
    return Part(images, labels, faults.count)


def _samples(shard: Path, faults: Faults) -> Iterator[tuple[str, dict[str, Member]]]:
    """Yield the samples of a shard: their names, and their files by ending."""
    current, files = "", dict[str, Member]()
    try:
        for member in members(shard):
            base = member.name.rpartition("/")[2]
            if is_passed_over(base):
                continue
            if member.fault:
                faults.add(f"{shard}: {member.name} must not be used ({member.fault})")
                continue
            found = _SAMPLE.fullmatch(member.name)
            if found is None:
                continue
            name, end = found[1], found[2].lower()
            if name != current or end in files:
                if files:
                    yield current, files
                current, files = name, {}
            files[end] = member
    except DamagedTarError as error:
        faults.add(f"{shard} is not read to its end ({error})")
    if files:
        yield current, files


def _image(files: dict[str, Member], key: str | None) -> Member | None:
    """Return the image of a sample, or `None` if the sample has neither image nor label."""
    if key is not None:
        found = [files[end] for end in key.lower().split(";") if end in files][:1]
    else:
        found = [member for end, member in files.items() if f".{end}" in IMAGE_EXTENSIONS]
    if len(found) > 1:
        ends = ", ".join(end for end in files if f".{end}" in IMAGE_EXTENSIONS)
        raise ValueError(f"has several images ({ends}): choose one with input_key (--input-key)")
    if not found and "cls" in files:
        raise ValueError("has a label but no image" + (f" that ends in {key}" if key else ""))
    return found[0] if found else None


def _label(file: BinaryIO, files: dict[str, Member], key: str | None, names: list[str] | None) -> str | None:
    """Return the label of a sample as text, or `None` for an image that is marked as unlabeled (-1)."""
    end = key or "cls"
    if end in files:
        text = _text(file, files[end], _LABEL_LIMIT).strip()
        label: object = int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else text
    elif key is None or "json" not in files:
        what = "cls" if key is None else f"{key} or .json"
        raise ValueError(f"has no label (.{what}); choose another one with target_key (--target-key)")
    else:
        text = _text(file, files["json"], _JSON_LIMIT)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("has a .json file that is not JSON") from error
        if not isinstance(values, dict) or key not in values:
            raise ValueError(f"has no {key} in its .json")
        label = values[key]
    if isinstance(label, bool) or not isinstance(label, int | str) or label == "" or len(str(label)) > 200:
        raise ValueError(f"has a label that is neither a number nor a name ({terminal_text(label, limit=40)})")
    if isinstance(label, int) and label < 0:
        return None
    if names is not None and not (isinstance(label, int) and label < len(names)):
        raise ValueError(f"has the label {terminal_text(label, limit=40)}, but there are {len(names)} classes")
    return composed(str(label))


def _text(file: BinaryIO, member: Member, limit: int) -> str:
    if member.size > limit:
        raise ValueError(f"has {member.size} bytes in {member.name.rpartition('/')[2]}, expected at most {limit}")
    try:
        file.seek(member.offset)
        return file.read(member.size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"has a {member.name.rpartition('.')[2]} that is not text in UTF-8") from error
