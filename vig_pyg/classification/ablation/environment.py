"""Facts on which the numbers of an ablation depend: versions, threads, date and command."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch_geometric

from vig_pyg._io.numbers import counted
from vig_pyg._io.text import markdown_code, markdown_text
from vig_pyg.classification.ablation.folder import Run


def environment(command: Sequence[str]) -> dict[str, Any]:
    """Return the facts of this process.

    Example:
        >>> environment(["vig-pyg", "ablate"])["command"]
        'vig-pyg ablate'
    """
    return {
        "command": shlex.join(command),
        "date": date.today().isoformat(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "vig_pyg": version("vig_pyg"),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
    }


def _processor() -> str:
    """Return the name of the CPU; only Linux gives the full name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def as_facts(
    shown: Mapping[str, Any], here: Mapping[str, Any], runs: Mapping[str, Sequence[Run]], seconds: float
) -> list[str]:
    """Return the paragraphs below the table: settings, command, versions and time.

    Args:
        shown: Settings to show; `None` is left out.

    Example:
        >>> as_facts({"epochs": 5}, {"command": "x", "threads": 2}, {"mr": [{"seconds": 60.0}]}, 60)[0]
        'Settings: epochs 5.'
    """
    every = [run for found in runs.values() for run in found]
    commits = sorted({str(run["environment"]["commit"]) for run in every if "commit" in run.get("environment", {})})
    settings = ", ".join(f"{markdown_text(k)} {markdown_text(v)}" for k, v in shown.items() if v is not None)
    names = ("vig_pyg", "torch", "torch_geometric")
    parts = [here.get("date"), here.get("processor"), f"{here.get('threads')} threads"]
    parts += [f"{name} {here[name]}" for name in names if name in here]
    commit = f" Commit: {markdown_text(', '.join(commits))}." if commits else ""
    command = f"Command: {markdown_code(here['command'])}.{commit} "
    trained = sum(run["seconds"] for run in every)
    return [
        f"Settings: {settings}.",
        command + ", ".join(markdown_text(part) for part in parts if part is not None) + ".",
        f"Time: {trained / 60:.1f} min of training in {counted(len(every), 'runs')}; {seconds / 60:.1f} min for the "
        "last command.",
    ]
