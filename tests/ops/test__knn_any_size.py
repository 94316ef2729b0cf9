import pytest
import torch

from vig_pyg.graph.dilated_knn import shrink
from vig_pyg.ops import knn, knn_any_size


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_search_with_shrunk_k_and_dilation(seed):
    torch.manual_seed(seed)
    images, n, m, k, dilation = (int(torch.randint(1, most, ())) for most in (4, 9, 40, 10, 5))
    x, y = torch.randn(images, n, 8, dtype=torch.float64), torch.randn(images, m, 8, dtype=torch.float64)
    bias = [None, torch.randn(1, n, m, dtype=torch.float64), torch.randn(images, 1, m, dtype=torch.float64)][seed % 3]
    kept, step = shrink(k, dilation, m)
    want = knn(x, y, (kept - 1) * step + 1, step=step, bias=bias, normalize=seed % 2 == 0)
    assert torch.equal(knn_any_size(x, y, k, dilation, bias, normalize=seed % 2 == 0), want)
