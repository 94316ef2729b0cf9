"""The length of the learning rate warm-up."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, Self, get_args

from vig_pyg._io.schema import Scalar

Unit = Literal["%", "steps", "epochs"]
#: Largest amount of each unit.
_LIMITS: dict[Unit, float] = {"%": 100, "steps": 1e9, "epochs": 1e6}
_FORM = re.compile(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*(%|steps?|epochs?)\s*", re.ASCII)


@dataclass(frozen=True)
class Warmup:
    """The length of a warm-up, with its unit.

    Args:
        amount: Length in the unit; a whole number for `"steps"`. 0 means no warm-up.
        unit: `"%"` of all steps of the run, `"steps"` (optimizer steps, at most a tenth of the run), or `"epochs"`.

    Raises:
        ValueError: If the unit is unknown, or the amount is negative or too large for any run.

    Example:
        >>> Warmup.parse("20 epochs").steps(total=3000, epochs=300)
        200
    """

    amount: float
    unit: Unit

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ValueError(f"The unit of a warm-up must be one of {', '.join(get_args(Unit))}, got {self.unit!r}.")
        if not 0 <= self.amount <= _LIMITS[self.unit]:
            raise ValueError(f"A warm-up must be from 0 to {_LIMITS[self.unit]:g} {self.unit}, got {self.amount:g}.")
        if self.unit == "steps" and self.amount != int(self.amount):
            raise ValueError(f"A warm-up in steps must be a whole number, got {self.amount:g}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a warm-up from text.

        Args:
            text: `"5%"`, `"500 steps"` or `"20 epochs"`.

        Raises:
            ValueError: If the text has another form; a number without a unit would be ambiguous.

        Example:
            >>> str(Warmup.parse("5 %"))
            '5%'
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"A warm-up must be {EXPECTED}, got {text[:60]!r}.")
        units: dict[str, Unit] = {"%": "%", "s": "steps", "e": "epochs"}
        return cls(float(found[1]), units[found[2][0]])

    def __str__(self) -> str:
        return f"{self.amount:.12g}{'' if self.unit == '%' else ' '}{self.unit}"

    def steps(self, *, total: int, epochs: int) -> int:
        """Return the number of optimizer steps of the warm-up.

        Example:
            >>> [Warmup.parse(text).steps(total=1000, epochs=10) for text in ("5%", "500 steps", "2 epochs")]
            [50, 100, 200]
        """
        if self.unit == "%":
            return int(self.amount / 100 * total)
        if self.unit == "steps":  # so that a short run does not consist of the warm-up only
            return min(int(self.amount), total // 10)
        return min(math.floor(self.amount * total / epochs), total)


#: Description of the valid texts, for messages and help.
EXPECTED = 'text such as "5%" (of all steps), "500 steps" (at most a tenth of the run) or "20 epochs"'


def _takes(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(Warmup.parse(value))
    except ValueError:
        return False


#: Check of a text that describes a warm-up.
check_warmup = Scalar(EXPECTED, _takes)
