import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vig_pyg.layers import LinearNorm, MultiHeadLinear
from vig_pyg.ops._recomputable import can_recompute, is_recomputable


def watched(norm):
    norm.register_forward_hook(lambda *_: None)


def frozen(norm):
    norm.eval()


def cumulative(norm):
    norm.momentum = None


def bare(norm):
    norm.track_running_stats = False


@pytest.fixture(autouse=True)
def on_a_cpu():
    """The rules for native functions; those for a GPU are in `test__gpu_batch_norm.py`."""
    with torch.device("cpu"):
        yield


@pytest.mark.parametrize("change", [watched, frozen, cumulative, bare])
def test_layers_that_were_changed_are_called_as_they_are(change):
    norm, x = nn.BatchNorm1d(32), torch.randn(9, 16)
    assert can_recompute(x, norm, [norm])
    change(norm)
    assert not can_recompute(x, norm, [norm])


def test_other_steps_are_left_to_torch():
    norm, x = nn.BatchNorm1d(32), torch.randn(9, 16)
    with torch.no_grad():
        assert not can_recompute(x, norm, [norm])
    with torch.autocast("cpu", torch.float16):
        assert not can_recompute(x, norm, [norm])
    with torch.autocast("cpu", torch.bfloat16):
        assert can_recompute(x, norm, [norm]) and can_recompute(x.bfloat16(), norm, [norm])
    assert can_recompute(x.bfloat16(), norm, [norm])
    assert not can_recompute(x.bfloat16(), nn.BatchNorm1d(32).bfloat16(), [])
    assert not can_recompute(x.double(), norm, [norm])
    assert not can_recompute(x, nn.SyncBatchNorm(32), [])
    answers = []
    torch.func.vmap(lambda part: answers.append(can_recompute(x, norm, [norm])) or part)(x)
    assert answers == [False]


def test_tensors_without_memory_of_their_own_are_left_to_torch():
    norm, x = nn.BatchNorm1d(16), torch.randn(9, 16)
    assert not can_recompute(torch._neg_view(x), norm, [norm])
    assert not can_recompute(x.to("meta"), norm, [norm])
    with FakeTensorMode() as mode:
        assert not can_recompute(mode.from_tensor(x), norm, [norm])


def test_a_subclass_with_its_own_forward_has_no_mark():
    class Same(MultiHeadLinear):
        pass

    class Other(MultiHeadLinear):
        def forward(self, x):
            return x

    assert is_recomputable(MultiHeadLinear(8, 8)) and is_recomputable(LinearNorm(8, 8)) and is_recomputable(Same(8, 8))
    replaced = MultiHeadLinear(8, 8)
    replaced.forward = lambda x: x
    assert not is_recomputable(Other(8, 8)) and not is_recomputable(replaced) and not is_recomputable(nn.Linear(8, 8))
