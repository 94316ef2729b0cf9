import pytest
import torch
import torch.nn.functional as F

from vig_pyg.ops import resized_rows


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_interpolation_of_torch(seed):
    torch.manual_seed(seed)
    rows, wanted = (int(torch.randint(1, 60, ())) for _ in range(2))
    wanted = rows if seed % 8 == 0 else wanted
    p = torch.randn(rows, 4, dtype=torch.float64)
    want = F.interpolate(p.t()[None, None], size=(4, wanted), mode="bicubic")[0, 0].t()
    torch.testing.assert_close(resized_rows(p, wanted), want, rtol=0, atol=1e-13)
