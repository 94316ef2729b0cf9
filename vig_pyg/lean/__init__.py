"""Passes for training that keep less: on a processor memory that is not written need not be fetched.

Each equals the plain layers it stands for up to rounding; the tests hold it to them. They can be differentiated once.
"""

from vig_pyg.lean.by_rows import LeanMLPByRows, pays_by_rows
from vig_pyg.lean.grouped import GroupedLinear, grouped
from vig_pyg.lean.passes import LeanLinearNorm, LeanMLP, LeanNorm
from vig_pyg.lean.when import takes_lean

__all__ = [
    "GroupedLinear",
    "LeanLinearNorm",
    "LeanMLP",
    "LeanMLPByRows",
    "LeanNorm",
    "grouped",
    "pays_by_rows",
    "takes_lean",
]
