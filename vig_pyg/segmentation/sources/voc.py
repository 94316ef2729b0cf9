"""Pascal VOC folders: `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/`."""

from __future__ import annotations

from pathlib import Path

from vig_pyg._io.bounded_json import read_bounded
from vig_pyg._io.faults import first_ten
from vig_pyg._io.numbers import are, counted
from vig_pyg.image_io import images_in
from vig_pyg.segmentation.masks import IndexMask
from vig_pyg.segmentation.records import SegmentationDataset, SegmentationRecord
from vig_pyg.segmentation.sources.folders import CLASSES, pair_files, read_classes
from vig_pyg.segmentation.sources.registry import register_format

#: The classes of Pascal VOC in the order of the palette; 255 is the border of objects.
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
#: The colors of these classes in the palette: bits 0, 1 and 2 of a number are the highest bits of red, green and blue,
#: and bits 3, 4 and 5 the next ones (development kit of VOC2012).
VOC_COLORS = [
    (
        (i & 1) << 7 | (i >> 3 & 1) << 6,
        (i >> 1 & 1) << 7 | (i >> 4 & 1) << 6,
        (i >> 2 & 1) << 7 | (i >> 5 & 1) << 6,
    )
    for i in range(len(VOC_CLASSES))
]
#: Largest size of a list in bytes.
_LIMIT = 2**26


@register_format(
    "voc",
    form="FOLDER:LIST of Pascal VOC (JPEGImages/, SegmentationClass/, ImageSets/Segmentation/LIST.txt)",
    recognizes=lambda path, part: part is not None and (path / "SegmentationClass").is_dir(),
)
def read_voc(path: Path, part: str | None) -> SegmentationDataset:
    """Read the images of one list of a Pascal VOC folder, with the masks of `SegmentationClass/`.

    Args:
        path: The folder; its own `classes.txt` replaces the 21 classes of Pascal VOC.
        part: Name of the list, such as `"train"`.

    Raises:
        FileNotFoundError: If the list, an image or a mask does not exist.
        ValueError: If the list is not text, or is empty.
    """
    lists = path / "ImageSets" / "Segmentation"
    file = lists / f"{part}.txt"
    if not file.is_file():
        known = ", ".join(sorted(one.stem for one in lists.glob("*.txt") if not one.name.startswith(".")))
        raise FileNotFoundError(
            f"{lists} has no list {part!r}: {known and 'choose one of '}{known or 'no list exists'}."
        )
    stems = list(
        dict.fromkeys(line.split()[0] for line in read_bounded(file, limit=_LIMIT).splitlines() if line.strip())
    )
    if not stems:
        raise ValueError(f"{file} contains no image name.")
    wanted = set(stems)
    image_folder, mask_folder = path / "JPEGImages", path / "SegmentationClass"
    images, masks = ([one for one in images_in(place) if one.stem in wanted] for place in (image_folder, mask_folder))
    gone = sorted(wanted - {one.stem for one in images})
    if gone:
        raise FileNotFoundError(
            f"{len(gone):,} of {counted(len(wanted), 'images')} of the list {part!r} {are(len(gone))} not in "
            f"{image_folder}:{first_ten(gone)}"
        )
    pairs = {image.stem: (image, mask) for image, mask in pair_files(images, masks, image_folder, mask_folder)}
    names = read_classes(path / CLASSES) if (path / CLASSES).is_file() else list(VOC_CLASSES)
    records = [SegmentationRecord(pairs[stem][0], IndexMask(pairs[stem][1])) for stem in stems]
    return SegmentationDataset(f"{path.name}:{part}", records, names, read_files=[file, path / CLASSES])
