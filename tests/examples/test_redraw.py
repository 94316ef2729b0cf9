"""The stored pictures are drawn from the stored numbers, with today's look."""

import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "examples" / "benchmarks"
VERSION = tuple(int(part) for part in matplotlib.__version__.split(".")[:2])
#: Pictures that need a trained network, which is not stored.
KEPT = {"photo.png", "detection_bccd_found.jpg"}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All pictures, drawn again."""
    out = tmp_path_factory.mktemp("redraw")
    command = [sys.executable, str(BENCHMARKS / "redraw.py"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.name: path for path in out.iterdir()}


def stored():
    """All pictures beside the numbers, by the names of `redraw.py --out`."""
    found = {path.name: path for path in BENCHMARKS.glob("results/*.*") if path.suffix in (".png", ".jpg")}
    return found | {f"{path.parent.name}_plot.png": path for path in ROOT.glob("examples/results/*/plot.png")}


def test_every_stored_picture_is_drawn(drawn):
    assert drawn.keys() == stored().keys() - KEPT


@pytest.mark.skipif(VERSION < (3, 11), reason="matplotlib before 3.11 places text and marks otherwise")
def test_stored_pictures_have_the_look_of_today(drawn):
    """Fonts and rounding may differ a little where another version of matplotlib draws."""
    for name, path in drawn.items():
        with Image.open(path) as new, Image.open(stored()[name]) as old:
            assert new.size == old.size, name
            small = [np.asarray(image.convert("L").reduce(8)).astype(float) for image in (new, old)]
        assert abs(small[0] - small[1]).mean() < 3, name


def test_no_picture_is_large():
    folders = ("benchmarks/results/*.png", "benchmarks/results/*.jpg", "results/*/*.png", "images/*")
    for path in (path for folder in folders for path in (ROOT / "examples").glob(folder)):
        assert path.stat().st_size < 300_000, path
