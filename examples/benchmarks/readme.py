"""Writes the tables of the newest result files into the README and the guides.

uv run python examples/benchmarks/readme.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from harness import RESULTS, table

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "examples" / "guides").glob("*.md")))
PEER = "swin_tiny_patch4_window7_224"
GPU_MODELS = ("pvig_small", "vig_small")
GPU_PEERS = ("Swin-T", "DeiT-S", "ConvNeXt-T")
GPU_RATIOS = {"reference": "x reference", "floor": "of the floor", "Swin-T": "of Swin-T"}


def newest(name: str) -> dict[str, Any]:
    """The newest result file of a benchmark."""
    result: dict[str, Any] = json.loads(max(RESULTS.glob(f"{name}_[0-9]*.json")).read_text())
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


def inference_short() -> str:
    """The two small models: the reference, ours, and the model in timm that is nearest in multiply-accumulates."""
    result = newest("inference_cpu")
    peers_of = {"vig_small": ("DeiT-S", "deit_small_patch16_224"), "pvig_small": ("Swin-T", PEER)}
    rows = []
    for model, (name, peer) in peers_of.items():
        for precision in ("float32", "bfloat16"):
            found = {
                row["network"]: row["images/s"]
                for row in result["rows"]
                if (row["model"], row["precision"]) == (model, precision)
            }
            rows.append(
                {
                    "model": model,
                    "precision": precision,
                    "reference": f"{found['reference']:.1f}",
                    "ours": f"{found['fused']:.1f}",
                    "ours / reference": found["fused"] / found["reference"],
                    "peer in timm": f"{name}, {found[peer]:.1f}",
                }
            )
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
    by_run: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        by_run.setdefault((row["model"], row["precision"]), {})[row["network"]] = row
    rows = [
        {
            "model": model,
            "precision": precision,
            "reference, s": networks["reference"]["s / step"],
            "ours, s": networks["ours"]["s / step"],
            "floor, s": networks["floor"]["s / step"],
            "Swin-T, s": networks[PEER]["s / step"] if PEER in networks else "",
            "reference / ours": networks["ours"]["x reference"],
            "reference in float32 / ours": networks["ours"]["x reference in float32"],
            "reference, GiB": networks["reference"]["peak GiB"],
            "ours, GiB": networks["ours"]["peak GiB"],
        }
        for (model, precision), networks in by_run.items()
    ]
    return with_source(rows, result)


def beside() -> str:
    """A row for each task and each other process."""
    result = newest("beside_cpu")
    names = {"share": "s alone / s beside"}
    rows = [{names.get(column, column): value for column, value in row.items()} for row in result["rows"]]
    return with_source(rows, result)


def memory() -> str:
    """A row for each size."""
    result = newest("memory_cpu")
    columns = ("size", "patches", "peak GiB", "seconds", "time / predicted")
    return with_source([{column: row[column] for column in columns} for row in result["rows"]], result)


def gpu_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each mode, model and batch on a GPU, in images per second."""
    tables: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = {}
    for row in result["rows"]:
        if "images/s" in row and row["mode"].startswith(("inference", "training")):
            tables.setdefault((row["mode"], row["model"], row["batch"]), {})[row["network"]] = row
    rows = []
    for (mode, model, batch), by_name in tables.items():
        if "ours" not in by_name or model not in GPU_MODELS:
            continue
        ours = by_name["ours"]
        speeds = {name: _speed(by_name.get(name)) for name in ("reference", "ours", "floor", *GPU_PEERS)}
        ratios = {f"ours / {name}": ours.get(column, "") for name, column in GPU_RATIOS.items()}
        peaks = [f"{by_name[name]['peak GiB']:.2f}" if name in by_name else "" for name in ("ours", "reference")]
        memory = {"ours, GiB": peaks[0], "reference, GiB": peaks[1]}
        rows.append({"mode": mode, "model": model, "batch": batch, **speeds, **ratios, **memory})
    return rows


def with_gpu(rows: list[dict[str, Any]], result: dict[str, Any]) -> str:
    """A table and the GPU that it was measured on."""
    env = result["environment"]
    source = f"{env['date']}, {result['device']}, torch {env['torch']}, Triton {env['triton']}, commit {env['commit']}"
    return f"{table(rows)}\n\n{source}"


def gpu() -> str:
    """All modes and batches."""
    result = newest("gpu")
    return with_gpu(gpu_rows(result), result)


def gpu_short() -> str:
    """Batches of 128."""
    result = newest("gpu")
    columns = ("mode", "model", "reference", "ours", "Swin-T", "DeiT-S", "ours / reference")
    return with_gpu([{c: row[c] for c in columns} for row in gpu_rows(result) if row["batch"] == 128], result)


def _speed(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['images/s']:.0f}"


def recompiles() -> str:
    """A row for each model and value of `dynamic`: the number of graphs so far."""
    result = newest("recompiles")
    rows = []
    for row in result["rows"]:
        position = f', `position="{row["position"]}"`' if "position" in row else ""
        counts = {key: row[key] for key in ("first batch", "4 sizes, 3 batch sizes", "one image", "fewer patches")}
        rows.append({"model": f"`{row['model']}`{position}", "`dynamic=`": f"`{row['dynamic']}`", **counts})
    return with_source(rows, result)


def family() -> str:
    """A row for each network and precision; ours and the dense form of the same network, and networks of timm."""
    result = newest("family_cpu")
    rows = [
        {
            "model": f"`{row['model']}`",
            "network": row["network"],
            "precision": row["precision"],
            "GMACs": row["GMACs"],
            "images/s": f"{row['images/s']:.1f}",
            "ours / dense": "" if row["x dense"] is None else row["x dense"],
        }
        for row in result["rows"]
    ]
    return with_source(rows, result)


TABLES = {
    "inference_short": inference_short,
    "gpu_short": gpu_short,
    "inference": inference,
    "peers": peers,
    "training": training,
    "beside": beside,
    "memory": memory,
    "gpu": gpu,
    "recompiles": recompiles,
    "family": family,
}


def rendered(text: str) -> str:
    """A document with its tables written anew."""
    for name, make in TABLES.items():
        body = f"<!-- {name} -->\n{make()}\n<!-- /{name} -->"
        text = re.sub(rf"<!-- {name} -->.*<!-- /{name} -->", lambda _, body=body: body, text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(rendered(document.read_text()))
