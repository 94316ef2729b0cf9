"""Distillation: a network learns the labels of a trained teacher beside those of the data (DeiT, arXiv 2012.12877)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg._image_values import Statistic
from vig_pyg._io.text import error_text
from vig_pyg.builders import list_models
from vig_pyg.checkpoints.read import read_state, unwrap_state_dict
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.load import load_classifier
from vig_pyg.config import ModelConfig
from vig_pyg.engine.seeds import seeded
from vig_pyg.image_io._class_folders import some
from vig_pyg.preprocess import Preprocessing, of_channels


class Teacher(nn.Module):
    """A trained network without gradients, always in evaluation mode, with a normalization of its own.

    Args:
        model: The network, from normalized images to logits.
        mean: Mean of the pixels with which the network was trained (see `Preprocessing`).
        std: Standard deviation of these pixels.
        given: The normalization of the images that it receives.

    Shapes: images `(B, C, H, W)` to logits `(B, num_classes)`.

    Example:
        >>> look = Preprocessing(image_size=8, in_channels=1)
        >>> teacher = Teacher(nn.Flatten(), mean=0.0, std=1.0, given=look)
        >>> teacher(look.tensor(torch.full((1, 2, 2), 0.25))[None])
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    def __init__(self, model: nn.Module, *, mean: Statistic, std: Statistic, given: Preprocessing) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.mean, self.std, self.given = mean, std, given
        self.eval()

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002  (it stays in evaluation mode)
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        if (self.mean, self.std) != (self.given.mean, self.given.std):
            pixels = images * of_channels(self.given.std, images) + of_channels(self.given.mean, images)
            images = (pixels - of_channels(self.mean, images)) / of_channels(self.std, images)
        logits: Tensor = self.model(images)
        return logits


def distillation_loss(logits: Tensor, teacher: Tensor, config: ClassificationConfig) -> Tensor:
    r"""Return the loss between the logits of a network and those of its teacher.

    .. math:: \mathrm{CE}(z, \arg\max z_t) \quad\text{(hard)}, \qquad
        \tau^2\,\mathrm{KL}\big(\mathrm{softmax}(z_t / \tau)\,\|\,\mathrm{softmax}(z / \tau)\big) \quad\text{(soft)}

    (DeiT, arXiv 2012.12877, equations 3 and 2).

    Example:
        >>> one = torch.tensor([[0.0, 3.0]])
        >>> float(distillation_loss(one, one, ClassificationConfig(teacher="t", distillation="soft")))
        0.0
    """
    if config.distillation != "soft":
        return F.cross_entropy(logits, teacher.argmax(1))
    tau = config.distillation_tau
    dtype = torch.promote_types(logits.dtype, torch.float32)
    ours, theirs = (F.log_softmax(one.to(dtype) / tau, 1) for one in (logits, teacher))
    return tau**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def check_student(model: nn.Module, config: ClassificationConfig) -> None:
    """Raise `ValueError` if a teacher is given, but the network has no output layer that learns from it."""
    if config.teacher is None or getattr(getattr(model, "head", None), "distillation", False):
        return
    made = getattr(model, "config", None)
    has_option = isinstance(made, ModelConfig) and hasattr(made, "distillation")
    hint = (
        "create it with distillation=True (--options.distillation true)"
        if has_option
        else "MobileViG, GreedyViG and MobileViGv2 have the option distillation=True"
    )
    raise ValueError(
        f"teacher={config.teacher} needs a network with a second output layer, which learns from the teacher, but "
        f"this {type(model).__name__} has only one: {hint}."
    )


def open_teacher(config: ClassificationConfig, class_names: Sequence[str], given: Preprocessing) -> Teacher | None:
    """Load the teacher of a configuration, or return `None` if it has none.

    Raises:
        ValueError: If there is no such teacher, its logits are not finite, or its classes, its channels or its image
            size do not fit the data.
        ImportError, OSError: If the weights of a network of timm cannot be downloaded.

    Example:
        >>> open_teacher(ClassificationConfig(), ["cat", "dog"], Preprocessing(image_size=8)) is None
        True
    """
    name = config.teacher
    if name is None:
        return None
    if not name.strip():
        raise ValueError("teacher is empty: pass a name or a folder, or leave it out.")
    with seeded(config.seed):  # creating a network draws random numbers
        if Path(name).is_dir() or name.split(":")[0] in list_models():
            teacher = _of_this_library(name, config.teacher_weights, class_names, given)
        else:
            teacher = _of_timm(name, config.teacher_weights, len(class_names), given)
        probe = torch.zeros(1, given.in_channels, given.image_size, given.image_size)
        try:
            found = teacher(probe)
        except (RuntimeError, ValueError, AssertionError, TypeError) as error:
            raise ValueError(
                f"teacher={name} cannot process images with {given.in_channels} channels of {given.image_size} x "
                f"{given.image_size} pixels: {error_text(error, limit=300)}"
            ) from error
    if not found.isfinite().all():
        raise ValueError(f"teacher={name} gives logits that are not finite: its weights are damaged.")
    if tuple(found.shape) != (1, len(class_names)):
        raise ValueError(
            f"teacher={name} has {found.shape[-1]} classes, but the data has {len(class_names)}: a teacher must have "
            "the classes of the data, in the same order."
        )
    return teacher


def _of_this_library(name: str, weights: str | None, class_names: Sequence[str], given: Preprocessing) -> Teacher:
    """Load a teacher from a folder, or by the name of a model of this library."""
    found = load_classifier(name, weights=weights)
    if Path(name).is_dir() and found.model.class_names is not None and list(found.class_names) != list(class_names):
        raise ValueError(
            f"teacher={name} must have the classes of the data, in the same order: it has "
            f"{some(found.class_names, most=5)}, and the data has {some(class_names, most=5)}."
        )
    return Teacher(found.model, mean=found.preprocessing.mean, std=found.preprocessing.std, given=given)


def _of_timm(name: str, weights: str | None, num_classes: int, given: Preprocessing) -> Teacher:
    """Create a network of timm with its published weights, or with those of a file."""
    import timm

    if not timm.is_model(name.split(".")[0]):
        raise ValueError(
            f"There is no teacher {name}: pass the name of a timm model, a model folder, or the name of a model of "
            "this library."
        )
    options: dict[str, Any] = {"pretrained": True} if weights is None else {"num_classes": num_classes}
    try:
        model = timm.create_model(name, in_chans=given.in_channels, **options)
    except RuntimeError as error:
        raise ValueError(f"timm cannot create teacher={name}: {error_text(error, limit=300)}") from error
    if weights is not None:
        try:
            model.load_state_dict(unwrap_state_dict(read_state(weights)))
        except RuntimeError as error:
            raise ValueError(f"{weights} does not fit teacher={name}: {error_text(error, limit=300)}") from error
    about: Any = model.pretrained_cfg
    mean, std = (tuple(float(one) for one in about[key]) for key in ("mean", "std"))
    if given.in_channels != len(mean):
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return Teacher(model, mean=mean, std=std, given=given)
