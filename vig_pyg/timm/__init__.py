"""Our models in timm: `import vig_pyg.timm` registers all of them, and `timm.create_model` creates them.

>>> import timm, vig_pyg.timm
>>> model = timm.create_model("pvig_micro", features_only=True, out_indices=(0, 3))
>>> model.feature_info.reduction()
[2, 16]

timm 1.0 has no entry point for packages that add models, so the import is needed in every program. For a script without
this import, such as timm's `train.py`, `python -m vig_pyg.timm train.py ...` imports the models first. The package
needs the extra `timm`.
"""

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)
from vig_pyg._requirements import require

require("vig_pyg.timm", ("timm", "huggingface_hub", "safetensors"), "timm")

from vig_pyg.timm.checkpoint_filter import checkpoint_filter_fn  # noqa: E402  (timm is there)
from vig_pyg.timm.contract import GraphFeatures, TimmContract, UnsupportedPoolError  # noqa: E402  (timm is there)
from vig_pyg.timm.family import (  # noqa: E402  (timm is there)
    TimmGreedyViG,
    TimmMobileViG,
    TimmMobileViGv2,
    TimmPyramidViG,
    TimmViG,
    TimmWiGNet,
)
from vig_pyg.timm.vision_gnn import register  # noqa: E402

register()

__all__ = [
    "GraphFeatures",
    "TimmContract",
    "TimmGreedyViG",
    "TimmMobileViG",
    "TimmMobileViGv2",
    "TimmPyramidViG",
    "TimmViG",
    "TimmWiGNet",
    "UnsupportedPoolError",
    "checkpoint_filter_fn",
    "register",
]
