"""Graphs on which the operators are tried, and the checks that all four share."""

import copy

import pytest
import torch

from tests.conv.dense import reference
from vig_pyg import testing

DTYPES = [torch.float32, torch.float64]


def randomised(operator):
    """Every number of an operator random, running statistics too."""
    for name, tensor in operator.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(
                torch.rand_like(tensor) + 0.5 if name.endswith(("1.weight", "var")) else torch.randn_like(tensor)
            )
    return operator.eval()


def graph(num_src=18, num_dst=18, k=5):
    """K different sources for each target."""
    source = torch.stack([torch.randperm(num_src)[:k] for _ in range(num_dst)]).flatten()
    return torch.stack([source, torch.arange(num_dst).repeat_interleave(k)])


class OperatorLaws:
    """A test class of an operator names it and its equation."""

    operator_class: type
    equation: staticmethod

    def make(self, dtype=torch.float64, heads=4):
        return randomised(self.operator_class(8, 16, heads=heads).to(dtype))

    @pytest.mark.parametrize("heads", [1, 2, 4])
    @pytest.mark.parametrize("pooled", [False, True])
    @pytest.mark.parametrize("fuse", [True, False])  # without messages, and with one for each edge
    def test_it_is_its_equation(self, heads, pooled, fuse):
        operator = self.make(heads=heads)
        operator.fuse = fuse
        x_dst, x_src = torch.randn(18, 8).double(), torch.randn(7, 8).double()
        x, edges = ((x_src, x_dst), graph(7)) if pooled else (x_dst, graph())
        torch.testing.assert_close(operator(x, edges), reference(self.equation, operator, x, edges), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_laws(self, dtype):
        assert testing.assert_operator(lambda i, o: self.operator_class(i, o), dtype=dtype) <= testing.TOLERANCE[dtype]

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_laws_between_two_node_sets(self, dtype):
        operator, x, edges = self.make(dtype), (torch.randn(7, 8).to(dtype), torch.randn(18, 8).to(dtype)), graph(7)
        testing.assert_permutation_equivariance(operator, x, edges)
        testing.assert_edge_order_invariance(operator, x, edges)
        testing.assert_parameters_get_gradients(operator, x, edges)

    def test_gradients_are_those_of_the_equation(self):
        operator, edges = self.make(), graph()
        x = torch.randn(18, 8, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(18, 16, dtype=torch.float64)
        got, want = (
            torch.autograd.grad((out * weight).sum(), x)[0]
            for out in (operator(x, edges), reference(self.equation, operator, x, edges))
        )
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("pooled", [False, True])
    def test_training_is_the_same_with_and_without_messages(self, pooled):
        """Outputs, gradients and running statistics, the variance too."""
        x_dst, x_src = torch.randn(18, 8).double(), torch.randn(7, 8).double()
        edges = graph(7) if pooled else graph()
        weight, seen = torch.randn(18, 16, dtype=torch.float64), []
        first = self.make()
        for fuse in (True, False):
            operator = copy.deepcopy(first).train()
            operator.fuse = fuse
            leaf = x_dst.clone().requires_grad_()
            out = operator((x_src, leaf) if pooled else leaf, edges)
            grads = torch.autograd.grad((out * weight).sum(), [leaf, *operator.parameters()])
            seen.append([out, *grads, *(buffer.double() for buffer in operator.buffers())])
        for one, two in zip(*seen, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)

    def test_a_node_without_neighbors_gives_numbers(self):
        edges = graph()
        edges = edges[:, edges[1] != 4]
        operator, x = self.make(), torch.randn(18, 8).double()
        out = operator(x, edges)
        assert out[4].isfinite().all()
        operator.fuse = False  # and the same ones where there are messages
        torch.testing.assert_close(out, operator(x, edges), rtol=0, atol=1e-12)

    def test_reset_parameters_starts_again(self):
        operator = self.make()
        fresh = self.operator_class(8, 16)
        operator.reset_parameters()
        same = [name for name, tensor in fresh.state_dict().items() if torch.equal(operator.state_dict()[name], tensor)]
        assert {name for name in fresh.state_dict() if not name.endswith("0.weight")} == set(same)

    @pytest.mark.parametrize("x", [torch.rand(18, 7), torch.rand(1, 18, 8), (torch.rand(18, 8), torch.rand(18, 7))])
    def test_a_wrong_width_is_refused(self, x):
        with pytest.raises(ValueError, match=rf"{self.operator_class.__name__} expects nodes \(N, 8\), got \(.*18"):
            self.operator_class(8, 16)(x, graph())

    @pytest.mark.parametrize("heads", [0, 3, 5])
    def test_heads_must_divide_the_widths(self, heads):
        with pytest.raises(ValueError, match=f"heads={heads} must divide"):
            self.operator_class(8, 16, heads=heads)

    def test_it_says_what_it_is(self):
        assert repr(self.operator_class(8, 16, heads=2)) == f"{self.operator_class.__name__}(8, 16, heads=2)"
