"""The picture of the first page: the neighbors of one patch of a photo over the layers of a trained network.

    uv run vig-pyg train --data imagenette128 --cache 128 --epochs 18 --out runs/scratch   # a folder of images
    uv run python examples/benchmarks/first_page.py runs/scratch

That network reached 75.9 % top-1. The photo is scikit-image's "chelsea" (CC0, by Stefan van der Walt), because photos
of ImageNet may not be published here. The network has never seen it, and its classes have no cat.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from skimage.data import chelsea
from torch import Tensor
from torch.nn.functional import interpolate

from vig_pyg import load
from vig_pyg._figure import figure
from vig_pyg._io.output import write_file
from vig_pyg._palette import MARK
from vig_pyg.explain._panel import cell, outlined, rank_colors, show_image

IMAGE = Path(__file__).parents[1] / "images" / "photo.png"
#: Side of the photo in pixels; the sides of all grids divide it.
SIDE = 256


def photo() -> Tensor:
    """The square part of the photo with the head, pixels in [0, 1], `(3, SIDE, SIDE)`."""
    pixels = torch.from_numpy(chelsea()).permute(2, 0, 1).float() / 255  # (3, 300, 451)
    return interpolate(pixels[None, :, :, 65:365], (SIDE, SIDE), mode="bicubic", antialias=True)[0].clamp(0, 1)


def last_of_each_grid(graphs: list[Any]) -> list[int]:
    """The last layer of each stage, whose features have seen the most."""
    grids = [tuple(graph.get_example(0).grid_size) for graph in graphs]
    return [i for i, grid in enumerate(grids) if i + 1 == len(grids) or grids[i + 1] != grid]


def draw_layer(axes: Any, pixels: Tensor, graph: Any, place: tuple[float, float]) -> None:
    """The patch, its neighbors, and a line to each of them."""
    from matplotlib.patches import Rectangle

    rows, columns = graph.grid_size
    row, column = int(place[0] * rows), int(place[1] * columns)
    tall, wide = pixels.shape[1] / rows, pixels.shape[2] / columns
    sources = graph.edge_index[0, graph.edge_index[1] == row * columns + column].tolist()
    show_image(axes, pixels)
    center = (column + 0.5) * wide, (row + 0.5) * tall
    colors = rank_colors(range(len(sources)), len(sources) - 1)
    for color, source in reversed(list(zip(colors, sources, strict=True))):
        r, c, high, broad = cell(graph, source)
        ends = [center[0], (c + broad / 2) * wide], [center[1], (r + high / 2) * tall]
        axes.plot(*ends, color=color, linewidth=1.3, path_effects=outlined(2.8), solid_capstyle="round")
        shape = (c * wide, r * tall), broad * wide, high * tall
        look = {"facecolor": (*color[:3], 0.55), "edgecolor": color, "linewidth": 1.1}
        axes.add_patch(Rectangle(*shape, **look, path_effects=outlined(2.6), zorder=3))
    shape = (column * wide, row * tall), wide, tall
    axes.add_patch(Rectangle(*shape, fill=False, edgecolor=MARK, linewidth=2, path_effects=outlined(4), zorder=4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="run folder of a pyramid")
    parser.add_argument("--patch", type=float, nargs=2, default=(0.42, 0.32), metavar=("ROW", "COLUMN"))
    parser.add_argument("--out", type=Path, default=IMAGE)
    args = parser.parse_args()
    found, pixels = load(args.model), photo()
    look = found.preprocessing
    mean, std = (torch.as_tensor(values).view(-1, 1, 1) for values in (look.mean, look.std))
    with torch.inference_mode():
        graphs = found.model.graphs(((pixels - mean) / std)[None])
    layers = last_of_each_grid(graphs)
    fig = figure(2.6 * len(layers), 2.9)
    for axes, layer in zip(fig.subplots(1, len(layers)), layers, strict=True):
        graph = graphs[layer].get_example(0)
        draw_layer(axes, pixels, graph, tuple(args.patch))
        axes.set_title(f"layer {layer + 1}: {graph.grid_size[0]} x {graph.grid_size[1]} patches", fontsize=9)
    write_file(args.out, fig.savefig, overwrite=True)
    print(args.out)


if __name__ == "__main__":
    main()
