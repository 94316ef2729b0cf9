"""How a training loss is to be read if its targets are not plain classes, for the model card and the summary."""

from __future__ import annotations

import math

from vig_pyg.classification.config import ClassificationConfig


def smoothing_floor(smoothing: float, num_classes: int) -> float:
    """Return the lowest cross entropy with label smoothing, which is the entropy of the smoothed target.

    The target is `1 - s + s / K` for the class of the image, and `s / K` for each of the others (Szegedy et al., 2016).

    Args:
        smoothing: Share `s` of the target that is distributed over all classes, from 0 to 1.

    Example:
        >>> round(smoothing_floor(0.1, 10), 3), smoothing_floor(0, 10)
        (0.5, 0.0)
    """
    other = smoothing / num_classes
    parts = [1 - smoothing + other, *[other] * (num_classes - 1)]
    return 0.0 - sum(part * math.log(part) for part in parts if part)


def loss_note(config: ClassificationConfig, num_classes: int) -> str:
    """Return why the training loss is higher than the cross entropy of validation, as a sentence, or `""`.

    Example:
        >>> loss_note(ClassificationConfig(label_smoothing=0.1), 10)
        'The training loss has label smoothing 0.1: it cannot fall below 0.50. The validation loss has none.'
        >>> loss_note(ClassificationConfig(label_smoothing=0), 10)
        ''
    """
    smoothed, mixed = config.label_smoothing > 0, bool(config.mixup or config.cutmix)
    parts = [f"label smoothing {config.label_smoothing:g}"] * smoothed + ["mixed images"] * mixed
    if not parts:
        return ""
    # with these, the lowest value depends on the images, or on the teacher
    exact = smoothed and not mixed and not config.class_weights and config.teacher is None
    floor = f"it cannot fall below {smoothing_floor(config.label_smoothing, num_classes):.2f}"
    why = floor if exact else "it is higher than the loss of plain labels"
    return f"The training loss has {' and '.join(parts)}: {why}. The validation loss has none."
