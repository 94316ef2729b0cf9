import random

import pytest
import torch
from torch import nn
from torchvision.models import detection

from tests.detection.common import batch, detector
from vig_pyg.detection import DETECTORS

NAMES = sorted(DETECTORS)
#: Sides of images, down to one pixel and lines.
SIDES = [1, 20, 33, 50, 64, 90, 300]


def sensitive(name):
    """A detector that finds objects everywhere, whose scores depend on every cell around them."""
    torch.manual_seed(0)
    options = {"box_score_thresh": 0.0, "box_detections_per_img": 8, "rpn_pre_nms_top_n_test": 40}
    if name == "retinanet":
        options = {"score_thresh": 0.0, "detections_per_img": 30, "topk_candidates": 100}
    model = detector(name, detector=options)
    for part in model.head.modules() if name == "retinanet" else ():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.05)
    return model.double().eval()


@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, 0) for name in NAMES]
    + [("retinanet", 1), ("fasterrcnn", 1)]
    + [pytest.param(name, seed, marks=pytest.mark.slow) for name in NAMES for seed in (2, 3, 4)],
)
def test_detections_in_a_batch_are_those_of_each_image_alone(name, seed):
    """Random sizes, some of them equal; in float64, where rounding changes no neighbor and no order."""
    draw, model, count = random.Random(seed), sensitive(name), 0
    sizes = [(draw.choice(SIDES), draw.choice(SIDES)) for _ in range(2)]
    images = [torch.rand(3, *draw.choice(sizes)).double() for _ in range(3)]
    with torch.inference_mode():
        for image, together in zip(images, model(images), strict=True):
            (alone,) = model([image])
            assert together.keys() == alone.keys()
            for key, values in alone.items():
                torch.testing.assert_close(together[key], values, atol=1e-8, rtol=1e-8)
            count += len(alone["boxes"])
    assert count > 0


@pytest.mark.parametrize("name", NAMES)
def test_images_of_one_size_are_one_batch(name, monkeypatch):
    model, sizes = sensitive(name).float(), []
    forward = model.backbone.forward
    monkeypatch.setattr(model.backbone, "forward", lambda images: sizes.append(images.shape) or forward(images))
    images = [torch.rand(3, *size) for size in [(40, 60), (60, 40), (40, 60), (80, 120)]]
    with torch.inference_mode():
        assert len(model(images)) == 4
    assert [size[0] for size in sizes] == [3, 1]  # 80 x 120 pixels are resized to the same size as 40 x 60


@pytest.mark.parametrize("name", NAMES)
def test_the_classes_are_those_of_torchvision_and_training_is_theirs(name):
    model = detector(name)
    base = {"retinanet": detection.RetinaNet, "fasterrcnn": detection.FasterRCNN, "maskrcnn": detection.MaskRCNN}[name]
    assert isinstance(model, base) and type(model).__name__ == base.__name__
    images, targets = batch()
    torch.manual_seed(0)
    ours = model.train()(images, targets)
    torch.manual_seed(0)
    theirs = base.forward(model, images, targets)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_wrong_images_are_refused_as_torchvision_does():
    with pytest.raises(ValueError, match="3d tensors"):
        detector("retinanet").eval()([torch.rand(40, 60)])
    for wrong in (torch.rand(40, 60),):
        with pytest.raises(ValueError, match="3d tensors"):
            detector("fasterrcnn").eval()([torch.rand(3, 30, 30), wrong])
