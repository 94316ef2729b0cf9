"""One image stops a run or an evaluation, and all that cannot be read are named."""

import random

import pytest

from vig_pyg.engine import faults
from vig_pyg.engine.faults import faults_of, naming_all_faults, with_all_faults


def reader(names, broken):
    def read(i):
        if names[i] in broken:
            raise (OSError if len(names[i]) % 2 else ValueError)(f"{names[i]} is empty; remove it.")

    return names, read


@pytest.mark.parametrize("seed", range(20))
def test_all_are_named_of_whatever_set(seed):
    rng = random.Random(seed)
    names = [f"{'x' * rng.randrange(3)}/{i}.png" for i in range(30)]
    sets = [names[:20], ["", *names[20:]]]  # an image in memory has no name
    broken = rng.sample(names, rng.randrange(1, 15))
    told = with_all_faults(f"{broken[0]} is empty; remove it.", [reader(one, broken) for one in sets],
                           one="; remove it", several="; remove them")  # fmt: skip
    if len(broken) == 1:
        assert told == f"{broken[0]} is empty; remove it."
        return
    head, *lines = told.split("\n")
    assert head == f"{len(broken)} of 31 images cannot be used; remove them:"
    assert len(lines) == min(len(broken), 11) and all(line.startswith("  ") for line in lines)
    in_order = [name for name in names if name in broken]
    assert all((f"{name} is empty" in told) == (i < 10) for i, name in enumerate(in_order))
    assert "remove it" not in told and ("and" in told) == (len(broken) > 10)


def test_other_errors_read_nothing():
    def read(_):
        raise AssertionError

    assert with_all_faults("the loss is not finite", [(["a.png", ""], read)]) == "the loss is not finite"
    with pytest.raises(ValueError, match="not finite"), naming_all_faults((["a.png"], read)):
        raise ValueError("not finite")


@pytest.mark.parametrize("kind", [ValueError, OSError, FileNotFoundError])
def test_the_type_of_the_error_stays(kind):
    images = reader(["a.png", "b.png", "c.png"], ["a.png", "c.png"])
    with (
        pytest.raises(ValueError if kind is ValueError else OSError, match=r"^2 of 3 images.*\n  a\.png.*\n  c\.png"),
        naming_all_faults(images),
    ):
        raise kind("a.png is empty; remove it.")
    images = reader(["a.png", "b.png"], ["a.png"])
    with pytest.raises(kind, match=r"^a\.png is empty$"), naming_all_faults(images):
        raise kind("a.png is empty")


def test_the_number_of_images_that_are_read_is_bounded(monkeypatch):
    monkeypatch.setattr(faults, "MOST_READ", 5)
    names = [f"{i}.png" for i in range(9)]
    assert len(faults_of(reader(names, names)[1], 9)) == 5
    assert with_all_faults("3.png", [reader(names, names)]).startswith("5 of 5 images")


@pytest.mark.parametrize("other", [MemoryError, RuntimeError("of a decoder"), KeyError("a mask")])
def test_another_error_while_the_others_are_read_does_not_hide_the_first(other):
    def read(i):
        raise ValueError(f"{i}.png is empty.") if i < 2 else other

    names = [f"{i}.png" for i in range(4)]
    assert faults_of(read, 4) == ["0.png is empty.", "1.png is empty."]
    told = with_all_faults("0.png is empty.", [(names, read)])
    assert told == "2 of 4 images cannot be used:\n  0.png is empty\n  1.png is empty"
