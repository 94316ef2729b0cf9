import os
import random
import string
from itertools import product
from pathlib import Path

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
    other_number = letters_of(typed) == letters_of(name) and digits_of(typed) != digits_of(name)
    assert typed == name or nearest_name(typed, NAMES) == (None if other_number else name)


def letters_of(name):
    return "".join(one for one in name if not one.isdigit())


def digits_of(name):
    return "".join(filter(str.isdigit, name))


@pytest.mark.parametrize("seed", range(20))
def test_another_number_is_another_thing(tmp_path, monkeypatch, seed):
    chance = random.Random(seed)
    form = chance.choice(["cat_{}.jpg", "fold{}", "img{}_{}.png", "{}", "run-{}-a", "{}.csv", "2024{}/x"])
    numbers = chance.sample(range(1200), 12)
    names = [form.format(one, one % 7).partition("/")[0] for one in numbers]
    typed, others = names[0], sorted({*names[1:], form.format("", "").partition("/")[0]} - {names[0], ""})
    assert nearest_name(typed, others) is None
    assert nearest_name(typed.upper(), others) is None
    monkeypatch.chdir(tmp_path)
    for one in others:
        (tmp_path / one).touch()
    assert did_you_mean(typed) == ""


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("catt_9.jpg", ["cat_3.jpg", "cat_9.jpg"], "cat_9.jpg"),
        ("catt_9.jpg", ["cat_3.jpg"], None),
        ("ph0tos", ["photos"], "photos"),
        ("vig_micr0", ["vig_micro"], "vig_micro"),
        ("flod3", ["fold2", "fold3"], "fold3"),
        ("cifra10", ["cifar100", "cifar10"], "cifar10"),
    ],
)
def test_a_misspelled_name_keeps_its_number(typed, known, meant):
    assert nearest_name(typed, known) == meant


@pytest.mark.parametrize("length", [20, 80, 250])
def test_of_many_alike_names_few_are_compared(monkeypatch, length):
    """The result is that of a comparison with all of them."""
    from vig_pyg._io import suggest

    chance = random.Random(length)
    base = "".join(chance.choices(string.ascii_lowercase, k=length - 4))
    names = [base + "".join(letters) for letters in product("abcdefghijkl", repeat=4)][:10_000]
    meant = chance.choice(names)
    compared = []

    class Counted(suggest.SequenceMatcher):
        def ratio(self):
            compared.append(1)
            return super().ratio()

    monkeypatch.setattr(suggest, "SequenceMatcher", Counted)
    assert nearest_name(meant[: length // 2] + "é" + meant[length // 2 :], names) == meant
    assert len(compared) <= 500


def test_a_folder_that_cannot_be_read_hides_nothing_beside_it(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    real = os.scandir

    def scan(path):
        if Path(path).name == "photos":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert did_you_mean("photso/trian") == " Did you mean photos?"


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
