import csv
import io
import json
import random
import tracemalloc
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.mutations import mutated, mutated_text
from vig_pyg import load, vig_micro
from vig_pyg._io.faults import Fault
from vig_pyg.artifact import CONFIG, WEIGHTS, write_weights
from vig_pyg.classification import load_classifier
from vig_pyg.engine import TrainConfig
from vig_pyg.engine.run import finished_epochs, free_name, left_out_csv, open_run_folder
from vig_pyg.preprocess import Preprocessing


def first_form(folder, names, options):
    """`config.json` as run folders had it before `vig_pyg.artifact`; they are still read."""
    content = {"model": "vig_micro", "options": {"num_classes": len(names), **options}, "class_names": names}
    content["preprocessing"] = {"image_size": 32, "in_channels": 3, "mean": 0.5, "std": 0.5, "crop_pct": 1.0}
    (folder / CONFIG).write_text(json.dumps(content))


def saved(folder, **options):
    torch.manual_seed(0)
    model = vig_micro(num_classes=2, **options)
    folder.mkdir()
    first_form(folder, ["cat", "dog"], options)
    write_weights(folder, model.state_dict())
    return model.eval()


def test_a_run_comes_back_as_it_was(tmp_path):
    model = saved(tmp_path / "run", conv="gin", k=[3, 5])
    run = load(tmp_path / "run")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(run.model(images), model(images))
    assert run.class_names == ["cat", "dog"]
    assert run.preprocessing == Preprocessing(image_size=32)
    assert not run.model.training


def test_what_is_written_stays(tmp_path):
    with open_run_folder(tmp_path / "deep" / "run") as folder:
        (folder / "file").write_text("done")
    assert (tmp_path / "deep" / "run" / "file").read_text() == "done"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_it_stays_if_it_can_be_resumed(tmp_path, error):
    with pytest.raises(error), open_run_folder(tmp_path / "run") as folder:
        (folder / "file").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(error), open_run_folder(tmp_path / "run") as folder:
        (folder / "last.ckpt").write_text("checkpoint")
        raise error
    with pytest.raises(error), open_run_folder(tmp_path / "run", resume=True) as folder:
        (folder / "last.ckpt").unlink()
        raise error
    assert (tmp_path / "run").is_dir()


def test_a_run_is_never_overwritten(tmp_path):
    saved(tmp_path / "run")
    with pytest.raises(FileExistsError, match=r"not overwritten.*--resume"), open_run_folder(tmp_path / "run"):
        pass
    with pytest.raises(FileNotFoundError, match="no run to resume"), open_run_folder(tmp_path / "no", resume=True):
        pass
    assert (tmp_path / "run" / CONFIG).is_file()
    assert free_name(tmp_path / "run") == tmp_path / "run-2"
    assert free_name(tmp_path / "other") == tmp_path / "other"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is neither a run folder nor"):
        load(tmp_path)
    saved(tmp_path / "run")
    config = tmp_path / "run" / CONFIG
    good = json.loads(config.read_text())
    config.write_text("{")
    with pytest.raises(ValueError, match="is not the configuration"):
        load(tmp_path / "run")
    config.write_text(json.dumps(good | {"options": {"channels": 48, "num_classes": 2}}))
    with pytest.raises(ValueError, match="do not fit"):
        load(tmp_path / "run")
    (tmp_path / "run" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=WEIGHTS):
        load(tmp_path / "run")
    (tmp_path / "run" / "last.ckpt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"not complete.*--resume"):
        load(tmp_path / "run")


#: Most bytes that Python may take for a hostile configuration; torch's own cannot be more than the weights are.
MEMORY = 50 * 2**20


def test_a_hostile_configuration_is_refused_by_name_or_makes_a_sane_model(tmp_path, monkeypatch):
    """400 files of changed entries and of changed text."""
    saved(tmp_path / "run", conv="gin", k=[3, 5])
    config, draw = tmp_path / "run" / CONFIG, random.Random(0)
    good = json.loads(config.read_text())

    def refuse(*_, **__):
        raise AssertionError("something is fetched")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    read, refused = 0, 0
    for turn in range(400):
        text = mutated_text(good, draw) if turn % 2 else json.dumps(mutated(good, draw))
        config.write_text(text, errors="surrogatepass")
        tracemalloc.start()
        try:
            found = load(tmp_path / "run")
        except ValueError as error:
            assert CONFIG in str(error) or "do not fit" in str(error), error
            assert str(error).isprintable() and len(str(error)) < 1000, error
            refused += 1
        else:
            with torch.no_grad():
                logits = found.model(found.preprocessing(Image.new("RGB", (40, 30)))[None])
            assert logits.shape == (1, len(found.class_names)) and logits.isfinite().all()
            read += 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY
    assert read > 10 and refused > 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": {"depth": 10**9}}, r"options: depth must be a whole number from 0 to 512, got 1000000000"),
        ({"options": {"num_classes": 10**12}}, r"options: num_classes must be a whole number"),
        ({"options": {"num_classes": 2, "channels": 16_000}}, r"describes a model with \d+ parameters"),
        ({"options": {"weights": "https://example.invalid/a.pth"}}, r"options: unknown entry 'weights'"),
        ({"options": {"variant": "tiny"}}, r"options: unknown entry 'variant'"),
        ({"options": {"graph": "complete", "num_classes": 2}, "preprocessing": {"image_size": 4096}}, r"edges of one"),
        ({"preprocessing": {"image_size": 10**9}}, r"preprocessing: image_size must be"),
        ({"preprocessing": {"image_size": 32, "std": 0}}, r"preprocessing: std must be a number from"),
        ({"class_names": ["x" * 2000, "y"]}, r"class_names\[0\] must be text of at most 1000"),
        ({"class_names": ["cat"]}, r"1 class_names, but the model has 2 classes"),
        ({"class_names": "ab"}, r"class_names must be a list"),
        ({"model": "os.system"}, r"model must be one of vig_micro"),
        ({"kind": "detector"}, r"it is that of a detector; use `vig-pyg detect`"),
        ({"new": 1}, r"unknown entry 'new'"),
    ],
)
def test_what_is_out_of_bounds_is_named(tmp_path, change, said):
    saved(tmp_path / "run")
    config = tmp_path / "run" / CONFIG
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(ValueError, match=rf"{CONFIG}.*{said}"):
        load_classifier(tmp_path / "run")


def test_names_with_any_characters_come_back(tmp_path):
    names = ["\x1b[2J\n", "\u202egpj", "$\\frac", "", "猫", "x" * 300, "\ud800"]
    model = vig_micro(num_classes=len(names))
    (tmp_path / "run").mkdir()
    first_form(tmp_path / "run", names, {})
    write_weights(tmp_path / "run", model.state_dict())
    assert load(tmp_path / "run").class_names == names


@pytest.mark.parametrize("lacks", [None, "last.ckpt", "metrics.csv", WEIGHTS])
@pytest.mark.parametrize("epochs", [0, 1, 7])
def test_a_run_is_finished_when_its_weights_are_written_after_all_epochs(tmp_path, lacks, epochs):
    for name in ("last.ckpt", WEIGHTS):
        (tmp_path / name).touch()
    (tmp_path / "metrics.csv").write_bytes(b"epoch,lr\r\n" + b"1,0.1\r\n" * epochs)
    if lacks is not None:
        (tmp_path / lacks).unlink()
    for planned in (1, 7, 8):
        for patience in (None, 2):
            whole = lacks is None and (epochs >= planned or patience is not None)
            config = TrainConfig(epochs=planned, patience=patience)
            assert finished_epochs(tmp_path, config) == (epochs if whole else 0)


def test_images_that_are_left_out_are_a_table_of_two_columns():
    names = [*(f"photos/{name}.png" for name in ("a, b", 'c "d"', "e: f", "猫", "x; y")), "=1+1.png"]
    reasons = ["the file is empty", 'damaged, or "cut": short', "it is a folder", "not an image", "", "no"]
    faults = [Fault(Path(name), reason) for name, reason in zip(names, reasons, strict=True)]
    rows = list(csv.reader(io.StringIO(left_out_csv([*faults, "own: a reason: with colons", "no reason"]))))
    assert rows[0] == ["image", "reason"]
    assert rows[1:-2] == [*map(list, zip(names[:-1], reasons[:-1], strict=True)), ["./=1+1.png", "no"]]
    assert rows[-2:] == [["own", "a reason: with colons"], ["no reason", ""]]
