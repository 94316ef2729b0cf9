r"""Semantic segmentation of road scenes from random weights: CamVid at 240 x 180, our head and smp's on one backbone.

    uv run python examples/benchmarks/segmentation.py train --data camvid240 --seed 0 --out runs/camvid_0
    uv run --with segmentation_models_pytorch python examples/benchmarks/segmentation.py train --data camvid240 \
        --head smp --out runs/camvid_smp
    uv run python examples/benchmarks/segmentation.py train --data camvid240 --body greedyvig --seed 0 \
        --out runs/camvid_greedyvig_0
    uv run python examples/benchmarks/segmentation.py report --data camvid240 runs/camvid_0 runs/camvid_1 ...

`--body` is `ours` (a Pyramid ViG), `mobilevig` or `greedyvig`: backbones of the same number of parameters with the same
head and the same recipe.
A run that was stopped goes on if its command is given again. `camvid240` has `train/` and `val/` with `images/` and
`masks/`, and `classes.txt`. `report` evaluates each run once more on `val/` at its full size, and writes
`results/segmentation_camvid.json` and the curves. CamVid's license allows research only, so its images are drawn into a
file of your choice (`--pictures`).
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from harness import RESULTS, environment
from matplotlib.figure import Figure
from torch import Tensor, nn

from vig_pyg import register_model
from vig_pyg._figure import figure
from vig_pyg._palette import SERIES
from vig_pyg.artifact import CONFIG, read_config
from vig_pyg.backbones import backbone_config, split_options
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.engine import fit
from vig_pyg.engine.config_file import to_values
from vig_pyg.segmentation.config import SegmentationConfig
from vig_pyg.segmentation.data import SegmentationSet, collate
from vig_pyg.segmentation.draw import draw_labels
from vig_pyg.segmentation.loading import load_data, make_segmenter, read_run
from vig_pyg.segmentation.metrics import scores_of
from vig_pyg.segmentation.module import count_pixels
from vig_pyg.segmentation.options import OPTIONS
from vig_pyg.segmentation.preprocess import read_preprocessing
from vig_pyg.segmentation.records import read_mask
from vig_pyg.segmentation.segmenter import logits_of
from vig_pyg.segmentation.sources import open_source

#: Backbones of 3.85 M parameters (within 0.5 %), as the name of a registered model and options: `ours` is between
#: `pvig_micro` and `pvig_tiny`, `mobilevig` a narrower MobileViG-Ti, `greedyvig` a GreedyViG-S with half of the blocks.
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": (
        "micro",
        {"patch_size": 4, "depths": (2, 2, 4, 2), "channels": (48, 96, 160, 256), "image_size": 224},
    ),
    "mobilevig": (
        "mobilevig_tiny",
        {"channels": (40, 80, 160, 252), "local_depths": (2, 2, 6, 0), "graph_depths": (0, 0, 0, 2)},
    ),
    "greedyvig": (
        "greedyvig_small",
        {"channels": (40, 80, 160, 320), "local_depths": (1, 1, 3, 1), "graph_depths": (1, 1, 1, 1)},
    ),
}
WIDTH = 96


def configuration(data: Path, *, seed: int, epochs: int, body: str = "ours") -> SegmentationConfig:
    """The recipe, for random weights on 367 images."""
    model, options = BODIES[body]
    return SegmentationConfig(
        train=str(data / "train"),
        val=str(data / "val"),
        model=model,
        options={**options, "out_channels": WIDTH, "head_channels": WIDTH},
        mean=0.5,
        std=0.5,
        crop_size=(144, 192),
        class_weights="sqrt",
        batch_size=8,
        lr=2e-3,
        warmup="5%",
        ema=0.99,
        ema_warmup=True,
        precision="bf16-mixed",
        epochs=epochs,
        evaluate_every=4,
        num_workers=0,
        seed=seed,
    )


class SmpFPN(nn.Module):
    """smp's FPN on one of our backbones, with the interface of our networks; smp needs sides that are multiples of 32.

    Args:
        name: Name of the backbone in timm.
        num_classes: Number of classes.
        channels: Width of the pyramid and of the head, if they are not smp's.
        of_body: Options of the backbone.
    """

    def __init__(self, name: str, num_classes: int, channels: int | None = None, **of_body: Any) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        import vig_pyg.timm

        vig_pyg.timm.register()
        widths = {} if channels is None else {"pyramid": channels, "segmentation": channels}
        options = {f"decoder_{part}_channels": width for part, width in widths.items()}
        self.network = smp.FPN(f"tu-{name}", encoder_weights=None, classes=num_classes, **of_body, **options)

    @property
    def encoder(self) -> nn.Module:
        """The backbone."""
        found: nn.Module = self.network.encoder
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % 32, 0, -height % 32))
        return {"out": self.network(padded)[..., :height, :width]}


def make(config: SegmentationConfig, head: str, num_classes: int) -> nn.Module:
    """The network of a run."""
    if head == "ours":
        return make_segmenter(config, num_classes)
    lightning.seed_everything(config.seed, verbose=False)
    if head == "smp-tiny":
        return SmpFPN("pvig_tiny", num_classes, position="grid")
    name = f"road_{config.variant}"
    register_model(name, backbone_config(config.variant, split_options(config.options, OPTIONS)[0]))
    return SmpFPN(name, num_classes, WIDTH)


def here() -> dict[str, Any]:
    """What the numbers depend on, without the folders of this machine."""
    found = environment()
    return {
        **found,
        "command": " ".join(Path(part).name if part[0] == "/" else part for part in found["command"].split()),
    }


def train(args: argparse.Namespace) -> None:
    config = configuration(args.data, seed=args.seed, epochs=args.epochs, body=args.body)
    data = load_data(config)
    model = make(config, args.head, len(data.class_names))
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{parameters:.2f} M parameters, {args.body}, head {args.head}, seed {args.seed}")
    wall, cpu, resumed = time.perf_counter(), time.process_time(), args.out.exists()
    last = fit(model, data, config, args.out, progress=False, resume=resumed)
    about = {
        **here(),
        "head": args.head,
        "body": args.body,
        "seed": args.seed,
        "resumed (the minutes are those of the last part)": resumed,
        "minutes": (time.perf_counter() - wall) / 60,
        "CPU minutes": (time.process_time() - cpu) / 60,
    }
    (args.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print({name: round(score, 4) for name, score in last.items()})


def rows_of(folder: Path) -> list[dict[str, float]]:
    """`metrics.csv`, without the gaps."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def evaluated(run: Path, data: Path, pictured: int) -> tuple[dict[str, Any], list[Any]]:
    """The scores of a run at the full size of the masks, by the saved weights, and images with the masks beside."""
    from torchmetrics.classification import MulticlassConfusionMatrix

    from vig_pyg.weights import read_state

    if not (run / "about.json").is_file():
        raise SystemExit(f"{run} has no about.json: its training has not ended. Give its command again.")
    about, config = json.loads((run / "about.json").read_text()), read_run(run)
    source = open_source(data / "val")
    model = make(config, about["head"], len(source.class_names)).eval()
    model.load_state_dict(read_state(run / "model.safetensors"))
    confusion = MulticlassConfusionMatrix(len(source.class_names), ignore_index=255)
    pictures = []
    # as in training, whatever the defaults are now
    preprocessing = read_preprocessing(read_config(run / CONFIG)["preprocessing"], f"{run}/{CONFIG}: preprocessing")
    dataset = SegmentationSet(source, preprocessing)
    for start in range(0, len(dataset), 8):
        images, labels = collate([dataset[i] for i in range(start, min(start + 8, len(dataset)))])
        for found, truth in zip(logits_of(model, images), labels, strict=True):
            count_pixels(confusion, found.argmax(0), truth)
    for record in source.records[:: max(1, len(source.records) // 6)][:pictured]:
        pixels = read_pixels(record.path)
        found = model(preprocessing.of_pixels(pixels)[None])["out"][0].argmax(0)
        truth = read_mask(record, len(source.class_names))
        pictures.append([draw_labels(pixels, one, source.class_names) for one in (found, truth)])
    scores = scores_of(confusion.compute())
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "run": run.name,
        "parameters, M": round(parameters / 1e6, 3),
        "mIoU": scores.miou,
        "pixel accuracy": scores.pixel_accuracy,
        "IoU": dict(zip(source.class_names, scores.ious, strict=True)),
        "about": about,
        "epochs": rows_of(run),
    }, pictures


def draw(results: list[dict[str, Any]]) -> Figure:
    """The training loss and the mean IoU of all runs over the epochs; one color for each backbone and head."""
    fig = figure(9, 3.6)
    left, right = fig.subplots(1, 2)
    groups = spreads(results)
    drawn: set[str] = set()
    for found in results:
        name = group_of(found)
        style = {"color": SERIES[list(groups).index(name)], "linewidth": 1, "marker": "."}
        one = groups[name]
        spread = f" ± {100 * one['deviation']:.1f}" if one["runs"] > 1 else ""
        label = None if name in drawn else f"{name}: {100 * one['mean']:.1f}{spread} %"
        drawn.add(name)
        for axes, column, scale in ((left, "train_loss", 1), (right, "val_mIoU", 100)):
            points = [(row["epoch"], scale * row[column]) for row in found["epochs"] if column in row]
            axes.plot(*zip(*points, strict=True), **style, label=label)
    left.set(xlabel="epoch", ylabel="training loss (no unit)")
    right.set(xlabel="epoch", ylabel="mean IoU on val/ (%)")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def group_of(found: dict[str, Any]) -> str:
    """The backbone and the head of a run."""
    return f"{found['about'].get('body', 'ours')}, head {found['about']['head']}"


def spreads(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The mean and the standard deviation of the mean IoU, and the number of runs, of each backbone and head."""
    groups: dict[str, list[float]] = {}
    for found in results:
        groups.setdefault(group_of(found), []).append(found["mIoU"])
    return {
        name: {"runs": len(one), "mean": statistics.mean(one), "deviation": statistics.stdev(one) if one[1:] else 0.0}
        for name, one in groups.items()
    }


def report(args: argparse.Namespace) -> None:
    from PIL import Image

    results, pictures = [], []
    for i, run in enumerate(args.runs):
        found, drawn = evaluated(run, args.data, 0 if i else 6)
        results.append(found)
        pictures += drawn
        print(f"{run.name}: mIoU {100 * found['mIoU']:.2f} %, pixels {100 * found['pixel accuracy']:.2f} %")
    groups = spreads(results)
    for name, one in groups.items():
        print(f"{name}: mIoU {100 * one['mean']:.2f} +- {100 * one['deviation']:.2f} %, {one['runs']} runs")
    plan = {key: value for key, value in to_values(read_run(args.runs[0])).items() if key not in ("train", "val")}
    content = {"environment": here(), "plan": plan, "mIoU": groups, "runs": results}
    (RESULTS / "segmentation_camvid.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(results).savefig(RESULTS / "segmentation_camvid.png")
    if args.pictures is not None:
        height = max(picture.height for pair in pictures for picture in pair)
        width = pictures[0][0].width
        page = Image.new("RGB", (4 * width + 12, 3 * (height + 4)), "white")
        for i, pair in enumerate(pictures):
            for j, picture in enumerate(pair):
                page.paste(picture, ((i % 2) * (2 * width + 8) + j * (width + 4), i // 2 * (height + 4)))
        page.save(args.pictures)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("train")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--head", choices=["ours", "smp", "smp-tiny"], default="ours")
    one.add_argument("--body", choices=list(BODIES), default="ours")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--epochs", type=int, default=28)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(run=train)
    two = parts.add_parser("report")
    two.add_argument("--data", type=Path, required=True)
    two.add_argument("--pictures", type=Path, help="file for six images, what the first run finds beside the masks")
    two.add_argument("runs", type=Path, nargs="+")
    two.set_defaults(run=report)
    args = parser.parse_args(argv)
    with torch.inference_mode(args.run is report):
        args.run(args)


if __name__ == "__main__":
    main()
