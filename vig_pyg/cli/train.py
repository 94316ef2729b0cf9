"""`vig-pyg train`: a classifier, from digits or from pictures, by a recipe."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.signals import Terminated
from vig_pyg._io.text import terminal_text

if TYPE_CHECKING:
    from vig_pyg.classification import ClassificationConfig

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
    "k": "neighbors of each patch",
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
    from vig_pyg.classification import fit, load_data, to_yaml
    from vig_pyg.classification.checkpoint import LAST
    from vig_pyg.classification.run_folder import check_run_folder, free_name
    from vig_pyg.engine import TrainingInterrupted
    from vig_pyg.engine.processes import processes

    settings = _settings(args)
    if args.print_config:
        print(to_yaml(settings), end="")
        return 0
    first = processes().first
    if first and (args.resume or args.out):  # images may take long to read
        check_run_folder(args.resume or args.out, resume=args.resume is not None)
    data = load_data(settings)
    out = args.resume or args.out or free_name(Path("runs") / _folder_name(data.title))
    if first:
        size = settings.image_size
        print(
            f"{'Resuming' if args.resume else 'Training'} {settings.model} on {terminal_text(data.title)}: "
            f"{len(data.train_set)} images of {size} x {size} pixels, {len(data.val_set)} held out, "
            f"{len(data.class_names)} classes, {settings.epochs} epochs. Run folder: {terminal_text(out)}",
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
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        signum = getattr(stop, "signum", signal.SIGINT)
        if not first:
            return 128 + signum
        if not (out / LAST).exists():
            raise Terminated(signum) from stop
        print(f"vig-pyg: stopped; vig-pyg train --resume {terminal_text(out)} goes on", file=sys.stderr)
        return 128 + signum
    if first:
        print(f"\nHeld-out accuracy: {100 * kept['val_accuracy']:.2f} %")
        for path in sorted(out.iterdir()):
            print(f"  {terminal_text(path)}")
    return 0


def _folder_name(title: str) -> str:
    """The data's name as a folder's; a long one leaves room for a number."""
    return title.encode(errors="surrogateescape")[:200].decode(errors="surrogateescape").strip(". ") or "data"


def _settings(args: argparse.Namespace) -> ClassificationConfig:
    """Preset, then file, then flags, then `--set`; of a run to resume its own and nothing else."""
    from vig_pyg.classification import read_yaml, settings
    from vig_pyg.classification.load_config import parse_set
    from vig_pyg.classification.run_folder import RECIPE

    flags = {flag.replace("-", "_"): getattr(args, flag.replace("-", "_")) for flag in FLAGS}
    options = {f"options.{flag.replace('-', '_')}": getattr(args, flag.replace("-", "_")) for flag in OPTIONS}
    given = {key: value for key, value in {**flags, **options}.items() if value is not None}
    given |= parse_set(args.values)
    if args.resume is not None:
        if given or args.config or args.preset or args.out:
            raise ValueError("--resume goes on as the run began: leave out --preset, --config, --out and all values.")
        if not (args.resume / RECIPE).is_file():
            raise FileNotFoundError(f"There is no run to resume at {args.resume}: it has no {RECIPE}.")
        found = settings("digits", (str(args.resume / RECIPE), read_yaml(args.resume / RECIPE)))
        _refuse_downloads(found, args.resume)
        return found
    file = read_yaml(args.config) if args.config else {}
    either = {**file, **given}
    default = "finetune" if either.get("weights") else "scratch"
    preset = args.preset or (default if either.get("data", "digits") != "digits" else "digits")
    return settings(preset, (str(args.config), file), ("the command line", given))


def _refuse_downloads(settings: ClassificationConfig, folder: Path) -> None:
    """The folder may be a stranger's: what it names is fetched only if a user asks for it by a command of his own."""
    from vig_pyg.classification.checkpoint import LAST
    from vig_pyg.classification.run_folder import RECIPE

    again = f"To fetch it, start the run again: vig-pyg train --config {folder / RECIPE} --out NEW."
    if settings.weights and "://" in settings.weights and not (folder / LAST).exists():
        raise ValueError(f"{folder / RECIPE} starts from weights at {settings.weights}. {again}")
    files = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}.get(settings.data)
    if files is not None and not (Path(settings.root) / files).is_dir():
        raise FileNotFoundError(f"{folder / RECIPE} names {settings.data}, which is not in {settings.root}. {again}")
