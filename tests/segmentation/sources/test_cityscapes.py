import numpy as np
import pytest

from tests.segmentation.scenes import make_cityscapes
from vig_pyg.segmentation.sources import open_source
from vig_pyg.segmentation.sources.cityscapes import CITYSCAPES_CLASSES


@pytest.mark.parametrize("end", ["labelIds", "labelTrainIds"])
def test_both_kinds_of_masks_give_the_classes_of_the_benchmark(tmp_path, end):
    root = make_cityscapes(tmp_path / "cityscapes", end)
    found = open_source(f"{root}:train")
    assert found.class_names == CITYSCAPES_CLASSES and len(CITYSCAPES_CLASSES) == 19
    assert len(found.records) == 4 and len(open_source(f"{root}:val").records) == 2
    names = {CITYSCAPES_CLASSES[i] for i in (0, 10, 13)}
    assert names == {"road", "sky", "car"}
    for record in found.records:
        assert set(np.unique(record.mask.read()).tolist()) <= {0, 10, 13, 255}
        assert record.path.stem.split("_left")[0] == record.mask.path.stem.split("_gtFine")[0]


def test_what_is_missing_is_named(tmp_path):
    root = make_cityscapes(tmp_path / "cityscapes")
    with pytest.raises(FileNotFoundError, match="choose one of train, val"):
        open_source(f"{root}:test")
    (root / "gtFine" / "val" / "lindau" / "lindau_000001_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"lindau_000001_000019_leftImg8bit\.png"):
        open_source(f"{root}:val")
