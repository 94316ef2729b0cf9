"""Entries of timm's registry for our models; timm shows them as its module `vision_gnn`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, is_model, register_model
from timm.models import resolve_pretrained_cfg as resolve
from timm.models._features import FeatureGetterNet
from torch import nn

from vig_pyg.config import MODELS, ModelConfig, PyramidViGConfig, ViGConfig, variant_config
from vig_pyg.family_config import GreedyViGConfig, MobileViGConfig, MobileViGv2Config, WiGNetConfig
from vig_pyg.interchange import from_timm, pretrained_config
from vig_pyg.timm.checkpoint_filter import checkpoint_filter_fn
from vig_pyg.timm.contract import GraphFeatures, TimmContract
from vig_pyg.timm.family import (
    TimmGreedyViG,
    TimmMobileViG,
    TimmMobileViGv2,
    TimmPyramidViG,
    TimmViG,
    TimmWiGNet,
)
from vig_pyg.weights import AVERAGED, TABLE, Weights, download

_log = logging.getLogger(__name__)

#: The classes by the type of their configuration.
FAMILIES: dict[type[ModelConfig], type[TimmContract]] = {
    ViGConfig: TimmViG,
    PyramidViGConfig: TimmPyramidViG,
    MobileViGConfig: TimmMobileViG,
    GreedyViGConfig: TimmGreedyViG,
    MobileViGv2Config: TimmMobileViGv2,
    WiGNetConfig: TimmWiGNet,
}
#: The descriptions of each model's weights, which timm reads when a model is registered.
default_cfgs: dict[str, Any] = {}
__all__: list[str] = []  # timm adds the names of the models


def register() -> list[str]:
    """Register all models of `list_models()` with timm; importing `vig_pyg.timm` does so.

    Call it again after `vig_pyg.register_model`. Only models of the families of this library are registered.

    Returns:
        The names that are new.

    Example:
        >>> register()
        []
    """
    new = [name for name, config in MODELS.items() if type(config) in FAMILIES and name not in default_cfgs]
    for name in new:
        default_cfgs.update(generate_default_cfgs(_cfgs(name)))
        if is_model(name):
            _log.warning("timm already has a model %s; the model of this library replaces it.", name)
        register_model(_entry(name))
    return new


def _cfgs(name: str) -> dict[str, Any]:
    """Describe each weight file of a model, the official one first; without files, describe only the images."""
    config = variant_config(name)
    entries = [entry for entry in TABLE.values() if entry.model == name and entry.tag != AVERAGED]
    if not entries:
        return {name: _cfg(config)}
    return {f"{name}.{entry.tag.replace(':', '_')}": _cfg(config, entry) for entry in entries}


def _cfg(config: ModelConfig, entry: Weights | None = None) -> dict[str, Any]:
    found = pretrained_config(config, None if entry is None else entry.preprocessing)
    found |= {key: tuple(value) for key, value in found.items() if isinstance(value, list)}
    if entry is not None:
        found |= {"url": entry.url, "custom_load": True, "license": entry.license.lower()}
        found["origin_url"] = entry.meta["source"]
    return found


def _entry(name: str) -> Callable[..., nn.Module]:
    """Return the function that timm calls to create a model."""

    def create(pretrained: bool = False, **options: Any) -> nn.Module:
        return _create(name, pretrained, options)

    create.__name__ = create.__qualname__ = name
    create.__module__ = __name__  # timm looks for `default_cfgs` in this module
    create.__doc__ = f"Create `{name}` with timm's interface (see `vig_pyg.timm`)."
    return create


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    config: Any = variant_config(name)
    # A pyramid has one map for each stage. For an isotropic model, timm uses the maps of the last three blocks.
    if isinstance(config, ViGConfig):
        maps: Any = min(3, options.get("depth", config.depth))
    else:
        maps = tuple(range(len(options.get("channels", config.channels))))
    _check_feature_class(options.get("feature_cls"))
    given = options
    if pretrained:
        options = _with_file(name, options)
    model: nn.Module = build_model_with_cfg(
        partial(_make, config),
        name,
        pretrained,
        feature_cfg={"out_indices": maps, "feature_cls": GraphFeatures},
        pretrained_filter_fn=checkpoint_filter_fn,
        **options,
    )
    if options is not given:  # a path in the cache is not part of the description of the weights
        for part in model.modules():
            getattr(part, "pretrained_cfg", {}).pop("file", None)
    return model


def _make(
    config: ModelConfig,
    *,
    global_pool: str = "avg",
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> nn.Module:
    with nullcontext() if device is None else torch.device(device):
        model = FAMILIES[type(config)](config, global_pool=global_pool, **from_timm(options))
    return model if dtype is None else model.to(dtype)


def _check_feature_class(feature_cls: Any) -> None:
    known = feature_cls in (None, "getter")
    if not known and not (isinstance(feature_cls, type) and issubclass(feature_cls, FeatureGetterNet)):
        raise ValueError(
            f"feature_cls must be 'getter' (the default), got {feature_cls!r}: the modules of a Vision GNN pass nodes "
            "to each other, so only its forward_intermediates has feature maps."
        )


def _with_file(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Add the path of a verified weight file to the options, unless they name another source of weights."""
    overlay = dict(options.get("pretrained_cfg_overlay") or {})
    cfg = resolve(name, options.get("pretrained_cfg"), overlay)
    entry = next((one for one in TABLE.values() if one.url == cfg.url), None)
    if entry is None or cfg.state_dict or cfg.file or cfg.hf_hub_id:
        return options
    path = download(entry, folder=options.get("cache_dir"))
    return {**options, "pretrained_cfg_overlay": {**overlay, "file": str(path), "custom_load": True}}
