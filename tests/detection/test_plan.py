import json

import pytest

from tests.detection.common import norms, plan
from tests.detection.scenes import change, make_coco
from vig_pyg import pvig_micro
from vig_pyg.detection import FrozenBatchNorm
from vig_pyg.detection.data import Augmentation
from vig_pyg.detection.plan import DetectionRecipe, Plan


def test_a_plan_survives_json():
    whole = Plan(
        train="a.json",
        val="b.json",
        detector="maskrcnn",
        options={"min_size": [64, 96]},
        recipe=DetectionRecipe(epochs=3, schedule="cosine"),
        augmentation=Augmentation(flip="hv", scale=(0.5, 2.0)),
        on_bad="stop",
    )
    assert Plan.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole
    assert whole.masks
    assert not Plan(train="a", val="b").masks


def test_the_model_and_the_data_are_those_of_the_plan(tmp_path):
    made = plan(make_coco(tmp_path), detector="fasterrcnn", options={"k": 5})
    model = made.model(3)
    assert model.backbone.body.config.k == 5
    assert model.roi_heads.box_predictor.cls_score.out_features == 4
    data = made.data(num_workers=0)
    assert data.batch_size == 2
    assert data.train_set.augmentation == Augmentation()
    assert data.val_set.augmentation is None


def test_classification_weights_are_read_for_a_new_run_alone(tmp_path):
    made = plan("a", options={"weights_backbone": pvig_micro().state_dict()})
    assert not made.model(3).backbone.body.stages[0].downsample
    gone = plan("a", options={"weights_backbone": str(tmp_path / "gone.pth")})
    with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
        gone.model(3)
    first, second = (
        plan("a", options={"norm": norm, **gone.options}).model(3, pretrained=False) for norm in (None, "batch")
    )
    assert all(isinstance(norm, FrozenBatchNorm) for norm in norms(first.backbone.body))
    assert [p.requires_grad for p in first.parameters()] == [p.requires_grad for p in made.model(3).parameters()]
    assert not all(isinstance(norm, FrozenBatchNorm) for norm in norms(second.backbone.body))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan(train="a", val="b", detector="yolo"), "retinanet, fasterrcnn, maskrcnn"),
        (lambda: Plan(train="a", val="b", on_bad="ignore"), "drop.*stop"),
        (lambda: DetectionRecipe(epochs=0), "epochs >= 1"),
        (lambda: DetectionRecipe(lr=0), "lr > 0"),
        (lambda: DetectionRecipe(clip=0), "clip > 0"),
        (lambda: DetectionRecipe(warmup=-1), "warmup >= 0"),
        (lambda: DetectionRecipe(schedule="linear"), "step or cosine"),
        (lambda: DetectionRecipe(precision="float16"), "float32 or bfloat16"),
    ],
)
def test_wrong_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_probably_a_mistake_is_logged(tmp_path, caplog):
    train, val = make_coco(tmp_path / "a", count=4), make_coco(tmp_path / "b", count=3, seed=1)
    plan(train, val).data(num_workers=0)
    assert not caplog.text
    (tmp_path / "b" / "images" / "2.png").write_bytes((tmp_path / "a" / "images" / "0.png").read_bytes())
    change(train, lambda content: content["categories"].append({"id": 9, "name": "Red"}))
    plan(train, val).data(num_workers=0)
    assert "classes 'red' and 'Red', which differ little" in caplog.text
    assert "1 of 3 pictures of instances are trained on, too, such as" in caplog.text
    caplog.clear()
    plan(train).data(num_workers=0)
    assert "4 of 4 pictures" in caplog.text
