import pytest
import torch

from tests.test_data import SIZES, ragged
from vig_pyg.data import to_batch, to_nodes
from vig_pyg.layout import BatchLayout

TENSORS = ("pos", "batch", "ptr")


def test_positions_are_row_and_column_in_raster_order():
    layout = BatchLayout.from_sizes([(2, 3)])
    assert layout.pos.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


@pytest.mark.parametrize("empty", ["targets", "sources"])
def test_an_image_without_nodes_is_refused(empty):
    full, other = BatchLayout.from_sizes([(2, 3), (2, 3)]), BatchLayout.from_sizes([(2, 3), (0, 3)])
    full.check_filled(full)
    with pytest.raises(ValueError, match=r"Every image needs at least one node, got \(6, 0\) nodes"):
        other.check_filled(full) if empty == "targets" else full.check_filled(other)


@pytest.mark.parametrize("sizes", SIZES)
def test_layout_agrees_with_itself(sizes):
    layout = BatchLayout.from_sizes(sizes)
    assert layout.num_nodes_per_graph == tuple(h * w for h, w in sizes)
    assert layout.ptr.diff().tolist() == list(layout.num_nodes_per_graph)
    assert layout.batch.bincount().tolist() == list(layout.num_nodes_per_graph)
    assert layout.num_nodes == sum(layout.num_nodes_per_graph) == layout.batch.numel()
    assert layout.num_graphs == len(sizes)
    assert layout.is_regular == (len(set(layout.num_nodes_per_graph)) == 1)
    assert layout.grid_size == (sizes[0] if len(set(sizes)) == 1 else None)


@pytest.mark.parametrize("sizes", SIZES)
def test_layout_from_batch_is_the_layout(sizes):
    x, layout = to_nodes(ragged(sizes))
    again = BatchLayout.from_batch(to_batch(x, layout))
    assert (again.grid_sizes, again.num_nodes_per_graph) == (layout.grid_sizes, layout.num_nodes_per_graph)
    for key in ("pos", "batch", "ptr"):
        assert torch.equal(getattr(again, key), getattr(layout, key))


@pytest.mark.parametrize("ratio", [1, 2, 3])
@pytest.mark.parametrize("sizes", SIZES)
def test_a_tensor_is_made_when_it_is_read_and_then_kept(sizes, ratio):
    layout = BatchLayout.from_sizes(sizes).pooled(ratio)
    assert layout.num_nodes == sum(layout.num_nodes_per_graph)
    assert layout._pos is layout._batch is layout._ptr is None
    for name in TENSORS:
        assert getattr(layout, name) is getattr(layout, name)
    assert layout.num_nodes == layout.pos.size(0) == layout.batch.numel()


def test_a_layout_for_another_pass_shares_tensors_and_no_edges():
    layout = BatchLayout.from_sizes([(3, 4), (2, 5)])
    layout.shared_edges["key"] = torch.zeros(1)
    pooled = layout.pooled(2)
    again = layout.without_cache()
    assert not again.shared_edges and again.pooled(2) is not pooled and layout.shared_edges
    assert all(torch.equal(getattr(again, name), getattr(layout, name)) for name in TENSORS)
    assert torch.equal(again.pooled(2).pos, pooled.pos)


def test_tensors_lie_on_the_default_device_of_the_time_when_the_layout_was_made():
    with torch.device("meta"):
        layout = BatchLayout.from_sizes([(2, 3)])
    assert layout.device.type == layout.pos.device.type == layout.batch.device.type == layout.ptr.device.type == "meta"


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 3), (8, 8), (13, 1)])
def test_positions_of_pooled_cells_are_the_means_of_their_cells(size, ratio):
    cells = BatchLayout.from_sizes([size]).pos.view(*size, 2).permute(2, 0, 1)  # (n, 2) -> (2, H, W)
    want = torch.nn.functional.avg_pool2d(cells, ratio, ceil_mode=True).flatten(1).t()
    assert torch.equal(BatchLayout.from_sizes([size]).pooled(ratio).pos, want)
