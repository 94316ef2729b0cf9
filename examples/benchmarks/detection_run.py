"""The result file of a finished detection run: settings, curves, time, average precision measured once more, images.

    uv run vig-pyg detect train --train BCCD:trainval --val BCCD:test ... --out runs/bccd
    uv run python examples/benchmarks/detection_run.py runs/bccd --name bccd

The average precision is computed twice: by this package's evaluator, and by pycocotools alone from the detections and
the annotations as files of COCO's format. Both are written down, and the script stops if they differ.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, environment
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.transforms import v2

from vig_pyg.detection.coco_evaluator import CocoEvaluator
from vig_pyg.detection.data import open_source
from vig_pyg.detection.draw import draw
from vig_pyg.detection.evaluate import evaluate_detector
from vig_pyg.detection.load import detect, load_detector
from vig_pyg.detection.loading import read_run
from vig_pyg.engine.config_file import to_values
from vig_pyg.engine.plots import draw_curves
from vig_pyg.image_io import read_image, with_channels


def by_files(evaluator: CocoEvaluator, val: str, kind: str) -> float:
    """AP50 of one kind (`bbox` or `segm`) by pycocotools from files alone."""
    # loadRes takes the size of an object from its box where there is one, and from its outline else
    dropped = {"bbox": "segmentation", "segm": "bbox"}[kind]
    results = [{key: value for key, value in entry.items() if key != dropped} for entry in evaluator.results]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        truth, found = Path(val.split(":")[0]), Path(folder, "found.json")
        if truth.suffix != ".json":  # Pascal VOC
            truth = Path(folder, "truth.json")
            truth.write_text(json.dumps(evaluator.truth.dataset))
        found.write_text(json.dumps(results))
        coco = COCO(str(truth))
        result = COCOeval(coco, coco.loadRes(str(found)), kind)
        result.evaluate()
        result.accumulate()
        result.summarize()
    return float(result.stats[1])


def read_rows(folder: Path) -> list[dict[str, float]]:
    """`metrics.csv`, without the gaps."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def sheet(pictures: list[Image.Image], *, columns: int = 3, width: int = 420) -> Image.Image:
    """Images beside and below each other."""
    small = [p.resize((width, round(p.height * width / p.width))) for p in pictures]
    height = max(p.height for p in small)
    rows = -(-len(small) // columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    for i, picture in enumerate(small):
        page.paste(picture, (i % columns * width, i // columns * height))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of `vig-pyg detect train`")
    parser.add_argument("--name", required=True, help="the files are detection_NAME.json and .png")
    parser.add_argument("--threshold", type=float, default=0.5, help="lowest score that is drawn (default: 0.5)")
    args = parser.parse_args()
    run, rows, made = load_detector(args.run), read_rows(args.run), read_run(args.run)
    evaluator = evaluate_detector(run, made.val, num_workers=0, progress=False)
    scores: dict[str, float] = evaluator.compute()
    files = {"AP50": by_files(evaluator, made.val, "bbox")}
    if run.masks:
        files["mask_AP50"] = by_files(evaluator, made.val, "segm")
    for key, value in files.items():
        assert abs(scores[key] - value) < 1e-6, f"{key}: {scores[key]} here, {value} by pycocotools"

    source = open_source(made.val, classes=run.class_names)
    drawn = []
    for record in source.records[:6]:
        image = v2.functional.pil_to_tensor(with_channels(read_image(record.path), 3))
        found = detect(run, image, threshold=args.threshold)
        drawn.append(v2.functional.to_pil_image(draw(image, found, run.class_names)))
    sheet(drawn).save(RESULTS / f"detection_{args.name}_found.jpg", quality=85)
    draw_curves(rows).savefig(RESULTS / f"detection_{args.name}.png")

    plan: dict[str, Any] = to_values(made)
    for key in ("train", "val"):  # without the folders of this machine
        plan[key] = ":".join(Path(part).name for part in plan[key].split(":"))
    content = {
        "environment": environment(),
        "plan": plan,
        "parameters, M": sum(p.numel() for p in run.model.parameters()) / 1e6,
        "pictures": len(source.records),
        "scores": scores,
        "scores by pycocotools from files": files,
        "epochs": rows,
    }
    path = RESULTS / f"detection_{args.name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print({key: round(value, 4) for key, value in scores.items()}, path)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
