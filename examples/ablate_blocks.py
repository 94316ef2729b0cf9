"""What do the parts of a block do? Graph convolution alone, with linear layers in the Grapher, with an FFN, with both.

    uv run python examples/ablate_blocks.py                       # digits, a few minutes on two cores
    uv run python examples/ablate_blocks.py --data imagenette --images-per-class 200 --epochs 20   # 20 minutes

As in the ablation of modules in Vision GNN (arXiv 2206.00272): graph convolution alone makes the features of the
patches alike (over-smoothing); the linear layers and the FFN keep them apart. Every variant keeps its residual
connections. Without linear layers the convolution maps C to C and runs on the block's input. The parts are exchanged
in the finished model, block by block.
"""

from __future__ import annotations

from typing import Any

from ablation import Variant, main
from torch import Tensor, nn

from vig_pyg import VisionGNN, create_model
from vig_pyg.block import Block, Grapher
from vig_pyg.conv import resolve_conv
from vig_pyg.data import BatchLayout, pool_nodes


class Alone(nn.Module):
    """A Grapher without linear layers: x + conv(x, graph of x)."""

    def __init__(self, grapher: Grapher, conv: nn.Module) -> None:
        super().__init__()
        self.graph = grapher.graph
        self.reduce_ratio = grapher.reduce_ratio
        self.conv = conv
        self.drop_path = grapher.drop_path

    def forward(self, x: Tensor, layout: BatchLayout) -> Tensor:
        x_src, layout_src = pool_nodes(x, layout, self.reduce_ratio)
        edge_index = self.graph(x, layout, x_src, layout_src)
        out = self.conv(x if x_src is x else (x_src, x), edge_index)
        return x + self.drop_path(out, layout.batch, layout.num_graphs)


class Nothing(nn.Module):
    """An FFN that is not there."""

    def forward(self, x: Tensor, batch: Tensor, num_graphs: int) -> Tensor:  # noqa: ARG002  (the FFN's contract)
        return x


def built(model: str, options: dict[str, Any], *, linear: bool, ffn: bool) -> VisionGNN[Any]:
    """The model with or without the linear layers of its Graphers and its FFNs."""
    network = create_model(model, **options)
    make = resolve_conv(network.config.conv, heads=network.config.heads)
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        if not linear:
            channels = block.ffn.fc2[1].num_features
            block.grapher = Alone(block.grapher, make(channels, channels))  # type: ignore[assignment]
        if not ffn:
            block.ffn = Nothing()  # type: ignore[assignment]
    return network


def variants(model: str) -> list[Variant]:  # noqa: ARG001  (all models have these parts)
    parts = {
        "conv+fc+ffn": ("graph convolution, linear layers and FFN: the model", True, True),
        "conv+ffn": ("graph convolution and FFN", False, True),
        "conv+fc": ("graph convolution and linear layers", True, False),
        "conv": ("graph convolution alone", False, False),
    }
    return [
        Variant(name, about, lambda m, options, fc=fc, ffn=ffn: built(m, options, linear=fc, ffn=ffn))
        for name, (about, fc, ffn) in parts.items()
    ]


if __name__ == "__main__":
    main(__doc__ or "", variants, script=__file__, epochs=12)
