import torch

from tests.conv import dense
from tests.conv.cases import OperatorLaws, graph
from vig_pyg.conv import EdgeConv


class TestEdgeConv(OperatorLaws):
    operator_class = EdgeConv
    equation = staticmethod(dense.edge)

    def test_statistics_are_over_edges(self):
        operator, edges, x = EdgeConv(8, 16).train(), graph(), torch.randn(18, 8)
        operator(x, edges)
        x_i, x_j = x[edges[1]], x[edges[0]]
        messages = operator.mlp[0](torch.cat([x_i, x_j - x_i], dim=1))
        torch.testing.assert_close(operator.mlp[1].running_mean, 0.1 * messages.mean(0))


def test_a_maximum_of_zero_gives_its_whole_gradient_on_every_path():
    """With biases of 0 a self loop sends exactly 0 through the heads that see only differences."""
    x, edges = torch.randn(20, 8).double(), torch.randint(20, (2, 80))
    edges, weights = torch.cat([edges, torch.arange(20).repeat(2, 1)], 1), torch.randn(20, 16).double()
    conv, found = EdgeConv(8, 16).double().eval(), []
    for fuse in (True, False):
        conv.fuse = fuse
        conv.zero_grad()
        (conv(x, edges) * weights).sum().backward()
        found.append([part.grad.clone() for part in conv.parameters() if part.grad is not None])
    for fused, plain in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain)
