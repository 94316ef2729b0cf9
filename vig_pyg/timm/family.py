"""The models of all families with the interface of timm's models (see `TimmContract`)."""

from __future__ import annotations

from typing import Any

from vig_pyg.models import GreedyViG, MobileViG, MobileViGv2, PyramidViG, ViG, WiGNet
from vig_pyg.timm.checkpoint_filter import checkpoint_filter_fn
from vig_pyg.timm.contract import TimmContract

# timm looks for the filter of a model's checkpoints in the module of its class.
__all__ = [
    "TimmGreedyViG",
    "TimmMobileViG",
    "TimmMobileViGv2",
    "TimmPyramidViG",
    "TimmViG",
    "TimmWiGNet",
    "checkpoint_filter_fn",
]


class TimmViG(TimmContract, ViG):
    """A `ViG` with the interface of timm's models (see `TimmContract`).

    Args:
        variant, global_pool, overrides: As for `TimmContract`.

    Shapes: as for `TimmContract`.

    Raises:
        UnsupportedPoolError, ValueError, TypeError: As for `TimmContract`.

    Example:
        >>> TimmViG("micro", num_classes=10).get_classifier().out_features
        10
    """

    family = "ViG"


class TimmPyramidViG(TimmContract, PyramidViG):
    """A `PyramidViG` with the interface of timm's models (see `TimmContract`).

    Args:
        variant, global_pool, overrides: As for `TimmContract`.

    Shapes: as for `TimmContract`.

    Raises:
        UnsupportedPoolError, ValueError, TypeError: As for `TimmContract`.

    Example:
        >>> [entry["reduction"] for entry in TimmPyramidViG("micro").feature_info]
        [2, 4, 8, 16]
    """

    family = "PyramidViG"


class TimmMobileViG(TimmContract, MobileViG):
    """A `MobileViG` with the interface of timm's models (see `TimmContract`).

    Args:
        variant, global_pool, overrides: As for `TimmContract`.

    Shapes: as for `TimmContract`.

    Raises:
        UnsupportedPoolError, ValueError, TypeError: As for `TimmContract`.

    Example:
        >>> [entry["reduction"] for entry in TimmMobileViG("tiny").feature_info]
        [4, 8, 16, 32]
    """

    family = "MobileViG"


class TimmGreedyViG(TimmContract, GreedyViG):
    """A `GreedyViG` with the interface of timm's models (see `TimmContract`).

    Args:
        variant, global_pool, overrides: As for `TimmContract`.

    Shapes: as for `TimmContract`.

    Raises:
        UnsupportedPoolError, ValueError, TypeError: As for `TimmContract`.

    Example:
        >>> TimmGreedyViG("small", num_classes=10).num_classes
        10
    """

    family = "GreedyViG"

    def __init__(self, variant: Any = "small", *, global_pool: str = "avg", **overrides: Any) -> None:
        super().__init__(variant, global_pool=global_pool, **overrides)  # GreedyViG has no tiny variant


class TimmMobileViGv2(TimmContract, MobileViGv2):
    """A `MobileViGv2` with the interface of timm's models (see `TimmContract`).

    Args:
        variant, global_pool, overrides: As for `TimmContract`.

    Shapes: as for `TimmContract`.

    Raises:
        UnsupportedPoolError, ValueError, TypeError: As for `TimmContract`.

    Example:
        >>> TimmMobileViGv2("tiny").head_hidden_size
        256
    """

    family = "MobileViGv2"


class TimmWiGNet(TimmContract, WiGNet):
    """A `WiGNet` with the interface of timm's models (see `TimmContract`).

    Args:
        variant, global_pool, overrides: As for `TimmContract`.

    Shapes: as for `TimmContract`.

    Raises:
        UnsupportedPoolError, ValueError, TypeError: As for `TimmContract`.

    Example:
        >>> TimmWiGNet("tiny").in_chans
        3
    """

    family = "WiGNet"
