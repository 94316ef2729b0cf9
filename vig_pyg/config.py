"""Configurations of the two families, a line of numbers for each variant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from vig_pyg._registry import Registry
from vig_pyg.conv import ConvFactory
from vig_pyg.graph import Engine, GraphFactory, Precision
from vig_pyg.position import PositionMode

Config = TypeVar("Config", bound="ModelConfig")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What both families share.

    Args:
        num_classes: Classes of the head; 0 gives pooled features.
        in_channels: Channels of the images.
        image_size: Side of a square image in pixels: the grid of the learned position embedding and the bound of the
            dilation. Images of other sizes are welcome; the embedding resizes itself.
        patch_size: Pixels a side of a patch of the first stage, a power of two; smaller for small images.
        k: Neighbors of each patch; a pair grows linearly from the first block to the last.
        dilation: Whether the spacing of neighbors grows, by one every four blocks, while `k * dilation` nodes exist.
        stochastic: Random neighbors among the `k * dilation` in training (see `DilatedKNN`).
        epsilon: Probability of a stochastic choice.
        knn_engine: `"auto"`, `"dense"` or `"torch_cluster"` (see `DilatedKNN`).
        knn_precision: `"highest"`, `"high"` or `"medium"`, of the search on a GPU (see `DilatedKNN`).
        conv: A name of `vig_pyg.conv.list_convs()` or a callable `(in_channels, out_channels) -> Module`.
        graph: A name of `vig_pyg.graph.list_graphs()` or a callable `(k, dilation) -> builder` (see
            `vig_pyg.graph.Builder`); `None` is `"knn"`, which is `DilatedKNN`.
        heads: Heads of the graph convolutions' linear layers; 4 is the published value.
        ffn_ratio: Hidden width of the FFN over its width.
        head_channels: Hidden width of the classifier.
        drop_path_rate: Stochastic depth of the last block; it grows linearly from 0.
        dropout: Dropout in the head.
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
    graph: str | GraphFactory | None = None
    heads: int = 4
    ffn_ratio: int = 4
    head_channels: int = 1024
    drop_path_rate: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        first, last = self.k_range
        if min(first, last) < 1:
            raise ValueError(f"k must be at least 1, got {self.k}.")
        for name in ("in_channels", "image_size", "patch_size", "heads", "ffn_ratio", "head_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.num_classes < 0:
            raise ValueError(f"num_classes must be 0 (pooled features) or more, got {self.num_classes}.")
        if self.graph is not None and self.graph != "knn":
            self._check_graph()

    @property
    def k_range(self) -> tuple[int, int]:
        return (self.k, self.k) if isinstance(self.k, int) else (self.k[0], self.k[1])

    @property
    def num_blocks(self) -> int:
        raise NotImplementedError

    @property
    def smallest_grid(self) -> int:
        """Nodes of the last stage at `image_size`."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[object, ...]:
        """Depths and widths: what one variant has and another has not."""
        raise NotImplementedError

    def neighbors(self) -> list[tuple[int, int]]:
        """K and dilation of each block (published code: k is truncated, dilation rises every four blocks)."""
        (first, last), steps = self.k_range, max(self.num_blocks - 1, 1)
        most = max(1, self.smallest_grid // max(first, last))
        ks = [first + int((last - first) * i / steps) for i in range(self.num_blocks)]
        return [(k, min(i // 4 + 1, most) if self.dilation else 1) for i, k in enumerate(ks)]

    def drop_paths(self) -> list[float]:
        """Stochastic depth of each block."""
        steps = max(self.num_blocks - 1, 1)
        return [self.drop_path_rate * i / steps for i in range(self.num_blocks)]

    def override(self: Config, overrides: Mapping[str, Any]) -> Config:
        """A copy with some fields changed; an unknown one is a `TypeError` that lists the valid ones."""
        names = [f.name for f in fields(self)]
        for name in overrides:
            if name not in names:
                raise TypeError(f"{type(self).__name__} has no option {name!r}: choose from {', '.join(names)}.")
        return replace(self, **overrides)

    def _check_graph(self) -> None:
        """Options of `DilatedKNN` mean nothing beside another builder: refuse them rather than ignore them."""
        defaults = {f.name: f.default for f in fields(self)}
        for name in ("stochastic", "epsilon", "knn_engine", "knn_precision", "position"):
            if name in defaults and getattr(self, name) != defaults[name]:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is an option of DilatedKNN and has no effect beside graph=...: "
                    f"leave one of them out, or pass graph=functools.partial(DilatedKNN, ...) with all its options."
                )


@dataclass(frozen=True, kw_only=True)
class ViGConfig(ModelConfig):
    """Isotropic ViG: one grid, one width.

    Args:
        depth: Number of blocks.
        channels: Width C of all of them.
    """

    depth: int
    channels: int
    k: int | tuple[int, int] = (9, 18)

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
    """Pyramid ViG: stages of falling resolution and rising width.

    Args:
        depths: Blocks of each stage.
        channels: Width of each stage.
        reduce_ratios: Each stage's sources are averaged over so many patches a side.
        position: Sin-cos position in the search: `"official"` (pretrained weights need it), `"grid"` (the pooled
            cell's own code, right at any height and width) or `None`.
    """

    depths: tuple[int, ...]
    channels: tuple[int, ...]
    reduce_ratios: tuple[int, ...] = (4, 2, 1, 1)
    position: PositionMode | None = "official"
    patch_size: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.depths) == len(self.channels) == len(self.reduce_ratios) >= 1:
            raise ValueError(
                f"depths, channels and reduce_ratios need one entry for each stage, got {self.depths}, "
                f"{self.channels} and {self.reduce_ratios}."
            )

    @property
    def num_blocks(self) -> int:
        return sum(self.depths)

    @property
    def shape(self) -> tuple[object, ...]:
        return self.depths, self.channels

    @property
    def smallest_grid(self) -> int:
        return int((-(-self.image_size // (self.patch_size * 2 ** (len(self.depths) - 1)))) ** 2)


#: Vision GNN (arXiv 2206.00272), tables 1 and 2; `micro` is ours, for teaching and tests.
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


#: The configuration of every model that has a name.
MODELS: Registry[ModelConfig] = Registry("model", advice="", check=_must_be_config)


def register_model(name: str, config: Config) -> Config:
    """Give a configuration a name: for `create_model`, the command line, and the lists.

    Args:
        name: Its name, without spaces.
        config: Its configuration, of `ViGConfig`, `PyramidViGConfig`, or the `config_class` of a family of your own.

    Raises:
        ValueError: If another model has the name.
        TypeError: If it is no configuration.

    Example:
        >>> register_model("vig_narrow", ViGConfig(depth=12, channels=96)).channels
        96
        >>> MODELS.remove("vig_narrow")  # this was an example
    """
    return MODELS.register(name)(config)


for _name, _vig in VIG_VARIANTS.items():
    register_model(f"vig_{_name}", _vig)
for _name, _pvig in PYRAMID_VIG_VARIANTS.items():
    register_model(f"pvig_{_name}", _pvig)


def variant_name(config: ModelConfig) -> str | None:
    """The name for `create_model` of the variant with these widths and depths, whatever else is overridden.

    Example:
        >>> variant_name(VIG_VARIANTS["tiny"].override({"num_classes": 10}))
        'vig_tiny'
    """
    return next((name for name, one in MODELS.items() if type(one) is type(config) and one.shape == config.shape), None)


def variant_config(name: str) -> ModelConfig:
    """The configuration that `create_model` starts from.

    Args:
        name: A name of `list_models()`.

    Raises:
        ValueError: If the name is unknown.

    Example:
        >>> variant_config("vig_tiny").num_classes
        1000
    """
    return MODELS.resolve(name)
