import pytest
import torch
from torch_geometric.data import Batch, Data

from vig_pyg.data import BatchLayout, map_images, pool_graphs, pool_map, pool_nodes, to_batch, to_maps, to_nodes

SIZES = [[(3, 4)], [(3, 4), (3, 4)], [(3, 4), (2, 5), (3, 4)], [(1, 1), (2, 6)], [(3, 4), (4, 3)]]


def ragged(sizes, channels=5):
    return [torch.rand(channels, *size) for size in sizes]


@pytest.mark.parametrize("sizes", SIZES)
def test_maps_to_nodes_and_back(sizes):
    maps = ragged(sizes)
    x, layout = to_nodes(maps)
    back = to_maps(x, layout)
    assert layout.grid_sizes == tuple(sizes)
    for one, two in zip(maps, back, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_a_stack_of_maps_and_a_list_are_the_same_nodes():
    maps = torch.rand(3, 5, 2, 4)
    torch.testing.assert_close(to_nodes(maps)[0], to_nodes(list(maps))[0], rtol=0, atol=0)
    torch.testing.assert_close(to_maps(*to_nodes(maps)), maps, rtol=0, atol=0)


def test_maps_of_one_grid_are_a_view():
    x, layout = to_nodes(torch.rand(2, 5, 3, 3))
    assert to_maps(x, layout).data_ptr() == x.data_ptr()


def test_node_i_is_the_cell_at_its_position():
    maps = ragged([(3, 4), (2, 5)])
    x, layout = to_nodes(maps)
    for node in range(layout.num_nodes):
        row, column = layout.pos[node].long().tolist()
        assert torch.equal(x[node], maps[layout.batch[node]][:, row, column])


@pytest.mark.parametrize("sizes", SIZES)
def test_batch_splits_into_one_data_an_image(sizes):
    maps = ragged(sizes)
    batch = to_batch(*to_nodes(maps))
    assert isinstance(batch, Batch)
    parts = batch.to_data_list()
    assert len(parts) == batch.num_graphs == len(sizes)
    for part, one, size in zip(parts, maps, sizes, strict=True):
        assert isinstance(part, Data)
        assert torch.equal(part.x, one.flatten(1).t())
        assert tuple(part.grid_size) == size
        assert torch.equal(part.pos, BatchLayout.from_sizes([size]).pos)


@pytest.mark.parametrize("sizes", SIZES)
def test_batch_is_the_one_that_pyg_makes_of_its_parts(sizes):
    batch = to_batch(*to_nodes(ragged(sizes)))
    again = Batch.from_data_list(batch.to_data_list())
    for key in ("x", "pos", "batch", "ptr"):
        assert torch.equal(batch[key], again[key]), key


def test_layout_of_a_free_set_of_points():
    points = [Data(x=torch.rand(n, 4), pos=torch.rand(n, 2)) for n in (3, 5)]
    layout = BatchLayout.from_batch(Batch.from_data_list(points))
    assert layout.num_nodes_per_graph == (3, 5)
    assert layout.grid_sizes is None and layout.grid_size is None
    with pytest.raises(ValueError, match=r"need nodes on a grid.*use an isotropic ViG"):
        to_maps(torch.rand(8, 4), layout)
    with pytest.raises(ValueError, match=r"reduce_ratio > 1.*need nodes on a grid"):
        layout.pooled(2)
    with pytest.raises(ValueError, match="need nodes on a grid"):
        pool_nodes(torch.rand(8, 4), layout, 2)


@pytest.mark.parametrize("sizes", [[(4, 4)], [(4, 4), (4, 4)], [(4, 6), (5, 3)]])
def test_pooled_nodes_are_means_of_their_cells(sizes):
    maps = ragged(sizes)
    x, layout = to_nodes(maps)
    pooled, small = pool_nodes(x, layout, 2)
    for image, (height, width) in enumerate(sizes):
        node = int(small.ptr[image])
        for row in range(0, height, 2):
            for column in range(0, width, 2):
                cells = maps[image][:, row : row + 2, column : column + 2]
                torch.testing.assert_close(pooled[node], cells.mean((1, 2)))
                center = [(row + min(row + 1, height - 1)) / 2, (column + min(column + 1, width - 1)) / 2]
                assert small.pos[node].tolist() == center
                node += 1
        assert node == small.ptr[image + 1]


def test_ratio_one_pools_nothing():
    x, layout = to_nodes(torch.rand(1, 4, 3, 3))
    pooled, small = pool_nodes(x, layout, 1)
    assert pooled is x and small is layout


def test_border_windows_take_the_cells_there_are():
    assert pool_map(torch.tensor([[[1.0, 2.0, 5.0]]]), 2).tolist() == [[[1.5, 5.0]]]


@pytest.mark.parametrize("sizes", SIZES)
def test_pool_graphs_is_the_mean_of_each_image(sizes):
    maps = ragged(sizes)
    torch.testing.assert_close(pool_graphs(*to_nodes(maps)), torch.stack([m.mean((1, 2)) for m in maps]))


def test_map_images_keeps_the_order_and_takes_one_size_together():
    maps = [torch.full((1, *size), float(i)) for i, size in enumerate([(2, 2), (3, 3), (2, 2)])]
    seen = []
    out = map_images(lambda part: seen.append(part.size(0)) or part + 10, maps)
    assert sorted(seen) == [1, 2]
    assert [m.unique().item() for m in out] == [10, 11, 12]
