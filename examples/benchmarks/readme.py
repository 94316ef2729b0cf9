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


def with_source(rows: list[dict[str, Any]], result: dict[str, Any]) -> str:
    """A table and what made it."""
    env = result["environment"]
    source = f"{env['date']}, {env['processor']}, {env['threads']} threads, torch {env['torch']}, `{env['command']}`"
    return f"{table(rows)}\n\n{source}"


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
    return with_source(rows, result)


def peers() -> str:
    """Beside models of timm."""
    known = {"reference", "plain", "fused", "floor", "torch_cluster", "reference compiled", "fused compiled"}
    rows = []
    result = newest("inference_cpu")
    for peer in result["rows"]:
        if peer["network"] in known:
            continue
        ours = next(
            row
            for row in result["rows"]
            if (row["model"], row["precision"], row["network"]) == (peer["model"], peer["precision"], "fused")
        )
        rows.append(
            {
                "ours": peer["model"],
                "precision": peer["precision"],
                "timm": peer["network"],
                "ours, images/s": f"{ours['images/s']:.1f}",
                "timm's, images/s": f"{peer['images/s']:.1f}",
                "ours / timm's": ours["images/s"] / peer["images/s"],
            }
        )
    return table(rows)


def training() -> str:
    """A row for each model."""
    result = newest("training_cpu")
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        by_model.setdefault(row["model"], {})[row["network"]] = row
    rows = [
        {
            "model": model,
            "reference, s": networks["reference"]["s / step"],
            "ours, s": networks["ours"]["s / step"],
            "floor, s": networks["floor"]["s / step"],
            "reference / ours": networks["ours"]["x reference"],
            "reference, GiB": networks["reference"]["peak GiB"],
            "ours, GiB": networks["ours"]["peak GiB"],
            "ours / reference, memory": networks["ours"]["peak / reference"],
        }
        for model, networks in by_model.items()
    ]
    return with_source(rows, result)


def memory() -> str:
    """A row for each size."""
    result = newest("memory_cpu")
    columns = ("size", "patches", "peak GiB", "seconds", "time / predicted")
    return with_source([{column: row[column] for column in columns} for row in result["rows"]], result)


TABLES = {"inference": inference, "peers": peers, "training": training, "memory": memory}


def rendered(text: str) -> str:
    """The README with its tables written anew."""
    for name, make in TABLES.items():
        body = f"<!-- {name} -->\n{make()}\n<!-- /{name} -->"
        text = re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", lambda _, body=body: body, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
