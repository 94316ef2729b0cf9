import pytest
from safetensors.torch import save_file

from tests.detection.common import norms, plan
from tests.detection.scenes import change, make_coco, make_voc
from vig_pyg import pvig_micro
from vig_pyg.detection import FrozenBatchNorm
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.data import open_source
from vig_pyg.detection.loading import load_data, make_detector


def test_the_model_and_the_data_are_those_of_the_plan(tmp_path):
    made = plan(make_coco(tmp_path), detector="fasterrcnn", options={"k": 5})
    model = make_detector(made, 3)
    assert model.backbone.body.config.k == 5
    assert model.roi_heads.box_predictor.cls_score.out_features == 4
    data = load_data(made)
    assert data.batch_size == 2
    assert data.train_set.augmentation == Augmentation()
    assert data.val_set.augmentation is None


def test_classification_weights_are_read_for_a_new_run_alone(tmp_path):
    save_file(pvig_micro().state_dict(), tmp_path / "start.safetensors")
    made = plan("a", options={"weights_backbone": str(tmp_path / "start.safetensors")})
    assert not make_detector(made, 3).backbone.body.stages[0].downsample
    gone = plan("a", options={"weights_backbone": str(tmp_path / "gone.pth")})
    with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
        make_detector(gone, 3)
    first, second = (
        make_detector(plan("a", options={"norm": norm, **gone.options}), 3, pretrained=False)
        for norm in (None, "batch")
    )
    assert all(isinstance(norm, FrozenBatchNorm) for norm in norms(first.backbone.body))
    assert [p.requires_grad for p in first.parameters()] == [
        p.requires_grad for p in make_detector(made, 3).parameters()
    ]
    assert not all(isinstance(norm, FrozenBatchNorm) for norm in norms(second.backbone.body))


def test_what_is_probably_a_mistake_is_logged(tmp_path, caplog):
    train, val = make_coco(tmp_path / "a", count=4), make_coco(tmp_path / "b", count=3, seed=1)
    load_data(plan(train, val))
    assert not caplog.text
    (tmp_path / "b" / "images" / "2.png").write_bytes((tmp_path / "a" / "images" / "0.png").read_bytes())
    change(train, lambda content: content["categories"].append({"id": 9, "name": "Red"}))
    load_data(plan(train, val))
    assert "classes with nearly equal names, 'red' and 'Red'" in caplog.text
    assert "1 of 3 images of instances is also a training image, such as" in caplog.text
    caplog.clear()
    load_data(plan(train))
    assert "4 of 4 images" in caplog.text


def test_the_faults_of_both_parts_are_told_at_once(tmp_path):
    both = "The training and the validation images cannot be used:\n  "
    with pytest.raises(FileNotFoundError) as error:
        load_data(plan("a.json", "b.json"))
    assert str(error.value) == f"{both}There is no COCO file at a.json\n  There is no COCO file at b.json"
    parts = [make_coco(tmp_path / name) for name in ("train", "val")]
    for path in parts:
        change(path, lambda content: content["images"][0].update(file_name="gone.png"))
    with pytest.raises(FileNotFoundError) as error:
        load_data(plan(*map(str, parts)))
    assert str(error.value).startswith(both) and str(error.value).count("gone.png") == 2
    change(parts[1], lambda content: content["images"][0].update(file_name=content["images"][1]["file_name"]))
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        load_data(plan(*map(str, parts)))
    assert "gone.png" in str(error.value)


def test_all_files_that_a_voc_folder_lacks_are_told_at_once(tmp_path):
    root = make_voc(tmp_path / "VOC")
    stems = (root / "ImageSets" / "Main" / "train.txt").read_text().split()
    (root / "Annotations" / f"{stems[0]}.xml").unlink()
    (image,) = root.glob(f"JPEGImages/{stems[1]}.*")
    image.unlink()
    with pytest.raises(
        (FileNotFoundError, ValueError), match=r"2 of \d+ images of VOC:train cannot be used:\n"
    ) as error:
        open_source(f"{root}:train")
    assert f"{stems[0]}.xml" in str(error.value) and f"There is no image for the annotation {stems[1]}" in str(
        error.value
    )
