"""Parameter groups with weight decay and layer-wise learning rates, and the learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.warmup import Warmup
from vig_pyg.models.layer_groups import layer_of

#: The exponent of polynomial decay, as in DeepLab (arXiv 1606.00915) and the recipes for ADE20K.
POLY_POWER = 0.9


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Create the parameter groups of an optimizer with timm, with weight decay and layer-wise learning rates.

    Biases, norms and position embeddings have no weight decay.

    Args:
        lr: Learning rate of the last layer.
        layer_decay: Learning rate of each layer divided by that of the next layer. The model's `group_matcher` defines
            the layers. A model without this method has the layers stem, blocks and head, and a `Downsample` belongs to
            the block after it.

    Example:
        >>> from vig_pyg import vig_micro
        >>> [group["weight_decay"] for group in parameter_groups(vig_micro(), lr=1e-3, weight_decay=0.05)]
        [0.0, 0.05]
    """
    fixed = without_decay(model)
    if layer_decay == 1:
        groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=fixed)
        return [{**group, "lr": lr} for group in groups]
    layered = param_groups_layer_decay(
        # It has the methods that timm needs.
        model if hasattr(model, "group_matcher") else _Layers(model),  # type: ignore[arg-type]
        weight_decay,
        no_weight_decay_list=fixed,
        layer_decay=layer_decay,
    )
    return [{"params": g["params"], "weight_decay": g["weight_decay"], "lr": lr * g["lr_scale"]} for g in layered]


def without_decay(model: nn.Module) -> set[str]:
    """Return the names of parameters without weight decay that have two or more dimensions.

    The method `no_weight_decay` of the model and of its submodules lists them. Without such a method, they are the
    position embeddings.

    Example:
        >>> from vig_pyg import vig_micro
        >>> sorted(without_decay(nn.ModuleDict({"body": vig_micro()})))
        ['body.pos_embed.weight']
    """
    parts = [(name, part) for name, part in model.named_modules() if callable(getattr(part, "no_weight_decay", None))]
    if not parts:
        return {"*pos_embed*"}
    return {f"{name}.{entry}" if name else entry for name, part in parts for entry in part.no_weight_decay()}


class _Layers:
    """An adapter for timm's layer-wise decay, with parameters and a mapping from their names to layer positions."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return self.model.named_parameters()

    def group_matcher(self, coarse: bool) -> Any:  # noqa: ARG002  (timm's signature)
        return layer_of


def learning_rate(config: TrainConfig, steps: int) -> WarmRate:
    """Return the learning rate schedule of a run, relative to the largest learning rate.

    Example:
        >>> rate = learning_rate(TrainConfig(schedule="step", warmup="0%"), 12)
        >>> [round(rate(step), 3) for step in (0, 7, 8, 11)]
        [1.0, 1.0, 0.1, 0.01]
    """
    rise = Warmup.parse(config.warmup).steps(total=steps, epochs=config.epochs)
    start, end = config.warmup_lr / config.lr, config.min_lr / config.lr
    return WarmRate(
        steps, max(1, rise), start=start, end=end, schedule=config.schedule, milestones=tuple(config.milestones)
    )


@dataclass
class WarmRate:
    """Factor of the learning rate: a linear rise to 1, then half a cosine period, a power, or divisions by 10.

    Args:
        steps: Number of steps of the whole run.
        rise: Number of steps of the rise, at least 1.
        start: Factor before the first step.
        end: Factor after the last step; with `"step"` it is the lower bound.
        schedule: `"cosine"`; `"poly"`, the remaining share of the steps to the power of 0.9; or `"step"`, which
            divides by 10 at each milestone.
        milestones: Shares of the steps after which `"step"` divides by 10; those of COCO's 1x schedule by default.

    Example:
        >>> [round(WarmRate(4, 2)(step), 2) for step in range(5)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    steps: int
    rise: int
    start: float = 0.0
    end: float = 0.0
    schedule: Literal["cosine", "poly", "step"] = "cosine"
    milestones: tuple[float, ...] = (8 / 12, 11 / 12)

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return self.start + (1 - self.start) * (step + 1) / self.rise
        if self.schedule == "step":
            passed = sum(step + 1e-6 >= self.steps * share for share in self.milestones)  # 2/3 has no exact number
            return max(self.end, float(0.1**passed))
        share = min(1, (step - self.rise) / max(1, self.steps - self.rise))
        if self.schedule == "poly":
            return self.end + (1 - self.end) * float((1 - share) ** POLY_POWER)
        return self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * share))
