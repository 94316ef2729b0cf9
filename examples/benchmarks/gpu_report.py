"""Measured rows, written as soon as they are known: a run that is killed keeps what it has."""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from harness import environment, table

Row = dict[str, Any]
#: What names a row: a later row of the same name takes the place of the earlier one.
KEY = ("mode", "model", "batch", "network")
#: The networks that others are compared with, and the names of these columns.
RATIOS = {"reference": "x reference", "floor": "of the floor", "Swin-T": "of Swin-T"}


def versions() -> dict[str, str]:
    """Versions of what a GPU's numbers depend on."""
    found = {"cuda": str(torch.version.cuda)}
    for name in ("triton", "timm", "torch_cluster"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


class Report:
    """One result file, and a limit of time.

    Args:
        path: The JSON file.
        seconds: Measurements that would begin later than this are left out and say so; `None` is no limit.
        extra: What else the file says.
    """

    def __init__(self, path: Path, *, seconds: float | None = None, **extra: Any) -> None:
        self.path = path
        self.rows: dict[tuple[str, ...], Row] = {}
        self.head: dict[str, Any] = {"environment": environment() | versions(), **extra}
        self._begin, self._seconds = time.monotonic(), seconds
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self._seconds is not None and self.elapsed > self._seconds

    def add(self, row: Row) -> None:
        """Keeps a row, completes the ratios of its table, and writes the file."""
        self.rows[self._key(row)] = row
        self._compare(row)
        other = self.path.with_suffix(".part")
        other.write_text(json.dumps({**self.head, "seconds": self.elapsed, "rows": list(self.rows.values())}, indent=1))
        os.replace(other, self.path)
        rest = {name: f"{v:.4g}" if isinstance(v, float) else v for name, v in row.items() if name not in KEY}
        says = row.get("error") or ", ".join(f"{name} {value}" for name, value in rest.items())
        print(f"[{self.elapsed:5.0f} s] {' | '.join(str(row[k]) for k in KEY if k in row)}: {says}", flush=True)

    def read(self) -> None:
        """Takes over what another process has written into the file."""
        if not self.path.exists():
            return
        found = json.loads(self.path.read_text())
        self.rows = {self._key(row): row for row in found.pop("rows")}
        found.pop("seconds")
        self.head = found

    @staticmethod
    def _key(row: Row) -> tuple[str, ...]:
        return tuple(str(row.get(name, "")) for name in KEY)

    def _compare(self, row: Row) -> None:
        same = [other for other in self.rows.values() if all(other.get(k) == row.get(k) for k in KEY[:3])]
        speeds = {other["network"]: other.get("images/s") for other in same if "network" in other}
        for other in same:
            for name, column in RATIOS.items():
                if other.get("images/s") and speeds.get(name):
                    other[column] = other["images/s"] / speeds[name]

    def tables(self) -> str:
        """The rows as Markdown, a table for each mode."""
        modes = list(dict.fromkeys(row["mode"] for row in self.rows.values()))
        return "\n\n".join(f"**{mode}**\n\n{self._table(mode)}" for mode in modes)

    def _table(self, mode: str) -> str:
        rows = [row for row in self.rows.values() if row["mode"] == mode]
        columns = list(dict.fromkeys(name for row in rows for name in row if name != "mode"))
        return table([{name: row.get(name, "") for name in columns} for row in rows])
