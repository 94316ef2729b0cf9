import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from vig_pyg import DilatedKNN, create_model
from vig_pyg._palette import MARK
from vig_pyg.explain import draw_graph


def graphs(name, **options):
    torch.manual_seed(0)
    image = torch.rand(3, 32, 32)
    return image, create_model(name, **options).eval().graphs(image[None])


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_every_layer_shows_the_patch_and_its_neighbors(name):
    image, found = graphs(name)
    fig = draw_graph(image, found)
    assert len(fig.axes) == len(found)
    for axes, batch in zip(fig.axes, found, strict=True):
        graph = batch.get_example(0)
        *neighbors, center = axes.patches
        assert len(neighbors) == int(graph.k)
        assert center.get_edgecolor()[:3] == to_rgb(MARK)
        assert all(p.get_x() >= 0 and p.get_x() + p.get_width() <= 32.001 for p in neighbors)
        cell = 32 / graph.grid_size[1] * graph.reduce_ratio
        assert neighbors[0].get_width() == pytest.approx(cell)


def test_pooled_cells_at_the_border_end_with_the_image():
    torch.manual_seed(0)
    image = torch.rand(3, 36, 44)  # 18 x 22 patches, pooled by 4 to 5 x 6 cells, of 2 x 2 in the corner
    graph = (found := create_model("pvig_micro").eval().graphs(image[None]))[0].get_example(0)
    target = int(graph.edge_index[1, graph.edge_index[0] == 29][0])  # has the corner as a neighbor
    patch = (target // 22 + 0.5) / 18, (target % 22 + 0.5) / 22
    *cells, _ = draw_graph(image, found, patch=patch).axes[0].patches
    sources = graph.edge_index[0, graph.edge_index[1] == target].tolist()
    for drawn, source in zip(cells, sources, strict=True):
        top, left = (4 * place for place in divmod(source, 6))
        corners = (left, top, min(left + 4, 22), min(top + 4, 18))
        assert drawn.get_bbox().extents.tolist() == pytest.approx([2 * place for place in corners])


def test_the_nearest_neighbor_of_a_patch_is_itself():
    image, found = graphs("vig_micro")
    axes = draw_graph(image, found, patch=(0.0, 0.0)).axes[0]
    assert axes.patches[0].get_xy() == axes.patches[-1].get_xy() == (0, 0)


def test_deep_models_are_thinned_out():
    image, found = graphs("vig_micro", depth=20)
    fig = draw_graph(image, found)
    assert len(fig.axes) == 12
    assert fig.axes[-1].get_title().startswith("layer 20:")


def test_wrong_input_is_refused():
    image, found = graphs("vig_micro")
    with pytest.raises(ValueError, match="fractions of the image"):
        draw_graph(image, found, patch=(1.0, 0.5))
    with pytest.raises(ValueError, match="Expected an image"):
        draw_graph(image[None], found)
    with pytest.raises(ValueError, match="graphs of one image"):
        draw_graph(image, create_model("vig_micro").eval().graphs(torch.rand(2, 3, 32, 32)))


def test_missing_matplotlib_names_the_extra(monkeypatch):
    image, found = graphs("vig_micro")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"\(extra plot\): .*install"):
        draw_graph(image, found)


def test_a_photo_is_drawn_with_few_shapes():
    """224 px have 3136 patches: what is drawn is one of them and its neighbors, in the layers that are shown."""
    model = create_model("pvig_tiny").eval()
    rows = torch.linspace(0, 1, 224)
    image = torch.stack([rows[:, None] * rows, (20 * rows[:, None]).sin().abs() * rows, rows.outer(1 - rows)])
    fig = draw_graph(image, model.graphs(image[None]))
    fig.canvas.draw()
    shapes = [child for axes in fig.axes for child in (*axes.patches, *axes.lines, *axes.collections)]
    assert len(fig.axes) == 12 and len(shapes) == 12 * (9 + 1)
    assert all(len(axes.images) == 1 for axes in fig.axes)


@pytest.mark.parametrize("light", [0.0, 0.5, 1.0])
def test_outlines_are_visible_on_every_image(light):
    """Around each cell there are pixels that differ clearly from the image, and from each other."""
    _, found = graphs("vig_micro")
    fig = draw_graph(torch.full((3, 32, 32), light), found)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255
    for axes in fig.axes:
        for cell in axes.patches:
            box = cell.get_window_extent()
            row = round(pixels.shape[0] - (box.y0 + box.y1) / 2)
            edge = pixels[row, max(round(box.x0) - 3, 0) : round(box.x0) + 3].mean(-1)
            assert np.abs(edge - light).max() > 0.3


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_legend_explains_the_colors_and_lies_within_the_figure(layers):
    image, found = graphs("vig_micro")
    figure = draw_graph(image, found[:layers])
    FigureCanvasAgg(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "the patch",
        "its nearest neighbor",
        "its farthest neighbor",
    ]
    figure.canvas.draw()
    inside, box = figure.bbox, legend.get_window_extent()
    assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0
    for axes in figure.axes:
        title = axes.title.get_window_extent()
        assert title.y1 <= inside.y1 and box.y1 <= axes.get_window_extent().y0


def brightness(figure):
    """The mean gray of each panel, from 0 to 1."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float) / 255
    boxes = [axes.get_window_extent() for axes in figure.axes]
    high = len(pixels)
    return [pixels[round(high - b.y1) : round(high - b.y0), round(b.x0) : round(b.x1)].mean() for b in boxes]


@pytest.mark.parametrize(("light", "kept"), [(1.0, 0.7), (0.6, 0.75)])
def test_an_image_of_few_patches_stays_bright(light, kept):
    """With 4 x 4 patches and 9 neighbors, more than half of the image is filled."""
    model = create_model("vig_micro").eval()
    image = torch.full((3, 32, 32), light)
    found = model.graphs(torch.rand(1, 3, 16, 16))
    assert found[0].grid_size == [(4, 4)] and int(found[0].k) == 9
    assert min(brightness(draw_graph(image, found))) > kept * light


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_legend_explains_what_there_is(count):
    image, found = graphs("vig_micro")
    for batch in found:
        kept = torch.cat([(batch.edge_index[1] == i).nonzero()[:count, 0] for i in range(batch.num_nodes)])
        batch.edge_index = batch.edge_index[:, kept]
        batch._slice_dict["edge_index"] = torch.tensor([0, len(kept)])
    (legend,) = draw_graph(image, found).legends
    expected = [[], ["its neighbor"], ["its nearest neighbor", "its farthest neighbor"]][count]
    assert [text.get_text() for text in legend.get_texts()] == ["the patch", *expected]


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize(
    "graph", ["random", "grid", "complete", lambda k, dilation: lambda *given: DilatedKNN(k)(*given)]
)
def test_no_neighbor_is_called_the_nearest_in_graphs_of_another_order(name, graph):
    image, found = graphs(name, graph=graph)
    legend, *more = draw_graph(image, found).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "the patch",
        "its first edge",
        "its last edge",
    ] and not more


def test_the_legend_of_different_graphs_fits_all_of_them():
    image, found = graphs("pvig_micro", graph=["grid", "knn", "knn", "knn"])
    for shown, word in ((found, "first edge"), (found[1:], "nearest neighbor")):
        (legend,) = draw_graph(image, shown).legends
        assert legend.get_texts()[1].get_text() == f"its {word}"


def test_the_dilation_of_the_model_is_no_title_of_other_graphs():
    for graph, told in (("knn", True), ("random", False)):
        image, found = graphs("vig_micro", graph=graph, k=3)
        for batch in found:
            batch.dilation = torch.full_like(batch.dilation, 2)
        titles = [axes.get_title() for axes in draw_graph(image, found).axes]
        assert all(("dilation 2" in title) == told for title in titles)


@pytest.mark.parametrize(("height", "width"), [(32, 320), (320, 32)])
def test_a_strip_is_no_thin_line(height, width):
    graphs = create_model("pvig_micro", patch_size=4, position="grid").eval().graphs(torch.rand(1, 3, height, width))
    fig = draw_graph(torch.rand(3, height, width), graphs)
    FigureCanvasAgg(fig).draw()
    boxes = [axes.get_window_extent() for axes in fig.axes]
    if width > height:
        assert all(box.width > 0.9 * fig.bbox.width for box in boxes)
    else:
        assert all(box.height > 0.7 * fig.bbox.height for box in boxes)
