import pytest
import torch

from vig_pyg.ops import TooManyNeighborsError, has_max_relative, max_relative


def edges(num_src, num_dst, k=5):
    source = torch.randint(num_src, (num_dst * k,))
    return torch.stack([source, torch.arange(num_dst).repeat_interleave(k)])


def by_hand(x_src, x_dst, edge_index):
    """Row by row."""
    largest = torch.zeros_like(x_dst)
    for i in range(x_dst.size(0)):
        around = x_src[edge_index[0, edge_index[1] == i]]
        if around.size(0):
            largest[i] = around.amax(0) - x_dst[i]
    return torch.stack([x_dst, largest], dim=2).flatten(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [16, 17, 31, 32, 48, 100])
@pytest.mark.parametrize("kind", ["sorted", "shuffled", "lonely", "none"])
def test_equals_the_equation_bit_for_bit(dtype, channels, kind):
    x_src, x_dst = torch.randn(40, channels).to(dtype), torch.randn(70, channels).to(dtype)
    graph = edges(40, 70)
    if kind == "shuffled":
        graph = graph[:, torch.randperm(graph.size(1))]
    elif kind == "lonely":
        graph = graph[:, (graph[1] % 4 != 0) & (graph[1] != 69)]
    elif kind == "none":
        graph = graph[:, :0]
    assert has_max_relative(x_src, x_dst)
    assert torch.equal(max_relative(x_src, x_dst, graph), by_hand(x_src, x_dst, graph))


@pytest.mark.parametrize("channels", [16, 29])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_gradients_equal_those_of_the_equation_in_float64(channels, shuffled, same):
    graph = edges(40, 40)
    graph = graph[:, torch.randperm(graph.size(1))] if shuffled else graph
    x_src, x_dst, weight = torch.randn(40, channels), torch.randn(40, channels), torch.randn(40, 2 * channels)
    inputs = []
    for dtype in (torch.float32, torch.float64):
        src = x_src.to(dtype).requires_grad_()
        dst = src if same else x_dst.to(dtype).requires_grad_()
        out = (max_relative if dtype == torch.float32 else by_hand)(src, dst, graph)
        inputs.append(torch.autograd.grad((out * weight).sum(), [src] if same else [src, dst]))
    for one, two in zip(*inputs, strict=True):
        torch.testing.assert_close(one.double(), two, rtol=1e-5, atol=1e-5)


def test_gradients_in_bfloat16_are_summed_in_float32():
    x = torch.zeros(300, 16, dtype=torch.bfloat16)
    x[0] = 1  # wins everywhere: its gradient is a sum of 300
    x.requires_grad_()
    graph = torch.stack([torch.zeros(300, dtype=torch.long), torch.arange(300)])
    max_relative(x, torch.zeros_like(x), graph)[:, 1::2].sum().backward()
    assert x.grad[0].eq(300).all()  # 256 in steps of bfloat16


def test_equal_maxima_have_one_winner_the_first():
    x = torch.ones(3, 16, requires_grad=True)
    graph = torch.tensor([[2, 1, 0], [0, 0, 0]])
    max_relative(x, torch.zeros(1, 16), graph)[:, 1::2].sum().backward()
    assert x.grad.sum(1).tolist() == [0, 0, 16]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_is_not_hidden(dtype):
    x = torch.randn(4, 16).to(dtype)
    x[2, 5] = torch.nan
    out = max_relative(x, torch.zeros(1, 16, dtype=dtype), torch.tensor([[0, 2, 1], [0, 0, 0]]))
    assert out.isnan().nonzero().tolist() == [[0, 11]]


@pytest.mark.parametrize("channels", [31, 32, 48, 65, 96])
@pytest.mark.parametrize("num_dst", [20, 200])  # some sources are read once, or each several times
def test_the_winners_change_no_result_in_bfloat16(channels, num_dst):
    x_src, x_dst = torch.randn(100, channels), torch.randn(num_dst, channels)
    for value in (0.0, -0.0, torch.inf, -torch.inf, torch.nan, -torch.nan, 1e-40, -1e-40, 3e38):
        x_src[torch.rand(100, channels) < 0.03] = value
    x_src, x_dst, graph = x_src.bfloat16(), x_dst.bfloat16(), edges(100, num_dst)
    graph = graph[:, graph[1] % 7 != 0]
    plain, _ = torch.ops.vig_pyg.max_relative(x_src, x_dst, graph, False, False)
    with_winners, _ = torch.ops.vig_pyg.max_relative(x_src, x_dst, graph, True, False)
    assert torch.equal(plain.isnan(), with_winners.isnan()) and plain.isnan().any()
    assert torch.equal(plain.nan_to_num(), with_winners.nan_to_num())


@pytest.mark.parametrize("bad", [(-1, 0), (4, 0), (0, -1), (0, 3), (0, 2**40)])
def test_indices_out_of_range_are_refused(bad):
    graph = torch.tensor([[0, bad[0], 1], [0, bad[1], 2]])
    with pytest.raises(IndexError, match=r"source indices in \[0, 4\) and target indices in \[0, 3\)"):
        max_relative(torch.randn(4, 16), torch.randn(3, 16), graph)


def test_many_neighbors_have_a_maximum_but_no_gradient():
    x = torch.randn(300, 16)
    graph = torch.stack([torch.arange(300), torch.zeros(300, dtype=torch.long)])
    assert torch.equal(max_relative(x, x[:1], graph), by_hand(x, x[:1], graph))
    with pytest.raises(TooManyNeighborsError, match="more than 256 neighbors"):
        max_relative(x.requires_grad_(), x[:1], graph)
    x = x.detach()[:256].requires_grad_()
    max_relative(x, x[:1], graph[:, :256])[:, 1::2].sum().backward()
    assert x.grad.ne(0).sum(0).ge(1).all()


def test_what_the_kernel_does_not_take():
    x = torch.randn(4, 16)
    assert not has_max_relative(x.double(), x.double())
    assert not has_max_relative(x[:, :8], x[:, :8])
    assert not has_max_relative(x, x.bfloat16())
    assert not has_max_relative(x.to("meta"), x.to("meta"))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # opcheck's own
def test_is_a_registered_operator():
    arguments = torch.randn(9, 16), torch.randn(7, 16), edges(9, 7), True, False
    torch.library.opcheck(torch.ops.vig_pyg.max_relative.default, arguments)
    grads = tuple(part.requires_grad_() for part in arguments[:2])
    torch.library.opcheck(torch.ops.vig_pyg.max_relative.default, (*grads, *arguments[2:]))


@pytest.mark.parametrize("channels", [0, 1, 8, 15])
@pytest.mark.parametrize("call", [max_relative, lambda a, b, e: torch.ops.vig_pyg.max_relative(a, b, e, True, False)])
def test_few_channels_are_left_to_the_operator(channels, call):
    x = torch.randn(4, channels)
    with pytest.raises(ValueError, match=r"No kernel supports .*MaxRelativeConv accepts all features"):
        call(x, x, torch.zeros(2, 3, dtype=torch.long))


@pytest.mark.parametrize(
    ("grad", "slots", "num_src"),
    [((3, 40), (3, 16), 4), ((2, 32), (3, 16), 4), ((3, 32), (3, 16), -1), ((3, 32), (48,), 4), ((96,), (3, 16), 4)],
)
def test_gradients_of_other_shapes_are_refused(grad, slots, num_src):
    slots = torch.zeros(slots, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"must have|must be"):
        torch.ops.vig_pyg.max_relative_backward(
            torch.randn(grad), torch.zeros(2, 3, dtype=torch.long), slots, num_src, False
        )


def test_slots_of_other_edges_are_refused():
    x, graph = torch.randn(9, 16), edges(9, 9)
    out, slots = torch.ops.vig_pyg.max_relative(x, x, graph, True, False)
    for slot in (5, 255):
        slots[3, 7] = slot
        with pytest.raises(IndexError, match="slots refer to neighbors that some targets do not have"):
            torch.ops.vig_pyg.max_relative_backward(torch.randn_like(out), graph, slots, 9, False)
    with pytest.raises(ValueError, match="slots must be a tensor"):
        torch.ops.vig_pyg.max_relative_backward(torch.randn_like(out), graph, slots.short(), 9, False)
    with pytest.raises(IndexError, match=r"source indices in \[0, 3\)"):
        torch.ops.vig_pyg.max_relative_backward(torch.randn_like(out), graph, slots, 3, False)


@pytest.mark.parametrize("kind", ["sorted", "shuffled", "lonely", "none"])
def test_gradients_of_gradients_equal_those_of_the_equation(kind):
    graph = edges(40, 40)
    if kind == "shuffled":
        graph = graph[:, torch.randperm(graph.size(1))]
    elif kind == "lonely":
        graph = graph[:, (graph[1] % 4 != 0) & (graph[1] != 39)]
    elif kind == "none":
        graph = graph[:, :0]
    nodes, found = torch.randn(2, 40, 16), []
    for way in (max_relative, by_hand):
        src, dst = (part.clone().requires_grad_() for part in nodes)
        grads = torch.autograd.grad(way(src, dst, graph).pow(3).sum(), (src, dst), create_graph=True, allow_unused=True)
        total = sum(grad.square().sum() for grad in grads if grad is not None)
        found.append(torch.autograd.grad(total, (src, dst), allow_unused=True))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, torch.zeros_like(mine) if theirs is None else theirs)
