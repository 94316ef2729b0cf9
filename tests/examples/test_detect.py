import importlib
import sys
from pathlib import Path

import pytest
from pycocotools.coco import COCO

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("detect")
    del sys.modules["detect"]


def test_runs_and_leaves_pictures(example, tmp_path, capsys):
    example.main(["--smoke", "--out", str(tmp_path / "shapes")])
    assert "AP50 on 2 new images" in capsys.readouterr().out
    drawn = {path.name for path in (tmp_path / "shapes" / "found").iterdir()}
    assert drawn == {"0.png", "1.png", "predictions.json"}


def test_the_shapes_are_where_the_boxes_say(example, tmp_path):
    coco = COCO(str(example.make_pictures(tmp_path / "images", 20, seed=0)))
    counts = {len(coco.getAnnIds(imgIds=[i])) for i in coco.imgs}
    assert 0 in counts
    assert max(counts) > 2
    for entry in coco.anns.values():
        x, y, w, h = entry["bbox"]
        image = coco.imgs[entry["image_id"]]
        assert 0 <= x < x + w <= image["width"]
        assert 0 <= y < y + h <= image["height"]


@pytest.mark.slow
def test_learns_the_shapes(example, tmp_path, capsys):
    example.main(["--out", str(tmp_path / "shapes")])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("AP50"))
    assert float(line.split()[-2]) > 60
