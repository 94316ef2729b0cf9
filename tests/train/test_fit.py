import csv

import pytest
import torch
from PIL import Image

from vig_pyg import weights
from vig_pyg.train import DigitsData, Recipe, fit, load_run

FILES = ["config.json", "confusion.png", "curves.png", "graph.png", "metrics.csv", "model.safetensors"]


class FewDigits(DigitsData):
    """256 digits, so that an epoch takes a second."""

    def __init__(self):
        super().__init__(batch_size=32)
        for part in (self.train_set, self.val_set):
            part.sources, part.labels = part.sources[:128], part.labels[:128]


def train(out, seed=0, **options):
    recipe = Recipe(epochs=2, seed=seed, lr=1e-3)
    model = {"patch_size": 4, "depth": 2}
    return fit(FewDigits(), out, model="vig_micro", options=model, recipe=recipe, progress=False, **options)


def test_a_run_leaves_its_folder_and_the_same_seed_the_same_numbers(tmp_path):
    last = train(tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == FILES
    with (tmp_path / "a" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[-1]["val_accuracy"]) == last["val_accuracy"]
    for name in ("curves.png", "confusion.png", "graph.png"):
        with Image.open(tmp_path / "a" / name) as picture:
            assert min(picture.size) > 200
    train(tmp_path / "b")
    train(tmp_path / "c", seed=1)
    for name in ("metrics.csv", "model.safetensors"):
        a, b, c = ((tmp_path / run / name).read_bytes() for run in "abc")
        assert a == b
        assert a != c


def test_the_written_run_gives_the_written_accuracy(tmp_path):
    last = train(tmp_path / "run")
    run, data = load_run(tmp_path / "run"), FewDigits()
    images, labels = zip(*[data.val_set[i] for i in range(len(data.val_set))], strict=True)
    with torch.no_grad():
        right = run.model(torch.stack(images)).argmax(1) == torch.tensor(labels)
    assert right.float().mean().item() == pytest.approx(last["val_accuracy"])


def test_starts_from_given_weights(tmp_path):
    train(tmp_path / "a")
    state = weights.read_state(tmp_path / "a" / "model.safetensors")
    broken = {key: value * torch.nan if value.is_floating_point() else value for key, value in state.items()}
    with pytest.raises(ValueError, match="not finite"):
        torch.save(broken, tmp_path / "nan.pth")
        train(tmp_path / "b", weights=tmp_path / "nan.pth")
    assert not (tmp_path / "b").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".b")]


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.train.classifier.Classifier.on_validation_epoch_start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    with pytest.raises(FileExistsError, match="not overwritten"):
        train(tmp_path)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": 0.0}])
def test_wrong_recipes_are_refused(wrong):
    with pytest.raises(ValueError, match="epochs >= 1 and lr > 0"):
        Recipe(**wrong)
