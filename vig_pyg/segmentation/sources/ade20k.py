"""The layout of ADE20K's scene parsing challenge: `images/PART/` and `annotations/PART/`."""

from __future__ import annotations

from pathlib import Path

from vig_pyg._io.bounded_json import read_bounded
from vig_pyg.image_io import images_in
from vig_pyg.segmentation.masks import IGNORED, IndexMask
from vig_pyg.segmentation.records import SegmentationDataset, SegmentationRecord
from vig_pyg.segmentation.sources.folders import CLASSES, pair_files, read_classes
from vig_pyg.segmentation.sources.registry import register_format

#: The file of class names that comes with the data: a table with tabs, whose last column has the names.
OBJECTS = "objectInfo150.txt"
#: Number of classes of the challenge.
NUM_CLASSES = 150


@register_format(
    "ade20k",
    form="FOLDER:training or FOLDER:validation of ADE20K (images/, annotations/)",
    recognizes=lambda path, part: part is not None and (path / "annotations" / part).is_dir(),
)
def read_ade20k(path: Path, part: str | None) -> SegmentationDataset:
    """Read a part of ADE20K. In its masks, 0 is ignored, and class i has the value i + 1.

    Args:
        path: The folder, such as `ADEChallengeData2016`. The class names are read from its `classes.txt`, or else from
            `objectInfo150.txt`, which comes with the data; otherwise they are numbers.
        part: `"training"` or `"validation"`.

    Raises:
        FileNotFoundError: If an image has no mask.
        ValueError: If the names of the classes cannot be read.
    """
    assert part is not None
    images, masks = path / "images" / part, path / "annotations" / part
    if not images.is_dir():
        raise FileNotFoundError(f"{path} has annotations/{part}, but no images/{part}.")
    names = _names(path)
    table = (IGNORED, *range(len(names)))
    pairs = pair_files(images_in(images), images_in(masks), images, masks)
    records = [SegmentationRecord(image, IndexMask(mask, table)) for image, mask in pairs]
    return SegmentationDataset(f"{path.name}:{part}", records, names, read_files=[path / CLASSES, path / OBJECTS])


def _names(path: Path) -> list[str]:
    if (path / CLASSES).is_file():
        return read_classes(path / CLASSES)
    file = path / OBJECTS
    if not file.is_file():
        return [str(i) for i in range(NUM_CLASSES)]
    lines = [line.split("\t") for line in read_bounded(file, limit=2**20).rstrip("\r\n").splitlines()[1:]]
    # A name lists synonyms ("floor, flooring"); the first one and the number of the class are unique.
    names = [line[-1].split(",")[0].strip() for line in lines]
    if not names or "" in names:
        raise ValueError(f"{file} has no class name in the last column of line {names.index('') + 2 if names else 2}.")
    return [name if names.count(name) == 1 else f"{name} ({i + 1})" for i, name in enumerate(names)]
