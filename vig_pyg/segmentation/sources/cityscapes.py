"""The layout of Cityscapes: `leftImg8bit/PART/CITY/` and `gtFine/PART/CITY/`."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import Cityscapes

from vig_pyg.image_io import images_in
from vig_pyg.segmentation.masks import IGNORED, IndexMask
from vig_pyg.segmentation.records import SegmentationDataset, SegmentationRecord
from vig_pyg.segmentation.sources.folders import pair_files
from vig_pyg.segmentation.sources.registry import register_format

_CLASSES = sorted(
    (entry for entry in Cityscapes.classes if 0 <= entry.train_id < IGNORED), key=lambda entry: entry.train_id
)
#: The 19 classes of the benchmark, and their published colors.
CITYSCAPES_CLASSES = [entry.name for entry in _CLASSES]
CITYSCAPES_COLORS = [entry.color for entry in _CLASSES]
#: The class of each number of a `labelIds` file.
_TABLE = tuple(
    {entry.id: entry.train_id for entry in _CLASSES}.get(number, IGNORED)
    for number in range(max(entry.id for entry in Cityscapes.classes) + 1)
)
_IMAGE, _IDS, _TRAIN_IDS = "_leftImg8bit", "_labelIds", "_labelTrainIds"


@register_format(
    "cityscapes",
    form="FOLDER:train or FOLDER:val of Cityscapes (leftImg8bit/, gtFine/)",
    recognizes=lambda path, part: part is not None and (path / "leftImg8bit").is_dir(),
)
def read_cityscapes(path: Path, part: str | None) -> SegmentationDataset:
    """Read a part of Cityscapes with its 19 classes; the files `*_labelIds.png` or `*_labelTrainIds.png` are the masks.

    Args:
        part: `"train"`, `"val"`, or another folder of `leftImg8bit/`.

    Raises:
        FileNotFoundError: If the part does not exist, or an image has no mask.
    """
    assert part is not None
    images = path / "leftImg8bit" / part
    fine = path / "gtFine" / part
    for folder in (images, fine):
        if not folder.is_dir():
            known = ", ".join(sorted(one.name for one in folder.parent.glob("*") if one.is_dir()))
            raise FileNotFoundError(
                f"There is no folder {folder}: {known and 'choose one of '}{known or 'no part exists'}."
            )
    masks = images_in(fine)
    end = _IDS if any(one.stem.endswith(_IDS) for one in masks) else _TRAIN_IDS
    pairs = pair_files(
        images_in(images),
        masks,
        images,
        fine,
        key=lambda name: name.removesuffix(_IMAGE),
        mask_key=lambda name: _scene(name, end),
    )
    table = _TABLE if end == _IDS else None
    records = [SegmentationRecord(image, IndexMask(mask, table)) for image, mask in pairs]
    return SegmentationDataset(f"{path.name}:{part}", records, list(CITYSCAPES_CLASSES))


def _scene(name: str, end: str) -> str | None:
    """Return the name of the scene of a mask, without `_gtFine` and the kind of the file; `None` for other kinds."""
    if not name.endswith(end):
        return None
    return name.removesuffix(end).removesuffix("_gtFine").removesuffix("_gtCoarse")
