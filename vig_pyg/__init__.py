"""Vision GNN (ViG) for PyTorch Geometric: an image as a graph of patches."""

from typing import TYPE_CHECKING

from vig_pyg import _waiting  # isort: skip  # noqa: F401  (before anything loads torch)
from vig_pyg import _allocator  # isort: skip  # noqa: F401  (before anything allocates much)
from vig_pyg._lazy import imports_when_used, names_of

if TYPE_CHECKING:
    from vig_pyg import conv, graph, weights
    from vig_pyg.builders import (
        create_model,
        list_models,
        pvig_base,
        pvig_medium,
        pvig_micro,
        pvig_small,
        pvig_tiny,
        vig_base,
        vig_micro,
        vig_small,
        vig_tiny,
    )
    from vig_pyg.config import PyramidViGConfig, ViGConfig, register_model
    from vig_pyg.conv import list_convs, register_conv
    from vig_pyg.family_builders import (
        greedyvig_base,
        greedyvig_medium,
        greedyvig_small,
        mobilevig_base,
        mobilevig_medium,
        mobilevig_small,
        mobilevig_tiny,
        mobilevigv2_base,
        mobilevigv2_medium,
        mobilevigv2_small,
        mobilevigv2_tiny,
        wignet_medium,
        wignet_small,
        wignet_tiny,
    )
    from vig_pyg.family_config import GreedyViGConfig, MobileViGConfig, MobileViGv2Config, WiGNetConfig
    from vig_pyg.graph import DilatedKNN, list_graphs, register_graph
    from vig_pyg.loading import load
    from vig_pyg.models import GreedyViG, MobileViG, MobileViGv2, PyramidViG, ViG, VisionGNN, WiGNet

__version__ = "0.1.0"

__all__ = [
    "DilatedKNN",
    "GreedyViG",
    "GreedyViGConfig",
    "MobileViG",
    "MobileViGConfig",
    "MobileViGv2",
    "MobileViGv2Config",
    "PyramidViG",
    "PyramidViGConfig",
    "ViG",
    "ViGConfig",
    "VisionGNN",
    "WiGNet",
    "WiGNetConfig",
    "conv",
    "create_model",
    "graph",
    "greedyvig_base",
    "greedyvig_medium",
    "greedyvig_small",
    "list_convs",
    "list_graphs",
    "list_models",
    "load",
    "mobilevig_base",
    "mobilevig_medium",
    "mobilevig_small",
    "mobilevig_tiny",
    "mobilevigv2_base",
    "mobilevigv2_medium",
    "mobilevigv2_small",
    "mobilevigv2_tiny",
    "pvig_base",
    "pvig_medium",
    "pvig_micro",
    "pvig_small",
    "pvig_tiny",
    "register_conv",
    "register_graph",
    "register_model",
    "vig_base",
    "vig_micro",
    "vig_small",
    "vig_tiny",
    "weights",
    "wignet_medium",
    "wignet_small",
    "wignet_tiny",
]

#: The public names of each module.
_MODULES = {
    "vig_pyg.builders": (
        "create_model",
        "list_models",
        "pvig_base",
        "pvig_medium",
        "pvig_micro",
        "pvig_small",
        "pvig_tiny",
        "vig_base",
        "vig_micro",
        "vig_small",
        "vig_tiny",
    ),
    "vig_pyg.config": ("PyramidViGConfig", "ViGConfig", "register_model"),
    "vig_pyg.conv": ("list_convs", "register_conv"),
    "vig_pyg.family_builders": (
        "greedyvig_base",
        "greedyvig_medium",
        "greedyvig_small",
        "mobilevig_base",
        "mobilevig_medium",
        "mobilevig_small",
        "mobilevig_tiny",
        "mobilevigv2_base",
        "mobilevigv2_medium",
        "mobilevigv2_small",
        "mobilevigv2_tiny",
        "wignet_medium",
        "wignet_small",
        "wignet_tiny",
    ),
    "vig_pyg.family_config": ("GreedyViGConfig", "MobileViGConfig", "MobileViGv2Config", "WiGNetConfig"),
    "vig_pyg.graph": ("DilatedKNN", "list_graphs", "register_graph"),
    "vig_pyg.loading": ("load",),
    "vig_pyg.models": ("GreedyViG", "MobileViG", "MobileViGv2", "PyramidViG", "ViG", "VisionGNN", "WiGNet"),
}

__getattr__ = imports_when_used(__name__, _MODULES)


def __dir__() -> list[str]:
    return names_of(globals())
