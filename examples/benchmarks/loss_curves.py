"""Loss curves of two kinds of arithmetic: same weights to start from, same batches, same random numbers.

    uv run python examples/benchmarks/loss_curves.py --data images --epochs 5
    uv run python examples/benchmarks/loss_curves.py --data images --epochs 5 --pair precision

The pair is ours and the dense reference, or ours in bfloat16 and in float32. Both train with the steps of
`vig_pyg.classification`. Rounding differs, and training makes much of little, so the curves part after some steps; the
question is whether they part by more than two seeds of the second do. Writes the curves as an image and all numbers
beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import lightning
import torch
from harness import RESULTS, environment
from matplotlib.figure import Figure
from reference import DenseReference
from torch import Tensor, nn

from vig_pyg import create_model, weights
from vig_pyg._figure import figure
from vig_pyg._palette import SERIES
from vig_pyg.classification import ClassificationConfig, ImageData, load_config, load_data
from vig_pyg.classification.module import Classifier
from vig_pyg.engine.trainer import make_trainer, quiet_lightning

#: The reference knows patches of 4 pixels only, and as many neighbors as there are patches in the last stage.
NETWORK = {"patch_size": 4, "k": 4}
#: What is compared, and with what.
PAIRS = {"reference": ("ours", "reference"), "precision": ("bfloat16", "float32")}
SEEDS = (0, 1)


class Losses(lightning.Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, *args: Any) -> None:
        outputs: dict[str, Tensor] = args[2]  # after trainer and module
        self.values.append(float(outputs["loss"]))


def make(case: ClassificationConfig, data: ImageData, network: str, seed: int) -> nn.Module:
    """A network with the weights of the seed."""
    torch.manual_seed(seed)
    options = {"num_classes": len(data.class_names), "in_channels": data.preprocessing.in_channels}
    model = create_model(case.model, **case.options, image_size=case.image_size, **options)
    if network != "reference":
        return model
    reference = DenseReference(model.config)
    reference.load_state_dict(weights.convert(model, "official"))
    reference.config = model.config
    return reference


def train(case: ClassificationConfig, network: str, seed: int, folder: Path) -> dict[str, Any]:
    """The losses of a run: of every step, and held out in the end."""
    case = replace(case, precision="bf16-mixed" if network == "bfloat16" else "32-true")
    data = load_data(case)
    data.seed, start = seed, time.perf_counter()
    losses = Losses()
    with quiet_lightning():
        classifier = Classifier(make(case, data, network, seed), replace(case, seed=seed))
        trainer = make_trainer(classifier.config, folder, [losses])
        trainer.fit(classifier, datamodule=data)
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {"losses": losses.values, "scores": scores, "seconds": time.perf_counter() - start}


def smooth(losses: list[float], window: int) -> list[float]:
    """Means over windows of steps."""
    values = torch.tensor(losses[: len(losses) // window * window])
    return values.view(-1, window).mean(1).tolist()


def compare(runs: dict[str, dict[str, Any]], pair: tuple[str, str], window: int) -> dict[str, float]:
    """How far the two of a pair are apart, and two seeds of the second: means of smoothed curves."""
    curves = {name: torch.tensor(smooth(run["losses"], window)) for name, run in runs.items()}
    first, second = pair
    between = (curves[f"{second} 0"] - curves[f"{second} 1"]).abs()
    apart = [(curves[f"{first} {seed}"] - curves[f"{second} {seed}"]).abs() for seed in SEEDS]
    return {
        f"{first} - {second}, mean": torch.stack(apart).mean().item(),
        f"{first} - {second}, largest": torch.stack(apart).max().item(),
        f"two seeds of {second}, mean": between.mean().item(),
        f"two seeds of {second}, largest": between.max().item(),
        "steps until they differ by 1e-3": min(same_until(runs, pair, seed) for seed in SEEDS),
    }


def same_until(runs: dict[str, dict[str, Any]], pair: tuple[str, str], seed: int) -> int:
    """Steps before the losses of a pair differ visibly."""
    first, second = (runs[f"{network} {seed}"]["losses"] for network in pair)
    different = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if abs(a - b) > 1e-3]
    return different[0] if different else len(first)


def draw(runs: dict[str, dict[str, Any]], pair: tuple[str, str], window: int) -> Figure:
    """All curves; those of one seed have one color."""
    fig = figure(7, 4)
    axes = fig.subplots()
    for network, seed in product(pair, SEEDS):
        curve = smooth(runs[f"{network} {seed}"]["losses"], window)
        steps = [(i + 0.5) * window for i in range(len(curve))]
        style = {"color": SERIES[seed], "linestyle": "-" if network == pair[0] else "--"}
        axes.plot(steps, curve, label=f"{network}, seed {seed}", **style)
    axes.set(xlabel="step", ylabel=f"training loss (no unit), mean of {window} steps")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="as for `vig-pyg train` (default: digits)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=64, help="side in pixels, at least 64 for the reference")
    parser.add_argument("--window", type=int, default=10, help="steps of a point of the curves (default: 10)")
    parser.add_argument("--pair", choices=PAIRS, default="reference", help="what is compared (default: reference)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    preset = "digits" if args.data == "digits" else "scratch"
    values = {"data": args.data, "epochs": args.epochs, "image_size": args.image_size, "model": "pvig_micro",
              "options": NETWORK, "lr": 1e-3, "ema": None, "accelerator": "cpu"}  # fmt: skip
    case = load_config(preset, ("here", values))
    runs, pair = {}, PAIRS[args.pair]
    for seed, network in product(SEEDS, pair):
        runs[f"{network} {seed}"] = train(case, network, seed, args.out)
        last = runs[f"{network} {seed}"]
        print(f"{network}, seed {seed}: {last['scores']}, {last['seconds']:.0f} s", flush=True)
    result = compare(runs, pair, args.window)
    print(json.dumps(result, indent=1))
    args.out.mkdir(parents=True, exist_ok=True)
    env = environment()
    name = "loss_curves" if args.pair == "reference" else f"loss_curves_{args.pair}"
    path = args.out / f"{name}_{env['date']}.json"
    path.write_text(json.dumps({"environment": env, "settings": values, "comparison": result, "runs": runs}) + "\n")
    draw(runs, pair, args.window).savefig(args.out / f"{name}.png")
    print(path)


if __name__ == "__main__":
    main()
