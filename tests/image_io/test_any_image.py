import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg.image_io import UnreadableImageError, as_image
from vig_pyg.preprocess import Preprocessing


def forms(seed, folder):
    """One image in each form."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, 2)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = folder / f"{seed}.png"
    Image.fromarray(pixels).save(path)
    bytes_ = torch.from_numpy(pixels).permute(2, 0, 1)
    return [path, str(path), Image.fromarray(pixels), pixels, bytes_, bytes_.contiguous()]


def test_every_form_gives_the_same_pixels(tmp_path):
    preprocessing = Preprocessing(image_size=16, crop_pct=0.9)
    for seed in range(20):
        first, *rest = [preprocessing(as_image(one)) for one in forms(seed, tmp_path)]
        assert all(torch.equal(first, other) for other in rest)
        pixels = torch.from_numpy(np.array(Image.open(tmp_path / f"{seed}.png"))).permute(2, 0, 1)
        floats = preprocessing(as_image(pixels / 255)).clamp(-1, 1)
        assert (floats - first).abs().mean() < 0.02  # bytes are resized in rounded and clipped steps


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (3, TypeError, "Expected a path, a PIL image, an array or a tensor, got int"),
        (torch.zeros(2, 3, 4, 4), UnreadableImageError, r"tensor \(channels, height, width\), got \(2, 3, 4, 4\)"),
        (np.zeros((0, 3)), UnreadableImageError, r"array \(height, width, channels\), got \(0, 3\)"),
        (torch.full((3, 4, 4), -1.0), UnreadableImageError, "from 0 to 1, got -1 to -1: pass it before normalization"),
        (np.full((4, 4, 3), np.nan), UnreadableImageError, "from 0 to 1, got nan to nan"),
        ("there/is/none.png", FileNotFoundError, "There is no image at there/is/none.png"),
    ],
)
def test_what_is_no_image_is_refused(image, error, words):
    with pytest.raises(error, match=words):
        as_image(image)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"broken\.png cannot be read as an image: the file is empty\."):
        as_image(tmp_path / "broken.png")
