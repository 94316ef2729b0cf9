"""The picture of the first page, with a small network that was not trained."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg import pvig_micro
from vig_pyg.preprocess import Preprocessing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def first_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "benchmarks"))
    import first_page

    yield first_page
    sys.modules.pop("first_page")


def test_the_last_layer_of_each_stage_is_drawn(first_page, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    model = pvig_micro(num_classes=2, image_size=64, patch_size=4).eval()
    model.class_names, model.preprocessing = ["a", "b"], Preprocessing(image_size=64)
    model.save_pretrained(tmp_path / "model")
    out = tmp_path / "photo.png"
    monkeypatch.setattr(sys, "argv", ["first_page.py", str(tmp_path / "model"), "--out", str(out)])
    first_page.main()
    assert capsys.readouterr().out.strip() == str(out)
    graphs = model.graphs(torch.rand(1, 3, 256, 256))
    layers = first_page.last_of_each_grid(graphs)
    assert layers[-1] == len(graphs) - 1 and len(layers) == len(model.stages)
    with Image.open(out) as picture:
        assert picture.width > 250 * len(layers) and np.asarray(picture.convert("L")).std() > 20


def test_the_photo_is_square_and_in_range(first_page):
    photo = first_page.photo()
    assert photo.shape == (3, 256, 256) and 0 <= photo.min() < 0.2 and 0.8 < photo.max() <= 1


def test_the_picture_is_on_the_first_page(first_page):
    text = (ROOT / "README.md").read_text()
    assert first_page.IMAGE.is_file() and f"](examples/images/{first_page.IMAGE.name})" in text and "CC0" in text
