"""The base class of all model families."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from vig_pyg.block import Block, Grapher
from vig_pyg.checkpoints.metadata import KEY, to_text
from vig_pyg.config import ModelConfig
from vig_pyg.conv import ConvFactory, resolve_conv
from vig_pyg.data import BatchLayout, Maps, map_images, pool_maps, to_batch, to_maps, to_nodes
from vig_pyg.foreign_batch import check_patches, pool_batch, sorted_layout, to_batch_in_order
from vig_pyg.fuse import fuse
from vig_pyg.graph import DilatedKNN, GraphFactory, resolve_graphs
from vig_pyg.head import ClassifierHead
from vig_pyg.layers import FFN
from vig_pyg.models.check_images import check_images
from vig_pyg.models.hub import HubMixin
from vig_pyg.models.inspect import collect_graphs
from vig_pyg.models.layer_groups import layer_of
from vig_pyg.position import PositionMode
from vig_pyg.preprocess import Preprocessing

ConfigT = TypeVar("ConfigT", bound=ModelConfig)
Images = Tensor | list[Tensor]


class VisionGNN(nn.Module, HubMixin, ABC, Generic[ConfigT]):
    """Base class of Vision GNNs: a stem, blocks of Grapher and FFN, mean pooling, and a classifier.

    A subclass implements `_stages` and sets `feature_info`.

    Args:
        config: The configuration.
        stem: The layer that turns images into maps of patches.
        pos_embed: The layer that adds positions to the maps of the stem, or `nn.Identity()`.
        channels: Width of the stem.
        last_channels: Width of the last block, which becomes `num_features`.
        position: Position codes in the neighbor search (see `vig_pyg.position.PositionCodes`), or `None`.

    Shapes: images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`, to logits `(B, num_classes)`.

    Example:
        >>> from vig_pyg import vig_micro
        >>> model = vig_micro(num_classes=10).eval(); isinstance(model, VisionGNN)
        True
    """

    #: For each feature map of `forward_intermediates`: channels `num_chs`, pixels per cell `reduction`, and the name
    #: `module`.
    feature_info: list[dict[str, Any]]
    config: ConfigT
    #: The class names in the order of the logits, and the preprocessing of an image, or `None` if unknown. Loading
    #: published weights sets both, and `save_pretrained` saves them.
    class_names: list[str] | None
    preprocessing: Preprocessing | None
    #: If true, training stores only the inputs of the blocks (see `set_grad_checkpointing`).
    grad_checkpointing: bool

    def __init__(
        self,
        config: ConfigT,
        *,
        stem: nn.Module,
        pos_embed: nn.Module,
        channels: int,
        last_channels: int,
        position: PositionMode | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.stem = stem
        self.pos_embed = pos_embed
        self.num_patch_features = channels
        self.num_features = last_channels
        self._position: PositionMode | None = position
        #: The feature maps pass through this module before they are pooled, so that a hook can read and change them. It
        #: is the target layer for Grad-CAM. Its input and output are `(B, C, H, W)`, or a list of `(C, H_i, W_i)`.
        self.feature_map = nn.Identity()
        self.head: nn.Module = nn.Identity()
        self.class_names = None
        self.preprocessing = None
        self.grad_checkpointing = False

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if hasattr(destination, "_metadata"):  # a plain dict of the caller has no `_metadata`
            destination._metadata.setdefault(prefix[:-1], {})[KEY] = to_text(self.config)

    def _make_blocks(self) -> Iterator[partial[Block]]:
        """Yield a factory for each block, in order; its arguments are the width and `reduce_ratio`."""
        config, (conv, graphs) = self.config, self._factories()
        make = partial(_block, conv=conv, ffn_ratio=config.ffn_ratio)
        for graph, (k, dilation), drop_path in zip(graphs, config.neighbors(), config.drop_paths(), strict=True):
            yield partial(make, graph=graph, k=k, dilation=dilation, drop_path=drop_path)

    def _factories(self) -> tuple[ConvFactory, list[GraphFactory]]:
        """The factory of the operators, and the factory of the graph builder of each Grapher."""
        config = self.config
        knn = partial(
            DilatedKNN,
            stochastic=config.stochastic,
            epsilon=config.epsilon,
            engine=config.knn_engine,
            knn_precision=config.knn_precision,
            position=self._position,
        )
        return resolve_conv(config.conv, heads=config.heads), resolve_graphs(config.graph, config.stage_depths, knn=knn)

    def _new_head(self, num_classes: int) -> ClassifierHead:
        hidden, dropout = self.config.head_channels, self.config.dropout
        return ClassifierHead(self.num_features, num_classes, hidden_channels=hidden, dropout=dropout)

    @abstractmethod
    def _stages(self, x: Tensor, layout: BatchLayout) -> Iterator[tuple[Tensor, BatchLayout]]:
        """Yield the nodes and their layout at each entry of `feature_info`."""

    @property
    def first_parameter(self) -> nn.Parameter:
        """A parameter of the stem, which has the dtype and the device of the model."""
        return next(self.parameters())

    def graphers(self) -> list[Grapher]:
        """Return the Graphers, in order."""
        return [module for module in self.modules() if isinstance(module, Grapher)]

    def embed(self, images: Images) -> Batch:
        """Compute the patches of images by the stem and the position embedding, without a graph, as a PyG batch.

        Args:
            images: Float images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`. H and W are at least
                `patch_size`.

        Returns:
            A batch with `x (N, C)`, `pos (N, 2)` in patches, `batch`, `ptr` and `grid_size`.

        Raises:
            ValueError: If the images have another shape or dtype, or (on a CPU) a pixel is not finite.
        """
        return to_batch(*self._patches(images))

    def forward(self, images: Images) -> Tensor:
        """Compute the logits `(B, num_classes)` of images, which have the form that `embed` describes.

        Args:
            images: Images, as for `embed`.

        Raises:
            ValueError: As for `embed`.
        """
        x, layout = self._last(*self._patches(images))  # without a PyG batch, which torch.compile cannot trace
        logits: Tensor = self.head(pool_maps(self.feature_map(to_maps(x, layout))))
        return logits

    def forward_features(self, images: Images | Data) -> Batch:
        """Compute the nodes after the last block as a PyG batch.

        Args:
            images: Images, as for `forward`, or a batch of patches (see `embed`), which skips the stem. Patches may be
                in any order, because `batch` and `pos` define their positions; an isotropic ViG returns them in the
                same order. Patches without `grid_size` are a point set, from which nodes may be missing.

        Raises:
            ValueError: If the width of the patches is not that of the blocks, if attributes of the batch are
                inconsistent; also as for `embed`.
        """
        if not isinstance(images, Data):
            return to_batch(*self._last(*self._patches(images)))
        layout, index = sorted_layout(images)
        check_patches(images.x, self.num_patch_features, self.first_parameter)
        x, last = self._last(images.x if index is None else images.x[index], layout)
        return to_batch(x, last) if index is None or last is not layout else to_batch_in_order(x, layout, index)

    def forward_head(self, batch: Data, *, pre_logits: bool = False) -> Tensor:
        """Compute the logits from the batch of `forward_features`, or pooled features if `num_classes` is 0.

        Args:
            batch: The batch.
            pre_logits: If true, the result is the input of the classifier, the pooled features `(B, num_features)`.

        Raises:
            ValueError: If the batch has neither `batch` nor `ptr`, or an image has no node.
        """
        pooled = pool_batch(batch)
        logits: Tensor = pooled if pre_logits else self.head(pooled)
        return logits

    def _patches(self, images: Images) -> tuple[Tensor, BatchLayout]:
        """The nodes before the first block."""
        return to_nodes(map_images(lambda part: self.pos_embed(self.stem(part)), check_images(images, self.config)))

    def _last(self, x: Tensor, layout: BatchLayout) -> tuple[Tensor, BatchLayout]:
        """The nodes after the last block."""
        for x, layout in self._stages(x, layout):  # noqa: B007, B020  (the last pair is the result)
            pass
        return x, layout

    def forward_intermediates(self, images: Images, indices: list[int] | None = None) -> list[Maps]:
        """Compute the feature maps of `feature_info`; layers after the last requested map are not computed.

        Args:
            images: Images, as for `forward`.
            indices: Indices into `feature_info`; negative ones count from the end. By default all maps are returned.

        Returns:
            One feature map `(B, C_s, H_s, W_s)` per index, or one list of maps `(C_s, H_i, W_i)` per index if the
            images have different sizes.

        Raises:
            IndexError: If an index is out of range.
        """
        count = len(self.feature_info)
        wanted = list(range(count)) if indices is None else indices
        for i in wanted:
            if not -count <= i < count:
                raise IndexError(f"Feature index {i} is out of range: {type(self).__name__} has {count} feature maps.")
        kept = {i % count for i in wanted}
        stages = islice(self._stages(*self._patches(images)), max(kept, default=-1) + 1)
        maps = {i: to_maps(x, layout) for i, (x, layout) in enumerate(stages) if i in kept}
        return [maps[i % count] for i in wanted]

    @torch.no_grad()
    def graphs(self, images: Images | Data) -> list[Batch]:
        """Run one forward pass, and return the graphs that the model builds, one PyG batch for each Grapher.

        Each `Data` of a batch has `edge_index` (row 0 sources, row 1 targets), `pos` of the targets and `pos_src` of
        the sources in patches of that stage, the effective `k` and `dilation`, `reduce_ratio`, and `grid_size`. If the
        sources are pooled, it is a `PooledGraph`: a bipartite `HeteroData` that also has these names.

        Args:
            images: As for `forward`.
        """
        return collect_graphs(self, images)

    def fuse(self) -> Self:
        """Return a faster copy for inference (see `vig_pyg.fuse`)."""
        return fuse(self)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Use less memory in training: store only the inputs of blocks, and recompute activations in the backward pass.

        This does not affect a compiled model, because the compiler chooses what is recomputed.

        Args:
            enable: If false, all activations are stored, as by default.
        """
        self.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> Callable[[str], tuple[int, ...]]:
        """Return a function from a parameter's name to the position of its layer, which timm's layer decay uses.

        Args:
            coarse: If true, a stage of a pyramid is one layer; otherwise each of its blocks is one.
        """
        return partial(layer_of, coarse=coarse)

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters with several dimensions but without weight decay: the position embedding."""
        return {name for name, _ in self.named_parameters() if name == "pos_embed.weight"}

    def get_classifier(self) -> nn.Module:
        """Return the classifier, from pooled features to logits; `nn.Identity` if `num_classes` is 0."""
        return self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a new one for `num_classes` classes; with 0 the model returns pooled features.

        Args:
            num_classes: Number of classes.

        Raises:
            TypeError: If `num_classes` is not a whole number; the model is not changed.
            ValueError: If `num_classes` is negative.
        """
        config = self.config.override({"num_classes": num_classes})  # raises before anything changes
        num_classes = config.num_classes
        if num_classes != self.config.num_classes:
            self.class_names = None
        self.config = config
        if num_classes == 0:
            self.head = nn.Identity().train(self.training)
        elif isinstance(self.head, ClassifierHead):
            self.head.reset(num_classes)
        else:
            self.head = self._new_head(num_classes).to(self.first_parameter).train(self.training)


def _block(channels: int, *, ffn_ratio: int, drop_path: float, **grapher: Any) -> Block:
    return Block(
        Grapher(channels, drop_path=drop_path, **grapher), FFN(channels, ffn_ratio * channels, drop_path=drop_path)
    )
