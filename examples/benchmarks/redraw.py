"""Draws the curves and plots of the stored results again, for example after the look of the figures has changed.

    uv run python examples/benchmarks/redraw.py

Nothing is measured or trained: the numbers come from `results/*.json` and from the tables of the ablations. The images
in `detection_bccd_found.jpg` need the trained network, which is not stored.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import family_training
import loss_curves
import memory
import segmentation
from harness import RESULTS
from matplotlib.figure import Figure
from PIL import Image

from vig_pyg.classification.ablation.comparison import PERCENT, interval
from vig_pyg.classification.ablation.figure import draw_ablation
from vig_pyg.engine.plots import draw_curves

ABLATIONS = RESULTS.parents[1] / "results"
#: Kinds of ablations and data sets, by the two words of a folder's name.
KINDS = {"operators": "Operators", "graph": "Graphs", "blocks": "Blocks", "edges": "Attributes of edges"}
DATA = {"digits": "digits", "imagenette": "imagenette128"}


def newest(pattern: str) -> Any:
    """The content of the last result file of a kind; the names end with the date."""
    return json.loads(max(RESULTS.glob(pattern)).read_text())


def measured() -> Iterator[tuple[Path, Figure]]:
    """The figures of the benchmarks, and where they are stored."""
    for name in ("bccd", "bccd_ema", "bccd_two_processes", "coco128"):
        yield RESULTS / f"detection_{name}.png", draw_curves(newest(f"detection_{name}.json")["epochs"])
    yield RESULTS / "from_scratch_cpu.png", draw_curves(newest("from_scratch_cpu_*.json")["epochs"])
    yield RESULTS / "family_training.png", family_training.draw(newest("family_training.json")["runs"])
    yield RESULTS / "segmentation_camvid.png", segmentation.draw(newest("segmentation_camvid.json")["runs"])
    for name, pair in (("loss_curves", "reference"), ("loss_curves_precision", "precision")):
        runs = newest(f"{name}_2*.json")["runs"]
        yield RESULTS / f"{name}.png", loss_curves.draw(runs, loss_curves.PAIRS[pair], window=10)
    found = newest("memory_cpu_*.json")
    yield RESULTS / "memory_cpu.png", memory.draw(found["rows"], found["model"])


def ablations() -> Iterator[tuple[Path, Figure]]:
    """The plots of the ablations; tables from before intervals were computed have the scores of all seeds."""
    for path in sorted(ABLATIONS.glob("*/results.csv")):
        with path.open(newline="") as file:
            table = list(csv.DictReader(file))
        scores = {row["variant"]: [float(score) for score in row["top1_all"].split()] for row in table}
        rows = []
        for row in table:
            low, high = interval(scores[row["variant"]], bounds=PERCENT) or (None, None)
            speed, mean = float(row["images_per_second"]), statistics.fmean(scores[row["variant"]])
            rows.append(
                {"variant": row["variant"], "top1_mean": mean, "top1_low": low, "top1_high": high,
                 "images_per_second": speed}
            )  # fmt: skip
        data, kind = path.parent.name.split("_")
        yield path.with_name("plot.png"), draw_ablation(rows, scores, f"{KINDS[kind]} on {DATA[data]}")


def save(figure: Figure, path: Path) -> None:
    """Save a figure with few colors, which a repository keeps for long."""
    content = io.BytesIO()
    figure.savefig(content)
    Image.open(content).convert("RGB").quantize(96).save(path, optimize=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of the pictures (default: beside the numbers)")
    args = parser.parse_args(argv)
    for path, figure in (*measured(), *ablations()):
        kept = path.name if path.parent == RESULTS else f"{path.parent.name}_{path.name}"
        save(figure, path if args.out is None else args.out / kept)


if __name__ == "__main__":
    main()
