r"""MobileViG, GreedyViG and Pyramid ViG from random weights: three small networks of equal size on a folder of images.

    for seed in 0 1 2; do for model in pvig mobilevig greedyvig; do
        OMP_NUM_THREADS=1 uv run python examples/benchmarks/family_training.py train --data imagenette128 \
            --model $model --seed $seed --out runs/family_${model}_$seed
    done; done
    uv run python examples/benchmarks/family_training.py report --data imagenette128 runs/family_*

A run takes at most five minutes of one CPU thread; one that was stopped goes on if its command is given again. The
recipe is that of `from_scratch.py`, with fewer epochs. `--data` is a folder with `train/` and `val/`, and a folder of
images for each class in both. `report` evaluates each run once more, and writes `results/family_training.json` and the
curves.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, environment, table
from matplotlib.figure import Figure

from vig_pyg import load
from vig_pyg._figure import figure
from vig_pyg._palette import SERIES
from vig_pyg.classification import load_config, load_data, make_model, to_yaml
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.engine import fit

#: Networks of 2.0 M parameters (within 1 %), as the name of a registered model and options. Images of 64 pixels have
#: grids of 16, 8, 4 and 2 patches per side; the hops of the graphs are reduced as the grids are.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "pvig": ("pvig_micro", {"channels": (32, 64, 112, 192), "depths": (2, 2, 4, 2)}),
    "mobilevig": (
        "mobilevig_tiny",
        {
            "channels": (32, 64, 112, 176),
            "local_depths": (2, 2, 6, 0),
            "graph_depths": (0, 0, 0, 2),
            "hops": (1, 1, 1, 1),
        },
    ),
    "greedyvig": (
        "greedyvig_small",
        {
            "channels": (32, 64, 112, 224),
            "local_depths": (1, 1, 3, 1),
            "graph_depths": (1, 1, 1, 1),
            "hops": (4, 2, 1, 1),
        },
    ),
}
HEAD = {"patch_size": 4, "head_channels": 256}


def configuration(data: str, model: str, *, seed: int, epochs: int) -> ClassificationConfig:
    """The preset `scratch` with fewer epochs, in bfloat16."""
    name, options = MODELS[model]
    values: dict[str, Any] = {
        "data": data,
        "model": name,
        "options": {**options, **HEAD},
        "epochs": epochs,
        "seed": seed,
        "mean": 0.5,
        "std": 0.5,
        "cache": 64,
        "num_workers": 0,
        "precision": "bf16-mixed",
    }
    return load_config("scratch", ("this script", values))


def train(args: argparse.Namespace) -> None:
    config = configuration(args.data, args.model, seed=args.seed, epochs=args.epochs)
    data = load_data(config)
    model = make_model(config.model, config.options, data, seed=config.seed)
    parameters, resumed = sum(p.numel() for p in model.parameters()), args.out.exists()
    print(f"{parameters / 1e6:.3f} M parameters, {args.model}, seed {args.seed}")
    cpu = time.process_time()
    last = fit(model, data, config, args.out, progress=False, resume=resumed)
    about = {
        "environment": here(),
        "model": args.model,
        "seed": args.seed,
        "parameters, M": parameters / 1e6,
        "resumed (the minutes are those of the last part)": resumed,
        "CPU minutes": (time.process_time() - cpu) / 60,
        "settings": [line for line in to_yaml(config).splitlines() if not line.startswith(("data:", "root:"))],
    }
    (args.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print({name: round(score, 4) for name, score in last.items()}, f"{about['CPU minutes']:.1f} CPU minutes")


def here() -> dict[str, Any]:
    """What the numbers depend on, without the folders of this machine."""
    found = environment()
    return {**found, "command": " ".join(Path(w).name if w[0] == "/" else w for w in found["command"].split())}


def evaluated(run: Path, data: str) -> dict[str, Any]:
    """The accuracy of a run by its saved weights, in float32, and its epochs."""
    about = json.loads((run / "about.json").read_text())
    network = load(run).model
    images = load_data(configuration(data, about["model"], seed=0, epochs=1))
    images.setup("fit")
    right = count = 0
    for pixels, labels in images.val_dataloader():
        right += int((network(pixels).argmax(1) == labels).sum())
        count += len(labels)
    with (run / "metrics.csv").open(newline="") as file:
        epochs = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return {"run": run.name, **about, "images": count, "top-1, %": 100 * right / count, "epochs": epochs}


def draw(results: list[dict[str, Any]]) -> Figure:
    """The training loss and the accuracy over the epochs; one color for each network."""
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    for found in results:
        style = {"color": SERIES[list(MODELS).index(found["model"])], "linewidth": 1, "marker": "."}
        first = found["seed"] == min(one["seed"] for one in results)
        for axes, column, scale in ((left, "train_loss", 1), (right, "val_accuracy", 100)):
            points = [(row["epoch"], scale * row[column]) for row in found["epochs"] if column in row]
            axes.plot(*zip(*points, strict=True), **style, label=found["model"] if first else None)
    left.set(xlabel="epoch", ylabel="training loss (no unit)")
    right.set(xlabel="epoch", ylabel="top-1 on val/ (%)")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def report(args: argparse.Namespace) -> None:
    results = [evaluated(run, args.data) for run in args.runs]
    rows = []
    for model in MODELS:
        found = [one for one in results if one["model"] == model]
        if found:
            scores = [one["top-1, %"] for one in found]
            rows.append(
                {
                    "model": model,
                    "parameters, M": found[0]["parameters, M"],
                    "runs": len(found),
                    "top-1, %": statistics.mean(scores),
                    "deviation, %": statistics.stdev(scores) if len(scores) > 1 else 0.0,
                    "CPU minutes": statistics.mean(one["CPU minutes"] for one in found),
                }
            )
    print(table(rows))
    content = {"environment": here(), "rows": rows, "runs": results}
    (RESULTS / "family_training.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(results).savefig(RESULTS / "family_training.png")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("train")
    one.add_argument("--data", required=True, help="folder with train/ and val/")
    one.add_argument("--model", choices=list(MODELS), required=True)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--epochs", type=int, default=7)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(run=train)
    two = parts.add_parser("report")
    two.add_argument("--data", required=True, help="folder with train/ and val/")
    two.add_argument("runs", type=Path, nargs="+")
    two.set_defaults(run=report)
    args = parser.parse_args(argv)
    with torch.inference_mode(args.run is report):
        args.run(args)


if __name__ == "__main__":
    main()
