import json
import shutil

import pytest
import yaml
from PIL import Image, ImageOps

from tests.images import make_folder
from vig_pyg.cli._training_data import note_on_folder, note_on_part, note_on_source


@pytest.fixture
def run(tmp_path):
    """A function that writes a run folder with some values, and returns its path."""

    def write(**values):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(values))
        return str(tmp_path / "run")

    return write


def inverted(folder):
    """A folder whose images become others."""
    for path in images_in(folder):
        ImageOps.invert(Image.open(path)).save(path)
    return folder


def images_in(*folders):
    return sorted(path for folder in folders for path in folder.rglob("*.png"))


def test_images_in_the_training_folder_are_mentioned_however_they_are_reached(tmp_path, run, capsys, monkeypatch):
    data = make_folder(tmp_path / "data", train=3, val=2)
    (tmp_path / "link").symlink_to(data / "train")
    (tmp_path / "mixed").mkdir()
    for name, part in (("blue", "train"), ("red", "val")):
        (tmp_path / "mixed" / name).symlink_to(data / part / name)
    monkeypatch.chdir(tmp_path)
    model = run(data="data")
    cases = {
        "train": images_in(data / "train"),
        "link": [tmp_path / "link" / name / "0.png" for name in ("blue", "red")],
        "relative": [data.relative_to(tmp_path) / "train" / "red" / "1.png"],
        "mixed": [*(tmp_path / "mixed" / "blue" / f"{i}.png" for i in range(3)), tmp_path / "mixed" / "red" / "0.png"],
        "val": images_in(data / "val"),
        "other": images_in(inverted(make_folder(tmp_path / "other"))),
        "stored": [object()],
    }
    said = {"train": "these images", "link": "these images", "relative": "these images", "mixed": "3 of these 4 images"}
    for name, images in cases.items():
        note_on_folder(model, images)
        err = capsys.readouterr().err
        if name in said:
            assert f"note: {model} was trained on {said[name]}, so its scores on new images are probably lower;" in err
            assert err.endswith(f"are in {model}/metrics.csv\n") and err.count("\n") == 1
        else:
            assert err == "", name


@pytest.mark.parametrize("part", ["Train", "training_set"])
def test_other_names_of_the_training_folder_are_known(part, tmp_path, run, capsys):
    data = make_folder(tmp_path / "data", train=1, val=1)
    (data / "train").rename(data / part)
    note_on_folder(run(data=str(data)), images_in(data / part))
    assert "was trained on these images" in capsys.readouterr().err
    note_on_folder(run(data=str(data)), images_in(data / "val"))
    assert capsys.readouterr().err == ""


def test_of_data_that_is_not_divided_a_fifth_was_held_out(tmp_path, run, capsys):
    data = make_folder(tmp_path / "data", train=0, val=5) / "val"
    note_on_folder(run(data=str(data)), images_in(data))
    assert "was trained on about four fifths of these images" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "data: 5", "data: [a]", "data: nowhere", "lr: 1", "data: {", "- a", "data: ''\0"])
def test_a_file_that_tells_no_data_is_no_error(text, tmp_path, run, capsys):
    model = run()
    (tmp_path / "run" / "config.yaml").write_text(text)
    for name in (model, "pvig_small", str(tmp_path)):
        note_on_folder(name, [tmp_path / "a.png"])
        note_on_part(name, "wds/shards", "train", None)
        note_on_source(name, "a.json")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("values", "split", "root", "said"),
    [
        ({}, "train", None, True),
        ({}, "training", None, True),
        ({}, None, None, False),
        ({}, "val", None, False),
        ({"train_split": "first"}, "first", None, True),
        ({"train_split": "first"}, "train", None, False),
        ({"data": "wds/others"}, "train", None, False),
        ({"root": "data"}, "train", "data", True),
        ({"root": "data"}, "train", "elsewhere", False),
    ],
)
def test_the_training_part_of_data_with_a_prefix_is_mentioned(values, split, root, said, run, capsys):
    note_on_part(run(**{"data": "wds/shards", "train_split": None, **values}), "wds/shards", split, root)
    assert ("was trained on these images" in capsys.readouterr().err) == said


def test_the_training_source_of_a_detector_is_mentioned_however_it_is_written(tmp_path, run, capsys, monkeypatch):
    (tmp_path / "a.json").touch()
    (tmp_path / "b.json").touch()
    (tmp_path / "VOC").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "VOC")
    monkeypatch.chdir(tmp_path)
    same = {
        "a.json": ["a.json", "a.json:images", f"{tmp_path}/a.json", "./VOC/../a.json:x"],
        "a.json:images": ["a.json", "a.json:other"],
        "VOC:train": ["VOC:train", "link:train", f"{tmp_path}/VOC:train"],
        "VOC": ["VOC", "link"],
    }
    sources = sorted(
        {source for one in same.values() for source in one} | {"b.json", "VOC:val", "VOC", "gone", "gone:x"}
    )
    for train, others in same.items():
        model = run(train=train, val="b.json")
        for source in sources:
            note_on_source(model, source)
            told = "was trained on these images" in capsys.readouterr().err
            file = train.startswith("a.json")
            assert told == (source in others or (file and "a.json" in source)), (train, source)
            if source in others:
                assert told


def test_copies_of_the_training_images_are_mentioned(tmp_path, run, capsys):
    data = make_folder(tmp_path / "data", train=3, val=2)
    shutil.copytree(data, copy := tmp_path / "copy")
    (copy / "train" / "red" / "0.png").rename(copy / "train" / "red" / "renamed.png")
    rest = "so its scores on new images are probably lower; those on its validation images are in "

    def noted(model, images):
        note_on_folder(model, images)
        return capsys.readouterr().err

    model = run(data=str(data))
    assert f"{model} was trained on copies of these images, {rest}" in noted(model, images_in(copy / "train"))
    assert noted(model, images_in(copy / "val")) == ""
    assert "was trained on copies of 6 of these 10 images, " in noted(model, images_in(copy))
    rows = [f"{path},{path.parent.name},{path.parent.parent.name}" for path in images_in(data)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label,split", *rows]))
    model = run(data=str(tmp_path / "table.csv"))
    assert "was trained on copies of 6 of these 10 images, " in noted(model, images_in(copy))
    assert noted(model, images_in(copy / "val")) == ""
    for model in (run(data=str(data / "train")), run(data=str(whole := tmp_path / "whole.csv"))):
        whole.write_text("\n".join(["path,label", *(row.rpartition(",")[0] for row in rows)]))
        images = images_in(copy / "train")
        assert f"was trained on about four fifths of the originals of these images, {rest}" in noted(model, images)
    assert noted(run(data=str(tmp_path / "gone")), images_in(copy)) == noted(run(data="digits"), images_in(copy)) == ""


def test_copies_of_annotated_images_are_mentioned(tmp_path, run, capsys):
    for name in ("a", "b", "c"):
        (tmp_path / name / "images").mkdir(parents=True)
        for i in range(3):
            shade = 40 * i + (200 if name == "c" and i else 0) % 256
            Image.new("RGB", (8, 8), (shade % 256, 0, 0)).save(tmp_path / name / "images" / f"{i}.png")
    for source, told in (("b", "copies of these images"), ("c", "copies of 1 of these 3 images"), ("a/images", "")):
        note_on_source(run(train=str(tmp_path / "a")), str(tmp_path / source))
        assert (f"was trained on {told}, " in (err := capsys.readouterr().err)) == bool(told) and bool(err) == bool(
            told
        )


def test_copies_of_images_with_a_file_of_annotations_are_mentioned(tmp_path, run, capsys):
    for name in ("a", "b", "infrared", "other"):
        (tmp_path / name / "images").mkdir(parents=True)
        Image.new("RGB", (8, 8), (200 * (name == "infrared"), 0, 0)).save(tmp_path / name / "images" / "0.png")
        content = {"images": [{"id": 1, "file_name": "0.png"}], "annotations": [], "categories": []}
        text = json.dumps(content, indent=2 if name == "other" else None)
        (tmp_path / name / "boxes.json").write_text(text)
    (tmp_path / "empty.json").write_text('{"images": []}')
    shutil.copy(tmp_path / "empty.json", tmp_path / "copy.json")
    model = run(train=f"{tmp_path}/a/boxes.json:{tmp_path}/a/images")
    for source, told in (("b/boxes.json", True), ("infrared/boxes.json", False), ("other/boxes.json", False)):
        note_on_source(model, str(tmp_path / source))
        assert ("was trained on copies of these images, " in capsys.readouterr().err) == told, source
    note_on_source(run(train=f"{tmp_path}/empty.json"), f"{tmp_path}/copy.json")
    assert capsys.readouterr().err == ""
