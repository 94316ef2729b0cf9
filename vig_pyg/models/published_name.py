"""Names of published classifiers, which commands of other tasks refuse."""

from __future__ import annotations

import os

from vig_pyg._io.launcher import as_started
from vig_pyg.config import MODELS


def check_no_classifier(source: str, expected: str) -> None:
    """Raise an error if a source is the name of a classifier, and no file or folder has this name.

    Args:
        source: The name, such as `"pvig_small"` or `"pvig_small:imagenet1k"`.
        expected: What is loaded, such as `"a detector"`.

    Example:
        >>> check_no_classifier("runs/mine", "a detector")
        >>> check_no_classifier("pvig_small", "a detector")
        Traceback (most recent call last):
        ValueError: pvig_small is a classifier, not a detector: use `vig-pyg predict`, `evaluate` or `train`.
    """
    if source.partition(":")[0].lower() in MODELS and not os.path.lexists(source):
        use = as_started("vig-pyg predict")
        raise ValueError(f"{source} is a classifier, not {expected}: use `{use}`, `evaluate` or `train`.")
