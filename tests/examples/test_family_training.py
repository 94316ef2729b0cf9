"""The networks that the trainings of the family compare have equal numbers of parameters."""

import sys
from pathlib import Path

import pytest
import torch

from vig_pyg import create_model
from vig_pyg.segmentation.loading import make_segmenter


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "examples" / "benchmarks"))
    import family_training
    import segmentation

    yield family_training, segmentation
    for name in ("family_training", "segmentation", "harness"):
        sys.modules.pop(name, None)


def test_the_classifiers_are_equally_large(scripts):
    family_training, _ = scripts
    counts = []
    for model in family_training.MODELS:
        config = family_training.configuration("digits", model, seed=0, epochs=1)
        with torch.device("meta"):
            network = create_model(config.model, num_classes=10, image_size=config.image_size, **config.options)
        counts.append(sum(p.numel() for p in network.parameters()))
        grids = [config.image_size // 4 // 2**stage for stage in range(4)]
        hops = config.options.get("hops", (1, 1, 1, 1))
        assert all(hop < grid for hop, grid in zip(hops, grids, strict=True))  # every graph has edges
    assert len(counts) == 3 and max(counts) < 1.03 * min(counts)
    assert min(counts) == pytest.approx(2e6, rel=0.03)


def test_the_segmentation_networks_are_equally_large(scripts):
    _, segmentation = scripts
    whole, bodies = [], []
    for body in segmentation.BODIES:
        config = segmentation.configuration(Path("data"), seed=0, epochs=1, body=body)
        with torch.device("meta"):
            network = make_segmenter(config, 11)
        whole.append(sum(p.numel() for p in network.parameters()))
        bodies.append(sum(p.numel() for p in network.body.parameters()))
        assert [info["reduction"] for info in network.body.feature_info] == [4, 8, 16, 32]
    assert max(bodies) < 1.03 * min(bodies) and max(whole) < 1.03 * min(whole)
    assert min(whole) > 4e6 and max(whole) < 5e6
    assert segmentation.configuration(Path("data"), seed=0, epochs=1).model == "micro"


def test_the_report_of_segmentation_has_means(scripts):
    _, segmentation = scripts
    runs = [{"about": {"head": "ours"}, "mIoU": 0.5}, {"about": {"head": "ours", "body": "ours"}, "mIoU": 0.6}]
    groups = segmentation.spreads([*runs, {"about": {"head": "ours", "body": "greedyvig"}, "mIoU": 0.25}])
    assert groups["ours, head ours"] == {"runs": 2, "mean": pytest.approx(0.55), "deviation": pytest.approx(0.0707107)}
    assert groups["greedyvig, head ours"] == {"runs": 1, "mean": 0.25, "deviation": 0.0}
