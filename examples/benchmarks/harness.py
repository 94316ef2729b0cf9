"""Measuring side by side: everything in one process, interleaved, medians; results with all that made them."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch_geometric
import torchvision

RESULTS = Path(__file__).parent / "results"


def interleaved(candidates: dict[str, Callable[[], Any]], *, repeats: int, warmup: int = 1) -> dict[str, float]:
    """Median seconds of each, every candidate once a round, so that a slow minute is slow for all."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warmup + repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if turn >= warmup:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


class PeakMemory:
    """Largest resident set from now on, over what is resident now, in GiB (Linux)."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the largest so far
        self.before = _status("VmRSS")

    def read(self) -> float:
        return _status("VmHWM") - self.before


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 2**20


def environment() -> dict[str, Any]:
    """What the numbers depend on."""

    def git(*args: str) -> str:
        try:
            return subprocess.run(["git", *args], capture_output=True, text=True, check=False).stdout.strip()
        except OSError:  # no git here, which is no reason to lose the numbers
            return ""

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": git("rev-parse", "--short", "HEAD")
        + (
            " with changes" if git("status", "--porcelain", "-uno", "--", ":(top)", ":(top,exclude)*/results/*") else ""
        ),
        "date": date.today().isoformat(),
        "processor": cpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "torchvision": torchvision.__version__,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table; the columns are those of the first row."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [f"{row[c]:.2f}" if isinstance(row[c], float) else str(row[c]) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(name: str, rows: list[dict[str, Any]], **extra: Any) -> Path:
    """A dated result file with everything that made it; prints the table too."""
    env = environment()
    path = RESULTS / f"{name}_{env['date']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"environment": env, **extra, "rows": rows}, indent=1) + "\n")
    print(table(rows))
    print(f"\n{path}")
    return path
