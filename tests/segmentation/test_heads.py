import random

import pytest
import torch
import torch.nn.functional as F

from vig_pyg.segmentation.heads import POOL_SIZES, SemanticFPN, UPerHead, group_norm, pool_map

HEADS = [SemanticFPN, UPerHead]


def maps(sizes, widths=(8, 12, 16, 20), batch=2):
    return [torch.randn(batch, width, *size) for width, size in zip(widths, sizes, strict=True)]


def halves(size, count=4):
    """The sizes of the stages of a pyramid: each has half the height and width of the previous one, rounded up."""
    sizes = [size]
    for _ in range(count - 1):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


@pytest.mark.parametrize("kind", HEADS)
def test_logits_have_the_size_of_the_finest_map_at_any_size(kind):
    head, draw = kind([8, 12, 16, 20], 5, out_channels=16, head_channels=8), random.Random(0)
    for size in [(1, 1), (1, 40), *[(draw.randint(1, 40), draw.randint(1, 40)) for _ in range(20)]]:
        out = head(maps(halves(size), batch=1))
        assert out.shape == (1, 5, *size) and out.isfinite().all()


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("training", [False, True])
def test_an_image_does_not_depend_on_the_others(kind, training):
    head = kind([8, 12, 16, 20], 5, out_channels=16, head_channels=8, dropout=0.0).double().train(training)
    parts = [part.double() for part in maps(halves((9, 14)), batch=3)]
    alone = torch.cat([head([part[i : i + 1] for part in parts]) for i in range(3)])
    torch.testing.assert_close(head(parts), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", HEADS)
def test_every_parameter_and_every_map_is_used(kind):
    head = kind([8, 12, 16, 20], 5, out_channels=16, head_channels=8)
    parts = [part.requires_grad_() for part in maps(halves((12, 9)))]
    head(parts).square().sum().backward()
    for tensor in [*head.parameters(), *parts]:
        assert tensor.grad is not None and tensor.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", HEADS)
def test_a_narrow_head_is_refused(kind):
    for options in ({"out_channels": 3}, {"head_channels": 0}):
        with pytest.raises(ValueError, match="must be at least 4"):
            kind([8, 12], 5, **options)


def test_groups_divide_the_channels():
    for channels in range(1, 600):
        groups = group_norm(channels).num_groups
        assert channels % groups == 0 and (groups == 1 or channels // groups >= 4)


def test_pooling_for_any_size_is_that_of_torch(monkeypatch):
    draw = random.Random(0)
    for size in [(1, 1), (1, 7), *[(draw.randint(1, 25), draw.randint(1, 25)) for _ in range(20)]]:
        x = torch.randn(2, 3, *size, dtype=torch.float64)
        for side in (*POOL_SIZES, 7):
            want = F.adaptive_avg_pool2d(x, side)
            assert pool_map(x, side).equal(want)
            with monkeypatch.context() as patch:
                patch.setattr("vig_pyg.segmentation.heads.is_open", lambda *_: True)
                torch.testing.assert_close(pool_map(x, side), want, rtol=1e-12, atol=1e-12)
