"""Writes the tables of the newest result files into the README.

uv run python examples/benchmarks/readme.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from harness import RESULTS, table

README = Path(__file__).parents[2] / "README.md"


def newest(name: str) -> dict[str, Any]:
    """The newest result file of a benchmark."""
    result: dict[str, Any] = json.loads(max(RESULTS.glob(f"{name}_*.json")).read_text())
    return result


def inference() -> str:
    """A row for each model and precision."""
    result = newest("inference_cpu")
    by_run: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        by_run.setdefault((row["model"], row["precision"]), {})[row["network"]] = row
    rows = [
        {
            "model": model,
            "precision": precision,
            "reference": f"{networks['reference']['images/s']:.1f}",
            "ours, `fuse()`": f"{networks['fused']['images/s']:.1f}",
            "floor": f"{networks['floor']['images/s']:.1f}",
            "ours / reference": networks["fused"]["x reference"],
            "ours / floor": networks["fused"]["of the floor"],
            "`torch_cluster` / reference": networks["torch_cluster"]["x reference"],
        }
        for (model, precision), networks in by_run.items()
    ]
    env = result["environment"]
    source = f"{env['date']}, {env['processor']}, {env['threads']} threads, torch {env['torch']}, `{env['command']}`"
    return f"{table(rows)}\n\n{source}"


def rendered(text: str) -> str:
    """The README with its tables written anew."""
    body = f"<!-- inference -->\n{inference()}\n<!-- /inference -->"
    return re.sub(r"<!-- inference -->.*<!-- /inference -->", lambda _: body, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
