import os
import random
import string

import pytest

from vig_pyg._io.suggest import did_you_mean, nearest_name

NAMES = ["photos", "train.json", "my_ops", "runs", "roads_2024", "model.safetensors", "GreedyViG"]


def misspelled(name, seed):
    """The name with one letter too many, one too few, two swapped, or another case."""
    chance = random.Random(seed)
    place = chance.randrange(len(name.partition(".")[0]) - 1)
    letter = chance.choice(string.ascii_lowercase)
    swapped = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    found = [name[:place] + letter + name[place:], name[:place] + name[place + 1 :], swapped, name.swapcase()]
    return found[seed % 4]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", NAMES)
def test_a_misspelled_name_finds_its_like(name, seed):
    typed = misspelled(name, seed)
    assert typed == name or nearest_name(typed, NAMES) == name


@pytest.mark.parametrize("typed", ["2.jpg", "b.json", "elephants", "x", "", "no/such/thing", "é" * 300])
def test_what_is_like_nothing_finds_nothing(typed):
    assert nearest_name(typed, [*NAMES, "1.jpg", "a.json"]) is None
    assert nearest_name(typed, []) is None


@pytest.mark.parametrize("seed", range(8))
def test_a_misspelled_path_finds_the_nearest_beside_it(tmp_path, monkeypatch, seed):
    (tmp_path / "photos" / "train" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "labels.csv").touch()
    monkeypatch.chdir(tmp_path)
    for right in ("photos", "photos/labels.csv", "photos/train/cats"):
        parts = right.split("/")
        place = seed % len(parts)
        wrong = "/".join([*parts[:place], misspelled(parts[place], seed), *parts[place + 1 :]])
        if not os.path.lexists(wrong):
            assert did_you_mean(wrong) == f" Did you mean {right}?"
            assert did_you_mean(tmp_path / wrong) == f" Did you mean {tmp_path / right}?"
    assert did_you_mean("photso/trian/catz") == " Did you mean photos/train/cats?"
    assert did_you_mean("photso/elephants") == " Did you mean photos?"


@pytest.mark.parametrize("path", ["photos", "elephants", "", "/", ".", "a\0b", "~nobody/photos", "x" * 5000, "e/f/g"])
def test_a_path_without_a_like_has_no_question(tmp_path, monkeypatch, path):
    (tmp_path / "photos").mkdir()
    (tmp_path / ".photo_cache").mkdir()
    monkeypatch.chdir(tmp_path)
    assert did_you_mean(path) == ""
    assert did_you_mean("photo_cache") == ""


def test_names_count_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert did_you_mean("digist", names=["digits", "cifar10"]) == " Did you mean digits?"
    assert did_you_mean("elephants", names=["digits"]) == ""
