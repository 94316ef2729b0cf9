import pytest
import yaml

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
        "other": images_in(make_folder(tmp_path / "other")),
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
