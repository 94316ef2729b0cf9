import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests._fonts.installed import only_own_fonts
from vig_pyg.detection import predict as door
from vig_pyg.detection.load import detect, load_detector
from vig_pyg.detection.predict import predict
from vig_pyg.image_io import drawing_scale


class Finds(torch.nn.Module):
    """Finds the same in every image: an object, a weak one, background."""

    def forward(self, images):
        h, w = images[0].shape[1:]
        boxes = torch.tensor([[0.0, 0.0, w / 2, h], [1.0, 1.0, 2.0, 2.0], [0.0, 0.0, w, h]])
        masks = torch.zeros(3, 1, h, w)
        masks[0, :, :, : w // 2] = 0.8
        scores = torch.tensor([0.9, 0.4, 0.8])
        return [{"boxes": boxes, "labels": torch.tensor([2, 1, 0]), "scores": scores, "masks": masks}]


@pytest.fixture
def run(trained):
    return replace(load_detector(trained[0]), model=Finds())


def picture(path, size=(60, 80)):
    Image.fromarray(np.full((*size, 3), 100, dtype=np.uint8)).save(path)
    return path


def test_pictures_and_coco_json(run, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [
        picture(tmp_path / "a" / "x.png"),
        picture(tmp_path / "b" / "x.png", (31, 41)),
        picture(tmp_path / "y.png", (1, 1)),
    ]
    Image.open(paths[0]).convert("L").save(paths[0])
    found = predict(run, paths, tmp_path / "out", threshold=0.5).annotations
    names = ["predictions.json", "x-2.png", "x.png", "y.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    coco = COCO(str(tmp_path / "out" / "predictions.json"))
    assert [image["file_name"] for image in coco.dataset["images"]] == [str(path) for path in paths]
    assert coco.dataset["annotations"] == found
    entry = coco.loadAnns(coco.getAnnIds(imgIds=[2]))[0]
    assert (entry["category_id"], entry["bbox"]) == (7, [0, 0, 20.5, 31])
    assert coco_mask.area(entry["segmentation"]) == 20 * 31
    assert len(found) == 3
    for path, name in zip(paths, ("x", "x-2", "y"), strict=True):
        with Image.open(path) as before, Image.open(tmp_path / "out" / f"{name}.png") as after:
            scale = drawing_scale(before.height, before.width)
            assert after.size == (scale * before.width, scale * before.height)
            assert min(after.size) >= 384
    with pytest.raises(FileExistsError, match="not overwritten"):
        predict(run, paths, tmp_path / "out")


def test_the_threshold_and_background(run):
    image = torch.zeros(3, 30, 40, dtype=torch.uint8)
    assert detect(run, image)["labels"].tolist() == [2]
    assert detect(run, image, threshold=0.3)["labels"].tolist() == [2, 1]
    assert detect(run, image, threshold=1.0)["masks"].shape == (0, 1, 30, 40)


def test_pictures_that_cannot_be_read_are_named(run, tmp_path):
    good = picture(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("text")
    done = []
    (tmp_path / "gone.png").symlink_to("nothing")
    paths = [tmp_path / "bad.png", good, tmp_path / "gone.png"]
    found = predict(run, paths, tmp_path / "out", progress=done.append)
    assert [one.path.name for one in found.broken] == ["bad.png", "gone.png"]
    assert "not an image" in found.broken[0].reason
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.png", "predictions.json"]
    assert [entry["image_id"] for entry in found.annotations] == [1]
    assert done == [1, 1, 1]


def test_mistakes_leave_nothing(run, tmp_path):
    good = picture(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("text")
    with pytest.raises(ValueError, match=r"The only image could not be read.*bad\.png"):
        predict(run, [tmp_path / "bad.png"], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        predict(run, [tmp_path / "none.png"], tmp_path / "out")
    with pytest.raises(ValueError, match="threshold"):
        predict(run, [good], tmp_path / "out", threshold=2)
    assert not (tmp_path / "out").exists()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def several(tmp_path, count=4):
    return [picture(tmp_path / f"p{i}.png") for i in range(count)]


def stops(function, at, error):
    """The function, which raises in its call of that number."""
    calls = itertools.count(1)

    def stopping(*args, **options):
        if next(calls) == at:
            raise error
        return function(*args, **options)

    return stopping


@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_before_the_results_nothing_is_left(run, tmp_path, monkeypatch, at, error):
    monkeypatch.setattr(door, "detect_batch", stops(door.detect_batch, at, error()))
    with pytest.raises(error):
        predict(run, several(tmp_path), tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("at", [1, 3])
def test_results_are_there_before_pictures(run, tmp_path, monkeypatch, at):
    expected = predict(run, several(tmp_path), tmp_path / "whole").annotations
    for error, words in ((KeyboardInterrupt(), ""), (OSError(28, "No space left"), f"complete, and {at - 1} of 4")):
        out = tmp_path / type(error).__name__
        with monkeypatch.context() as patch:
            patch.setattr(door, "write_file", stops(door.write_file, at + 1, error))  # the first is the results'
            with pytest.raises(type(error)) as caught:
                predict(run, several(tmp_path), out)
        assert words in str(caught.value)
        assert names(out) == [f"p{i}.png" for i in range(at - 1)] + ["predictions.json"]
        assert json.loads((out / "predictions.json").read_text())["annotations"] == expected


def test_a_picture_that_cannot_be_drawn_is_a_warning(run, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(door, "draw", stops(door.draw, 2, ValueError("no such letter")))
    found = predict(run, several(tmp_path), tmp_path / "out")
    assert names(tmp_path / "out") == ["p0.png", "p2.png", "p3.png", "predictions.json"]
    assert [(one.path.name, one.reason) for one in found.undrawn] == [("p1.png", "no such letter")]
    assert len(found.annotations) == 4
    assert "p1.png could not be drawn: no such letter" in caplog.text


@pytest.mark.parametrize("name", [r"\frac", "$x", "\x1b[2J", "a\nb", "猫", "\ud800", "", "x" * 1000, "{0}%s"])
def test_classes_of_any_name_are_drawn(run, tmp_path, name):
    found = predict(replace(run, class_names=[name, name + "2"]), several(tmp_path, 1), tmp_path / "out")
    assert not found.undrawn
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert written["categories"][0]["name"] == name


def test_long_and_repeated_names(run, tmp_path):
    long = picture(tmp_path / f"{'ä' * 120}.png")
    found = predict(run, [long, long, picture(tmp_path / "a-2.png"), *several(tmp_path, 1)], tmp_path / "out")
    assert not found.undrawn
    assert names(tmp_path / "out") == [
        "a-2.png",
        "p0.png",
        "predictions.json",
        f"{'ä' * 100}-2.png",
        f"{'ä' * 100}.png",
    ]


def test_nothing_to_look_at(run, tmp_path):
    with pytest.raises(ValueError, match="at least one image, got none"):
        predict(run, [], tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="link"):
        predict(run, several(tmp_path, 1), tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_the_device_is_used(run, tmp_path):
    class Where(Finds):
        moved = None

        def to(self, device):
            self.moved = torch.device(device)
            return self

        def forward(self, images):
            assert images[0].device == self.moved
            size = images[0].shape
            return [{k: v.to(self.moved) for k, v in super().forward([torch.zeros(size)])[0].items()}]

    model = Where()
    assert predict(replace(run, model=model), several(tmp_path, 1), tmp_path / "out", device="cpu").annotations
    assert model.moved == torch.device("cpu")
    with pytest.raises(NotImplementedError):  # the map has no values there: so it was there
        predict(replace(run, model=model), several(tmp_path, 1), tmp_path / "meta", device="meta")
    assert model.moved == torch.device("meta")


def test_drawings_name_classes_in_any_script(run, tmp_path, monkeypatch, caplog):
    only_own_fonts(monkeypatch)
    paths = [picture(tmp_path / f"{i}.png") for i in range(3)]
    predict(replace(run, class_names=["a", "猫"]), paths, tmp_path / "out", threshold=0.5)
    assert len(caplog.records) == 1 and "Noto Sans CJK" in caplog.text
    written = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))
    assert written["categories"][1]["name"] == "猫"
