"""Ablations: variants of a network, trained with several seeds and compared. It needs the extra `train`."""

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)
from vig_pyg.classification.ablation.ablate import ablate, costs_of
from vig_pyg.classification.ablation.comparison import Paired, holm, interval, paired_test
from vig_pyg.classification.ablation.measures import spectral_gaps
from vig_pyg.classification.ablation.variant import Variant, changed, crossed

__all__ = [
    "Paired",
    "Variant",
    "ablate",
    "changed",
    "costs_of",
    "crossed",
    "holm",
    "interval",
    "paired_test",
    "spectral_gaps",
]
