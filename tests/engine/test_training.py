import csv
import shutil

import pytest
import torch
from PIL import Image

from tests.classification.job import NETWORK, few_digits, fit, run
from tests.images import make_folder
from vig_pyg import load, weights
from vig_pyg.classification import ClassificationConfig, load_config, load_data, read_yaml

FILES = [
    "README.md",
    "best.safetensors",
    "config.json",
    "config.yaml",
    "confusion.png",
    "curves.png",
    "graph.png",
    "last.ckpt",
    "metrics.csv",
    "model.safetensors",
]


def test_a_run_leaves_its_folder_and_the_same_seed_the_same_numbers(tmp_path):
    last = run(tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == FILES
    with (tmp_path / "a" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert float(rows[-1]["val_accuracy"]) == last["val_accuracy"]
    for name in ("curves.png", "confusion.png", "graph.png"):
        with Image.open(tmp_path / "a" / name) as picture:
            assert min(picture.size) > 200
    run(tmp_path / "b")
    run(tmp_path / "c", seed=1)
    for name in ("metrics.csv", "model.safetensors"):
        a, b, c = ((tmp_path / folder / name).read_bytes() for folder in "abc")
        assert a == b
        assert a != c
    assert load_config("scratch", ("a", read_yaml(tmp_path / "a" / "config.yaml"))).lr == 1e-3


def test_the_written_run_gives_the_written_accuracy(tmp_path):
    last = run(tmp_path / "run")
    made, data = load(tmp_path / "run"), few_digits()
    images, labels = zip(*[data.val_set[i] for i in range(len(data.val_set))], strict=True)
    with torch.no_grad():
        right = made.model(torch.stack(images)).argmax(1) == torch.tensor(labels)
    assert right.float().mean().item() == pytest.approx(last["val_accuracy"])


def train(out, **options):
    return fit(
        few_digits(),
        out,
        model="vig_micro",
        options=NETWORK,
        recipe=ClassificationConfig(epochs=1),
        progress=False,
        **options,
    )


def test_starts_from_given_weights(tmp_path):
    train(tmp_path / "a")
    state = weights.read_state(tmp_path / "a" / "model.safetensors")
    broken = {key: value * torch.nan if value.is_floating_point() else value for key, value in state.items()}
    with pytest.raises(ValueError, match="not finite"):
        torch.save(broken, tmp_path / "nan.pth")
        train(tmp_path / "b", weights=tmp_path / "nan.pth")
    assert not (tmp_path / "b").exists()


def test_an_interrupted_run_without_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.classification.module.Classifier.on_validation_epoch_start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    with pytest.raises(FileExistsError, match="not overwritten"):
        train(tmp_path)


def test_one_class_is_refused_before_any_work(tmp_path):
    root = make_folder(tmp_path / "images")
    for part in ("train", "val"):
        shutil.rmtree(root / part / "red")
    recipe = load_config("scratch", ("test", {"data": str(root), "image_size": 32}))
    with pytest.raises(ValueError, match="at least two different classes, got only blue"):
        fit(load_data(recipe), tmp_path / "run", model="vig_micro", options={}, recipe=recipe, progress=False)
    assert not (tmp_path / "run").exists()


def test_pictures_learn_from_scratch(tmp_path):
    """The way of the preset, at the size of a test."""
    values = {"data": str(make_folder(tmp_path / "images", train=16, val=8)), "image_size": 32, "epochs": 12,
              "batch_size": 8, "num_workers": 0, "cache": 32, "seed": 0, "lr": 1e-3}  # fmt: skip
    recipe = load_config("scratch", ("test", values))
    kept = fit(
        load_data(recipe), tmp_path / "run", model=recipe.model, options=recipe.options, recipe=recipe, progress=False
    )
    assert kept["val_accuracy"] >= 0.9


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """The loss of a run without any of the ways below, and of the same run again."""
    folder = tmp_path_factory.mktemp("plain")
    return [run(folder / name, epochs=1)["train_loss"] for name in "ab"]


@pytest.mark.parametrize("values", [{"freeze": True}, {"class_weights": True}, {"layer_decay": 0.5}, {"repeats": 3}])
def test_ways_to_train_differ(tmp_path, plain_run, values):
    """By more than chance: without them a run is the same to the last bit."""
    assert plain_run[0] == plain_run[1]
    assert run(tmp_path / "other", epochs=1, **values)["train_loss"] != plain_run[0]


def test_a_picture_that_breaks_a_worker_is_named_in_one_line(tmp_path):
    root = make_folder(tmp_path / "images")
    (root / "train" / "red" / "3.png").write_bytes(b"no image")
    recipe = load_config("scratch", ("test", {"data": str(root), "image_size": 32, "batch_size": 4, "num_workers": 1}))
    with pytest.raises(ValueError, match=r"^[^\n]*red/3\.png cannot be read as an image[^\n]*$"):
        fit(load_data(recipe), tmp_path / "run", model="vig_micro", options={}, recipe=recipe, progress=False)
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_are_not_needed_to_go_on(tmp_path):
    train(tmp_path / "a")
    weights_file = tmp_path / "a" / "model.safetensors"
    kept = train(tmp_path / "b", weights=weights_file)
    weights_file.unlink()
    assert train(tmp_path / "b", weights=weights_file, resume=True) == kept
