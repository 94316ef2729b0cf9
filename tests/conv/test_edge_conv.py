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
