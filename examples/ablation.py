"""What the ablation scripts share: their command line, small data and models, and `vig_pyg.classification.ablation`.

`vig-pyg ablate` compares operators and graphs; these scripts compare any variants, such as blocks without a part.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vig_pyg import list_models
from vig_pyg.classification import ClassificationConfig
from vig_pyg.classification.ablation import Variant, ablate, changed
from vig_pyg.classification.ablation.training import Measure
from vig_pyg.engine import TrainingInterrupted

__all__ = ["Variant", "arguments", "changed", "chosen", "main"]

#: Sides in pixels and options of the small models where the command line says nothing: 64 patches in both cases.
DIGITS = {"image_size": 16, "vig_micro": {"patch_size": 2, "channels": 32}, "pvig_micro": {"patch_size": 2}}
FOLDER = {"image_size": 64, "vig_micro": {"patch_size": 8}, "pvig_micro": {"patch_size": 4}}


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
    measure: Measure | None = None,
    argv: Sequence[str] | None = None,
) -> None:
    """Run an ablation from the command line.

    Args:
        description: For `--help`.
        variants: From the model's name to its variants, the baseline first.
        script: File of the calling script.
        epochs: Default of `--epochs`.
        measure: Measures each trained network, for more columns.
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
        _run(title, every, args, script, measure)
    except (KeyboardInterrupt, TrainingInterrupted):
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


def settings_of(title: str, args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for all runs in a folder."""
    if args.images_per_class is not None and args.images_per_class < 1:
        raise ValueError(f"--images-per-class must be at least 1, got {args.images_per_class}.")
    defaults: dict[str, Any] = DIGITS if args.data is None else FOLDER
    own = defaults.get(args.model, {})
    return {
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


def _run(title: str, every: list[Variant], args: argparse.Namespace, script: str, measure: Measure | None) -> None:
    """Train what is missing, measure, write, and print the table."""
    from ablation_costs import costs_with_memory
    from ablation_data import load_data
    from benchmarks.harness import environment

    from vig_pyg.classification.ablation.folder import AblationFolder

    only = [variant.name for variant in chosen(every, args.only)]
    settings = settings_of(title, args)
    if args.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {args.seeds}.")
    AblationFolder(args.out, settings)  # other settings are refused before the images are read
    data = load_data(settings, args.num_workers)
    config = ClassificationConfig(
        data=settings["data"], model=args.model, lr=args.lr, epochs=args.epochs, batch_size=args.batch_size
    )
    options = {
        "num_classes": len(data.class_names),
        "in_channels": data.preprocessing.in_channels,
        **{key: settings[key] for key in ("image_size", "patch_size", "channels") if settings[key]},
    }
    _, files = ablate(
        every,
        data,
        config,
        args.out,
        seeds=args.seeds,
        only=only,
        options=options,
        settings=settings,
        shown={**settings, "data": Path(settings["data"]).name},
        title=title,
        here=environment(),
        costs=costs_with_memory(None if args.no_memory else script),
        measure=measure,
    )
    print((args.out / "results.md").read_text())
    print("\n".join(map(str, files)))
