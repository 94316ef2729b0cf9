import random

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.segmentation.common import segmenter, settled
from vig_pyg.segmentation import infer
from vig_pyg.segmentation.heads import resize_map
from vig_pyg.segmentation.infer import Inference, label_maps, largest_class, probabilities


class Pixels(nn.Module):
    """A network whose logits are those of single pixels, so that windows and flips change nothing."""

    def forward(self, images):
        return {"out": [4 * image for image in images] if isinstance(images, list) else 4 * images}


def cases(count=40):
    draw = random.Random(0)
    for _ in range(count):
        size = draw.randint(1, 30), draw.randint(1, 30)
        window = draw.randint(1, 20), draw.randint(1, 20)
        stride = draw.choice([None, tuple(draw.randint(1, side) for side in window)])
        yield size, Inference(window=window, stride=stride, flip=draw.random() < 0.5)


def test_windows_and_flips_cover_every_pixel():
    for size, how in cases():
        image = torch.rand(3, *size)
        (found,) = probabilities(Pixels(), [image], [size], how)
        torch.testing.assert_close(found, (4 * image).softmax(0))


def test_a_window_of_the_whole_image_is_the_whole_image():
    model, image = settled(segmenter()), torch.rand(3, 40, 50)
    (whole,) = probabilities(model, [image], [(40, 50)], Inference())
    for window in [(40, 50), (100, 100)]:
        (found,) = probabilities(model, [image], [(40, 50)], Inference(window=window))
        torch.testing.assert_close(found, whole)


def test_a_flipped_image_gives_the_flipped_labels():
    model, image, how = settled(segmenter()), torch.rand(3, 40, 50), Inference(flip=True)
    (one,), (other,) = (probabilities(model, [x], [(40, 50)], how) for x in (image, image.flip(-1)))
    torch.testing.assert_close(one, other.flip(-1))
    assert not torch.allclose(one, probabilities(model, [image], [(40, 50)], Inference())[0])


def test_the_results_have_the_given_sizes_and_are_shares():
    model = settled(segmenter())
    images, sizes = [torch.rand(3, 20, 30), torch.rand(3, 9, 40)], [(55, 66), (3, 4)]
    for how in (Inference(), Inference(window=(8, 16), flip=True)):
        for found, size in zip(probabilities(model, images, sizes, how), sizes, strict=True):
            assert found.shape == (3, *size)
            torch.testing.assert_close(found.sum(0), torch.ones(size))


@pytest.mark.parametrize("values", [1, 700, 15_000, 2**24])
@pytest.mark.parametrize(
    "how", [Inference(), Inference(flip=True), Inference(window=(12, 16)), Inference(window=(40, 50), flip=True)]
)
def test_labels_are_those_of_all_probabilities(monkeypatch, values, how):
    """For images that keep their size, become smaller, and become larger, in parts of any size."""
    model = settled(segmenter(num_classes=9))
    images = [torch.rand(3, *size) for size in [(20, 30), (9, 40), (33, 17)]]
    sizes = [(20, 30), (3, 140), (70, 66)]
    want = [one.max(0) for one in probabilities(model, images, sizes, how)]
    monkeypatch.setattr(infer, "VALUES", values)
    for (scores, labels), one in zip(label_maps(model, images, sizes, how), want, strict=True):
        assert torch.equal(labels, one.indices)
        torch.testing.assert_close(scores, one.values, rtol=1e-6, atol=0)  # threads divide parts in other places


@pytest.mark.parametrize("seed", range(60))
def test_the_largest_class_is_that_of_the_resized_map(monkeypatch, seed):
    """Of equal values, which are frequent here, the first class counts."""
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    x = torch.randint(0, 3, (draw.randint(1, 30), draw.randint(1, 9), draw.randint(1, 9)), generator=generator).float()
    # torch has another resizing function for sides of 128 in total, whose maps are always resized in one part
    size = draw.choice([x.shape[1:], (draw.randint(1, 20), draw.randint(129, 160))])
    want = resize_map(x[None], size)[0].max(0)
    monkeypatch.setattr(infer, "VALUES", draw.randint(1, 9 * size[0] * size[1]))
    values, classes = largest_class(x, size)
    assert torch.equal(values, want.values) and torch.equal(classes, want.indices)


class LargestTensor(TorchDispatchMode):
    """Records the largest number of values in one tensor."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.largest = max([self.largest, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


class Coarse(nn.Module):
    """A network with 40 classes."""

    def forward(self, images):
        return {"out": torch.arange(40.0)[:, None, None].sin() * images.mean(1, keepdim=True)}


@pytest.mark.parametrize("size", [(200, 300), (20, 30)])
def test_no_tensor_has_all_classes_at_the_original_size(monkeypatch, size):
    monkeypatch.setattr(infer, "VALUES", 2 * 200 * 300)
    for find, least, most in [(label_maps, 0, 2 * 200 * 300), (probabilities, 40 * size[0] * size[1], 10**9)]:
        with LargestTensor() as mode:
            list(find(Coarse(), [torch.rand(3, 20, 30)], [size], Inference()))
        assert least <= mode.largest <= most


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": (3, 3)}, "stride has no effect without window"),
        ({"window": (0, 3)}, "at least 1"),
        ({"window": (4, 4), "stride": (2, 0)}, "at least 1"),
        ({"window": (4, 4), "stride": (2, 5)}, r"larger than the window .*: pass a smaller stride"),
    ],
)
def test_windows_that_leave_pixels_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Inference(**options)
