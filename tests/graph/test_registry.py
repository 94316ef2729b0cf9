import pytest
import torch

from vig_pyg import PyramidViG, ViG
from vig_pyg.graph import GRAPHS, list_graphs, register_graph


@pytest.fixture
def registered():
    before = list_graphs()
    yield
    for name in [name for name in list_graphs() if name not in before]:
        GRAPHS.remove(name)


def test_the_graphs_of_this_library_in_their_order():
    names = (
        "knn window window_dilated axial axial_rings axial_threshold cross log log_rings grid complete random lookahead"
    )
    assert list_graphs() == names.split()


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_a_graph_of_one_s_own_by_name(registered, family):
    @register_graph("first")
    def first(k, dilation):
        """Every patch receives a message from the first of its image."""

        def build(x, layout, x_src, layout_src):
            return torch.stack([layout_src.ptr[layout.batch], torch.arange(layout.num_nodes)])

        return build

    model = family("micro", graph="first").eval()
    for batch in model.graphs(torch.rand(2, 3, 32, 32)):
        assert all((data.edge_index[0] == 0).all() for data in batch.to_data_list())
