import random

import pytest
import torch
from torch import nn

from tests.segmentation.common import segmenter, settled
from vig_pyg.segmentation.infer import Inference, probabilities


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": (3, 3)}, "needs a window"),
        ({"window": (0, 3)}, "at least 1"),
        ({"window": (4, 4), "stride": (2, 0)}, "at least 1"),
        ({"window": (4, 4), "stride": (2, 5)}, "larger than the window"),
    ],
)
def test_windows_that_leave_pixels_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Inference(**options)
