import sys

import pytest
import torch
import torch_geometric.transforms as T
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv
from torch_geometric.utils import contains_isolated_nodes, contains_self_loops, is_undirected

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.data import BatchLayout, to_maps, to_nodes
from vig_pyg.position import sincos
from vig_pyg.transforms import ImageToPatchGraph, ToSuperpixelGraph


def picture(height, width):
    """Smooth colors: SLIC finds one region in noise."""
    return nn.functional.interpolate(torch.rand(1, 3, 5, 5), size=(height, width), mode="bilinear")[0]


def flag():
    """Three vertical stripes: red, green, blue."""
    image = torch.zeros(3, 24, 36)
    for channel in range(3):
        image[channel, :, 12 * channel : 12 * channel + 12] = 1
    return image


def sorted_by_center(edge_index):
    return bool((edge_index[1].diff() >= 0).all())


def pairs(edge_index):
    return set(map(tuple, edge_index.t().tolist()))


# patches


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_node_holds_the_pixels_of_its_patch(channels):
    image = torch.rand(channels, 12, 20)
    data = ImageToPatchGraph(4, k=3)(image)
    assert data.x.shape == (15, channels * 16) and tuple(data.grid_size) == (3, 5)
    for node in range(15):
        row, column = (4 * data.pos[node]).long().tolist()
        assert torch.equal(data.x[node].view(channels, 4, 4), image[:, row : row + 4, column : column + 4])


def test_patches_of_one_pixel_are_the_nodes_of_the_map():
    image = torch.rand(3, 5, 6)
    data = ImageToPatchGraph(1, edges=None)(image)
    x, layout = to_nodes(image[None])
    assert torch.equal(data.x, x) and torch.equal(data.pos, layout.pos)


def test_edges_are_those_of_the_search_on_the_patches():
    image = torch.rand(3, 24, 24)
    data = ImageToPatchGraph(4, k=4, dilation=2)(image)
    layout = BatchLayout.from_sizes([(6, 6)])
    expected = DilatedKNN(4, 2, engine="torch_cluster")(data.x, layout, data.x, layout)
    assert torch.equal(data.edge_index, expected) and sorted_by_center(data.edge_index)


def test_similar_patches_are_joined():
    data = ImageToPatchGraph(12, k=2)(torch.cat([flag(), flag()], dim=1))  # 4 rows of red, green, blue
    source, center = data.edge_index
    assert torch.equal(source % 3, center % 3)


def test_nine_neighbors_by_default():
    assert ImageToPatchGraph(4)(torch.rand(3, 16, 16)).edge_index.size(1) == 16 * 9


def test_fewer_patches_than_neighbors():
    assert ImageToPatchGraph(8, k=9)(torch.rand(3, 16, 16)).edge_index.size(1) == 4 * 4


def test_the_grid_joins_the_patches_around():
    edge_index = ImageToPatchGraph(2, edges="grid")(torch.rand(1, 6, 6)).edge_index
    assert sorted_by_center(edge_index) and is_undirected(edge_index) and not contains_self_loops(edge_index)
    assert edge_index[0, edge_index[1] == 4].tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert edge_index[0, edge_index[1] == 2].tolist() == [1, 4, 5]


def test_a_builder_makes_its_own_edges():
    def center_only(x, layout, x_src, layout_src):
        assert x is x_src and layout is layout_src and layout.grid_sizes == ((2, 2),)
        return torch.arange(layout.num_nodes).repeat(2, 1)

    data = ImageToPatchGraph(4, edges=center_only)(torch.rand(3, 8, 8))
    assert data.edge_index.tolist() == [[0, 1, 2, 3]] * 2


def test_no_edges():
    assert ImageToPatchGraph(4, edges=None)(torch.rand(3, 8, 8)).edge_index is None


def test_a_size_that_patches_do_not_divide_is_refused():
    with pytest.raises(
        ValueError, match=r"patch_size=16 does not divide an image of 100 x 150 pixels: crop to 96 x 144"
    ):
        ImageToPatchGraph(16)(torch.rand(3, 100, 150))
    with pytest.raises(ValueError, match="smaller patches"):
        ImageToPatchGraph(16)(torch.rand(3, 8, 32))


@pytest.mark.parametrize("transform", [ImageToPatchGraph(4), ToSuperpixelGraph(10)], ids=["patches", "superpixels"])
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"floats, got torch.uint8: divide"),
        (torch.rand(8, 8), r"\(C, H, W\).* got \(8, 8\)\.$"),
        (torch.rand(2, 3, 8, 8), r"got \(2, 3, 8, 8\): transforms take images one by one"),
        (torch.rand(3, 0, 8), "at least one pixel"),
        (torch.rand(0, 8, 8), "at least one pixel"),
        (torch.full((3, 8, 8), torch.nan), "not finite"),
        ("cat.png", "got str: for a PIL image"),
    ],
    ids=["uint8", "2d", "4d", "empty", "no channel", "nan", "a name"],
)
def test_wrong_images_are_refused(transform, image, message):
    with pytest.raises(ValueError, match=message):
        transform(image)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageToPatchGraph(0), "patch_size must be at least 1, got 0"),
        (lambda: ImageToPatchGraph(4, k=0), "k must be at least 1, got 0"),
        (lambda: ImageToPatchGraph(4, dilation=0), "dilation must be at least 1, got 0"),
        (lambda: ImageToPatchGraph(4, edges="knm"), "Unknown edges 'knm': choose one of 'knn', 'grid'"),
        (lambda: ImageToPatchGraph(4, edges=3), "Unknown edges 3"),
        (lambda: ImageToPatchGraph(4, k=9, edges="grid"), "k=9 has no effect with edges='grid'"),
        (lambda: ImageToPatchGraph(4, dilation=2, edges=None), "dilation=2 has no effect with edges=None"),
        (lambda: ToSuperpixelGraph(0), "num_segments must be at least 1"),
        (lambda: ToSuperpixelGraph(10, 0.0), "compactness above 0"),
        (lambda: ToSuperpixelGraph(10, edges="grid"), "Unknown edges 'grid': choose one of 'adjacency', 'knn'"),
        (lambda: ToSuperpixelGraph(10, edges=DilatedKNN(3)), "edges must be 'adjacency', 'knn' or None"),
        (lambda: ToSuperpixelGraph(10, k=3), "k=3 has no effect with edges='adjacency'"),
        (lambda: ToSuperpixelGraph(10, edges="knn", k=0), "k must be at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# superpixels


def test_superpixels_of_a_flag_are_its_stripes_or_parts_of_them():
    image = flag()
    data = ToSuperpixelGraph(9, compactness=1.0, add_seg=True)(image)
    assert data.seg.shape == (1, 24, 36) and int(data.seg.max()) == data.num_nodes - 1
    torch.testing.assert_close(data.x.sum(1), torch.ones(data.num_nodes))  # no region mixes colors
    assert data.x.amax() == 1
    for node in range(data.num_nodes):
        rows, columns = (data.seg[0] == node).nonzero(as_tuple=True)
        torch.testing.assert_close(data.x[node], image[:, rows, columns].mean(1))
        torch.testing.assert_close(data.pos[node], torch.stack([rows.float().mean(), columns.float().mean()]))


def test_adjacent_regions_touch():
    data = ToSuperpixelGraph(30, add_seg=True)(picture(32, 40))
    seg, expected = data.seg[0].tolist(), set()
    for row in range(32):
        for column in range(40):
            for r, c in ((row + 1, column), (row, column + 1)):
                if r < 32 and c < 40 and seg[row][column] != seg[r][c]:
                    expected |= {(seg[row][column], seg[r][c]), (seg[r][c], seg[row][column])}
    assert pairs(data.edge_index) == expected and data.edge_index.size(1) == len(expected)
    assert sorted_by_center(data.edge_index)
    assert not contains_isolated_nodes(data.edge_index, data.num_nodes)


def test_nearest_centers():
    data = ToSuperpixelGraph(30, edges="knn", k=4)(picture(32, 40))
    nearest = torch.cdist(data.pos.double(), data.pos.double()).topk(4, largest=False).indices
    source, center = data.edge_index.view(2, -1, 4)
    assert torch.equal(center, torch.arange(data.num_nodes)[:, None].expand(-1, 4))
    assert torch.equal(source[:, 0], torch.arange(data.num_nodes))
    assert torch.equal(source.sort().values, nearest.sort().values)


@pytest.mark.parametrize("edges", ["adjacency", "knn", None])
def test_one_region(edges):
    data = ToSuperpixelGraph(1, edges=edges)(torch.rand(1, 8, 8))
    assert data.x.shape == (1, 1)
    assert (None if data.edge_index is None else data.edge_index.size(1)) == {"adjacency": 0, "knn": 1, None: None}[
        edges
    ]


def test_compactness_makes_squarer_regions():
    def spread(compactness):
        data = ToSuperpixelGraph(25, compactness, add_seg=True)(picture(40, 40))
        pixels = torch.cartesian_prod(torch.arange(40.0), torch.arange(40.0))
        return (pixels - data.pos[data.seg.flatten()]).norm(dim=1).mean()

    assert spread(1000.0) < spread(0.1)


@pytest.mark.parametrize("transform", [ImageToPatchGraph(4), ToSuperpixelGraph(10)], ids=repr)
def test_a_view_of_a_larger_image(transform):
    view = picture(20, 24)[:, :16, 4:20]
    one, two = transform(view), transform(view.contiguous())
    assert torch.equal(one.x, two.x) and torch.equal(one.edge_index, two.edge_index)


def test_normalised_pixels_are_refused():
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\], got -1 to 1: .* before any normalization"):
        ToSuperpixelGraph(10)(2 * flag() - 1)


def test_missing_scikit_image_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match=r"\(extra superpixels\): .*install"):
        ToSuperpixelGraph(10)


# in PyG

PATCHES = [ImageToPatchGraph(4, k=5), ImageToPatchGraph(4, edges="grid")]
SUPERPIXELS = [ToSuperpixelGraph(20), ToSuperpixelGraph(20, edges="knn", k=5)]


def ragged():
    return [picture(*size) for size in [(16, 16), (24, 32), (16, 16)]]


@pytest.mark.parametrize("transform", PATCHES + SUPERPIXELS, ids=repr)
def test_in_a_composition_and_a_loader(transform):
    composed = T.Compose([transform, T.ToUndirected(), T.AddRemainingSelfLoops()])
    batch = next(iter(DataLoader([composed(image) for image in ragged()], batch_size=3)))
    assert batch.is_undirected() and batch.has_self_loops()
    assert torch.equal(batch.batch[batch.edge_index[0]], batch.batch[batch.edge_index[1]])
    assert GCNConv(batch.x.size(1), 8)(batch.x, batch.edge_index).shape == (batch.num_nodes, 8)


@pytest.mark.parametrize("transform", PATCHES + SUPERPIXELS, ids=repr)
def test_with_labels_and_workers(transform):
    class Labeled(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return transform(flag().roll(i, dims=2)), i

    batch, labels = next(iter(DataLoader(Labeled(), batch_size=4, num_workers=1)))
    assert isinstance(batch, Batch) and labels.tolist() == [0, 1, 2, 3]
    assert torch.equal(batch[2].edge_index, Labeled()[2][0].edge_index)


@pytest.mark.parametrize("edges", ["knn", "grid", None])
def test_the_layout_of_a_batch_of_patches_is_that_of_the_images(edges):
    images = ragged()
    layout = BatchLayout.from_batch(
        Batch.from_data_list([ImageToPatchGraph(4, edges=edges)(image) for image in images])
    )
    expected = BatchLayout.from_sizes([(4, 4), (6, 8), (4, 4)])
    assert (layout.grid_sizes, layout.num_nodes_per_graph) == (expected.grid_sizes, expected.num_nodes_per_graph)
    for key in ("pos", "batch", "ptr"):
        assert torch.equal(getattr(layout, key), getattr(expected, key))


@pytest.mark.parametrize("transform", PATCHES + SUPERPIXELS, ids=repr)
def test_isotropic_blocks_run_on_such_batches(transform):
    graphs = [transform(image) for image in ragged()]
    width = nn.Linear(graphs[0].x.size(1), 64)
    model = calibrated(ViG("micro", num_classes=5))

    def logits(batch):
        batch.x = width(batch.x) + sincos(batch.pos, 64).float()
        return model.forward_head(model.forward_features(batch))

    out = logits(Batch.from_data_list(graphs))
    assert out.shape == (3, 5)
    for i, graph in enumerate(graphs):  # each image gets what it gets alone
        torch.testing.assert_close(out[i], logits(Batch.from_data_list([graph]))[0], rtol=0, atol=1e-4)
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in width.parameters())
    assert all(p.grad is not None for p in model.blocks.parameters())


@pytest.mark.parametrize("transform", PATCHES + SUPERPIXELS, ids=repr)
def test_blocks_train_on_such_batches_and_show_their_graphs(transform):
    batch = Batch.from_data_list([transform(image) for image in ragged()])
    batch.x = nn.Linear(batch.x.size(1), 64)(batch.x)
    model = ViG("micro", num_classes=0, drop_path_rate=0.1).train()
    out = model.forward_features(batch)
    assert out.x.shape == batch.x.shape and torch.equal(out.ptr, batch.ptr)
    assert [part.x.size(0) for part in out.to_data_list()] == batch.ptr.diff().tolist()
    graphs = model.graphs(batch)
    assert len(graphs) == 4 and graphs[0].num_graphs == 3


def test_maps_come_back_from_patches_but_not_from_superpixels():
    images = torch.rand(2, 3, 16, 24)
    batch = Batch.from_data_list([PATCHES[0](image) for image in images])
    maps = to_maps(batch.x, BatchLayout.from_batch(batch))
    assert torch.equal(nn.functional.pixel_shuffle(maps, 4), images)
    points = Batch.from_data_list([SUPERPIXELS[0](image) for image in images])
    with pytest.raises(ValueError, match="use an isotropic ViG"):
        to_maps(points.x, BatchLayout.from_batch(points))


def test_a_batch_of_another_width_is_refused():
    batch = Batch.from_data_list([PATCHES[0](image) for image in ragged()])
    for family, width in ((ViG, 64), (PyramidViG, 32)):
        with pytest.raises(ValueError, match=rf"\(N, {width}\), got \(80, 48\).*Linear\(48, {width}\)"):
            family("micro").forward_features(batch)


def test_repr():
    assert repr(ImageToPatchGraph(4, edges="grid")) == "ImageToPatchGraph(patch_size=4, edges='grid')"
    assert repr(ImageToPatchGraph(4, k=3)).startswith("ImageToPatchGraph(patch_size=4, edges=DilatedKNN(k=3,")
    assert repr(ToSuperpixelGraph(20)) == "ToSuperpixelGraph(num_segments=20, edges='adjacency')"
