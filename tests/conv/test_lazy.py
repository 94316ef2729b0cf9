import copy

import pytest
import torch

from vig_pyg.conv import CONVS, GraphSAGEConv
from vig_pyg.conv.lazy import LazyMultiHeadLinear, complete, lazy_mlp
from vig_pyg.layers import multi_head_mlp

SHAPES = [(8, 16, 4), (12, 4, 2), (6, 9, 3), (5, 7, 1)]


@pytest.mark.parametrize(("width", "out", "heads"), SHAPES)
@pytest.mark.parametrize("same", [False, True])
def test_a_completed_mlp_is_an_ordinary_one(width, out, heads, same):
    mlp = lazy_mlp(-1, -1 if same else out, heads)
    early = copy.deepcopy(mlp)
    out = width if same else out
    for part in (mlp, early):
        complete([(part, width)])
        want = multi_head_mlp(width, out, heads)
        assert {k: v.shape for k, v in part.state_dict().items()} == {k: v.shape for k, v in want.state_dict().items()}
        assert [type(layer) for layer in part] == [type(layer) for layer in want]
        assert repr(part) == repr(want)
        want.load_state_dict(part.state_dict())
        x = torch.randn(9, width)
        assert torch.equal(part(x), want(x))
    complete([(mlp, width)])  # once more changes nothing


def test_known_widths_need_no_completion():
    assert lazy_mlp(8, 16, 4)[0].weight.shape == (16, 2)


@pytest.mark.parametrize("name", CONVS)
def test_weights_load_before_the_first_call(name):
    x, edges = torch.randn(6, 8), torch.randint(6, (2, 20))
    trained = CONVS[name](8, 16).eval()
    lazy = CONVS[name](-1, 16).eval()
    lazy.load_state_dict(trained.state_dict())
    assert torch.equal(lazy(x, edges), trained(x, edges))
    again = CONVS[name](-1, 16)
    again.load_state_dict(trained.state_dict())
    with pytest.raises(ValueError, match="The loaded weights have the shape"):
        again(torch.randn(6, 12), edges)


@pytest.mark.parametrize("name", CONVS)
def test_a_lazy_operator_is_trained_by_an_optimizer_that_was_made_before(name):
    conv = CONVS[name](-1, 16)
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
    conv.to(torch.float64).reset_parameters()
    x, edges = torch.randn(6, 8).double(), torch.randint(6, (2, 20))
    conv(x, edges).square().sum().backward()
    before = [parameter.detach().clone() for parameter in conv.parameters()]
    optimizer.step()
    assert conv.in_channels == 8 and all(part.dtype == torch.float64 for part in before)
    assert any(not torch.equal(a, b) for a, b in zip(before, conv.parameters(), strict=True))


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("x", [torch.rand(6), torch.zeros(6, 8, dtype=torch.long), "x", torch.rand(6, 0)])
def test_bad_nodes_leave_a_lazy_operator_as_it_was(name, x):
    conv = CONVS[name](-1, 16)
    with pytest.raises((TypeError, ValueError)):
        conv(x, torch.randint(6, (2, 20)))
    assert conv.in_channels == -1
    assert conv(torch.rand(6, 4), torch.randint(6, (2, 20))).shape == (6, 16)


@pytest.mark.parametrize("name", CONVS)
def test_heads_that_do_not_divide_the_width_are_named_at_the_first_call(name):
    conv = CONVS[name](-1, 16, heads=4)
    with pytest.raises(ValueError, match="heads=4 must divide in_channels="):
        conv(torch.rand(6, 9 if name in ("gin", "sage") else 5), torch.randint(6, (2, 20)))
    with pytest.raises(ValueError, match="heads=3 must divide out_channels=16"):
        LazyMultiHeadLinear(16, heads=3)


def test_a_failed_first_call_leaves_all_layers_lazy():
    conv = CONVS["sage"](-1, 16, heads=4).eval()
    edges = torch.randint(6, (2, 20))
    with pytest.raises(ValueError, match="heads=4 must divide in_channels=14"):
        conv((torch.rand(6, 8), torch.rand(6, 6)), edges)
    assert conv((torch.rand(6, 12), torch.rand(6, 8)), edges).shape == (6, 16) and conv.in_channels == (12, 8)


def test_a_weight_that_was_loaded_without_its_bias_is_kept():
    ready, lazy = GraphSAGEConv(8, 16), GraphSAGEConv(-1, 16)
    state = {key: part for key, part in ready.state_dict().items() if key != "mlp_src.0.bias"}
    lazy.load_state_dict(state, strict=False)
    lazy(torch.rand(5, 8), torch.tensor([[0, 1], [1, 2]]))
    assert torch.equal(lazy.mlp_src[0].weight, ready.mlp_src[0].weight)
    assert torch.equal(lazy.mlp_src[0].bias, torch.zeros(8))


def test_widths_that_are_set_in_inference_mode_can_be_trained():
    lazy = GraphSAGEConv(-1, 16)
    x, edges = torch.rand(5, 8), torch.tensor([[0, 1], [1, 2]])
    with torch.inference_mode():
        lazy.eval()(x, edges)
    lazy.train()(x, edges).sum().backward()
    assert lazy.mlp[0].weight.grad is not None
