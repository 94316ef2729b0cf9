"""`vig-pyg graph`: the graphs of one image, as a figure or an HTML page."""

from __future__ import annotations

import argparse
import io
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._answers import Answer, of_classifier, of_detector, of_segmenter
from vig_pyg.cli._inputs import naming_a_missing_model
from vig_pyg.cli._options import (
    add_device,
    add_model,
    check_model_options,
    check_no_model_file,
    device,
    import_own_code,
    in_shell,
    load_model,
    own_words,
    say_next,
    say_note,
)
from vig_pyg.cli._parser import described
from vig_pyg.cli._unlike_images import note_cropped

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Batch

    from vig_pyg.models import VisionGNN
    from vig_pyg.preprocess import DecodedImage

#: The file that is written if none is named.
OUT = Path("graph.png")
#: Number of patches below which nine neighbors cover a large part of the image.
FEW = 36


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    graph = commands.add_parser(
        "graph",
        **described(
            "draw the neighbors of a patch in every layer",
            {
                "vig-pyg graph runs/photos photo.jpg --out graph.html": "a page: click on a patch to see its neighbors",
                "vig-pyg graph pvig_small photo.jpg --out graph.png": "a figure, with published weights",
                "vig-pyg graph runs/photos photo.jpg --patch 0.25,0.8": "a patch near the upper right corner",
            },
        ),
    )
    add_model(graph)
    add_device(graph)
    graph.add_argument("image", metavar="IMAGE", type=Path, help="an image file, or an array (.npy)")
    graph.add_argument(
        "--patch",
        type=_place,
        default=(0.5, 0.5),
        metavar="ROW,COLUMN",
        help="position of the patch as fractions of height and width, from 0 to 1 (default: 0.5,0.5)",
    )
    graph.add_argument(
        "--out",
        type=Path,
        help=f"file to write: a figure, or a page to click on if it ends in .html (default: {OUT})",
    )
    graph.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    graph.set_defaults(run=run)


def _place(text: str) -> tuple[float, float]:
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ROW,COLUMN such as 0.5,0.25, got {text!r}") from None
    return row, column


def run(args: argparse.Namespace) -> None:
    """Draw the graphs and print the name of the image."""
    import torch

    from vig_pyg._io.output import check_no_input, write_file
    from vig_pyg.explain._panel import check_place
    from vig_pyg.image_io import UnreadableImageError, read_image

    named, args.out = args.out is not None, args.out or OUT
    with naming_a_missing_model(str(args.model), "image"):
        if not os.path.lexists(args.image):
            raise FileNotFoundError(f"There is no image at {args.image}.{did_you_mean(args.image)}")
    kind = _check_out(args.out, overwrite=args.overwrite)
    check_no_input([args.out], [args.image])
    check_no_model_file(args, args.out)
    check_place(args.patch)
    try:
        decoded = read_image(args.image)
        where = device(args)
        body, prepare, answer, side = _network(args)
        image, pixels = prepare(decoded)
    except UnreadableImageError as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"{args.image} cannot be read as an image: {reason}.") from error
    with torch.inference_mode():
        graphs = [graph.cpu() for graph in body.to(where).graphs(image[None].to(where))]
    body.cpu()  # the other parts of a detector are there
    found: Answer = answer(decoded, pixels.shape[1:]) if kind == "html" else ([], [], None)
    write_file(args.out, _drawn(pixels, graphs, args, kind, found), overwrite=args.overwrite)
    print(terminal_text(args.out))
    if not named:
        say_note(f"without --out, the figure is {OUT} in this folder; --out graph.html writes a page to click on")
    _say_about(graphs, kind, side)
    page = args.out.with_suffix(".html")
    say_next(
        f"open {terminal_text(args.out)}"
        if kind == "html"
        else in_shell("vig-pyg", "graph", args.model, args.image, *own_words(args), "--out", page)
        + "  (a page to click on)"
    )


def _say_about(graphs: list[Batch], kind: str, side: int | None) -> None:
    """Print what the figure does not say by itself.

    Args:
        kind: `"html"` for a page, which says itself whether a patch is its own neighbor.
        side: Side length of the image of a classifier, which `--image-size` can change; `None` for other models.
    """
    own = [(graph.edge_index[0] == graph.edge_index[1]).sum() == graph.pos.size(0) for graph in graphs]
    if kind != "html" and any(
        int(graph.reduce_ratio) == 1 for graph, all_own in zip(graphs, own, strict=True) if all_own
    ):
        say_note("a patch is one of its own neighbors, and the nearest in knn graphs, as in the published code")
    rows, columns = min((tuple(graph.grid_size[0]) for graph in graphs), key=math.prod)
    if rows * columns < FEW and side is not None:
        times = 2 ** math.ceil(math.log2(FEW / (rows * columns)) / 2)  # of both sides
        say_note(
            f"the smallest layer has only {rows} x {columns} patches: a larger image, such as --image-size "
            f"{times * side}, has more"
        )


def _network(
    args: argparse.Namespace,
) -> tuple[VisionGNN[Any], Callable[[DecodedImage], tuple[Tensor, Tensor]], Callable[..., Answer], int | None]:
    """Return the Vision GNN of a model for any task, functions of an image, and the side of a classifier's input.

    The first function returns input and pixels, and the second returns the answer.
    """
    from vig_pyg.artifact import CLASSIFICATION, CONFIG, DETECTION, read_config
    from vig_pyg.detection.pixels import as_pixels
    from vig_pyg.loading import load
    from vig_pyg.models.hub import find_folder, is_hub_name

    name = str(args.model)
    folder = find_folder(name) if Path(name).is_dir() or is_hub_name(name) else None
    task = CLASSIFICATION if folder is None else read_config(folder / CONFIG)["task"]
    if task == CLASSIFICATION:
        check_model_options(args)
        classifier = load_model(args)
        look = classifier.preprocessing
        note_cropped(look, [args.image])
        return (
            classifier.model,
            lambda decoded: ((image := look(decoded)), look.restore(image)),
            lambda decoded, _: of_classifier(classifier, decoded),
            look.image_size,
        )
    for option in ("weights", "image_size", "position"):
        if getattr(args, option) is not None:
            flag = f"--{option.replace('_', '-')}"
            raise ValueError(f"{flag} is an option for classifiers, but {name} is a model for {task}: leave it out.")
    import_own_code(args)
    found: Any = load(name)

    def prepare_detection(decoded: DecodedImage) -> tuple[Tensor, Tensor]:
        look = found.model.transform
        image = look([as_pixels(decoded) / 255])[0].tensors.images[0]
        mean, std = (image.new_tensor(values)[:, None, None] for values in (look.image_mean, look.image_std))
        return image, (image * std + mean).clamp(0, 1)

    def prepare_segmentation(decoded: DecodedImage) -> tuple[Tensor, Tensor]:
        look = found.preprocessing
        image = look(decoded)
        return image, look.restore(image)

    if task == DETECTION:
        body = found.model.backbone.body
        return body, prepare_detection, lambda decoded, shape: of_detector(found, decoded, shape), None
    return found.model.body, prepare_segmentation, lambda decoded, shape: of_segmenter(found, decoded, shape), None


def _check_out(out: Path, *, overwrite: bool) -> str:
    """Return the file format by its extension, and raise an error if the file cannot be written."""
    from vig_pyg._figure import figure
    from vig_pyg._io.output import check_free

    check_free(out, overwrite=overwrite)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"The folder {out.parent} does not exist: create it first.")
    kind = out.suffix.lower().removeprefix(".") or "png"
    if kind != "html":
        known = figure(1, 1).canvas.get_supported_filetypes()
        if kind not in known:
            raise ValueError(f"{out} cannot be drawn: use one of the extensions .html, .{', .'.join(sorted(known))}.")
    return kind


def _drawn(pixels: Tensor, graphs: list[Batch], args: argparse.Namespace, kind: str, found: Answer) -> bytes:
    """Return the figure or the page as bytes."""
    from vig_pyg.explain import draw_graph, save_html

    if kind == "html":
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            lines, colors, drawn = found
            look = {"patch": args.patch, "title": args.image.name}
            save_html(pixels, graphs, page, **look, summary=lines, colors=colors, output=drawn)
            return page.read_bytes()
    buffer = io.BytesIO()
    draw_graph(pixels, graphs, patch=args.patch).savefig(buffer, format=kind)
    return buffer.getvalue()
