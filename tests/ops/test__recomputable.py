import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vig_pyg.ops import takes_lean


def watched(norm):
    norm.register_forward_hook(lambda *_: None)


def frozen(norm):
    norm.eval()


def cumulative(norm):
    norm.momentum = None


def bare(norm):
    norm.track_running_stats = False


@pytest.mark.parametrize("change", [watched, frozen, cumulative, bare])
def test_layers_that_were_changed_are_called_as_they_are(change):
    norm, x = nn.BatchNorm1d(32), torch.randn(9, 16)
    assert takes_lean(x, norm, [norm])
    change(norm)
    assert not takes_lean(x, norm, [norm])


def test_other_steps_are_left_to_torch():
    norm, x = nn.BatchNorm1d(32), torch.randn(9, 16)
    with torch.no_grad():
        assert not takes_lean(x, norm, [norm])
    with torch.autocast("cpu", torch.bfloat16):
        assert not takes_lean(x, norm, [norm])
    assert not takes_lean(x.double(), norm, [norm])
    assert not takes_lean(x, nn.SyncBatchNorm(32), [])
    answers = []
    torch.func.vmap(lambda part: answers.append(takes_lean(x, norm, [norm])) or part)(x)
    assert answers == [False]


def test_tensors_without_memory_of_their_own_are_left_to_torch():
    norm, x = nn.BatchNorm1d(16), torch.randn(9, 16)
    assert not takes_lean(torch._neg_view(x), norm, [norm])
    assert not takes_lean(x.to("meta"), norm, [norm])
    with FakeTensorMode() as mode:
        assert not takes_lean(mode.from_tensor(x), norm, [norm])
