"""A model and other inputs that are all missing are told at once."""

import pytest
from PIL import Image

from tests.cli.common import fails

COMMANDS = {
    "predict": (["predict"], "images", ["a.jpg"], ["There is no image at a.jpg"]),
    "graph": (["graph"], "image", ["a.jpg"], ["There is no image at a.jpg"]),
    "evaluate": (["evaluate"], "data", ["phtos"], ["The folder phtos does not exist. Did you mean photos?"]),
    "detect predict": (["detect", "predict"], "images", ["a.jpg"], ["There is no image at a.jpg"]),
    "detect evaluate": (["detect", "evaluate"], "data", ["a.json"], ["There is no COCO file at a.json"]),
    "segment predict": (
        ["segment", "predict"],
        "images",
        ["a.jpg", "photos", "photso/red.png", "b.jpg"],
        ["There is no image at a.jpg", "There is no image at photso/red.png. Did you mean photos/red.png?",
         "There is no image at b.jpg"],
    ),
    "segment evaluate": (["segment", "evaluate"], "data", ["rds"], ["There is no file or folder rds"]),
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "runs" / "digits").mkdir(parents=True)
    (tmp_path / "runs" / "digits" / "config.json").write_text("{}")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "red.png")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_folder_comes_first(place, capsys, name):
    command, what, inputs, told = COMMANDS[name]
    err = fails(capsys, *command, "runs/digitz", *inputs)
    model = "There is no folder runs/digitz. runs has digits. Did you mean runs/digits?"
    assert err.splitlines() == [
        f"vig-pyg: The model and the {what} cannot be used:",
        f"  {model}",
        *(f"  {one}" for one in told),
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_model_that_may_exist_is_not_mentioned(place, capsys, name):
    """A name on the hub is not looked up for the message."""
    command, _, inputs, told = COMMANDS[name]
    for model in ("runs/digits", "somebody/my-vig"):
        err = fails(capsys, *command, model, *inputs)
        assert "model" not in err and all(one.rstrip(".") in err for one in told)


def test_names_of_models_are_suggested(place, capsys):
    err = fails(capsys, "predict", "pvig_smal", "a.jpg")
    assert "  There is no folder pvig_smal and no model with this name. Did you mean 'pvig_small'?" in err
    assert err.startswith("vig-pyg: The model and the images cannot be used:\n")
    assert "model" not in fails(capsys, "predict", "pvig_small", "a.jpg")
    err = fails(capsys, "detect", "predict", "pvig_small", "a.jpg")
    assert "\n  pvig_small is a classifier, not a detector: use `vig-pyg predict`, `evaluate` or `train`\n" in err
