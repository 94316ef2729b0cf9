import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.explain.common import image_and_graphs, model_of
from vig_pyg import create_model, vig_micro
from vig_pyg.explain import draw_all


def ends(fig):
    """Ends of the lines, `(E, 2, 2)`: patch and neighbor, each as (x, y)."""
    (lines,) = fig.axes[0].collections
    return torch.stack([torch.from_numpy(segment) for segment in lines.get_segments()]).float()


def expected(graph, side):
    """The same from `edge_index`, edge by edge."""
    cell = side / graph.grid_size[0]
    out = set()
    for source, target in graph.edge_index.t().tolist():
        if source == target and graph.reduce_ratio == 1:
            continue
        (r, c), (rs, cs) = graph.pos[target].tolist(), graph.pos_src[source].tolist()
        out.add(tuple(round((place + 0.5) * cell, 3) for place in (c, r, cs, rs)))
    return out


@pytest.mark.parametrize(("name", "layer"), [("vig_micro", 1), ("pvig_micro", 0)])
def test_a_line_joins_each_patch_with_each_neighbor(name, layer):
    image, graphs = image_and_graphs(name)
    lines = {
        tuple(round(v, 3) for v in line) for line in ends(draw_all(image, graphs, layer=layer)).flatten(1).tolist()
    }
    assert lines == expected(graphs[layer].get_example(0), 32)


def test_only_the_nearest_are_drawn_and_last():
    image, graphs = image_and_graphs("vig_micro")
    graph = graphs[-1].get_example(0)
    fig = draw_all(image, graphs, nearest=1)
    nearest = {}  # of each patch, itself not counted
    for source, target in graph.edge_index.t().tolist():
        if source != target:
            nearest.setdefault(target, source)
    cell = 32 / graph.grid_size[0]
    drawn = (ends(fig) / cell - 0.5).round().long()
    assert {(int(a[1] * 8 + a[0]), int(b[1] * 8 + b[0])) for a, b in drawn} == set(nearest.items())
    everything = draw_all(image, graphs)
    assert torch.equal(ends(everything)[-len(nearest) :].sort(0)[0], ends(fig).sort(0)[0])
    assert "1 nearest only: 64 edges" in fig.axes[0].get_title()
    image, graphs = image_and_graphs("vig_micro", graph="random")
    assert "2 first only" in draw_all(image, graphs, nearest=2).axes[0].get_title()  # edges of any order


def test_a_layer_without_an_edge_is_an_image():
    image = torch.rand(3, 4, 4)  # one patch, its own neighbor
    fig = draw_all(image, model_of("vig_micro").graphs(image[None]))
    assert "0 edges" in fig.axes[0].get_title()
    fig.canvas.draw()


def test_wrong_input_is_refused():
    image, graphs = image_and_graphs("vig_micro")
    with pytest.raises(ValueError, match="nearest"):
        draw_all(image, graphs, nearest=0)
    with pytest.raises(IndexError, match="there are 4 graphs"):
        draw_all(image, graphs, layer=4)
    with pytest.raises(ValueError, match="Expected an image"):
        draw_all(image[:2], graphs)
    with pytest.raises(ValueError, match="graphs of one image"):
        draw_all(image, [])


@pytest.mark.parametrize("light", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("nearest", [1, None])
def test_lines_are_visible_on_every_image(light, nearest):
    image, graphs = image_and_graphs("vig_micro")
    fig = draw_all(torch.full_like(image, light), graphs, nearest=nearest)
    (lines,) = fig.axes[0].collections
    paper = 0.5 + 0.5 * light  # the image is drawn pale
    for color in lines.get_colors():
        drawn = color[:3] * lines.get_alpha() + paper * (1 - lines.get_alpha())
        outlined = bool(lines.get_path_effects())
        contrast = max(abs(1 - paper), abs(drawn - paper).max()) if outlined else abs(drawn - paper).max()
        assert contrast > 0.15


@pytest.mark.parametrize("layer", [0, 1, -1, -2])
def test_the_title_names_the_index_that_was_passed_and_the_number_of_the_layer(layer):
    graphs = vig_micro().eval().graphs(torch.rand(1, 3, 32, 32))
    index = layer % len(graphs)
    title = draw_all(torch.rand(3, 32, 32), graphs, layer=layer).axes[0].get_title()
    assert title.startswith(f"graphs[{index}], layer {index + 1}: ")


@pytest.mark.parametrize(("height", "width"), [(32, 320), (320, 32)])
def test_a_strip_fills_the_figure(height, width):
    graphs = create_model("pvig_micro", patch_size=4, position="grid").eval().graphs(torch.rand(1, 3, height, width))
    fig = draw_all(torch.rand(3, height, width), graphs)
    FigureCanvasAgg(fig).draw()
    box = fig.axes[0].get_window_extent()
    assert max(box.width / fig.bbox.width, box.height / fig.bbox.height) > 0.85
    assert max(box.width, box.height) > 700
