"""Configurations and variants of MobileViG, GreedyViG, MobileViGv2 and WiGNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from vig_pyg.config import ModelConfig, PyramidViGConfig, register_model
from vig_pyg.conv import ConvFactory
from vig_pyg.graph import Graphs, WindowGraph, map_graphs
from vig_pyg.position import PositionMode


@dataclass(frozen=True, kw_only=True)
class HybridViGConfig(ModelConfig):
    """The options of a pyramid whose stages have convolutional blocks, followed by graph blocks.

    The other options are those of `ModelConfig`.

    Args:
        channels: Width of each stage.
        local_depths: Number of convolutional blocks (`InvertedResidual`) of each stage.
        graph_depths: Number of graph blocks of each stage.
        hops: Spacing of the graph in each stage, which the graph factory receives as `dilation`.
        dilation: If false, the spacing is 1 in all stages.
        conv_ratio: Width of the graph convolution's result divided by the width of its input.
        position_kernel: Kernel size of the `ConditionalPosition` in graph blocks; 0 for none.
        graph_scale: Initial value of the layer scale in graph blocks (see `LayerScale`), or `None` for none.
        layer_scale: Initial value of the layer scale in convolutional blocks; the published value is 1e-5.
        distillation: If true, the classifier has two output layers; the authors trained the second one with a teacher.
            Training then returns a pair of logits: with a teacher, the trainer of this library compares the second
            ones with those of the teacher, and without a teacher, it averages the losses of both. By default there is
            one output layer, which loads the mean of the two published layers.
        graph: As for `ModelConfig`; `None` means `"knn"`.
        image_size: Side length of a square image in pixels. Images of other sizes are accepted.
        patch_size: Side length in pixels of a patch of the first stage, a power of two; the published value is 4.
        heads: Number of heads of the linear layers in the graph convolutions; the published value is 1.

    Raises:
        ValueError: If `channels`, `local_depths`, `graph_depths` and `hops` have different lengths, or a number is out
            of range.

    Example:
        >>> GreedyViGConfig(channels=(16, 24), local_depths=(1, 1), graph_depths=(1, 2), hops=(4, 2)).num_blocks
        5
    """

    #: Mean and standard deviation of the pixels with which the published networks were trained, those of ImageNet.
    pixel_statistics: ClassVar = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    channels: tuple[int, ...]
    local_depths: tuple[int, ...]
    graph_depths: tuple[int, ...]
    hops: tuple[int, ...]
    conv_ratio: int = 1
    position_kernel: int = 7
    graph_scale: float | None = 1e-5
    layer_scale: float | None = 1e-5
    distillation: bool = False
    graph: Graphs = "axial_rings"
    conv: str | ConvFactory = "mr"
    patch_size: int = 4
    heads: int = 1
    head_channels: int = 768
    drop_path_rate: float = 0.1

    def __post_init__(self) -> None:
        stages = self.channels, self.local_depths, self.graph_depths, self.hops
        if len({len(one) for one in stages}) != 1 or not self.channels:
            raise ValueError(
                "channels, local_depths, graph_depths and hops need one entry for each stage, got "
                f"{', '.join(map(str, stages))}."
            )
        if min(self.hops) < 1 or self.conv_ratio < 1 or self.position_kernel < 0:
            raise ValueError(
                f"hops and conv_ratio must be at least 1 and position_kernel at least 0, got {self.hops}, "
                f"{self.conv_ratio} and {self.position_kernel}."
            )
        super().__post_init__()

    @property
    def num_blocks(self) -> int:
        return sum(self.local_depths) + sum(self.graph_depths)

    @property
    def stage_depths(self) -> tuple[int, ...]:
        return self.graph_depths

    @property
    def shape(self) -> tuple[object, ...]:
        return self.channels, self.local_depths, self.graph_depths

    @property
    def smallest_grid(self) -> int:
        return int((-(-self.image_size // (self.patch_size * 2 ** (len(self.channels) - 1)))) ** 2)

    def neighbors(self) -> list[tuple[int, int]]:
        """Return the pair (k, spacing) of each graph block."""
        (first, last), count = self.k_range, sum(self.graph_depths)
        hops = [hop for hop, depth in zip(self.hops, self.graph_depths, strict=True) for _ in range(depth)]
        ks = [first + int((last - first) * i / max(count - 1, 1)) for i in range(count)]
        return [(k, hop if self.dilation else 1) for k, hop in zip(ks, hops, strict=True)]


@dataclass(frozen=True, kw_only=True)
class MobileViGConfig(HybridViGConfig):
    """Configuration of a MobileViG (arXiv 2307.00395).

    Args:
        **options: The options of `HybridViGConfig` and `ModelConfig`.

    Raises:
        ValueError: As for `HybridViGConfig`.

    Example:
        >>> MOBILEVIG_VARIANTS["tiny"].graph_depths
        (0, 0, 0, 2)
    """

    conv: str | ConvFactory = "mr_reversed"
    conv_ratio: int = 2
    position_kernel: int = 0
    graph_scale: float | None = None
    head_channels: int = 512


@dataclass(frozen=True, kw_only=True)
class GreedyViGConfig(HybridViGConfig):
    """Configuration of a GreedyViG (arXiv 2405.06849).

    Args:
        **options: The options of `HybridViGConfig` and `ModelConfig`.

    Raises:
        ValueError: As for `HybridViGConfig`.

    Example:
        >>> GREEDYVIG_VARIANTS["small"].num_blocks
        20
    """

    graph: Graphs = "axial_threshold"


@dataclass(frozen=True, kw_only=True)
class MobileViGv2Config(HybridViGConfig):
    """Configuration of a MobileViGv2 (arXiv 2406.05850).

    Args:
        **options: The options of `HybridViGConfig` and `ModelConfig`.

    Raises:
        ValueError: As for `HybridViGConfig`.

    Example:
        >>> MOBILEVIGV2_VARIANTS["base"].head_channels
        768
    """

    graph: Graphs = "cross"
    head_channels: int = 512

    def drop_paths(self) -> list[float]:
        """Return the probability of each block; it increases from one graph block to the next, as published."""
        step, rates, passed = self.drop_path_rate / max(self.num_blocks - 1, 1), [], 0
        for local, graph in zip(self.local_depths, self.graph_depths, strict=True):
            rates += [step * passed] * local + [step * (passed + i) for i in range(graph)]
            passed += graph
        return rates


@dataclass(frozen=True, kw_only=True)
class WiGNetConfig(PyramidViGConfig):
    """Configuration of a WiGNet (arXiv 2410.00807); the other options are those of `PyramidViGConfig`.

    Args:
        window: Side length of the windows in patches; `image_size / 32` in the published models.
        shift: If true, every second block of a stage has its windows shifted by half a window.
        adaptive: If true, smaller windows at the border have fewer neighbors (see `WindowGraph`).
        graph: `"window"`, which uses the options above, or another graph, as for `ModelConfig`.

    Raises:
        ValueError: If `window` is below 1, or one of these options is set for another graph.

    Example:
        >>> WIGNET_VARIANTS["tiny"].override({"image_size": 224, "window": 7}).window
        7
    """

    window: int = 8
    shift: bool = True
    adaptive: bool = True
    graph: Graphs = "window"
    position: PositionMode | None = "grid"
    reduce_ratios: tuple[int, ...] = (1, 1, 1, 1)
    dilation: bool = False
    image_size: int = 256

    def __post_init__(self) -> None:
        # the class itself stands for its name, because `config.json` holds the name
        named = map_graphs(lambda graph: "window" if graph is WindowGraph else graph, self.graph)
        object.__setattr__(self, "graph", named)
        super().__post_init__()
        if self.window < 1:
            raise ValueError(f"window must be at least 1, got {self.window}.")
        changed = [
            name for name in ("window", "shift", "adaptive") if getattr(self, name) != _default(type(self), name)
        ]
        if "window" not in self.stage_graphs and changed:
            raise ValueError(f"{', '.join(changed)}: these options of graph='window' have no effect on another graph.")

    def _check_graph(self) -> None:
        if "window" in self.stage_graphs and self.position != "grid":
            # the windows have positions of their own, so only the other options are checked
            replace(self, position="grid")
        else:
            super()._check_graph()


def _default(config: type[ModelConfig], name: str) -> object:
    return next(field.default for field in fields(config) if field.name == name)


#: The variants of MobileViG (arXiv 2307.00395, table 1).
MOBILEVIG_VARIANTS: dict[str, MobileViGConfig] = {
    name: MobileViGConfig(
        channels=channels,
        local_depths=(*local, 0),
        graph_depths=(0, 0, 0, graph),
        hops=(2, 2, 2, 2),
        head_channels=head,
    )
    for name, channels, local, graph, head in (
        ("tiny", (42, 84, 168, 256), (2, 2, 6), 2, 512),
        ("small", (42, 84, 176, 256), (3, 3, 9), 3, 512),
        ("medium", (42, 84, 224, 400), (3, 3, 9), 3, 768),
        ("base", (42, 84, 240, 464), (5, 5, 15), 5, 768),
    )
}
#: The variants of GreedyViG (arXiv 2405.06849, table 1).
GREEDYVIG_VARIANTS: dict[str, GreedyViGConfig] = {
    name: GreedyViGConfig(channels=channels, local_depths=local, graph_depths=graph, hops=(8, 4, 2, 1))
    for name, channels, local, graph in (
        ("small", (48, 96, 192, 384), (2, 2, 6, 2), (2, 2, 2, 2)),
        ("medium", (56, 112, 224, 448), (3, 3, 9, 3), (3, 3, 3, 3)),
        ("base", (64, 128, 256, 512), (4, 4, 12, 3), (4, 4, 4, 3)),
    )
}
#: The variants of MobileViGv2 (arXiv 2406.05850, table 1).
MOBILEVIGV2_VARIANTS: dict[str, MobileViGv2Config] = {
    name: MobileViGv2Config(
        channels=channels, local_depths=local, graph_depths=graph, hops=(8, 8, 4, 2), head_channels=head
    )
    for name, channels, local, graph, head in (
        ("tiny", (32, 64, 128, 256), (2, 2, 6, 2), (0, 2, 2, 2), 512),
        ("small", (32, 64, 128, 256), (3, 3, 9, 3), (0, 3, 3, 3), 512),
        ("medium", (32, 64, 192, 384), (3, 3, 9, 3), (0, 3, 3, 3), 512),
        ("base", (64, 128, 256, 512), (3, 3, 9, 3), (0, 3, 3, 3), 768),
    )
}
#: The variants of WiGNet (arXiv 2410.00807, table 1), for images of 256 pixels.
WIGNET_VARIANTS: dict[str, WiGNetConfig] = {
    name: WiGNetConfig(channels=channels, depths=depths)
    for name, channels, depths in (
        ("tiny", (48, 96, 240, 384), (2, 2, 6, 2)),
        ("small", (80, 160, 400, 640), (2, 2, 6, 2)),
        ("medium", (96, 192, 384, 768), (2, 2, 16, 2)),
    )
}

_FAMILIES: tuple[tuple[str, Mapping[str, ModelConfig]], ...] = (
    ("mobilevig", MOBILEVIG_VARIANTS),
    ("greedyvig", GREEDYVIG_VARIANTS),
    ("mobilevigv2", MOBILEVIGV2_VARIANTS),
    ("wignet", WIGNET_VARIANTS),
)
for _family, _variants in _FAMILIES:
    for _name, _config in _variants.items():
        register_model(f"{_family}_{_name}", _config)
