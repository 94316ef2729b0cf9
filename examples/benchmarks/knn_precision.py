"""What the precision of the search changes: neighbors and logits of a trained model beside a search in float64.

    uv run python examples/benchmarks/knn_precision.py runs/mine --images imagenette128/val --count 64

`highest`, `high` and `medium` round the operands as the GPU's kernels do and sum in float64, so that the numbers are
the same on every device; `published` searches as the published code does under bfloat16 autocast: operands, products
and distances in bfloat16. Neighbors are compared layer by layer on the features of the pass in float64; the logits are
of passes that search in that precision throughout.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from harness import write
from torch import Tensor, nn
from torch.nn.functional import normalize

from vig_pyg import load
from vig_pyg.graph import DilatedKNN
from vig_pyg.graph.search import Search
from vig_pyg.image_io import read_image

WAYS = ("highest", "high", "medium", "published")


def tf32(x: Tensor) -> Tensor:
    """What tensor cores read of float32."""
    return (x.float().view(torch.int32) & -8192).view(torch.float32)


def sources(search: Search, way: str) -> Tensor:
    """Sources of each target, numbered within the image, `(B, n, kept)`."""
    x, y = (normalize(part.double(), dim=-1) for part in (search.x, search.y))
    bias = y.square().sum(-1).mul(-0.5).unsqueeze(1) if search.bias is None else search.bias.double()
    if way == "published":
        x, y = x.bfloat16(), y.bfloat16()
        product = (x.double() @ y.double().transpose(1, 2)).bfloat16()
        lengths = x.square().sum(-1, keepdim=True), y.square().sum(-1).unsqueeze(1)
        distance = lengths[0] - 2 * product + lengths[1]
        scores = -distance if search.bias is None else 2 * bias - distance
    else:
        centered = y - y.mean(1, keepdim=True)  # as the kernels do; it changes no order
        rounded = {"float64": Tensor.double, "highest": Tensor.float, "high": tf32, "medium": Tensor.bfloat16}[way]
        scores = rounded(x).double() @ rounded(centered).double().transpose(1, 2) + bias
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., : search.k : search.step]


class Searching(nn.Module):
    """A graph whose search runs in one way; notes how many neighbors other ways share with it."""

    def __init__(self, graph: DilatedKNN, way: str, others: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.graph, self.way, self.others = graph, way, others
        self.same: dict[str, list[float]] = {other: [] for other in others}

    def forward(self, *nodes: Any) -> Tensor:
        search = self.graph.search(*nodes)
        assert search is not None, "images of one size, please"
        found = sources(search, self.way)
        for other in self.others:
            self.same[other].append(float((sources(search, other) == found).double().mean()))
        b, n, kept = found.shape
        source = found + torch.arange(b, device=found.device).view(b, 1, 1) * search.y.size(1)
        target = torch.arange(b * n, device=found.device).repeat_interleave(kept)
        return torch.stack([source.flatten(), target])


@torch.no_grad()
def compare(model: nn.Module, images: Tensor) -> list[dict[str, Any]]:
    """A row for each way."""
    graphers = model.graphers()  # type: ignore[operator]
    graphs = [grapher.graph for grapher in graphers]

    def logits(way: str, others: tuple[str, ...] = ()) -> Tensor:
        for grapher, graph in zip(graphers, graphs, strict=True):
            grapher.graph = Searching(graph, way, others)
        return model(images).double()  # type: ignore[no-any-return]

    exact = logits("float64", WAYS)
    layers = [grapher.graph.same for grapher in graphers]
    rows = []
    for way in WAYS:
        shares = [sum(layer[way]) / len(layer[way]) for layer in layers]
        change = (logits(way) - exact).abs()
        rows.append(
            {
                "search": way,
                "equal neighbors": sum(shares) / len(shares),
                "in the worst layer": min(shares),
                "mean change of a logit": float(change.mean() / exact.std()),
                "largest": float(change.max() / exact.std()),
                "same class": float((logits(way).argmax(1) == exact.argmax(1)).double().mean()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a trained model, or what else vig_pyg.load takes")
    parser.add_argument("--images", type=Path, required=True, help="folder of images, searched with its subfolders")
    parser.add_argument("--count", type=int, default=64, help="images")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    args = parser.parse_args()
    predictor = load(args.run)
    files = sorted(path for path in args.images.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    files = files[:: max(1, len(files) // args.count)][: args.count]
    images = torch.stack([predictor.preprocessing(read_image(path)) for path in files])
    rows = compare(predictor.model.to(args.device).eval(), images.to(args.device))
    write("knn_precision", rows, model=str(args.run), images=len(files))


if __name__ == "__main__":
    main()
