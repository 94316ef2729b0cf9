import json
from itertools import product

import pytest
import torch
from PIL import Image
from torch import nn

from vig_pyg.classification import ClassificationConfig, DigitsData, load_data
from vig_pyg.classification.ablation import ablate, changed, costs_of, crossed, training
from vig_pyg.classification.ablation.ablate import network_options, settings_of

CONFIG = ClassificationConfig(epochs=1, options={"patch_size": 4, "depth": 1, "channels": 16})


@pytest.fixture(scope="module")
def data():
    return DigitsData(image_size=16)


@pytest.fixture
def trained(monkeypatch):
    """Notes what is trained, without training; the score is that of the seed."""
    done = []

    def train(folder, variant, seed, *_, **__):
        done.append((variant.name, seed))
        return {"top1": 90.0 + seed + len(variant.name), "seconds": 1.0}

    monkeypatch.setattr(training, "train_run", train)
    return done


def test_seed_after_seed_and_only_what_is_missing(tmp_path, data, trained):
    variants = crossed("vig_micro", {}, ["mr", "gin", "edge"], [])
    rows, files = ablate(variants, data, CONFIG, tmp_path / "a", seeds=2, only=["mr", "edge"], progress=False)
    assert trained == [("mr", 0), ("edge", 0), ("mr", 1), ("edge", 1)]
    assert [row["variant"] for row in rows] == ["mr", "edge"]
    assert [path.name for path in files] == ["results.json", "results.md", "results.csv", "plot.png"]
    speed = rows[0]["images_per_second"]
    trained.clear()
    rows, _ = ablate(variants, data, CONFIG, tmp_path / "a", seeds=2, only=["mr"], progress=False)
    assert trained == [] and [row["variant"] for row in rows] == ["mr", "edge"]
    assert rows[0]["images_per_second"] == speed  # measured once
    rows, _ = ablate(variants, data, CONFIG, tmp_path / "a", seeds=3, progress=False)
    assert trained == [("gin", 0), ("gin", 1), ("mr", 2), ("gin", 2), ("edge", 2)]
    assert [(row["variant"], row["seeds"]) for row in rows] == [("mr", 3), ("gin", 3), ("edge", 3)]


def test_a_variant_that_does_not_run_stops_before_the_first_training(tmp_path, data, trained):
    class Broken(nn.Module):
        def forward(self, x, edge_index):
            raise RuntimeError("a mistake in the operator")

    variants = [changed("mr", ""), changed("own", "", conv=lambda i, o: Broken())]
    with pytest.raises(RuntimeError, match="a mistake in the operator"):
        ablate(variants, data, CONFIG, tmp_path / "a", progress=False)
    assert trained == []


def test_broken_images_are_all_named_and_nothing_is_written(tmp_path, trained):
    for part, split in product(("train", "val"), ("cat", "dog")):
        folder = tmp_path / "photos" / part / split
        folder.mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (20, 20), (40 * i, 90, 9)).save(folder / f"{i}.png")
    broken = [tmp_path / "photos" / part for part in ("val/cat/0.png", "val/dog/1.png", "train/dog/2.png")]
    data = load_data(ClassificationConfig(data=str(tmp_path / "photos"), image_size=16, batch_size=4, num_workers=0))
    for path in broken:
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError) as error:
        ablate(crossed("vig_micro", {}, ["mr"], []), data, CONFIG, tmp_path / "a", progress=False)
    assert all(str(path.relative_to(tmp_path / "photos")) in str(error.value) for path in broken)
    assert trained == [] and not (tmp_path / "a").exists()


def test_settings(tmp_path, data, trained, monkeypatch):
    variants = crossed("vig_micro", {}, ["mr"], [])
    ablate(variants, data, CONFIG, tmp_path / "a", seeds=1, progress=False)
    from dataclasses import replace

    ablate(variants, data, replace(CONFIG, num_workers=7, seed=5), tmp_path / "a", seeds=1, progress=False)
    with pytest.raises(ValueError, match=r"other settings \(lr: 0.003 there, 0.1 now\)"):
        ablate(variants, data, replace(CONFIG, lr=0.1), tmp_path / "a", seeds=1, progress=False)
    with pytest.raises(ValueError, match=r"^seeds must be at least 1, got 0"):
        ablate(variants, data, CONFIG, tmp_path / "a", seeds=0, progress=False)
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    assert settings_of(ClassificationConfig(data="images"))["data"] == str(tmp_path / "images")
    assert json.loads((tmp_path / "a" / "ablation.json").read_text())["options"] == CONFIG.options


def test_known_costs_are_kept():
    variants, images = [changed("mr", "")], torch.rand(2, 3, 32, 32)
    known = {"mr": {"parameters": 1}}
    assert costs_of(variants, "vig_micro", {"num_classes": 2}, images, known) == known
    again = costs_of(variants, "vig_micro", {"num_classes": 2}, images, {"gin": {}})
    assert list(again) == ["mr"] and again["mr"]["parameters"] > 10**4


def test_options_of_the_data_are_added(data):
    options = network_options(CONFIG, data)
    assert options["num_classes"] == 10 and options["in_channels"] == 1 and options["depth"] == 1
