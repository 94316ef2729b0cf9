"""Only images that are plainly of another kind are noted, once for a command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.common import calibrated
from vig_pyg import vig_micro
from vig_pyg.cli import main
from vig_pyg.cli._unlike_images import note_cropped, note_unlike, unlike
from vig_pyg.preprocess import Preprocessing


def noisy(width, height, *, color, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3 if color else 1), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).copy())


def run_of(folder, data):
    """The folder of a run that was trained on the data."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(json.dumps({"data": data, "root": "data"}))
    return str(folder)


@pytest.mark.parametrize("side", [8, 16, 64, 224])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("times", [1, 8, 8.5])
@pytest.mark.parametrize("data", ["", "digits", "cifar10", "cifar100"])
def test_only_known_data_says_something_of_the_training(side, channels, color, times, data):
    look, size = (
        Preprocessing(image_size=side, in_channels=channels),
        int(times * max(side, 8 if data == "digits" else 32)),
    )
    said = unlike(look, data, noisy(size, size + 3, color=color), "a.png")
    large, colored = data and times > 8, channels < 3 and color
    little = large or (colored and data == "digits")
    assert (
        (f"the model was trained on {data}, " in said) == (": the result is probably useless" in said) == bool(little)
    )
    assert ("in color" in said) == colored
    assert ("it is converted to gray" in said) == (colored and not little)
    if colored and not data:
        assert said == "the model expects gray images, and a.png is in color: it is converted to gray"
    wide = noisy(20 * max(side, 32), 40, color=False)  # one long side is a panorama, which is cropped
    assert not unlike(Preprocessing(image_size=side, in_channels=channels), data, wide, "a.png")


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [(96, 12, "12.5 %"), (12, 96, "12.5 %"), (36, 12, "33.3 %"), (35, 12, ""), (12, 12, "")],
)
def test_a_strip_of_which_little_is_seen_is_noted_once(width, height, told, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"")
    for name in ("a.png", "b.png"):
        noisy(width, height, color=True).save(tmp_path / name)
    note_cropped(
        Preprocessing(image_size=8, crop_pct=1.0), [tmp_path / name for name in ("broken.png", "a.png", "b.png")]
    )
    size = f"has {width} x {height} pixels: the model sees only the square in its middle, {told} of it"
    assert capsys.readouterr().err == (f"vig-pyg: note: {tmp_path}/a.png {size}\n" if told else "")


def test_the_size_of_a_strip_is_that_of_the_turned_image(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    noisy(96, 12, color=True).save(tmp_path / "a.jpg", exif=exif)
    note_cropped(Preprocessing(image_size=8), [tmp_path / "a.jpg"])
    assert "a.jpg has 12 x 96 pixels" in capsys.readouterr().err


def test_a_gray_scan_with_noise_of_its_file_has_no_color():
    gray = np.full((40, 40, 3), 128, np.uint8)
    gray[..., 0] += np.random.default_rng(0).integers(0, 12, (40, 40), dtype=np.uint8)
    gray[:2, :5] = [255, 0, 0]  # a stamp of a few pixels
    assert unlike(Preprocessing(image_size=28, in_channels=1), "digits", Image.fromarray(gray), "a") == ""
    assert unlike(Preprocessing(image_size=28, in_channels=1), "digits", np.zeros((9, 9, 7), np.float32), "a") == ""


@pytest.mark.parametrize("size", [16, 64, 224])
def test_nothing_is_read_for_usual_models(tmp_path, size):
    for model in ("pvig_small", run_of(tmp_path / "run", "photos"), run_of(tmp_path / "odd", ["digits"]), "a\0b"):
        note_unlike(model, Preprocessing(image_size=size), _Unread())
    (tmp_path / "run" / "config.yaml").write_text("data: [")
    note_unlike(str(tmp_path / "run"), Preprocessing(image_size=size), _Unread())


class _Unread:
    def __iter__(self):
        raise AssertionError


@pytest.mark.parametrize("data", [None, "photos", "digits"])
@pytest.mark.parametrize("count", [1, 3])
def test_predict_notes_it_once(tmp_path, capsys, count, data):
    torch.manual_seed(0)
    model = calibrated(vig_micro(in_channels=1, image_size=16, patch_size=2, num_classes=2))
    model.class_names, model.preprocessing = ["a", "b"], Preprocessing(image_size=16, in_channels=1)
    model.save_pretrained(tmp_path / "model")
    if data is not None:
        run_of(tmp_path / "model", data)
    (tmp_path / "0.png").write_bytes(b"")
    for i in range(count):
        noisy(50, 37, color=True, seed=i).save(tmp_path / f"{i + 1}.png")
    noisy(50, 37, color=False).save(tmp_path / "gray.png")
    quick = ["--num-workers", "0", "--device", "cpu", "--quiet"]
    assert main(["predict", str(tmp_path / "model"), str(tmp_path / "gray.png"), *quick]) == 0
    assert capsys.readouterr().err == ""
    images = [str(tmp_path / f"{i}.png") for i in range(count + 1)]
    assert main(["predict", str(tmp_path / "model"), *images, *quick]) == 1
    said = capsys.readouterr().err
    assert said.count("vig-pyg: note: the model ") == 1
    if data == "digits":
        assert "the model was trained on digits, gray images of 16 x 16 pixels, and " in said
        assert f"{tmp_path}/1.png has 50 x 37 pixels in color: the result is probably useless\n" in said
    else:
        assert f"expects gray images, and {tmp_path}/1.png is in color: it is converted to gray\n" in said
        assert "trained" not in said
