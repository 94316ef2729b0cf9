"""`vig-pyg graph`: the graphs of one picture, drawn or as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from vig_pyg._text import terminal_text


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command and its options."""
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
    graph.add_argument(
        "--out", type=Path, default=Path("graph.png"), help="picture, or page if .html (default: graph.png)"
    )
    graph.set_defaults(run=run)


def _place(text: str) -> tuple[float, float]:
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ROW,COLUMN such as 0.5,0.25, got {text!r}") from None
    return row, column


def run(args: argparse.Namespace) -> None:
    """Draw the graphs and print the name of the picture."""
    import torch

    from vig_pyg.explain import draw_graph, save_html
    from vig_pyg.image_io import read_image
    from vig_pyg.train import load_run

    if args.out.exists():
        raise FileExistsError(f"{args.out} exists already and is not overwritten: choose another --out.")
    run = load_run(args.run_folder)
    image = run.preprocessing(read_image(args.image))
    with torch.inference_mode():
        graphs = run.model.graphs(image[None])
    pixels = run.preprocessing.restore(image)
    if args.out.suffix.lower() == ".html":
        save_html(pixels, graphs, args.out, patch=args.patch, title=args.image.name)
    else:
        draw_graph(pixels, graphs, patch=args.patch).savefig(args.out)
    print(terminal_text(args.out))
