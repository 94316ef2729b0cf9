"""An interactive HTML page with one image and all its graphs."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch_geometric.data import Batch

from vig_pyg._io.output import write_file
from vig_pyg._io.text import terminal_text
from vig_pyg.explain._panel import by_distance, check_graphs, check_place, pixels_of
from vig_pyg.image_io import AnyImage

#: Largest number of edges of a page, about 40 megabytes; browsers cannot open larger pages.
MOST_EDGES = 8_000_000
_OUTPUT = '<img id="output" alt="The output of the network, drawn on the image" draggable="false" hidden src="{}">'
_SWITCH = '<label class="check"><input id="show-output" type="checkbox">Show on the image</label>'


def save_html(
    image: AnyImage,
    graphs: Sequence[Batch],
    path: str | Path,
    *,
    patch: tuple[float, float] = (0.5, 0.5),
    title: str = "The graph of an image",
    summary: Sequence[str] = (),
    colors: Sequence[tuple[int, int, int]] = (),
    output: Tensor | None = None,
) -> None:
    """Write an HTML page that shows the neighbors of each patch in each layer.

    Pointing at a patch shows its neighbors, clicking pins the patch, and a slider selects the layer. The page is one
    file that contains the image; it loads nothing else and needs no server. The nearest neighbor has the darkest color;
    in graphs that are not sorted by distance, the source of the first edge has it. If the sources are pooled, a
    neighbor is a larger cell. The file is written completely or not at all.

    The page describes `dilation` as `DilatedKNN` defines it; other graph builders may define it differently or ignore
    it.

    Args:
        image: Pixels in [0, 1], `(3, H, W)` or `(1, H, W)`; or a PIL image, a path or an array (see
            `vig_pyg.image_io.as_image`). The grid of patches covers the whole image.
        graphs: The result of `model.graphs(images)` for this image alone.
        path: Path of the file, which must not exist.
        patch: Position (row, column) of the patch that is shown first, as fractions of the height and the width in
            [0, 1).
        title: Heading of the page; characters that are not printable are escaped.
        summary: Lines about the output of the network, such as the most probable classes.
        colors: Colors of the first lines of `summary` in the output, as bytes; each is shown beside its line.
        output: A drawing of the output, such as boxes or colored pixels, `(3, s H, s W)` with a whole number s; a
            switch shows it in place of the image.

    Shapes: image `(3, H, W)` or `(1, H, W)`; graphs of one image.

    Raises:
        ValueError: If the position is outside the image, if the image or the output has another shape or range, if
            there is more than one image, or if there are too many edges for a browser.
        FileExistsError: If the file exists, as it is never overwritten.
        FileNotFoundError: If the folder does not exist.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from vig_pyg import vig_micro
        >>> image = torch.rand(3, 32, 32)
        >>> with TemporaryDirectory() as folder:
        ...     save_html(image, vig_micro().eval().graphs(image[None]), Path(folder) / "graph.html")
    """
    pixels = pixels_of(image)
    check_place(patch)
    check_graphs(graphs)
    _check_output(output, pixels)
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist: create it first.")
    edges = sum(batch.num_edges for batch in graphs)
    if edges > MOST_EDGES:
        raise ValueError(
            f"The graphs have {edges} edges, but a page supports at most {MOST_EDGES}: pass fewer layers, such as "
            "graphs[-2:], or a smaller image."
        )
    layers = [_layer(batch.get_example(0)) for batch in graphs]
    data = {"height": pixels.size(1), "width": pixels.size(2), "patch": patch, "layers": layers}
    parts = {
        "title": html.escape(terminal_text(title, limit=300)),
        "image": _data_url(pixels),
        "output": "" if output is None else _OUTPUT.format(_data_url(output)),
        "summary": _summary(summary, colors, output),
        # "<" is the only character that could end the script element
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    template = files("vig_pyg.explain").joinpath("page.html").read_text(encoding="utf-8")
    # A single pass, so that placeholders inside an inserted part are not replaced.
    write_file(path, re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template))


def _check_output(output: Tensor | None, pixels: Tensor) -> None:
    if output is None:
        return
    height, width = pixels.shape[1:]
    scale = max(1, output.size(1) // height) if output.dim() == 3 else 1
    if output.shape != (3, scale * height, scale * width):
        raise ValueError(
            f"Expected an output (3, {height}, {width}) like the image, or a whole multiple of height and width, "
            f"got {tuple(output.shape)}."
        )


def _summary(lines: Sequence[str], colors: Sequence[tuple[int, int, int]], output: Tensor | None) -> str:
    """Return the section about the output of the network; without an output it is empty."""
    if not lines and output is None:
        return ""
    marks = ['<i style="background: #{:02x}{:02x}{:02x}"></i>'.format(*color) for color in colors]
    items = "".join(
        f"<li>{mark}{html.escape(terminal_text(line, limit=300))}</li>"
        for mark, line in zip_longest(marks[: len(lines)], lines, fillvalue="")
    )
    return (
        f'<section id="answer"><h2>Output of the network</h2><ul>{items}</ul>{_SWITCH * (output is not None)}</section>'
    )


def _data_url(image: Tensor) -> str:
    return "data:image/png;base64," + b64encode(_png(image)).decode()


def _layer(graph: Any) -> dict[str, Any]:
    """The graph of one layer as JSON values: its options, and the sources of each patch in the order of the edges."""
    rows, columns = graph.grid_size
    source, target = graph.edge_index.cpu()
    degrees = torch.bincount(target, minlength=rows * columns).tolist()
    sources: list[list[int]] = [part.tolist() for part in source.split(degrees)]  # edges are sorted by target
    return {
        "rows": int(rows),
        "columns": int(columns),
        "k": int(graph.k),
        "dilation": int(graph.dilation),
        "ratio": int(graph.reduce_ratio),
        "sorted": by_distance(graph),
        "degrees": [min(degrees), max(degrees)],
        "neighbors": sources,
    }


def _png(image: Tensor) -> bytes:
    """Encode the image as a PNG file."""
    low, high = float(image.min()), float(image.max())
    if not -0.01 <= low <= high <= 1.01:  # resized images may slightly exceed the range; NaN fails too
        raise ValueError(
            f"Expected pixels in [0, 1], got {low:.3g} to {high:.3g}: undo the normalization first, "
            "with Preprocessing.restore(image) for example."
        )
    pixels = image.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    file = BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(file, format="PNG", optimize=True)
    return file.getvalue()
