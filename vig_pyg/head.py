"""The classifier head, from pooled features to logits."""

from __future__ import annotations

from torch import Tensor, nn

from vig_pyg._numbers import whole_number
from vig_pyg.layers import MultiHeadLinear, linear_layer


class ClassifierHead(nn.Module):
    r"""A two-layer classifier on pooled features (published code of Vision GNN, arXiv 2206.00272).

    .. math:: W_2\,\mathrm{Dropout}(\mathrm{GELU}(\mathrm{BN}(W_1 x + b_1))) + b_2

    With `distillation`, there are two output layers instead of one; the second one learns from a teacher (DeiT, arXiv
    2012.12877, section 4). Training returns the logits of both as a pair, and evaluation returns their mean.

    Args:
        in_channels: Width C of the pooled features.
        num_classes: Number of classes, at least 1.
        hidden_channels: Hidden width; all published models use 1024.
        dropout: Dropout probability before the last linear layer.
        distillation: If true, there are two output layers.

    Shapes: `(B, C)` to `(B, num_classes)`, or to a pair of these.

    Raises:
        TypeError: If `num_classes` is not a whole number.
        ValueError: If `num_classes` is below 1.

    Example:
        >>> import torch
        >>> ClassifierHead(8, 10).eval()(torch.rand(2, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        hidden_channels: int = 1024,
        dropout: float = 0.0,
        distillation: bool = False,
    ) -> None:
        super().__init__()
        self.distillation = distillation
        self.fc2: nn.Linear | MultiHeadLinear
        self.fc_dist: nn.Linear | MultiHeadLinear
        self.fc1 = linear_layer(in_channels, hidden_channels)
        self.norm = nn.BatchNorm1d(hidden_channels)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(dropout)
        self.reset(num_classes)

    def reset(self, num_classes: int) -> None:
        """Replace the last linear layers by new ones for `num_classes` classes; the hidden layer is not changed.

        Args:
            num_classes: Number of classes, at least 1.

        Raises:
            ValueError: If `num_classes` is below 1.
        """
        num_classes = whole_number(num_classes, "num_classes")
        for name in ("fc2", "fc_dist") if self.distillation else ("fc2",):
            last = linear_layer(self.norm.num_features, num_classes)
            setattr(self, name, last.to(self.norm.weight).train(self.training))

    @property
    def weight(self) -> Tensor:
        """The weight of the last linear layer, `(num_classes, hidden_channels)`, which training tools scale."""
        return self.fc2.weight

    @property
    def bias(self) -> Tensor:
        """The bias of the last linear layer, `(num_classes,)`, which training tools set."""
        return self.fc2.bias

    @property
    def in_features(self) -> int:
        """Width of the pooled features."""
        return self.fc1.weight.size(1)

    @property
    def out_features(self) -> int:
        """Number of classes."""
        return self.fc2.weight.size(0)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        hidden = self.dropout(self.act(self.norm(self.fc1(x))))
        logits: Tensor = self.fc2(hidden)
        if not self.distillation:
            return logits
        other: Tensor = self.fc_dist(hidden)
        return (logits, other) if self.training else (logits + other) / 2
