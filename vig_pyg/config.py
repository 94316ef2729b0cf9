"""Configurations of ViG and Pyramid ViG and of their variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from vig_pyg._io.names import choose
from vig_pyg._numbers import check_probabilities, check_whole_numbers
from vig_pyg._registry import Registry
from vig_pyg.conv import ConvFactory
from vig_pyg.graph import Engine, Graphs, Precision, StageGraph, map_graphs, refuse_search_options, stage_graphs
from vig_pyg.position import PositionMode

Config = TypeVar("Config", bound="ModelConfig")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The options that all model families have.

    Args:
        num_classes: Number of classes; with 0 the model returns pooled features.
        in_channels: Number of image channels.
        image_size: Side length of a square image in pixels. It defines the grid of the learned position embedding, and
            limits the dilation. Images of other sizes are accepted, because the embedding is resized to their grid.
        patch_size: Side length in pixels of a patch of the first stage, a power of two.
        k: Number of neighbors of each patch. A pair is interpolated linearly from the first block to the last.
        dilation: If true, the spacing of the neighbors increases by one every four blocks while it fits the grid.
        stochastic: If true, training draws random neighbors among the `k * dilation` nearest (see `DilatedKNN`).
        epsilon: Probability of a random draw if `stochastic` is on; the published value is 0.2.
        knn_engine: Implementation of the neighbor search: `"auto"`, `"dense"` or `"torch_cluster"` (see `DilatedKNN`).
        knn_precision: Precision of this search on a GPU: `"highest"`, `"high"` or `"medium"` (see `DilatedKNN`).
        conv: A name from `vig_pyg.conv.list_convs()`, or a callable `(in_channels, out_channels) -> Module`.
        graph: A name from `vig_pyg.graph.list_graphs()`, or a callable `(k, dilation) -> builder` (see
            `vig_pyg.graph.Builder`). `None` means `"knn"`, which is `DilatedKNN`. A list has one entry for each stage.
        heads: Number of heads of the linear layers in the graph convolutions; the published value is 4.
        ffn_ratio: Hidden width of the FFN divided by the width of its input; the published value is 4.
        head_channels: Hidden width of the classifier; the published value is 1024.
        drop_path_rate: Stochastic depth probability of the last block; it increases linearly from 0 in the first.
        dropout: Dropout probability before the last linear layer of the classifier.

    Raises:
        ValueError: If a number is out of range, or the graphs fit neither the stages nor the options of the search.

    Example:
        >>> ViGConfig(depth=2, channels=48, num_classes=10, k=5).override({"k": 7}).k
        7
    """

    num_classes: int = 1000
    in_channels: int = 3
    image_size: int = 224
    patch_size: int = 16
    k: int | tuple[int, int] = 9
    dilation: bool = True
    stochastic: bool = False
    epsilon: float = 0.2
    knn_engine: Engine = "auto"
    knn_precision: Precision = "highest"
    conv: str | ConvFactory = "mr"
    graph: Graphs = None
    heads: int = 4
    ffn_ratio: int = 4
    head_channels: int = 1024
    drop_path_rate: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_whole_numbers(self, "k", several=None)
        check_whole_numbers(self, "in_channels", "image_size", "patch_size", "heads", "ffn_ratio", "head_channels")
        check_whole_numbers(self, "num_classes", least=0, expected="0 (pooled features) or more")
        check_probabilities(self, drop_path_rate=False, dropout=True)
        object.__setattr__(self, "graph", map_graphs(lambda graph: graph, self.graph))  # a list becomes a tuple
        self._check_graph()

    @property
    def k_range(self) -> tuple[int, int]:
        """The number of neighbors in the first and in the last block."""
        return (self.k, self.k) if isinstance(self.k, int) else (self.k[0], self.k[1])

    @property
    def num_blocks(self) -> int:
        """Number of blocks of all stages."""
        raise NotImplementedError

    @property
    def stage_depths(self) -> tuple[int, ...]:
        """Number of Graphers in each stage."""
        return (self.num_blocks,)

    @property
    def stage_graphs(self) -> tuple[StageGraph, ...]:
        """The graph of each stage."""
        return stage_graphs(self.graph, len(self.stage_depths))

    @property
    def smallest_grid(self) -> int:
        """Number of nodes in the last stage for an image of `image_size` pixels."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[object, ...]:
        """The depths and widths, which identify a variant."""
        raise NotImplementedError

    def neighbors(self) -> list[tuple[int, int]]:
        """Return the pair (k, dilation) of each block, rounded as in the published code."""
        (first, last), steps = self.k_range, max(self.num_blocks - 1, 1)
        most = max(1, self.smallest_grid // max(first, last))
        ks = [first + int((last - first) * i / steps) for i in range(self.num_blocks)]
        return [(k, min(i // 4 + 1, most) if self.dilation else 1) for i, k in enumerate(ks)]

    def drop_paths(self) -> list[float]:
        """Return the stochastic depth probability of each block."""
        return [self.drop_path_rate * i / max(self.num_blocks - 1, 1) for i in range(self.num_blocks)]

    def override(self: Config, overrides: Mapping[str, Any]) -> Config:
        """Return a copy with some fields changed.

        Args:
            overrides: The new values, by the names of the fields.

        Raises:
            TypeError: If there is no such field; the message names the nearest ones.
        """
        names = [f.name for f in fields(self)]
        for name in [name for name in overrides if name not in names]:
            raise TypeError(f"{type(self).__name__} has no option {name!r}{choose(name, names, verb='choose from')}.")
        return replace(self, **overrides)

    def _check_graph(self) -> None:
        refuse_search_options(self.stage_graphs, {f.name: (getattr(self, f.name), f.default) for f in fields(self)})


@dataclass(frozen=True, kw_only=True)
class ViGConfig(ModelConfig):
    """Configuration of an isotropic ViG; the other options are those of `ModelConfig`.

    Args:
        depth: Number of blocks.
        channels: Width C of all blocks.
        k: Number of neighbors of each patch; the published models increase it from 9 to 18.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> ViGConfig(depth=12, channels=96).num_blocks
        12
    """

    depth: int
    channels: int
    k: int | tuple[int, int] = (9, 18)

    def __post_init__(self) -> None:
        check_whole_numbers(self, "depth", "channels")
        super().__post_init__()

    @property
    def num_blocks(self) -> int:
        return self.depth

    @property
    def shape(self) -> tuple[object, ...]:
        return self.depth, self.channels

    @property
    def smallest_grid(self) -> int:
        return int((-(-self.image_size // self.patch_size)) ** 2)


@dataclass(frozen=True, kw_only=True)
class PyramidViGConfig(ModelConfig):
    """Configuration of a Pyramid ViG; the other options are those of `ModelConfig`.

    Args:
        depths: Number of blocks of each stage.
        channels: Width of each stage.
        reduce_ratios: Pooling ratio of each stage: the sources are averaged over windows of ratio x ratio patches.
        position: Sin-cos position codes in the neighbor search: `"official"`, which the published weights need,
            `"grid"`, which uses the centers of the pooled cells and is exact for any height and width, or `None`.
        patch_size: Side length in pixels of a patch of the first stage, a power of two; the published value is 4.

    Raises:
        ValueError: If `depths`, `channels` and `reduce_ratios` have different lengths, or a number is out of range.

    Example:
        >>> PyramidViGConfig(depths=(2, 2), channels=(32, 64), reduce_ratios=(2, 1)).num_blocks
        4
    """

    depths: tuple[int, ...]
    channels: tuple[int, ...]
    reduce_ratios: tuple[int, ...] = (4, 2, 1, 1)
    position: PositionMode | None = "official"
    patch_size: int = 4

    def __post_init__(self) -> None:
        check_whole_numbers(self, "depths", "channels", "reduce_ratios", several=True)
        stages = self.depths, self.channels, self.reduce_ratios
        if len({len(one) for one in stages}) != 1 or not self.depths:
            raise ValueError(f"depths, channels and reduce_ratios need one entry for each stage, got {stages}.")
        super().__post_init__()

    @property
    def num_blocks(self) -> int:
        return sum(self.depths)

    @property
    def stage_depths(self) -> tuple[int, ...]:
        return self.depths

    @property
    def shape(self) -> tuple[object, ...]:
        return self.depths, self.channels

    @property
    def smallest_grid(self) -> int:
        return int((-(-self.image_size // (self.patch_size * 2 ** (len(self.depths) - 1)))) ** 2)


#: The variants of Vision GNN (arXiv 2206.00272, tables 1 and 2), and `micro`, our small variant for teaching and tests.
VIG_VARIANTS: dict[str, ViGConfig] = {
    "micro": ViGConfig(depth=4, channels=64, k=9, image_size=32, patch_size=4, head_channels=128),
    "tiny": ViGConfig(depth=12, channels=192),
    "small": ViGConfig(depth=16, channels=320),
    "base": ViGConfig(depth=16, channels=640),
}
PYRAMID_VIG_VARIANTS: dict[str, PyramidViGConfig] = {
    "micro": PyramidViGConfig(
        depths=(1, 1, 2, 1), channels=(32, 48, 64, 96), k=9, image_size=32, patch_size=2, head_channels=128
    ),
    "tiny": PyramidViGConfig(depths=(2, 2, 6, 2), channels=(48, 96, 240, 384)),
    "small": PyramidViGConfig(depths=(2, 2, 6, 2), channels=(80, 160, 400, 640)),
    "medium": PyramidViGConfig(depths=(2, 2, 16, 2), channels=(96, 192, 384, 768)),
    "base": PyramidViGConfig(depths=(2, 2, 18, 2), channels=(128, 256, 512, 1024)),
}


def _must_be_config(value: object) -> None:
    if not isinstance(value, ModelConfig):
        raise TypeError(f"A model is registered by its configuration, such as ViGConfig(...), got {value!r}.")


#: The configurations of all registered models, by name.
MODELS: Registry[ModelConfig] = Registry("model", advice="", check=_must_be_config, others="vig_pyg.family_config")


def register_model(name: str, config: Config) -> Config:
    """Register a configuration under a name, which `create_model` and the command line then accept, and return it.

    Args:
        name: The name, without spaces.
        config: A `ViGConfig`, a `PyramidViGConfig`, or an instance of the `config_class` of your own model family.

    Raises:
        ValueError: If another model is registered under this name.
        TypeError: If `config` is not a configuration.

    Example:
        >>> register_model("vig_narrow", ViGConfig(depth=12, channels=96)).channels
        96
        >>> MODELS.remove("vig_narrow")  # undo the example
    """
    return MODELS.completed().register(name)(config)


for _family, _variants in (("vig", VIG_VARIANTS), ("pvig", PYRAMID_VIG_VARIANTS)):
    for _name, _config in _variants.items():
        MODELS.register(f"{_family}_{_name}")(_config)


def variant_name(config: ModelConfig) -> str | None:
    """Return the name of the registered model with the depths and widths of `config`, or `None`.

    Example:
        >>> variant_name(VIG_VARIANTS["tiny"].override({"num_classes": 10}))
        'vig_tiny'
    """
    return next((name for name, one in MODELS.items() if type(one) is type(config) and one.shape == config.shape), None)


def variant_config(name: str) -> ModelConfig:
    """Return the configuration of a registered model.

    Args:
        name: A name from `list_models()`.

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> variant_config("vig_tiny").num_classes
        1000
    """
    return MODELS.resolve(name)
