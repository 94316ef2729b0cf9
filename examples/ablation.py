"""What the ablation scripts share: train every variant with every seed, go on where a run stopped, write the results.

Each finished (variant, seed) leaves one file in the folder of the ablation, written at once or not at all. A rerun
trains what is missing. A folder that was begun with other settings is refused.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vig_pyg import VisionGNN, create_model, list_models
from vig_pyg._io.output import write_file

#: Sides in pixels and options of the small models where the command line says nothing: 64 patches in both cases.
DIGITS = {"image_size": 16, "vig_micro": {"patch_size": 2, "channels": 32}, "pvig_micro": {"patch_size": 2}}
FOLDER = {"image_size": 64, "vig_micro": {"patch_size": 8}, "pvig_micro": {"patch_size": 4}}


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Args:
        name: Short name, for files and `--only`.
        about: What is different, in a few words.
        make: From the model's name and its options to the network.
    """

    name: str
    about: str
    make: Callable[[str, dict[str, Any]], VisionGNN[Any]]


def changed(name: str, about: str, **overrides: Any) -> Variant:
    """A variant that differs in options of the model."""
    return Variant(name, about, lambda model, options: create_model(model, **{**options, **overrides}))


def arguments(description: str, *, out: str, epochs: int) -> argparse.ArgumentParser:
    """The command line of an ablation."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="image folder with train/ and val/ (default: scikit-learn's digits)")
    parser.add_argument("--model", default="vig_micro", help="see `vig-pyg models` (default: vig_micro)")
    parser.add_argument("--image-size", type=int, help="side in pixels (default: 16 for digits, 64 for a folder)")
    parser.add_argument("--patch-size", type=int, help="side of a patch (default of small models: 64 patches)")
    parser.add_argument("--channels", type=int, help="width of a ViG (default: 32 for vig_micro on digits)")
    parser.add_argument("--images-per-class", type=int, help="training images of each class (default: all)")
    parser.add_argument("--epochs", type=int, default=epochs, help=f"(default: {epochs})")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3, help="largest learning rate (default: 3e-3)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant (default: 3)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these variants only")
    parser.add_argument("--list", action="store_true", help="list the variants and stop")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that read a folder (default: 2)")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory (a process each)")
    parser.add_argument("--out", type=Path, default=Path(out), help=f"folder of the results (default: {out})")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    return parser


def main(
    description: str,
    variants: Callable[[str], list[Variant]],
    *,
    script: str,
    epochs: int,
    argv: Sequence[str] | None = None,
) -> None:
    """Run an ablation from the command line.

    Args:
        description: For `--help`.
        variants: From the model's name to its variants, the baseline first.
        script: File of the calling script.
        epochs: Default of `--epochs`.
        argv: Arguments; those of the process by default.
    """
    title = Path(script).stem
    parser = arguments(description, out=f"runs/{title}", epochs=epochs)
    args = parser.parse_args(argv)
    if args.peak_of:
        from ablation_costs import peak

        print(peak(variants, json.loads(args.peak_of)))
        return
    try:
        if args.model not in list_models():
            raise ValueError(f"Unknown model {args.model!r}: choose one of {', '.join(list_models())}.")
        every = variants(args.model)
        if args.list:
            print("\n".join(f"{v.name:18} {v.about}" for v in every))
            return
        Ablation(title, every, chosen(every, args.only), args, script).run()
    except KeyboardInterrupt:
        print("\nStopped. Finished runs are kept: the same command goes on from here.", file=sys.stderr)
        raise SystemExit(130) from None
    except (ValueError, TypeError, OSError) as error:
        parser.error(str(error))


def chosen(variants: list[Variant], names: list[str] | None) -> list[Variant]:
    """The variants with these names; all by default."""
    known = [variant.name for variant in variants]
    for name in names or []:
        if name not in known:
            raise ValueError(f"There is no variant {name!r} for this model: choose from {', '.join(known)}.")
    return [variant for variant in variants if names is None or variant.name in names]


class Ablation:
    """One ablation and its folder.

    Args:
        title: Its name.
        every: All variants of the model.
        chosen: Those to train now.
        args: The command line.
        script: File of the calling script.
    """

    def __init__(
        self, title: str, every: list[Variant], chosen: list[Variant], args: argparse.Namespace, script: str
    ) -> None:
        if args.seeds < 1:
            raise ValueError(f"--seeds must be at least 1, got {args.seeds}.")
        if args.images_per_class is not None and args.images_per_class < 1:
            raise ValueError(f"--images-per-class must be at least 1, got {args.images_per_class}.")
        defaults: dict[str, Any] = DIGITS if args.data is None else FOLDER
        own = defaults.get(args.model, {})
        self.every, self.chosen, self.args, self.script = every, chosen, args, script
        self.settings: dict[str, Any] = {
            "ablation": title,
            "data": "digits" if args.data is None else str(args.data.resolve()),
            "model": args.model,
            "image_size": args.image_size or defaults["image_size"],
            "patch_size": args.patch_size or own.get("patch_size"),
            "channels": args.channels or own.get("channels"),
            "images_per_class": args.images_per_class,
            "epochs": args.epochs,
            "batch_size": args.batch_size,
            "lr": args.lr,
        }

    def run(self) -> None:
        """Train what is missing, measure, write."""
        from ablation_costs import costs
        from ablation_report import report
        from ablation_train import load_data, train_all

        start = time.perf_counter()
        self._open()
        data = load_data(self.settings, self.args.num_workers)
        options = {
            "num_classes": len(data.class_names),
            "in_channels": data.preprocessing.in_channels,
            **{key: self.settings[key] for key in ("image_size", "patch_size", "channels") if self.settings[key]},
        }
        missing = [
            (v, seed) for seed in range(self.args.seeds) for v in self.chosen if not self._file(v, seed).exists()
        ]
        print(f"{self.settings['ablation']}: {len(missing)} runs to train, in {self.args.out}", flush=True)
        train_all(missing, data, options, self.settings, self._save)
        runs = self._runs()
        rows = [variant for variant in self.every if variant.name in runs]
        images = torch.stack([data.val_set[i][0] for i in range(min(self.args.batch_size, len(data.val_set)))])
        measured = costs(rows, self.settings["model"], options, images, self.args.out / "costs.json", self._script())
        report(self.args.out, rows, runs, measured, self.settings, seconds=time.perf_counter() - start)

    def _script(self) -> str | None:
        return None if self.args.no_memory else self.script

    def _open(self) -> None:
        """Make the folder, or see that it belongs to these settings."""
        out, about = self.args.out, self.args.out / "ablation.json"
        if not about.is_file():
            if out.exists() and any(out.iterdir()):
                raise ValueError(f"{out} exists and is not the folder of an ablation: choose another --out.")
            write(about, self.settings)  # first: an interrupt leaves no folder that the next try would not know
        (out / "runs").mkdir(exist_ok=True)
        found = json.loads(about.read_text())
        if found != self.settings:
            keys = [key for key in {**found, **self.settings} if found.get(key) != self.settings.get(key)]
            differ = "; ".join(f"{key}: {found.get(key)} there, {self.settings.get(key)} now" for key in keys)
            raise ValueError(f"{out} holds runs with other settings ({differ}): choose another --out, or remove it.")

    def _file(self, variant: Variant, seed: int) -> Path:
        assert re.fullmatch(r"[a-z0-9_+-]+", variant.name), variant.name
        path: Path = self.args.out / "runs" / f"{variant.name}.seed{seed}.json"
        return path

    def _save(self, variant: Variant, seed: int, result: dict[str, Any]) -> None:
        write(self._file(variant, seed), {"variant": variant.name, "seed": seed, **result})

    def _runs(self) -> dict[str, list[dict[str, Any]]]:
        """Finished runs of each variant, by seed."""
        found: dict[str, list[dict[str, Any]]] = {}
        for path in sorted((self.args.out / "runs").glob("*.json")):
            run = json.loads(path.read_text())
            found.setdefault(run["variant"], []).append(run)
        return found


def write(path: Path, content: dict[str, Any]) -> None:
    """JSON that is there completely or not at all."""
    write_file(path, json.dumps(content, indent=1) + "\n", overwrite=True)
