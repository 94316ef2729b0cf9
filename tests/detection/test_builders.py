import pytest
import torch

from tests.common import empty
from tests.detection.common import batch, detector, norms
from vig_pyg import PyramidViG, pvig_micro, weights
from vig_pyg.config import PYRAMID_VIG_VARIANTS
from vig_pyg.detection import DETECTORS, FrozenBatchNorm, maskrcnn_pvig, retinanet_pvig

NAMES = sorted(DETECTORS)


@pytest.mark.parametrize("name", NAMES)
def test_losses_of_odd_images_are_finite_and_reach_every_parameter(name):
    model = detector(name).train()
    images, targets = batch()
    losses = model(images, targets)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_any_object(name):
    images, targets = batch([(40, 40), (30, 50)])
    losses = detector(name).train()(images[1:], targets[1:])
    assert all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("name", NAMES)
def test_detections_lie_within_the_images(name):
    images, _ = batch()
    model = detector(name, detector={"score_thresh" if name == "retinanet" else "box_score_thresh": 0.0}).eval()
    with torch.inference_mode():
        found = model(images)
    for image, result in zip(images, found, strict=True):
        assert len(result["boxes"]) == len(result["labels"]) == len(result["scores"]) > 0
        height, width = image.shape[1:]
        assert result["boxes"].min() >= 0
        assert (result["boxes"] <= torch.tensor([width, height, width, height]) + 1e-4).all()
        assert result["labels"].min() >= (0 if name == "retinanet" else 1)
        assert result["labels"].max() <= 3
        if name == "maskrcnn":
            assert result["masks"].shape == (len(result["boxes"]), 1, *image.shape[1:])


def test_an_image_alone_has_the_proposals_that_it_has_in_a_batch():
    # all anchors: those of padding take places among the 1000 best that torchvision looks at
    model = detector("fasterrcnn", norm="frozen", detector={"rpn_pre_nms_top_n_test": 10_000}).double().eval()

    def proposals(images):
        found, _ = model.transform(images)
        return model.rpn(found, model.backbone(found.tensors), None)[0]

    images = [torch.rand(3, *size).double() for size in [(50, 70), (64, 64), (33, 90)]]
    with torch.no_grad():
        for image, expected in zip(images, proposals(images), strict=True):
            torch.testing.assert_close(proposals([image])[0], expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", PYRAMID_VIG_VARIANTS)
def test_every_size_is_built(name, variant):
    model = empty(DETECTORS[name], variant, num_classes=2)
    expected = PYRAMID_VIG_VARIANTS[variant].channels[-len(model.backbone.stages) :]
    assert tuple(block[0].in_channels for block in model.backbone.fpn.inner_blocks) == expected


def test_backbone_options_arrive():
    model = detector("retinanet", in_channels=1, drop_path_rate=0.2, k=3, conv="gin", min_size=(32, 48))
    config = model.backbone.body.config
    assert (config.in_channels, config.drop_path_rate, config.k, config.conv) == (1, 0.2, 3, "gin")
    assert (config.position, config.knn_engine) == ("grid", "dense")
    assert model.transform.min_size == [32, 48]
    assert model.eval()([torch.rand(1, 40, 50)])
    assert detector("retinanet", graph="window").backbone.body.config.graph == "window"
    assert detector("retinanet", position=None).backbone.body.config.position is None


def test_anchors_follow_stride_and_scale():
    retina, rcnn = empty(retinanet_pvig, num_classes=2), empty(maskrcnn_pvig, num_classes=2)
    assert retina.anchor_generator.sizes == ((32, 40, 51), (64, 81, 102), (128, 161, 203), (256, 323, 406),
                                             (512, 645, 813))  # fmt: skip
    assert rcnn.rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert rcnn.rpn.anchor_generator.strides == (4, 8, 16, 32, 64)
    assert rcnn.roi_heads.mask_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    small = empty(retinanet_pvig, num_classes=2, anchor_scale=2)
    assert small.anchor_generator.sizes[0] == (16, 20, 25)


def test_classification_weights_are_taken_over_and_frozen_as_torchvision_does():
    source = pvig_micro(num_classes=7)
    state = weights.convert(source, "official")
    model = detector("fasterrcnn", weights_backbone=state)
    taken = model.backbone.body.state_dict()
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in taken.items())
    assert all(isinstance(n, FrozenBatchNorm) for n in norms(model.backbone))
    assert not any(p.requires_grad for p in model.backbone.body.stages[0].parameters())
    assert any(p.requires_grad for p in model.backbone.body.stages[1].parameters())
    fresh = detector("fasterrcnn")
    assert not any(isinstance(n, FrozenBatchNorm) for n in norms(fresh))
    assert all(p.requires_grad for p in fresh.parameters())
    with pytest.raises(ValueError, match="do not fit"):
        detector("fasterrcnn", weights_backbone=PyramidViG("tiny").state_dict())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_clases": 3}, TypeError, "Unknown options of the .*: num_clases"),
        ({"num_classes": 0}, ValueError, "at least 1"),
        ({"detector": {"nms": 0.5}}, TypeError, "nms.*choose from.*nms_thresh"),
        ({"image_mean": (0.5,)}, ValueError, "3 channels"),
        ({"norm": "group"}, ValueError, "Unknown norm"),
        ({"min_size": 2000}, ValueError, "max_size"),
    ],
)
def test_wrong_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        detector("retinanet", **options)
    with pytest.raises(TypeError, match="num_classes is missing"):
        retinanet_pvig("micro")
