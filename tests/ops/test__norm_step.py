import copy

import pytest
import torch
from torch import nn

from vig_pyg.ops import NodeNorm
from vig_pyg.ops._norm_step import keeps_hidden, norm_step


@pytest.fixture(autouse=True)
def on_a_cpu():
    with torch.device("cpu"):
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("has_offset", [False, True])
def test_the_statistics_are_those_of_the_norm_itself(dtype, has_offset):
    norm, h, offset = nn.BatchNorm1d(16), torch.randn(50, 16).to(dtype), torch.randn(16)
    plain = copy.deepcopy(norm)
    want = plain(h.float() + (offset if has_offset else 0))
    step = norm_step(h, norm, offset if has_offset else None, gelu=False)
    assert isinstance(step, NodeNorm)
    torch.testing.assert_close(step.apply(h).float(), want, rtol=2**-8, atol=1e-5)  # the offset is cancelled
    torch.testing.assert_close(norm.running_mean, plain.running_mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var, plain.running_var, rtol=1e-5, atol=1e-6)
    assert norm.num_batches_tracked == 1


def test_only_bfloat16_on_a_cpu_is_kept():
    assert keeps_hidden(torch.zeros(2, 8, dtype=torch.bfloat16))
    assert not keeps_hidden(torch.zeros(2, 8))
    assert not keeps_hidden(torch.zeros(2, 8, dtype=torch.bfloat16, device="meta"))
