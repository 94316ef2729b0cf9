import pytest

from tests.mutations import VALUES
from vig_pyg._io.schema import choice, either, flag, listing, mapping, number, optional, text, whole

CHECKS = {
    "whole": (whole(-1, 9), lambda v: type(v) is int and -1 <= v <= 9),
    "number": (number(0, 1), lambda v: type(v) in (int, float) and 0 <= v <= 1),
    "flag": (flag, lambda v: type(v) is bool),
    "text": (text(100), lambda v: isinstance(v, str) and len(v) <= 100),
    "choice": (choice(("mr", "9")), lambda v: v in ("mr", "9") and isinstance(v, str)),
    "optional": (optional(flag), lambda v: v is None or type(v) is bool),
    "list": (listing(whole(0, 2000), 1, 2), lambda v: v == [1]),
    "either": (
        either(listing(whole(0, 2000), 0, 0), whole(0, 9)),
        lambda v: v == [] or (type(v) is int and 0 <= v <= 9),
    ),
    "mapping": (mapping({"a": whole(0, 9)}), lambda v: v in ({}, {"a": 1})),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_takes_what_it_says_and_names_the_place_of_all_else(name):
    check, takes = CHECKS[name]
    taken = 0
    for value in [*VALUES, 10**5000]:
        if takes(value):
            assert check(value, "file: key") == value
            taken += 1
            continue
        with pytest.raises(ValueError, match=r"^file: key") as error:
            check(value, "file: key")
        assert str(error.value).isprintable() and len(str(error.value)) < 250
    assert taken > 0


def test_places_within_are_named():
    check = mapping({"a": listing(mapping({"b": whole(0, 9)}, required=("b",)), 0, 9)})
    with pytest.raises(ValueError, match=r"^file: a\[1\]: b must be a whole number from 0 to 9, got 'x'"):
        check({"a": [{"b": 1}, {"b": "x"}]}, "file")
    with pytest.raises(ValueError, match=r"^file: a\[0\]: the entry 'b' is missing"):
        check({"a": [{}]}, "file")
    with pytest.raises(ValueError, match=r"^file: unknown entry 'c': choose one of a"):
        check({"c": 1}, "file")
