import numpy as np
import pytest
from PIL import Image

from tests.segmentation.scenes import CLASSES, make_ade20k
from vig_pyg.segmentation.sources import open_source


def test_zero_is_ignored_and_the_others_count_from_one(tmp_path):
    root = make_ade20k(tmp_path / "ADEChallengeData2016")
    for part in ("training", "validation"):
        found = open_source(f"{root}:{part}")
        assert found.class_names == CLASSES and len(found.records) == 3
        for record in found.records:
            with Image.open(record.mask.path) as image:
                numbers = np.asarray(image)
            labels = record.mask.read()
            assert (labels[numbers == 0] == 255).all() and (labels[numbers > 0] == numbers[numbers > 0] - 1).all()


def test_the_names_of_the_classes(tmp_path):
    root = make_ade20k(tmp_path / "ade", names=False)
    assert open_source(f"{root}:training").class_names == [str(i) for i in range(150)]
    (root / "classes.txt").write_text("a\nb\nc\n")
    assert open_source(f"{root}:training").class_names == ["a", "b", "c"]
    (root / "classes.txt").unlink()
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\tdoor, gate\n2\twall\n3\tdoor\n")
    assert open_source(f"{root}:training").class_names == ["door (1)", "wall", "door (3)"]
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\t\n")
    with pytest.raises(ValueError, match=r"objectInfo150\.txt has no class name .* line 2"):
        open_source(f"{root}:training")


def test_what_is_missing_is_named(tmp_path):
    root = make_ade20k(tmp_path / "ade")
    with pytest.raises(ValueError, match="is not a known source"):
        open_source(f"{root}:test")
    next((root / "annotations" / "training").iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 3 images has no mask"):
        open_source(f"{root}:training")
