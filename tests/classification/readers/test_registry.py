import logging

import pytest

from vig_pyg.classification.readers import (
    READERS,
    Collection,
    Part,
    ReaderOptions,
    list_readers,
    open_collection,
    reader_prefix,
    register_reader,
)


@pytest.fixture
def stripes():
    register_reader("stripes")(lambda name, options: Collection(name, None, {"": lambda: Part([], [])}))
    yield "stripes"
    READERS.remove("stripes")


def test_a_prefix_names_a_reader(stripes):
    assert "stripes" in list_readers() and {"wds", "hfds", "torch", "tfds", "hfids"} <= set(list_readers())
    assert open_collection("Stripes/Some/Name", ReaderOptions()).title == "Some/Name"
    prefixes = ["stripes/x", "STRIPES/x", "stripes/", "stripes", "./stripes/x", "/stripes/x", "other/x"]
    assert [reader_prefix(name) for name in prefixes] == ["stripes", "stripes", *[None] * 5]
    with pytest.raises(ValueError, match=r"Unknown reader 'stripe'\. Did you mean 'stripes'\? Choose one of "):
        open_collection("stripe/x", ReaderOptions())
    with pytest.raises(ValueError, match="is registered already"):
        register_reader("wds")(lambda name, options: None)


def test_a_folder_with_the_name_of_a_prefix_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"There is no folder with shards at images\.$"):
        open_collection("wds/images", ReaderOptions())
    (tmp_path / "wds" / "images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"To read the folder wds/images, write \./wds/images\.$"):
        open_collection("wds/images", ReaderOptions())


@pytest.mark.parametrize(
    ("names", "train", "val"),
    [
        (["train", "val"], "train", "val"),
        (["test", "validation", "train"], "train", "validation"),
        (["Training_set", "valid"], "Training_set", "valid"),
        (["train", "test"], "train", "test"),
        (["train", "training", "val", "valid"], "train", "val"),
        (["unsupervised"], None, None),
        (["test"], None, "test"),
    ],
)
def test_parts_are_chosen_by_their_names(names, train, val, caplog):
    collection = Collection("pets", None, dict.fromkeys(names, lambda: Part([], [])))
    with caplog.at_level(logging.WARNING):
        assert (collection.choose("train"), collection.choose("val")) == (train, val)
    assert ("test is used instead" in caplog.text) == (val == "test")
    assert all(collection.choose("val", name) == name for name in names)


def test_parts_that_are_not_there_or_could_be_several_are_named():
    collection = Collection("pets", None, dict.fromkeys(["valid", "validation"], lambda: Part([], [])))
    with pytest.raises(ValueError, match="pets has no part 'train'; it has 'valid', 'validation'"):
        collection.choose("train", "train")
    with pytest.raises(ValueError, match="several parts for val, valid, validation: name the one to use"):
        collection.choose("val")
