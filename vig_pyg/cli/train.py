"""`vig-pyg train`: a classifier, from digits or from pictures, by a recipe."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

#: Flags that set a value of the settings, with what it is for; `--set` reaches all of them.
FLAGS = {
    "data": "digits, cifar10, cifar100, a folder with train/ and val/, or a CSV file of path,label (default: digits)",
    "model": "see `vig-pyg models`",
    "image-size": "side of the images in pixels",
    "epochs": "passes over the training images",
    "batch-size": "images of a step, over all processes",
    "lr": "largest learning rate",
    "seed": "of weights, order and augmentation",
    "workers": "processes that read pictures",
    "cache": "keep decoded pictures in memory, with a short side of so many pixels",
    "weights": "weights to start from: a file, a URL, or a name such as pvig_tiny",
    "on-broken": "what to do about a picture that cannot be read: stop or skip",
    "devices": "processes on this machine",
    "precision": "such as 32-true or bf16-mixed",
}
#: Flags that set an option of the network.
OPTIONS = {
    "conv": "operator: mr, edge, gin or sage",
    "k": "neighbours of each patch",
    "patch-size": "side of a patch in pixels",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    train = commands.add_parser("train", help="train a classifier (on embedded digits, or on --data)")
    train.add_argument("--preset", help="recipe to start from: digits, finetune, scratch or imagenet (default: digits "
                       "without --data, finetune with --weights, else scratch)")  # fmt: skip
    train.add_argument("--config", type=Path, metavar="FILE", help="YAML file of values, over the preset's")
    for flag, text in {**FLAGS, **OPTIONS}.items():
        train.add_argument(f"--{flag}", metavar=flag.upper().replace("-", "_"), help=text)
    train.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="values",
        help="any value, such as mixup=0.8 or options.depth=6, over all others",
    )  # fmt: skip
    train.add_argument("--print-config", action="store_true", help="print all values as YAML for --config, and stop")
    train.add_argument("--out", type=Path, help="run folder, must not exist (default: runs/NAME of the data)")
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was stopped or killed")
    train.add_argument("--quiet", action="store_true", help="no progress")
    train.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, or print the settings.

    Returns:
        0, or 128 + the number of the signal that stopped the run: 143 after SIGTERM, 130 after Ctrl-C.
    """
    from vig_pyg.train import Stopped, fit, load_data, to_yaml
    from vig_pyg.train.run_folder import free_name

    settings = _settings(args)
    if args.print_config:
        print(to_yaml(settings), end="")
        return 0
    if args.out is not None and args.out.exists() and _is_first():
        raise FileExistsError(f"{args.out} exists already and is not overwritten: choose another --out, or remove it.")
    data = load_data(settings)
    out = args.resume or args.out or free_name(Path("runs") / data.title)
    if _is_first():
        size = settings.image_size
        print(
            f"{'Resuming' if args.resume else 'Training'} {settings.model} on {data.title}: {len(data.train_set)} "
            f"images of {size} x {size} pixels, {len(data.val_set)} held out, {len(data.class_names)} classes, "
            f"{settings.epochs} epochs. Run folder: {out}",
            flush=True,
        )
    try:
        kept = fit(
            data,
            out,
            model=settings.model,
            options={**settings.options, "drop_path_rate": settings.drop_path_rate},
            recipe=settings,
            weights=settings.weights,
            progress=not args.quiet,
            resume=args.resume is not None,
        )
    except (Stopped, KeyboardInterrupt) as stop:
        if not out.exists():
            raise KeyboardInterrupt from stop
        signum = stop.signum if isinstance(stop, Stopped) else 2
        print(f"vig-pyg: stopped; vig-pyg train --resume {out} goes on", file=sys.stderr)
        return 128 + signum
    if _is_first():
        print(f"\nHeld-out accuracy: {100 * kept['val_accuracy']:.2f} %")
        for path in sorted(out.iterdir()):
            print(f"  {path}")
    return 0


def _settings(args: argparse.Namespace) -> Any:
    """Preset, then file, then flags, then `--set`; of a run to resume its own and nothing else."""
    from vig_pyg.train import read_yaml, settings
    from vig_pyg.train.config import parse_set
    from vig_pyg.train.fit import RECIPE

    flags = {flag.replace("-", "_"): getattr(args, flag.replace("-", "_")) for flag in FLAGS}
    options = {f"options.{flag.replace('-', '_')}": getattr(args, flag.replace("-", "_")) for flag in OPTIONS}
    given = {key: value for key, value in {**flags, **options}.items() if value is not None}
    given |= parse_set(args.values)
    if args.resume is not None:
        if given or args.config or args.preset or args.out:
            raise ValueError("--resume goes on as the run began: leave out --preset, --config, --out and all values.")
        if not (args.resume / RECIPE).is_file():
            raise FileNotFoundError(f"There is no run to resume at {args.resume}: it has no {RECIPE}.")
        return settings("digits", (str(args.resume / RECIPE), read_yaml(args.resume / RECIPE)))
    file = read_yaml(args.config) if args.config else {}
    either = {**file, **given}
    default = "finetune" if either.get("weights") else "scratch"
    preset = args.preset or (default if either.get("data", "digits") != "digits" else "digits")
    return settings(preset, (str(args.config), file), ("the command line", given))


def _is_first() -> bool:
    """Whether this is the first of several processes, which alone writes."""
    names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")  # of torchrun, of SLURM, of processes that Lightning started
    return next((int(os.environ[name]) for name in names if name in os.environ), 0) == 0
