import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vig_pyg.ops import bias_gelu_


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_it_is_bias_and_gelu_in_place(gelu, dtype):
    h, bias = torch.randn(7, 5, dtype=dtype), torch.randn(5, dtype=dtype)
    want = torch.nn.functional.gelu(h + bias) if gelu else h + bias
    assert bias_gelu_(h, bias, gelu=gelu) is h
    torch.testing.assert_close(h, want)


def test_a_wrong_bias_is_refused():
    with pytest.raises(ValueError, match=r"shape \(5,\) on .*, got \(4,\) on"):
        bias_gelu_(torch.zeros(2, 5), torch.zeros(4), gelu=True)
    with pytest.raises(TypeError, match="floating-point"):
        bias_gelu_(torch.zeros(2, 5, dtype=torch.long), torch.zeros(5), gelu=True)


def test_on_a_gpu_it_is_one_operator():
    with FakeTensorMode():
        h, bias = torch.empty(2, 8, device="cuda"), torch.empty(8, device="cuda")
        assert bias_gelu_(h, bias, gelu=True) is h
        with pytest.raises(ValueError, match="bias must have"):
            bias_gelu_(h, bias[:7], gelu=True)
