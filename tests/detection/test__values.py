import math

import pytest

from vig_pyg.detection._values import as_flag, as_number, as_whole


@pytest.mark.parametrize(("value", "expected"), [(1, 1.0), ("1.5", 1.5), (" -2 ", -2.0), ("1e3", 1000.0), (0.25, 0.25)])
def test_numbers(value, expected):
    assert as_number(value) == expected


def test_numbers_may_be_none():
    assert math.isnan(as_number("nan"))
    assert as_number(float("inf")) == math.inf


@pytest.mark.parametrize("value", [None, True, False, "", "x", "1,5", [], [1], {}, 10**400])
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match="expected a number"):
        as_number(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), ("7", 7), ("007", 7), (7.0, 7), ("7.0", 7), (-3, -3), (2**62, 2**62)]
)
def test_whole_numbers(value, expected):
    assert as_whole(value) == expected


@pytest.mark.parametrize("value", [None, True, "", "x", 1.5, "1.5", 2**63, -(2**64), 1e300, math.nan, math.inf, [], {}])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=r"expected a (whole )?number"):
        as_whole(value)


@pytest.mark.parametrize("yes", [1, 1.0, True, "1", "true", "True", " TRUE ", "yes"])
@pytest.mark.parametrize("no", [0, 0.0, False, None, "0", "false", "False", "no", ""])
def test_flags(yes, no):
    assert as_flag(yes) is True
    assert as_flag(no) is False


@pytest.mark.parametrize("value", [2, -1, 0.5, math.nan, "2", "maybe", [], {}, [0]])
def test_what_is_no_flag(value):
    with pytest.raises(ValueError, match="expected 0 or 1"):
        as_flag(value)
