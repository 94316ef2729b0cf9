"""Folders of images and masks, and the pairing of files that the layouts of other data sets share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from vig_pyg._io.bounded_json import read_bounded
from vig_pyg._io.faults import first_ten
from vig_pyg._io.numbers import counted
from vig_pyg.image_io import images_in
from vig_pyg.segmentation.masks import IndexMask
from vig_pyg.segmentation.records import SegmentationDataset, SegmentationRecord
from vig_pyg.segmentation.sources.registry import register_format

#: The file of class names.
CLASSES = "classes.txt"
#: Largest size of this file in bytes.
_LIMIT = 2**20
_log = logging.getLogger(__name__)


@register_format(
    "folder",
    form="FOLDER with images/, masks/ (one byte or palette index per pixel, 255 ignored) and classes.txt",
    recognizes=lambda path, part: part is None and (path / "images").is_dir() and (path / "masks").is_dir(),
)
def read_folder(path: Path, part: str | None = None) -> SegmentationDataset:  # noqa: ARG001
    """Read a folder with `images/` and `masks/`, whose files have the same names except for their extensions.

    `classes.txt` has one class per line; it is in this folder or in the parent folder, which may contain `train/` and
    `val/`.

    Raises:
        FileNotFoundError: If there is no `classes.txt`, or an image has no mask.
        ValueError: If a class is listed twice, or two files have the same name.
    """
    places = [path / CLASSES, path.resolve().parent / CLASSES]
    found = [place for place in places if place.is_file()]
    if not found:
        raise FileNotFoundError(
            f"{path} has no {CLASSES}, and neither has its parent: write the class names into this file, one per "
            "line, starting with label 0."
        )
    pairs = pair_files(images_in(path / "images"), images_in(path / "masks"), path / "images", path / "masks")
    records = [SegmentationRecord(image, IndexMask(mask)) for image, mask in pairs]
    return SegmentationDataset(str(path), records, read_classes(found[0]), read_files=places)


def read_classes(path: Path) -> list[str]:
    """Read class names, one per line; empty lines at the end are skipped.

    Raises:
        ValueError: If the file has no names, an empty line between them, or a name twice.
    """
    lines = [line.strip() for line in read_bounded(path, limit=_LIMIT).rstrip().splitlines()]
    if not lines or "" in lines:
        line = lines.index("") + 1 if lines else 1
        raise ValueError(f"{path}: line {line} is empty, expected a class name in every line.")
    twice = [name for i, name in enumerate(lines) if name in lines[:i]]
    if twice:
        raise ValueError(f"{path} has the class {twice[0]!r} twice.")
    return lines


def pair_files(
    images: list[Path],
    masks: list[Path],
    image_folder: Path,
    mask_folder: Path,
    *,
    key: Callable[[str], str] = lambda name: name,
    mask_key: Callable[[str], str | None] = lambda name: name,
) -> list[tuple[Path, Path]]:
    """Pair images and masks by their paths within their folders, without extensions.

    Args:
        key: Function from the path of an image, without its extension, to the name that the image and its mask have in
            common.
        mask_key: The same function for masks; it returns `None` for a file that is not a mask.

    Raises:
        FileNotFoundError: If an image has no mask.
        ValueError: If two files have the same name.

    Example:
        >>> pair_files([Path("images/a.jpg")], [Path("masks/a.png")], Path("images"), Path("masks"))[0][1].name
        'a.png'
    """
    of_images = _by_name(images, image_folder, key)
    of_masks = _by_name(masks, mask_folder, mask_key)
    missing = [path for name, path in of_images.items() if name not in of_masks]
    if missing:
        name = missing[0].relative_to(image_folder).with_suffix(".png")
        raise FileNotFoundError(
            f"{len(missing)} of {len(of_images)} images {'has' if len(missing) == 1 else 'have'} no mask of the same "
            f"name in {mask_folder}, such as {name}:{first_ten(list(map(str, missing)))}"
        )
    alone = [path for name, path in of_masks.items() if name not in of_images]
    if alone:
        have, named = "has" if len(alone) == 1 else "have", first_ten(list(map(str, alone)))
        _log.warning("%s of %s %s no image:%s", counted(len(alone), "masks"), mask_folder, have, named)
    return [(path, of_masks[name]) for name, path in of_images.items()]


def _by_name(paths: list[Path], folder: Path, key: Callable[[str], str | None]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        name = key(path.relative_to(folder).with_suffix("").as_posix())
        if name is not None and found.setdefault(name, path) != path:
            raise ValueError(f"{found[name]} and {path} have the same name, so it is not known which one is meant.")
    return found
