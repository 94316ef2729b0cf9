import pytest
import torch
from torch import nn

from tests.detection.common import detector
from vig_pyg.detection import DETECTORS
from vig_pyg.detection.flip import detect_with_flip
from vig_pyg.detection.load import ObjectDetector, detect, detect_batch


class Left(nn.Module):
    """Finds the bright pixels, but only in the left half of an image; their scores are their brightness."""

    def forward(self, images):
        results = []
        for image in images:
            rows, columns = (image[0, :, : image.size(2) // 2] > 0).nonzero().t()
            masks = torch.zeros(len(rows), 1, *image.shape[1:])
            masks[torch.arange(len(rows)), 0, rows, columns] = 1
            boxes = torch.stack([columns, rows, columns + 1, rows + 1], 1).float()
            scores, order = image[0, rows, columns].sort(descending=True)
            labels = torch.ones(len(rows), dtype=torch.long)
            results.append({"boxes": boxes[order], "scores": scores, "labels": labels, "masks": masks[order]})
        return results


@pytest.mark.parametrize("seed", range(20))
def test_what_is_found_in_the_mirror_image_is_where_it_is_in_the_image(seed):
    """Random pixels of random images of several sizes in one batch."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for _ in range(3):
        height, width = (int(torch.randint(1, 12, (), generator=generator)) * 2 for _ in range(2))
        images.append(
            torch.rand(1, height, width, generator=generator)
            * (torch.rand(1, height, width, generator=generator) < 0.2)
        )
    for image, found in zip(images, detect_with_flip(Left(), images), strict=True):
        assert len(found["boxes"]) == min(100, int((image > 0).sum()))
        assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
        for box, score, mask in zip(found["boxes"].long(), found["scores"], found["masks"], strict=True):
            assert image[0, box[1], box[0]] == score
            assert mask[0, box[1], box[0]] == 1 and mask.sum() == 1
            assert (box[2:] - box[:2]).tolist() == [1, 1]


class Twice(nn.Module):
    """Finds an object of each class in the middle, and in the mirror image the first with a higher score."""

    nms_thresh = 0.5
    detections_per_img = 2

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        boxes = torch.tensor([[2.0, 2, 8, 8], [2, 2, 8, 8], [0, 0, 1, 1]])[: self.calls + 1]
        scores = torch.tensor([0.7 + 0.1 * self.calls, 0.5, 0.1])[: self.calls + 1]
        return [{"boxes": boxes, "scores": scores, "labels": torch.tensor([1, 2, 2])[: self.calls + 1]} for _ in images]


def test_duplicates_of_one_class_are_one_object_with_the_higher_score():
    (found,) = detect_with_flip(Twice(), [torch.rand(3, 10, 10)])
    assert found["scores"].tolist() == pytest.approx([0.9, 0.5])  # the third is beyond the limit
    assert found["labels"].tolist() == [1, 2]


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_flipped_image_gives_the_flipped_objects(name):
    low = {"score_thresh" if name == "retinanet" else "box_score_thresh": 0.0}
    limit = {"detections_per_img" if name == "retinanet" else "box_detections_per_img": 9}
    model = detector(name, detector={**low, **limit}).double().eval()
    if name != "retinanet":  # random ones are sure of everything, and equal scores have no order
        nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=1e-4)
    run = ObjectDetector(name="x", model=model, class_names=["a", "b", "c"], category_ids=[1, 2, 3])
    torch.manual_seed(0)
    images = [torch.randint(0, 255, (3, *size), dtype=torch.uint8) for size in [(40, 60), (60, 44), (40, 60)]]
    model.forward = lambda images, forward=model.forward: forward([image.double() for image in images])
    together = detect_batch(run, images, threshold=0.0, flip=True)
    for image, found in zip(images, together, strict=True):
        alone = detect(run, image, threshold=0.0, flip=True)
        mirrored = detect(run, image.flip(-1), threshold=0.0, flip=True)
        assert len(alone["boxes"]) > 0
        for key, values in alone.items():
            torch.testing.assert_close(found[key], values, atol=1e-8, rtol=1e-8)
        torch.testing.assert_close(mirrored["scores"], alone["scores"], atol=1e-8, rtol=1e-8)
        torch.testing.assert_close(mirrored["boxes"][:, [1, 3]], alone["boxes"][:, [1, 3]], atol=1e-6, rtol=1e-6)
        turned = image.size(2) - mirrored["boxes"][:, [2, 0]]
        torch.testing.assert_close(turned, alone["boxes"][:, [0, 2]], atol=1e-6, rtol=1e-6)
