import torch

from tests.conv import dense
from tests.conv.cases import OperatorLaws, graph
from vig_pyg.conv import GraphSAGEConv


class TestGraphSAGEConv(OperatorLaws):
    operator_class = GraphSAGEConv
    equation = staticmethod(dense.graph_sage)

    def test_statistics_of_the_inner_map_are_over_edges(self):
        operator, edges, x = GraphSAGEConv(8, 16).train(), graph(k=1), torch.randn(18, 8)
        edges[0] = edges[0] % 3  # few sources, often used
        operator(x, edges)
        want = 0.1 * operator.mlp_src[0](x[edges[0]]).mean(0)
        torch.testing.assert_close(operator.mlp_src[1].running_mean, want)
