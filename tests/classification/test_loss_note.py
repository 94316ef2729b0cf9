import pytest
import torch
from torch import nn

from vig_pyg.classification import ClassificationConfig
from vig_pyg.classification.loss_note import loss_note, smoothing_floor


@pytest.mark.parametrize("smoothing", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_the_floor_is_the_lowest_loss_that_torch_computes(smoothing, classes):
    other = smoothing / classes
    target = torch.full((classes,), other, dtype=torch.float64)
    target[0] += 1 - smoothing
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    lowest = loss(target.clamp_min(1e-300).log()[None], torch.tensor([0])).item()
    floor = smoothing_floor(smoothing, classes)
    assert floor == pytest.approx(lowest, abs=1e-9)
    for seed in range(5):  # any other logits are worse
        logits = torch.randn(1, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        assert loss(logits, torch.tensor([0])).item() >= floor - 1e-12


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_floor_is_named_only_where_it_is_exact(smoothing, mixing, weighted):
    told = loss_note(ClassificationConfig(label_smoothing=smoothing, class_weights=weighted, **mixing), 10)
    assert bool(told) == bool(smoothing or mixing)
    assert ("label smoothing" in told) == bool(smoothing) and ("mixed images" in told) == bool(mixing)
    exact = smoothing and not mixing and not weighted
    assert (f"it cannot fall below {smoothing_floor(smoothing, 10):.2f}" in told) == bool(exact)
    assert ("higher than" in told) == (bool(told) and not exact)
