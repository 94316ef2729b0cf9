"""The folder of a trained model: written the same for every task, and checked when it is read."""

import json
import random
from functools import partial

import pytest
import torch
from safetensors import safe_open
from torch import nn

import vig_pyg
from tests.mutations import mutated, mutated_text
from vig_pyg import DilatedKNN, VisionGNN, conv, graph, load, pvig_micro, vig_micro
from vig_pyg.artifact import CONFIG, WEIGHTS, describe, read_config, write_config, write_weights
from vig_pyg.preprocess import Preprocessing


class Mine(conv.MaxRelativeConv):
    """An operator of one's own."""


def folder_of(model, path, **extra):
    path.mkdir(exist_ok=True)
    options = {"class_names": ["cat", "dog"], "preprocessing": Preprocessing(image_size=32)} | extra
    write_config(path, model, **options)
    write_weights(path, model.state_dict())
    return path


def test_save_pretrained_and_the_two_functions_write_the_same(tmp_path):
    model = pvig_micro(num_classes=2)
    model.class_names, model.preprocessing = ["cat", "dog"], Preprocessing(image_size=32)
    model.save_pretrained(tmp_path / "one")
    folder_of(model, tmp_path / "two")
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    content = read_config(tmp_path / "two" / CONFIG)
    assert list(content) == ["schema_version", "task", "model", "class_names", "preprocessing"]
    with safe_open(tmp_path / "one" / WEIGHTS, framework="pt") as file:
        assert sorted(file.metadata()) == ["format", "vig_pyg.config"] and file.metadata()["format"] == "pt"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"conv": Mine}, ("tests.test_artifact:Mine", None)),
        ({"conv": conv.EdgeConv, "graph": graph.WindowGraph}, ("edge", "window")),
        ({"graph": DilatedKNN}, ("mr", "knn")),
        ({"conv": lambda i, o: Mine(i, o)}, ("tests.test_artifact:<lambda>", None)),
        ({"graph": partial(DilatedKNN, engine="dense")}, ("mr", "functools:partial")),
    ],
)
def test_code_is_written_by_its_name(options, names):
    _, entry = describe(vig_micro(**options))
    assert (entry["conv"], entry["graph"]) == names
    json.dumps(entry)


@pytest.mark.parametrize("options", [{"graph": graph.WindowGraph}, {"conv": conv.EdgeConv}, {"graph": DilatedKNN}])
def test_code_that_has_a_name_is_saved_and_loaded(tmp_path, options):
    model, images = pvig_micro(num_classes=2, **options).eval(), torch.rand(1, 3, 32, 32)
    model.save_pretrained(tmp_path)
    assert torch.equal(VisionGNN.from_pretrained(tmp_path)(images), model(images))


def test_code_is_never_imported_because_a_file_names_it(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Op: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = folder_of(vig_micro(num_classes=2), tmp_path / "run") / CONFIG
    good = json.loads(path.read_text())
    for field, kind in (("conv", "conv"), ("graph", "graph")):
        path.write_text(json.dumps(good | {"model": good["model"] | {field: "stranger:Op"}}))
        words = rf"{kind} is 'stranger:Op', code that is never imported.*--{kind} stranger:Op; "
        words += rf".*register_{kind}\('stranger:Op'\)\(stranger\.Op\)"
        with pytest.raises(ValueError, match=words):
            load(tmp_path / "run")
    path.write_text(json.dumps(good | {"model": {"family": "stranger:Op"}}))
    with pytest.raises(ValueError, match="its network is a stranger:Op, which is not in this library: create it"):
        load(tmp_path / "run")
    assert not (tmp_path / "ran").exists()


def test_what_is_registered_again_is_loaded_again(tmp_path):
    model = vig_micro(num_classes=2, conv=Mine).eval()
    folder_of(model, tmp_path / "run")
    with pytest.raises(ValueError, match=r"it, pass --conv tests\.test_artifact:Mine; in Python, ") as error:
        load(tmp_path / "run")
    assert str(error.value).startswith(
        f"{tmp_path / 'run' / CONFIG}: conv is 'tests.test_artifact:Mine', code that is "
    )
    line = str(error.value).partition("before you load the model: ")[2].removesuffix(".")
    exec(line, {"vig_pyg": vig_pyg})
    try:
        images = torch.rand(1, 3, 32, 32)
        assert torch.equal(load(tmp_path / "run").model(images), model(images))
    finally:
        conv.CONVS.remove("tests.test_artifact:Mine")


def test_a_network_of_another_library_is_described(tmp_path):
    folder_of(nn.Linear(2, 2), tmp_path / "run")
    with pytest.raises(ValueError, match=r"is a torch\.nn\.modules\.linear:Linear, .* load model\.safetensors"):
        load(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": 2}, "its schema_version is 2, but this vig-pyg reads at most 1: install a later vig-pyg"),
        ({"schema_version": "1"}, "schema_version must be a whole number"),
        ({"schema_version": 0}, "schema_version must be a whole number from 1 to 1"),
        ({"task": "segmentation"}, "task must be one of image-classification, object-detection"),
        ({"model": 3}, "it has no entry 'family' that names a model family"),
        ({"class_names": ["cat"]}, "it has 1 class_names, but the model has 2 classes"),
        ({"preprocessing": {"image_size": 10**9}}, "preprocessing: image_size must be"),
        (
            {"preprocessing": {"image_size": 32, "in_channels": 1}},
            "its preprocessing has 1 channels, but the model has 3",
        ),
        ({"task": "object-detection"}, "the entry 'category_ids' is missing"),
        ({"new": 1}, "unknown entry 'new'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, said):
    path = folder_of(vig_micro(num_classes=2), tmp_path / "run") / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"config\.json.*{said}"):
        load(tmp_path / "run")


def test_hostile_configurations_are_refused_by_name_or_make_a_sane_model(tmp_path, monkeypatch):
    """200 files of changed entries and of changed text."""
    path = folder_of(vig_micro(num_classes=2, k=(3, 5)), tmp_path / "run") / CONFIG
    good, draw, read = json.loads(path.read_text()), random.Random(0), 0

    def refuse(*_, **__):
        raise AssertionError("something is fetched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    for turn in range(200):
        text = mutated_text(good, draw) if turn % 2 else json.dumps(mutated(good, draw))
        path.write_text(text, errors="surrogatepass")
        try:
            found = load(tmp_path / "run")
        except ValueError as error:
            assert CONFIG in str(error) or "do not fit" in str(error) or "The model is a" in str(error), error
            assert str(error).isprintable() and len(str(error)) < 1000
        else:
            assert len(found(torch.rand(3, 40, 30)).names) == 2
            read += 1
    assert 2 < read < 100
