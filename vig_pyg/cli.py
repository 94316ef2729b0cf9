"""The command `vig-pyg`. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vig_pyg import cli_train

#: What a user can cause and mend: one line, no traceback.
USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit status: 0, or 2 after an error in what the user gave, or 130 after Ctrl-C.
    """
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except KeyboardInterrupt:
        print("vig-pyg: stopped; nothing was written", file=sys.stderr)
        return 130
    except USER_ERRORS as error:
        if args.debug:
            raise
        print(f"vig-pyg: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    from importlib.metadata import version

    parser = argparse.ArgumentParser(prog="vig-pyg", description="Vision GNN on PyTorch Geometric.")
    parser.add_argument("--version", action="version", version=version("vig-pyg"))
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cli_train.add_arguments(commands.add_parser("train", help="train a classifier (on embedded digits, or on --data)"))

    predict = commands.add_parser("predict", help="classify pictures with a trained run")
    predict.add_argument("run_folder", metavar="RUN", type=Path)
    predict.add_argument("images", metavar="IMAGE", type=Path, nargs="+")
    predict.add_argument("--topk", type=int, default=3, help="classes to print (default: 3)")
    predict.set_defaults(run=_predict)

    graph = commands.add_parser("graph", help="draw the neighbours of a patch in every layer")
    graph.add_argument("run_folder", metavar="RUN", type=Path)
    graph.add_argument("image", metavar="IMAGE", type=Path)
    graph.add_argument(
        "--patch",
        type=_place,
        default=(0.5, 0.5),
        metavar="ROW,COLUMN",
        help="place as shares of height and width (default: 0.5,0.5)",
    )
    graph.add_argument("--out", type=Path, default=Path("graph.png"), help="picture to write (default: graph.png)")
    graph.set_defaults(run=_graph)

    models = commands.add_parser("models", help="list the models with parameters and MACs, measured")
    models.set_defaults(run=_models)
    return parser


def _place(text: str) -> tuple[float, float]:
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ROW,COLUMN such as 0.5,0.25, got {text!r}") from None
    return row, column


def _predict(args: argparse.Namespace) -> None:
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


def _graph(args: argparse.Namespace) -> None:
    import torch

    from vig_pyg.explain import draw_graph
    from vig_pyg.train import load_run
    from vig_pyg.train.data import read_image

    if args.out.exists():
        raise FileExistsError(f"{args.out} exists already and is not overwritten: choose another --out.")
    run = load_run(args.run_folder)
    image = run.preprocessing(read_image(args.image))
    with torch.inference_mode():
        graphs = run.model.graphs(image[None])
    draw_graph(run.preprocessing.restore(image), graphs, patch=args.patch).savefig(args.out)
    print(args.out)


def _models(_: argparse.Namespace) -> None:
    from vig_pyg.macs import count_macs
    from vig_pyg.models import create_model, list_models

    print(f"{'model':12}  {'parameters, M':>13}  {'GMACs':>7}  {'at':>9}")
    for name in list_models():
        model = create_model(name)
        side = model.config.image_size
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        macs = count_macs(model, (side, side)) / 1e9
        print(f"{name:12}  {parameters:13.3f}  {macs:7.3f}  {side:4} x {side}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
