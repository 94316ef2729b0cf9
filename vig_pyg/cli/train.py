"""`vig-pyg train`: a classifier, from digits or from a folder of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    train = commands.add_parser("train", help="train a classifier (on embedded digits, or on --data)")
    train.add_argument("--data", type=Path, help="image folder with train/ and val/ (default: scikit-learn's digits)")
    train.add_argument("--out", type=Path, help="run folder, must not exist (default: runs/NAME of the data)")
    train.add_argument("--model", help="see `vig-pyg models` (default: vig_micro)", default="vig_micro")
    train.add_argument("--conv", default="mr", help="operator: mr, edge, gin or sage (default: mr)")
    train.add_argument("--k", type=int, help="neighbours of each patch (default: the model's)")
    train.add_argument("--image-size", type=int, help="side in pixels (default: 16 for digits, 64 for a folder)")
    train.add_argument(
        "--patch-size", type=int, help="side of a patch (default: 2 for digits, the model's for a folder)"
    )
    train.add_argument("--epochs", type=int, default=20)
    train.add_argument("--batch-size", type=int, default=64)
    train.add_argument("--lr", type=float, default=3e-3, help="largest learning rate (default: 3e-3)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--workers", type=int, default=2, help="processes that read a folder (default: 2)")
    train.add_argument("--weights", type=Path, help="weights to start from")
    train.add_argument("--on-broken", choices=["stop", "skip"], default="stop", help="at a picture that cannot be read")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train, and say what was written."""
    from vig_pyg.train import DigitsData, FolderData, Recipe, fit
    from vig_pyg.train.run_folder import free_name

    options: dict[str, Any] = {"conv": args.conv}
    if args.k is not None:
        options["k"] = args.k
    patch_size = args.patch_size or (2 if args.data is None else None)
    if patch_size is not None:
        options["patch_size"] = patch_size
    if args.out is not None and args.out.exists():
        raise FileExistsError(f"{args.out} exists already and is not overwritten: choose another --out, or remove it.")
    data: DigitsData | FolderData
    if args.data is None:
        data = DigitsData(image_size=args.image_size or 16, batch_size=args.batch_size)
    else:
        data = FolderData(
            args.data,
            image_size=args.image_size or 64,
            batch_size=args.batch_size,
            num_workers=args.workers,
            on_broken=args.on_broken,
        )
    out = args.out or free_name(Path("runs") / data.title)
    size = data.preprocessing.image_size
    print(
        f"Training {args.model} on {data.title}: {len(data.train_set)} images of {size} x {size} pixels, "
        f"{len(data.val_set)} held out, {len(data.class_names)} classes, {args.epochs} epochs."
    )
    recipe = Recipe(epochs=args.epochs, lr=args.lr, seed=args.seed)
    last = fit(
        data, out, model=args.model, options=options, recipe=recipe, weights=args.weights, progress=not args.quiet
    )
    print(f"\nHeld-out accuracy: {100 * last['val_accuracy']:.2f} %")
    for path in sorted(out.iterdir()):
        print(f"  {path}")
