import pytest
import torch
import torch.nn.functional as F

from tests.conv import dense
from tests.conv.cases import OperatorLaws, randomised
from vig_pyg import ViG
from vig_pyg.conv import NeighborAttentionConv


def neighbor_attention(state, x_i, x_j, heads):
    query, key, value = (
        F.linear(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"])
        for name, x in (("query", x_i), ("key", x_j), ("value", x_j))
    )
    parts = []
    for q, k, v in zip(query.chunk(heads), key.chunk(heads, 1), value.chunk(heads, 1), strict=True):
        weights = torch.softmax(k @ q / q.numel() ** 0.5, 0)
        parts.append(weights @ v)
    return dense.mlp(state, "mlp", torch.cat([x_i, *parts]), heads)


class TestNeighborAttentionConv(OperatorLaws):
    operator_class = NeighborAttentionConv
    equation = staticmethod(neighbor_attention)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_on_a_complete_graph_it_is_torch_s_attention(heads):
    conv, x = randomised(NeighborAttentionConv(16, 32, heads=heads).double()), torch.randn(9, 16).double()
    edges = torch.cartesian_prod(torch.arange(9), torch.arange(9)).t().flip(0)
    q, k, v = (part(x).view(9, heads, -1).transpose(0, 1) for part in (conv.query, conv.key, conv.value))
    want = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)
    torch.testing.assert_close(conv.combine(x, edges)[:, 16:], want)


@pytest.mark.parametrize(("width", "heads"), [(6, 4), (8, 16)])
def test_heads_must_divide_the_width(width, heads):
    with pytest.raises(ValueError, match=f"heads={heads} must divide in_channels={width}"):
        NeighborAttentionConv(width, 16, heads=heads)
    lazy = NeighborAttentionConv(-1, 16, heads=heads)
    with pytest.raises(ValueError, match=f"heads={heads} must divide in_channels={width}"):
        lazy(torch.rand(5, width), torch.randint(5, (2, 9)))


def test_large_scores_stay_finite():
    conv = randomised(NeighborAttentionConv(8, 16)).half().float()
    x = 1e4 * torch.randn(9, 8)
    assert conv(x, torch.randint(9, (2, 40))).isfinite().all()


def test_a_fused_model_gives_its_logits():
    torch.manual_seed(0)
    model = ViG("micro", conv="attention", num_classes=3).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.fuse()(images), model(images), atol=1e-4, rtol=1e-4)
