"""`vig-pyg predict`: classes of pictures."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
    predict = commands.add_parser("predict", help="classify pictures with a trained run")
    predict.add_argument("run_folder", metavar="RUN", type=Path)
    predict.add_argument("images", metavar="IMAGE", type=Path, nargs="+")
    predict.add_argument("--topk", type=int, default=3, help="classes to print (default: 3)")
    predict.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print a line for each picture."""
    import torch

    from vig_pyg.train import load_run
    from vig_pyg.train.data import read_image

    if args.topk < 1:
        raise ValueError(f"--topk must be at least 1, got {args.topk}.")
    run = load_run(args.run_folder)
    images = torch.stack([run.preprocessing(read_image(path)) for path in args.images])
    with torch.inference_mode():
        shares, classes = run.model(images).softmax(1).topk(min(args.topk, len(run.class_names)))
    width = max(len(str(path)) for path in args.images)
    for path, share, where in zip(args.images, shares.tolist(), classes.tolist(), strict=True):
        found = "   ".join(f"{run.class_names[c]} {100 * p:5.1f} %" for p, c in zip(share, where, strict=True))
        print(f"{path!s:{width}}   {found}")
