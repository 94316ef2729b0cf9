import csv

import pytest

from tests.images import make_folder
from vig_pyg.classification import DigitsData, register_source
from vig_pyg.classification.named import find_labeled_of, is_table, of_readers_only, source_names
from vig_pyg.classification.readers import READERS, Collection, register_reader
from vig_pyg.classification.sources import SOURCES
from vig_pyg.classification.tables import read_table

DIGITS = [str(i) for i in range(10)]


@pytest.mark.parametrize(("split", "count"), [(None, 450), ("val", 450), ("validation", 450), ("train", 1347)])
def test_built_in_data_are_found_by_part_and_class_name(split, count):
    found = find_labeled_of("digits", DIGITS[::-1], split=split)
    assert len(found.paths) == len(found.labels) == count and set(found.labels) == set(range(10))
    data = DigitsData()
    images = data.train_set if split == "train" else data.val_set
    assert found.labels == [9 - label for label in images.labels]
    assert all((one.content() == array).all() for one, array in zip(found.paths, images.sources, strict=True))


def test_a_source_of_the_user_is_found():
    register_source("own_digits")(lambda in_channels: DigitsData())
    try:
        assert "own_digits" in source_names()
        assert len(find_labeled_of("own_digits", DIGITS, in_channels=1).labels) == 450
        with pytest.raises(ValueError, match="channels"):
            find_labeled_of("own_digits", DIGITS, in_channels=3)
    finally:
        SOURCES.remove("own_digits")


@pytest.mark.parametrize("split", [None, "train", "val"])
@pytest.mark.parametrize("divided", [True, False])
def test_the_rows_of_a_table_are_those_of_the_training(tmp_path, split, divided):
    files = sorted(make_folder(tmp_path / "images").rglob("*.png"))
    with open(tmp_path / "table.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"] + ["split"] * divided)
        for path in files:
            rows.writerow([path, path.parent.name] + [path.parts[-3]] * divided)
    split_of = read_table(tmp_path / "table.csv")
    found = find_labeled_of(str(tmp_path / "table.csv"), ["red", "green", "blue"], split=split)
    paths, labels = split_of.train if split == "train" else split_of.val
    assert list(found.paths) == list(paths) and len(paths) > 0
    assert found.labels == [{"red": 0, "blue": 2}[split_of.class_names[label]] for label in labels]


def test_what_is_not_there_is_named(tmp_path):
    for name, words in {"digist": "Unknown source 'digist'", "digits": "10 of 10 classes of the data are not"}.items():
        with pytest.raises(ValueError, match=words):
            find_labeled_of(name, ["cat", "dog"])
    with pytest.raises(ValueError, match="digits has no part 'test'; it has 'train' and 'val'"):
        find_labeled_of("digits", DIGITS, split="test")
    with pytest.raises(FileNotFoundError, match=r"The table .*none\.csv does not exist"):
        find_labeled_of(str(tmp_path / "none.csv"), ["cat"])


def test_a_folder_may_end_like_a_table(tmp_path):
    (tmp_path / "a.csv").mkdir()
    assert [is_table(str(tmp_path / name)) for name in ("a.csv", "b.csv", "b.TSV", "b")] == [False, True, True, False]


@pytest.mark.parametrize(
    ("folders", "value", "words"),
    [
        (
            ["train", "val", "test"],
            "val",
            "whose parts are the folders train/, val/, test/: leave it out, and pass {}/val",
        ),
        (["train", "val"], "train", "leave it out, and pass {}/train for a part"),
        (["train", "valid"], "other", "leave it out, and pass {}/valid for a part"),
        (["training"], "val", "whose parts are the folders training/: leave it out, and pass {}/training for"),
        (["cat", "dog"], "val", "which has no parts such as train/ and val/: leave it out."),
        ([], "val", "which has no parts"),
        (None, "val", "got val for {}: leave it out."),
    ],
)
def test_a_part_of_a_folder_is_named_by_its_path(tmp_path, folders, value, words):
    root = tmp_path / "photos"
    for name in folders or []:
        (root / name / "cat").mkdir(parents=True)
    if folders == []:
        root.mkdir()
    told = of_readers_only("--split", value, str(root))
    assert told.startswith(f"--split applies only to data with the prefix hfds/, wds/ or torch/, got {value} for ")
    assert words.format(root) in told and "tfds" not in told and "hfids" not in told


def test_a_reader_of_the_user_is_one_of_the_prefixes():
    register_reader("stripes")(lambda name, options: Collection(name, None, {}))
    try:
        assert "torch/ or stripes/, got" in of_readers_only("--split", "val", "digits")
    finally:
        READERS.remove("stripes")
