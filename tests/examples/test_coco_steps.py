import sys
from pathlib import Path

import pytest

from vig_pyg.detection.config import make_config


@pytest.fixture
def coco_steps(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "benchmarks"))
    import coco_steps

    yield coco_steps
    for name in ("coco_steps", "harness"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("detector", "precision"), [("retinanet", "32-true"), ("maskrcnn", "bf16-mixed")])
def test_steps_are_measured_and_extrapolated(coco_steps, capsys, detector, precision):
    command = ["--model", "micro", "--size", "64", "96", "--steps", "1", "--images", "1", "--processes", "1", "4"]
    coco_steps.main([*command, "--detectors", detector, "--precision", precision, "--device", "cpu"])
    out = capsys.readouterr().out
    assert f"| {detector} | micro | 1 |" in out
    assert "days with 1" in out and "days with 4" in out


def test_a_schedule_has_the_steps_of_coco(coco_steps):
    def days(preset, seconds, images, processes):
        config = make_config(("x", {"train": "-", "val": "-"}), preset=preset)
        return coco_steps.extrapolated(config, seconds, images, processes)

    assert days("1x", 1.0, 2, 8) == {"steps": 12 * 7392, "days": pytest.approx(12 * 7392 / 86_400)}
    assert days("3x", 1.0, 2, 8)["days"] == pytest.approx(3 * days("1x", 1.0, 2, 8)["days"])
    assert days("1x", 1.0, 1, 1)["days"] == pytest.approx(16 * days("1x", 1.0, 2, 8)["days"])
