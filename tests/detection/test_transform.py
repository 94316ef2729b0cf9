import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from tests.detection.common import batch
from vig_pyg.detection import DetectionTransform, RaggedImages

NUMBERS = [0.5] * 3, [0.25] * 3


def transform(min_size=64, max_size=96):
    return DetectionTransform(min_size, max_size, *NUMBERS, divisor=32, smallest=4)


@pytest.mark.parametrize("training", [True, False])
def test_ordinary_images_become_what_torchvision_makes_of_them(training):
    images, targets = batch([(50, 70), (40, 90), (33, 48)])
    ours, our_targets = transform().train(training)(images, targets)
    theirs, their_targets = GeneralizedRCNNTransform(64, 96, *NUMBERS).train(training)(images, targets)
    assert ours.image_sizes == theirs.image_sizes
    assert ours.tensors.shape == theirs.tensors.shape
    for a, b, (h, w) in zip(ours.tensors.images, theirs.tensors, theirs.image_sizes, strict=True):
        torch.testing.assert_close(a, b[:, :h, :w], atol=1e-5, rtol=1e-5)
    for a, b in zip(our_targets, their_targets, strict=True):
        torch.testing.assert_close(a["boxes"], b["boxes"])
        assert torch.equal(a["masks"], b["masks"])


def test_the_targets_of_the_caller_stay():
    images, targets = batch([(50, 70), (9, 9)])
    before = targets[0]["boxes"].clone()
    transform()(images, targets)
    assert torch.equal(targets[0]["boxes"], before)


def test_a_line_keeps_its_smallest_side_and_its_boxes():
    images, targets = batch([(1, 2000), (3000, 2), (1, 1)])
    found, resized = transform()(images, targets)
    assert found.image_sizes == [(4, 96), (96, 4), (64, 64)]
    assert resized[0]["boxes"][1].tolist() == [0, 0, 96, 4]
    back = (
        transform()
        .eval()
        .postprocess([{"boxes": t["boxes"]} for t in resized], found.image_sizes, [tuple(i.shape[1:]) for i in images])
    )
    for result, target in zip(back, targets, strict=True):
        torch.testing.assert_close(result["boxes"], target["boxes"])


def test_detections_without_area_are_left_out():
    found = {"boxes": torch.tensor([[1.0, 1, 9, 9], [32, 5, 32, 9], [3, 4, 9, 4]]), "scores": torch.ones(3)}
    (kept,) = transform().eval().postprocess([found], [(32, 32)], [(64, 64)])
    assert kept["boxes"].tolist() == [[2, 2, 18, 18]]
    assert len(kept["scores"]) == 1
    (same,) = transform().train().postprocess([found], [(32, 32)], [(64, 64)])
    assert len(same["boxes"]) == 3


def test_one_of_several_sizes_is_drawn_in_training_and_the_last_taken_in_evaluation():
    images = [torch.rand(3, 50, 50)] * 30
    sides = {size[0] for size in transform([32, 48, 64])(images)[0].image_sizes}
    assert sides == {32, 48, 64}
    assert {size[0] for size in transform([32, 48, 64]).eval()(images)[0].image_sizes} == {64}


@pytest.mark.parametrize("sizes", [(100, 96), (3, 96), ([], 96), ([64, 200], 96)])
def test_sizes_that_make_no_sense_are_refused(sizes):
    with pytest.raises(ValueError, match="min_size must be from 4 to max_size"):
        transform(*sizes)


def test_ragged_images_move():
    images = RaggedImages([torch.rand(3, 8, 9)], 16)
    assert images.to(torch.device("meta")).images[0].is_meta
    assert images.to(torch.device("meta")).shape == (1, 3, 16, 16)


def test_training_images_of_their_final_size_are_only_normalized():
    images, targets = batch([(50, 70), (200, 9), (3, 1), (1, 300)])
    made = transform().train()
    made.resize_in_training = False
    found, resized = made(images, targets)
    assert found.image_sizes == [(50, 70), (200, 9), (4, 4), (4, 300)]  # narrower than a patch is refused by the stem
    assert torch.equal(found.tensors.images[0], (images[0] - 0.5) / 0.25)
    assert torch.equal(resized[0]["boxes"], targets[0]["boxes"])
    assert resized[2]["masks"].shape[1:] == (4, 4)
    assert made.eval()(images)[0].image_sizes == transform().eval()(images)[0].image_sizes


@pytest.mark.parametrize("size", [(50, 70), (1, 2000), (427, 640)])
def test_the_size_is_known_before_the_image_is_resized(size):
    made = transform().eval()
    assert made.output_size(*size) == list(made([torch.rand(3, *size)])[0].image_sizes[0])
