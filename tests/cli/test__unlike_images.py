"""Only images that are plainly of another kind are noted, once for a command."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.common import calibrated
from vig_pyg import vig_micro
from vig_pyg.cli import main
from vig_pyg.cli._unlike_images import note_unlike, unlike
from vig_pyg.preprocess import Preprocessing


def noisy(width, height, *, color, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3 if color else 1), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy())


@pytest.mark.parametrize("side", [8, 16, 32, 64, 65, 224])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("times", [1, 8, 8.5])
def test_large_images_of_small_models_and_colors_of_gray_ones(side, channels, color, times):
    image = noisy(int(times * side), int(times * side) + 3, color=color)
    found = unlike(Preprocessing(image_size=side, in_channels=channels), image)
    large, colored = side <= 64 and times > 8, channels < 3 and color
    assert bool(found) == (large or colored)
    assert ("in color" in found) == colored
    wide = noisy(20 * side, side, color=False)  # one long side is a panorama, which is cropped
    assert not unlike(Preprocessing(image_size=side, in_channels=channels), wide)


def test_a_gray_scan_with_noise_of_its_file_has_no_color():
    gray = np.full((40, 40, 3), 128, np.uint8)
    gray[..., 0] += np.random.default_rng(0).integers(0, 12, (40, 40), dtype=np.uint8)
    gray[:2, :5] = [255, 0, 0]  # a stamp of a few pixels
    assert unlike(Preprocessing(image_size=28, in_channels=1), Image.fromarray(gray)) == ""
    assert unlike(Preprocessing(image_size=28, in_channels=1), np.zeros((9, 9, 7), np.float32)) == ""


def test_nothing_is_read_for_usual_models():
    note_unlike(Preprocessing(image_size=224), _Unread())


class _Unread:
    def __iter__(self):
        raise AssertionError


@pytest.mark.parametrize("count", [1, 3])
def test_predict_notes_it_once(tmp_path, capsys, count):
    torch.manual_seed(0)
    model = calibrated(vig_micro(in_channels=1, image_size=16, patch_size=2, num_classes=2))
    model.class_names, model.preprocessing = ["a", "b"], Preprocessing(image_size=16, in_channels=1)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "0.png").write_bytes(b"")
    for i in range(count):
        noisy(50, 37, color=True, seed=i).save(tmp_path / f"{i + 1}.png")
    noisy(50, 37, color=False).save(tmp_path / "gray.png")
    quick = ["--num-workers", "0", "--device", "cpu", "--quiet"]
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "gray.png"), *quick]) == 0
    assert capsys.readouterr().err == ""
    assert (
        main(["predict", str(tmp_path / "model"), *(str(tmp_path / f"{i}.png") for i in range(count + 1)), *quick]) == 1
    )
    said = capsys.readouterr().err
    assert said.count("the model was trained on 16 x 16 gray images, and ") == 1
    assert f"{tmp_path}/1.png has 50 x 37 pixels in color: expect little\n" in said
