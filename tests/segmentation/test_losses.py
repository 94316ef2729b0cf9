import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vig_pyg.segmentation.losses import class_weights, cross_entropy, dice_loss, ohem_cross_entropy

LOSSES = [cross_entropy, ohem_cross_entropy, dice_loss]


def batch(seed=0, count=4, classes=5, size=(9, 13)):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (count, *size), generator=generator)
    labels[torch.rand(count, *size, generator=generator) < 0.2] = 255
    labels[-1] = 255
    return logits, labels


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_a_batch_is_the_mean_of_its_images(loss, seed):
    logits, labels = batch(seed)
    parts = torch.stack([loss(logits[i : i + 1], labels[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(loss(logits, labels), parts.mean())
    assert parts[-1] == 0 and (parts[:-1] > 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_have_no_gradient_and_an_unlabeled_batch_is_finite(loss):
    logits, labels = batch()
    logits.requires_grad_()
    loss(logits, labels).backward()
    there = labels[:, None] != 255
    assert (logits.grad * ~there).abs().max() == 0 and logits.grad.isfinite().all()
    value = loss(logits, torch.full_like(labels, 255))
    assert value == 0


def test_cross_entropy_is_torch_s_where_all_pixels_are_labeled():
    logits, labels = batch()
    labels = labels.clamp_max(4)
    torch.testing.assert_close(cross_entropy(logits, labels), F.cross_entropy(logits, labels))
    weight = torch.rand(5, dtype=torch.float64)
    want = (F.cross_entropy(logits, labels, reduction="none") * weight[labels]).mean()
    torch.testing.assert_close(cross_entropy(logits, labels, weight), want)


@pytest.mark.parametrize("seed", range(5))
def test_hard_pixels_are_those_below_the_threshold_but_at_least_a_sixteenth(seed):
    logits, labels = batch(seed, size=(16, 16))
    if seed % 2:  # nearly all are easy
        logits = logits + 12 * F.one_hot(labels.clamp_max(4), 5).movedim(-1, 1)
    for one, truth in zip(logits, labels, strict=True):
        share = one.softmax(0).gather(0, truth.clamp_max(4)[None])[0][truth != 255]
        ordered = share.sort().values
        kept = ordered[: max(16, int((ordered <= 0.7).sum()))]
        want = -kept.log().mean() if len(kept) else torch.tensor(0.0)
        torch.testing.assert_close(ohem_cross_entropy(one[None], truth[None]).float(), want.float())


def test_dice_is_one_minus_the_overlap_of_the_classes_that_are_there():
    labels = torch.tensor([[[0, 0, 1, 255]]])
    right = F.one_hot(labels.clamp_max(1), 3).movedim(-1, 1) * 200.0 - 100
    assert dice_loss(right, labels) == pytest.approx(0, abs=1e-6)
    wrong = right.roll(1, 1)
    assert dice_loss(wrong, labels) == pytest.approx(1, abs=1e-6)
    even = dice_loss(torch.zeros(1, 2, 1, 4), labels)  # class 0: 2 * 1 / (2 + 1.5), class 1: 2 * 0.5 / (1 + 1.5)
    assert even == pytest.approx(1 - (1 / 1.75 + 1 / 2.5) / 2)


def dice_of_one_hot_labels(logits, labels):
    """The formula of `dice_loss`, written with one-hot labels."""
    labeled = (labels != 255)[:, None]
    truth = F.one_hot(torch.where(labeled[:, 0], labels, 0), logits.size(1)).movedim(-1, 1) * labeled
    found = logits.softmax(1) * labeled
    both, total, there = (truth * found).sum((2, 3)), (truth + found).sum((2, 3)), truth.sum((2, 3)) > 0
    return (((1 - 2 * both / total.clamp_min(1e-6)) * there).sum(1) / there.sum(1).clamp_min(1)).mean()


@pytest.mark.parametrize("seed", range(12))
def test_dice_is_that_of_one_hot_labels(seed):
    """Values and gradients, for images of several sizes with 1 to 150 classes."""
    draw = random.Random(seed)
    size = draw.randint(1, 40), draw.randint(1, 40)
    logits, labels = batch(seed, draw.randint(1, 5), draw.choice([1, 2, 7, 150]), size)
    if seed % 3 == 0:
        labels[0] = labels[0].clamp_max(draw.randint(0, 1))  # few classes, and no ignored pixel
    grads, values = [], []
    for loss in (dice_loss, dice_of_one_hot_labels):
        leaf = logits.clone().requires_grad_()
        values.append(loss(leaf, labels).double())
        values[-1].backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-7)


class LargestIntegers(TorchDispatchMode):
    """Records the largest number of integers in one tensor."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        found = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor) and not x.is_floating_point()]
        self.largest = max([self.largest, *(x.untyped_storage().nbytes() // x.itemsize for x in found)])
        return out


def test_the_integers_of_one_hot_labels_are_found():
    logits, labels = batch()
    with LargestIntegers() as mode:
        dice_of_one_hot_labels(logits, labels)
    assert mode.largest == logits.numel()


@pytest.mark.parametrize("loss", LOSSES)
def test_no_loss_makes_integers_for_each_class(loss):
    logits, labels = batch()
    logits.requires_grad_()
    with LargestIntegers() as mode:
        loss(logits, labels).backward()
    assert mode.largest <= labels.numel()


def test_dice_of_a_large_image_is_not_rounded_away():
    labels = torch.zeros(1, 1500, 1500, dtype=torch.long)
    logits = torch.stack([torch.full((1500, 1500), 0.1), torch.zeros(1500, 1500)])[None]
    share = 1 / (1 + math.exp(-0.1))
    assert dice_loss(logits, labels).item() == pytest.approx(1 - 2 * share / (1 + share), rel=1e-5)


@pytest.mark.parametrize("rule", ["sqrt", "inverse"])
def test_weights_have_the_mean_one_over_pixels_and_follow_the_rule(rule):
    counts = torch.tensor([1000, 10, 0, 200])
    weight = class_weights(counts, rule)
    assert (weight * counts).sum() / counts.sum() == pytest.approx(1)
    assert weight[2] == 0 and weight[1] / weight[0] == pytest.approx(10 if rule == "sqrt" else 100)
    assert class_weights(counts, "none") is None
