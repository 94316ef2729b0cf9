from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from tests.mutations import VALUES
from vig_pyg._io.dataclass_schema import check_fields, checks_of
from vig_pyg._io.schema import number, whole

Share = Annotated[float, number(0, 1)]


@dataclass(frozen=True, kw_only=True)
class Inner:
    flip: Share = 0.5

    def __post_init__(self):
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Outer:
    epochs: Annotated[int, whole(1, 10)] = 1
    ema: Share | None = None
    keep: Literal["last", "best"] = "last"
    devices: Annotated[int, whole(1, 4)] | Literal["auto"] = "auto"
    freeze: bool = False
    data: str = "digits"
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        check_fields(self)


TAKEN = {
    "epochs": lambda v: type(v) is int and 1 <= v <= 10,
    "ema": lambda v: v is None or (type(v) in (int, float) and 0 <= v <= 1),
    "keep": lambda v: v in ("last", "best") and isinstance(v, str),
    "devices": lambda v: v == "auto" or (type(v) is int and 1 <= v <= 4),
    "freeze": lambda v: type(v) is bool,
    "data": lambda v: isinstance(v, str) and len(v) <= 4096,
    "inner": lambda v: v == {},
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_field_takes_what_its_type_says(name):
    """36 values for each kind of type: one that is taken is returned, all else is named."""
    for value in [*VALUES, "auto", "last", "best"]:
        if TAKEN[name](value):
            assert checks_of(Outer)[name](value, name) == value
            if name != "inner":
                assert getattr(Outer(**{name: value}), name) == value
            continue
        with pytest.raises(ValueError, match=f"^a.yaml: {name}"):
            checks_of(Outer)[name](value, f"a.yaml: {name}")
        if name != "inner":
            with pytest.raises(ValueError, match=f"^{name} must be"):
                Outer(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ema", 2, "ema must be a number from 0 to 1, or null, got 2"),
        ("devices", "x", "devices must be a whole number from 1 to 4 or 'auto', got 'x'"),
        ("inner", {"flop": 1}, r"inner: unknown entry 'flop' \(did you mean 'flip'\?\): choose one of flip"),
        ("inner", {"flip": 3}, "inner: flip must be a number from 0 to 1, got 3"),
        ("freeze", 1, "freeze must be true or false, got 1"),
    ],
)
def test_what_was_expected_is_said(name, value, said):
    with pytest.raises(ValueError, match=said):
        checks_of(Outer)[name](value, name)


def test_a_type_without_bounds_is_a_mistake_of_ours():
    @dataclass
    class Loose:
        size: int = 1
        options: dict[str, Any] = field(default_factory=dict)

    with pytest.raises(TypeError, match=r"Loose\.size: write the bounds"):
        checks_of(Loose)
