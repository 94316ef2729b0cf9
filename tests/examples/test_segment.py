import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("segment")
    del sys.modules["segment"]


def test_runs_and_leaves_pictures(example, tmp_path, capsys):
    example.main(["--smoke", "--out", str(tmp_path / "pixels")])
    assert "mIoU on 2 new images" in capsys.readouterr().out
    drawn = {path.name for path in (tmp_path / "pixels" / "found" / "drawings").iterdir()}
    assert drawn == {"0.png", "1.png"}


def test_the_masks_show_the_shapes(example, tmp_path):
    root = example.make_images(tmp_path / "images", 20, seed=0)
    seen = set()
    for path in sorted((root / "masks").iterdir()):
        labels = np.asarray(Image.open(path))
        pixels = np.asarray(Image.open(root / "images" / path.name))
        assert labels.shape == pixels.shape[:2]
        seen |= set(labels.flatten().tolist())
        noise = pixels[labels == 0]
        assert noise.min() >= 60 and noise.max() < 160
    assert seen == {0, 1, 2}


@pytest.mark.slow
def test_learns_the_shapes(example, tmp_path, capsys):
    example.main(["--out", str(tmp_path / "pixels")])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("mIoU"))
    assert float(line.split()[-2]) > 70
