"""Vision GNNs with the interface of timm's models.

Shapes: B images, C channels, H x W cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from timm.models._features import FeatureGetterNet, feature_take_indices
from torch import Tensor
from torch_geometric.data import Batch, Data

from vig_pyg.checkpoints.load import load_state
from vig_pyg.checkpoints.metadata import describe
from vig_pyg.checkpoints.read import read_state
from vig_pyg.config import variant_config
from vig_pyg.data import pool_maps, to_maps
from vig_pyg.models import VisionGNN
from vig_pyg.models.base import Images
from vig_pyg.weights import TABLE

__all__ = [
    "POOLS",
    "GraphFeatures",
    "TimmContract",
    "UnsupportedPoolError",
]

#: The kinds of global pooling; `""` means no pooling.
POOLS = ("avg", "max", "avgmax", "fast", "fastavg", "fastmax", "fastavgmax", "")


class UnsupportedPoolError(ValueError, AssertionError):
    """The model has no such global pooling; timm's own models raise an `AssertionError`.

    Example:
        >>> issubclass(UnsupportedPoolError, AssertionError)
        True
    """


class TimmContract(VisionGNN[Any]):
    """The interface of timm's models for a Vision GNN: feature maps are tensors `(B, C, H, W)`.

    The weights are those of the model without this interface, under the same names. The whole `head` is the classifier,
    so the features before the classifier are the pooled features, of width `num_features`. Lists of images of different
    sizes and PyG batches are also accepted; for these the results are those of `VisionGNN`.

    Args:
        variant: The name of a variant, or a configuration.
        global_pool: The pooling of the last feature maps: `"avg"`, with which the published weights were trained,
            `"max"`, `"avgmax"`, or `""` for no pooling, which requires `num_classes=0`.
        overrides: Fields of the configuration.

    Shapes: images `(B, in_channels, H, W)` to logits `(B, num_classes)`.

    Raises:
        UnsupportedPoolError: If the pooling is unknown, or there are classes without pooling.
        ValueError: If the variant or the value of an option is unknown.
        TypeError: If an option does not exist.

    Example:
        >>> import torch
        >>> from vig_pyg.timm import TimmViG
        >>> TimmViG("micro", num_classes=0, global_pool="").eval()(torch.rand(1, 3, 32, 48)).shape
        torch.Size([1, 64, 8, 12])
    """

    def __init__(self, variant: Any = "tiny", *, global_pool: str = "avg", **overrides: Any) -> None:
        super().__init__(variant, **overrides)
        _check_pool(global_pool, self.num_classes)
        self._set_pool(global_pool)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.config.num_classes)

    @property
    def in_chans(self) -> int:
        """Number of image channels."""
        return int(self.config.in_channels)

    @property
    def head_hidden_size(self) -> int:
        """Width of the input of the classifier."""
        return self.num_features

    def forward(self, images: Images) -> Tensor:
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Images | Data) -> Any:
        """Compute the last feature maps `(B, C, H, W)`; for a list or a PyG batch, return the batch of `VisionGNN`.

        Args:
            images: Images `(B, in_channels, H, W)`, a list of images, or a PyG batch of patches.
        """
        if not isinstance(images, Tensor):
            return super().forward_features(images)
        return self.feature_map(to_maps(*self._last(*self._patches(images))))

    def forward_head(self, batch: Any, pre_logits: bool = False) -> Tensor:
        """Pool the maps of `forward_features`, and compute the logits, or with `pre_logits` the classifier's input.

        Args:
            batch: The result of `forward_features`.
            pre_logits: If true, the result is the input of the classifier.

        Shapes: maps `(B, C, H, W)` to `(B, num_classes)`, or with `pre_logits` to `(B, num_features)`.

        Raises:
            UnsupportedPoolError: If a PyG batch cannot be pooled by `global_pool`.
        """
        if isinstance(batch, (Batch, Data)):
            if self.global_pool not in ("avg", "fast", "fastavg"):
                raise UnsupportedPoolError(
                    f"A list of images or a batch of patches needs global_pool='avg', got {self.global_pool!r}."
                )
            return super().forward_head(batch, pre_logits=pre_logits)
        pooled: Tensor = pool_maps(batch) if self.global_pool == "avg" else self.pool(batch)
        logits: Tensor = pooled if pre_logits else self.head(pooled)
        return logits

    def forward_intermediates(  # type: ignore[override]  # timm's arguments and results
        self,
        images: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,  # noqa: ARG002  (a Vision GNN has no norm after its last block)
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Compute feature maps of `feature_info`, and the last features.

        Args:
            images: Images `(B, in_channels, H, W)`.
            indices: Indices into `feature_info`, or the number of last maps; by default all maps.
            norm: Has no effect, because there is no norm after the last block.
            stop_early: If true, nothing is computed after the last requested map, which is then also returned as the
                last features.
            output_fmt: Format of the maps: `"NCHW"`, `"NHWC"`, or `"NLC"`, which is `(B, H * W, C)`.
            intermediates_only: If true, only the maps are returned, and nothing is computed after the last one.

        Raises:
            ValueError: If `output_fmt` is unknown.
        """
        form = getattr(output_fmt, "value", output_fmt)
        if form not in ("NCHW", "NHWC", "NLC"):
            raise ValueError(f"output_fmt must be 'NCHW', 'NHWC' or 'NLC', got {output_fmt!r}.")
        wanted, last = feature_take_indices(self._depth(), _list(indices))
        stop = last if stop_early or intermediates_only else self._depth() - 1
        found: dict[int, Tensor] = {}
        x: Any = None
        for i, (nodes, layout) in enumerate(self._stages(*self._patches(images))):
            if i in wanted or i == stop:
                x = to_maps(nodes, layout)
                found[i] = x
            if i == stop:
                break
        maps = [_in_form(found[i], form) for i in wanted]
        return maps if intermediates_only else (self.feature_map(x), maps)

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,  # noqa: ARG002  (a Vision GNN has no norm after its last block)
        prune_head: bool = True,
    ) -> list[int]:
        """Remove the blocks after the last requested map, their entries of `feature_info`, and the classifier.

        Args:
            indices: Indices into `feature_info`, or the number of last maps.
            prune_norm: Has no effect, because there is no norm after the last block.
            prune_head: If true, the classifier is removed even if no block is removed.

        Returns:
            The indices as non-negative numbers.
        """
        wanted, last = feature_take_indices(self._depth(), _list(indices))
        if last < self._depth() - 1:
            name = self._blocks_name()
            setattr(self, name, getattr(self, name)[: last + 1])
            self.feature_info = self.feature_info[: last + 1]
            self.num_features = self.feature_info[last]["num_chs"]
            prune_head = True
        if prune_head:
            self.reset_classifier(0, "")
        return wanted

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one for `num_classes` classes, and optionally the pooling.

        Args:
            num_classes: Number of classes; with 0 the model returns pooled features, or maps if nothing is pooled.
            global_pool: The new pooling; by default it does not change, except that `""` becomes `"avg"` if there are
                classes.

        Raises:
            UnsupportedPoolError: If the pooling is unknown, or there are classes and `global_pool` is `""`.
        """
        pool = getattr(self, "global_pool", "avg") if global_pool is None else global_pool
        if global_pool is None and num_classes:
            pool = pool or "avg"
        _check_pool(pool, num_classes)  # before anything changes
        super().reset_classifier(num_classes)
        self._set_pool(pool)

    def load_pretrained(self, path: str | Path) -> None:
        """Load a file of published weights; timm calls this method. Adaptations are logged.

        Args:
            path: The file.

        Raises:
            ValueError: If the weights do not fit (see `load_state`).
        """
        entry = next((one for one in TABLE.values() if one.file_name == Path(path).name), None)
        known = None if entry is None else describe(variant_config(entry.model))
        state = read_state(path)
        load_state(self, state, where=str(path), known=known, on_mismatch="note", overridden=("in_channels",))

    def _check_can_be_loaded(self) -> None:
        if self.global_pool != "avg":
            raise ValueError(
                f"Only a model with global_pool='avg' can be saved, this one has global_pool={self.global_pool!r}."
            )
        super()._check_can_be_loaded()

    def _set_pool(self, pool: str) -> None:
        self.global_pool = pool
        self.pool = SelectAdaptivePool2d(pool_type=pool, flatten=bool(pool)).train(self.training)

    def _blocks_name(self) -> str:
        """Return the name of the attribute with the blocks or stages that `feature_info` lists."""
        return str(self.feature_info[0]["module"]).split(".")[0]

    def _depth(self) -> int:
        """Number of feature maps that are left after pruning."""
        return len(getattr(self, self._blocks_name()))


class GraphFeatures(FeatureGetterNet):
    """The model that timm creates with `features_only=True`; it has no layers after the last feature map it returns.

    Args:
        **options: The arguments of `FeatureGetterNet`, which `timm.create_model` passes.

    Shapes: images `(B, in_channels, H, W)` to a list of maps `(B, C_s, H_s, W_s)`.

    Example:
        >>> import timm
        >>> type(timm.create_model("pvig_micro", features_only=True)).__name__
        'GraphFeatures'
    """

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Call this method of the wrapped model: if `enable` is true, training stores only the inputs of blocks."""
        self.get_submodule("model").set_grad_checkpointing(enable)  # type: ignore[operator]  # a TimmContract


def _check_pool(pool: str, num_classes: int) -> None:
    if pool not in POOLS or (not pool and num_classes):
        raise UnsupportedPoolError(
            f"global_pool must be one of {', '.join(map(repr, POOLS))}, and '' needs num_classes=0, got {pool!r} with "
            f"{num_classes} classes."
        )


def _list(indices: int | Sequence[int] | None) -> int | list[int] | None:
    return indices if indices is None or isinstance(indices, int) else list(indices)


def _in_form(maps: Tensor, form: str) -> Tensor:
    if form == "NCHW":
        return maps
    rows = maps.permute(0, 2, 3, 1)  # (B, C, H, W) -> (B, H, W, C)
    return rows if form == "NHWC" else rows.flatten(1, 2)
