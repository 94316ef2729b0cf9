"""Losses of semantic segmentation.

Each loss is a mean over images, to which each image contributes independently of the others. Therefore with the same
logits, the loss of a batch is the same in one process, in several processes, and in accumulated parts. An image without
labels contributes zero.

Shapes: B images, C classes, H x W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vig_pyg.engine.task import exact
from vig_pyg.segmentation.masks import IGNORED

#: Pixels whose true class has at least this probability are easy (arXiv 1604.03540; the values are mmsegmentation's).
OHEM_THRESHOLD = 0.7
#: Smallest share of the pixels of an image that count as hard.
OHEM_SHARE = 1 / 16


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross entropy, averaged over all pixels; ignored pixels count as zero.

    Args:
        logits: The logits `(B, C, H, W)`.
        labels: The labels `(B, H, W)` of int64, 255 where ignored.
        weight: Weight of each class `(C,)`, or `None`.

    Shapes: the result is a scalar.

    Example:
        >>> cross_entropy(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]])).item()  # log(2) / 2
        0.3465735912322998
    """
    return F.cross_entropy(logits, labels, weight, ignore_index=IGNORED, reduction="sum") / labels.numel()


def ohem_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross entropy of the hardest pixels of each image ("online hard example mining").

    Args:
        logits, labels, weight: As for `cross_entropy`.

    Example:
        >>> easy = torch.tensor([9.0, 0.0])[:, None].expand(2, 32)
        >>> hard = torch.tensor([0.0, 0.0])[:, None].expand(2, 32)
        >>> logits = torch.cat([easy, hard], 1).view(1, 2, 1, 64)
        >>> round(ohem_cross_entropy(logits, torch.zeros(1, 1, 64, dtype=torch.long)).item(), 4)
        0.6931
    """
    losses = F.cross_entropy(logits, labels, weight, ignore_index=IGNORED, reduction="none").flatten(1)  # (B, H * W)
    with torch.no_grad():
        plain = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none").flatten(1)
        labeled = (labels != IGNORED).flatten(1)
        share = torch.where(labeled, (-plain).exp(), torch.full_like(plain, 2.0))  # probability of the true class
        few = max(1, int(share.size(1) * OHEM_SHARE))
        hardest = share.kthvalue(few, dim=1).values.clamp_min(OHEM_THRESHOLD)
        kept = labeled & (share <= hardest[:, None])
    return ((losses * kept).sum(1) / kept.sum(1).clamp_min(1)).mean()


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return one minus the Dice coefficient, averaged over the classes of each image and over images.

    *Differs* from V-Net (arXiv 1606.04797): the denominator contains probabilities instead of their squares.

    Args:
        logits, labels: As for `cross_entropy`.

    Example:
        >>> logits = torch.tensor([[[[99.0, -99.0]], [[-99.0, 99.0]]]])
        >>> dice_loss(logits, torch.tensor([[[0, 1]]])).item()
        0.0
    """
    classes = logits.size(1)
    labeled = (labels != IGNORED).flatten(1)  # (B, H, W) -> (B, H * W)
    truth = torch.where(labeled, labels.flatten(1), 0)
    found = logits.float().softmax(1).flatten(2) * labeled[:, None]  # (B, C, H * W)
    own = found.gather(1, truth[:, None])[:, 0]  # the probability of the true class, 0 where ignored
    # Sums of each image and class (B, C), without one-hot labels; a long sum in float32 would be rounded too often.
    nothing = exact(found.new_zeros(len(found), classes))
    both = nothing.scatter_add(1, truth, exact(own)).float()
    pixels = nothing.scatter_add(1, truth, exact(labeled)).float()
    there = pixels > 0
    total = pixels + found.sum(2)
    loss = (1 - 2 * both / total.clamp_min(1e-6)) * there
    return (loss.sum(1) / there.sum(1).clamp_min(1)).mean()


def class_weights(counts: Tensor, rule: str) -> Tensor | None:
    """Return class weights; their mean over the labeled pixels is 1.

    Args:
        counts: Number of pixels of each class; a class without pixels has the weight 0.
        rule: `"none"`, `"inverse"` (1 / share), or `"sqrt"` (1 / square root of the share).

    Shapes: `(C,)` to `(C,)`.

    Example:
        >>> class_weights(torch.tensor([1, 4]), "sqrt")
        tensor([1.6667, 0.8333])
    """
    if rule == "none":
        return None
    share = counts.double() / counts.sum()
    weight = torch.where(counts > 0, share.clamp_min(1e-12) ** (-0.5 if rule == "sqrt" else -1.0), 0.0)
    return (weight / (weight * share).sum()).float()
