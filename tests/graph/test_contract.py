import pytest
import torch

from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.data import BatchLayout, to_nodes
from vig_pyg.graph import Builder
from vig_pyg.testing import assert_builder, assert_parameters_get_gradients


class EveryOther:
    """A graph that looks at no feature: each patch and the next ones in raster order, within its image."""

    def __init__(self, k, dilation):
        self.k, self.dilation = k, dilation

    def __call__(self, x, layout, x_src, layout_src):
        edges = []
        for i in range(layout.num_graphs):
            target = torch.arange(layout.num_nodes_per_graph[i]).repeat_interleave(self.k)
            step = torch.arange(self.k).repeat(layout.num_nodes_per_graph[i]) * self.dilation
            source = (target + step) % layout_src.num_nodes_per_graph[i]
            edges.append(torch.stack([source + layout_src.ptr[i], target + layout.ptr[i]]))
        return torch.cat(edges, dim=1)


def fully_connected(k, dilation):
    """A plain function as a builder."""

    def build(x, layout, x_src, layout_src):
        return (layout.batch[:, None] == layout_src.batch[None]).nonzero().t().flip(0)

    return build


@pytest.mark.parametrize("factory", [DilatedKNN, EveryOther, fully_connected])
def test_builders_keep_the_contract(factory):
    x, layout = to_nodes([torch.randn(8, *size) for size in [(4, 4), (3, 5)]])
    builder: Builder = factory(3, 2)
    assert assert_builder(builder, x, layout) >= 3 * layout.num_nodes


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("factory", [EveryOther, fully_connected])
def test_any_builder_goes_into_a_model(family, factory):
    images = torch.rand(2, 3, 32, 32)
    model = family("micro", graph=factory, num_classes=5)
    assert assert_parameters_get_gradients(model, images) > 0
    first = model.graphs(images)[0]
    layout = BatchLayout.from_sizes([tuple(size) for size in first.grid_size])
    ratio = first.to_data_list()[0].reduce_ratio
    grapher = model.graphers()[0]
    want = factory(grapher.k, grapher.dilation)(None, layout, None, layout.pooled(ratio))
    assert torch.equal(first.edge_index, want)
