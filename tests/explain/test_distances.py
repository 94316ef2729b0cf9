import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.explain.common import image_and_graphs, model_of
from vig_pyg import create_model
from vig_pyg.explain import draw_distances, neighbor_distances
from vig_pyg.explain.distances import edge_ranks
from vig_pyg.graph import GridGraph
from vig_pyg.models.inspect import PatchGraph


def test_distances_are_those_of_the_centers_in_pixels():
    _, graphs = image_and_graphs("pvig_micro")
    found = neighbor_distances(graphs, patch_size=2)
    assert len(found) == len(graphs)
    for distance, batch in zip(found, graphs, strict=True):
        graph = batch.get_example(0)
        cell = 32 / graph.grid_size[0]  # pixels of a patch in this stage
        for (source, target), d in zip(graph.edge_index.t().tolist(), distance.tolist(), strict=True):
            center = [(i + 0.5) * cell for i in divmod(target, graph.grid_size[1])]
            r = int(graph.reduce_ratio)
            there = [(i + 0.5) * cell * r for i in divmod(source, graph.grid_size[1] // r)]
            assert d == pytest.approx(sum((a - b) ** 2 for a, b in zip(center, there, strict=True)) ** 0.5, abs=1e-3)


def test_images_of_several_sizes_go_together():
    model = model_of("vig_micro")
    images = [torch.rand(3, 32, 48), torch.rand(3, 40, 32)]
    together = neighbor_distances(model.graphs(images))
    alone = [neighbor_distances(model.graphs(image[None])) for image in images]
    for layer, distance in enumerate(together):
        assert torch.allclose(distance, torch.cat([one[layer] for one in alone]))


def test_the_default_unit_is_the_first_layers_patch():
    _, graphs = image_and_graphs("vig_micro")
    one, four = neighbor_distances(graphs), neighbor_distances(graphs, patch_size=4)
    assert torch.equal(4 * one[2], four[2])
    side = one[2][one[2] > 0].min()
    assert side == 1


def test_ranks_follow_the_order_of_the_edges():
    assert edge_ranks(torch.tensor([1, 1, 4, 4, 4, 5])).tolist() == [0, 1, 0, 1, 2, 0]
    assert edge_ranks(torch.tensor([], dtype=torch.long)).tolist() == []


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_histograms_show_every_layer_once(name):
    _, graphs = image_and_graphs(name)
    fig = draw_distances(graphs, patch_size=4)
    assert len(fig.axes) == len(graphs)
    assert fig.get_supxlabel() == "distance in pixels"
    assert draw_distances(graphs).get_supxlabel() == "distance in patches of the first layer"
    for axes, distance in zip(fig.axes, neighbor_distances(graphs, patch_size=4), strict=True):
        ours, pairs = (patch.get_data() for patch in axes.patches)
        assert ours.values.sum() == pytest.approx(100, abs=1e-3)
        assert pairs.values.sum() == pytest.approx(100, abs=1e-3)
        others = distance[distance > 0]
        assert ours.edges[-1] > others.max()
        for low, high, height in zip(ours.edges, ours.edges[1:], ours.values, strict=False):
            share = float(((others >= low) & (others < high)).float().mean())
            assert height == pytest.approx(100 * share, abs=1e-3)
        (median,) = axes.lines
        assert median.get_xdata()[0] == pytest.approx(float(distance[distance > 0].median()))


def test_free_points_and_nothing_are_refused():
    with pytest.raises(ValueError, match="no graphs"):
        neighbor_distances([])
    points = PatchGraph(edge_index=torch.zeros(2, 1, dtype=torch.long), pos=torch.rand(2, 2), pos_src=torch.rand(2, 2))
    with pytest.raises(ValueError, match="grids of patches"):
        neighbor_distances([points])


@pytest.mark.parametrize(("name", "layers"), [("vig_micro", 1), ("vig_micro", 2), ("vig_micro", 4), ("pvig_micro", 5)])
@pytest.mark.parametrize("patch_size", [None, 4])
def test_the_legend_lies_below_the_panels_and_the_label(name, layers, patch_size):
    figure = draw_distances(image_and_graphs(name)[1][:layers], patch_size=patch_size)
    FigureCanvasAgg(figure)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["neighbors", "all pairs", "median of neighbors"]
    box, label, inside = legend.get_window_extent(), figure._supxlabel.get_window_extent(), figure.bbox
    assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= label.y0
    for axes in figure.axes:
        assert axes.get_legend() is None and label.y1 <= axes.get_tightbbox().y0
        assert axes.title.get_window_extent().y1 <= inside.y1


def test_a_layer_without_neighbors_takes_no_entry_from_the_legend():
    numbers = iter(range(4))
    _, graphs = image_and_graphs("vig_micro", graph=lambda k, dilation: itself_first(next(numbers)))
    (legend,) = draw_distances(graphs).legends
    assert [text.get_text() for text in legend.get_texts()] == ["neighbors", "all pairs", "median of neighbors"]


def itself_first(number):
    """Edges from each patch to itself in the first layer, and the grid in the others."""

    def build(x, layout, x_src, layout_src):
        itself = torch.arange(layout.num_nodes).repeat(2, 1)
        return itself if number == 0 else GridGraph()(x, layout, x_src, layout_src)

    return build


def test_a_grid_of_one_patch_says_so():
    graphs = create_model("pvig_micro", patch_size=4, position="grid").eval().graphs(torch.rand(1, 3, 32, 32))
    *others, last = draw_distances(graphs).axes
    assert [text.get_text() for text in last.texts] == ["no other patch"]
    assert not any(axes.texts for axes in others)
