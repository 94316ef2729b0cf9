import pytest
import torch

from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.data import BatchLayout
from vig_pyg.graph import Reuse
from vig_pyg.graph.crossing import crossing_edges, refuse_crossing

SIZES = [[(2, 3)] * 4, [(1, 1)] * 3, [(2, 3), (1, 2), (4, 4)], [(3, 3)]]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("ratio", [1, 2])
def test_edges_between_images_are_those_whose_ends_are_in_two(sizes, ratio):
    layout = BatchLayout.from_sizes(sizes)
    sources = layout.pooled(ratio)
    places = [image for image, (h, w) in enumerate(sizes) for _ in range(h * w)]
    places_src = [image for image, (h, w) in enumerate(sizes) for _ in range(-(-h // ratio) * -(-w // ratio))]
    edges = torch.cartesian_prod(torch.arange(len(places_src)), torch.arange(len(places))).t()
    want = [places_src[source] != places[target] for source, target in edges.t().tolist()]
    assert crossing_edges(edges, layout, sources).tolist() == want
    assert crossing_edges(edges[:, :0], layout, sources).tolist() == []


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ([[0, 6], [1, 0]], "1 edge connects two images (of 2 edges), such as the one from source 6 of image 1 to "),
        ([[0, 9, 0], [6, 9, 7]], "2 edges connect two images (of 3 edges), such as the one from source 0 of image 0"),
    ],
)
def test_the_error_names_the_builder_and_an_edge(edges, words):
    layout = BatchLayout.from_sizes([(2, 3), (2, 3)])
    text = str(refuse_crossing(torch.tensor(edges), layout, layout, "The graph builder Far"))
    assert text.startswith("The graph builder Far mixes the images of a batch") and words in text


def shifted(by):
    """A builder that takes a step in the whole batch, as if it were one image."""

    def build(x, layout, x_src, layout_src):
        target = torch.arange(layout.num_nodes)
        own = DilatedKNN(3)(x, layout, x_src, layout_src)
        return torch.cat([own, torch.stack([(target + by) % layout_src.num_nodes, target])], dim=1)

    return build


@pytest.mark.parametrize("family", [ViG, PyramidViG])
@pytest.mark.parametrize("by", [1, 9, -3])
@pytest.mark.parametrize("sizes", [[32, 32], [32, 48]])
@pytest.mark.parametrize("reused", [False, True])
def test_a_network_refuses_edges_between_images(family, by, sizes, reused):
    def factory(k, dilation):
        return shifted(by)

    model = family("micro", graph=Reuse(factory, every=2) if reused else factory, num_classes=3)
    images = [torch.rand(3, 32, size) for size in sizes]
    for use in (model, model.eval(), model.graphs):
        with pytest.raises(ValueError, match=r"The graph builder shifted.*build mixes .* connects? two images"):
            use(images)
    assert model(images[0][None]).isfinite().all()  # an image alone has no other


def test_a_subclass_of_our_builder_is_checked_too():
    class Mine(DilatedKNN):
        def forward(self, x, layout, x_src, layout_src):
            edges = super().forward(x, layout, x_src, layout_src)
            return torch.stack([edges[0].flip(0), edges[1]])

    with pytest.raises(ValueError, match="The graph builder Mine mixes the images"):
        ViG("micro", graph=Mine, num_classes=3)(torch.rand(2, 3, 32, 32))


def test_one_edge_is_checked():
    def build(x, layout, x_src, layout_src):
        return torch.tensor([[0], [layout.num_nodes - 1]])

    with pytest.raises(ValueError, match="1 edge connects two images"):
        ViG("micro", graph=lambda k, dilation: build, num_classes=3).eval()(torch.rand(2, 3, 32, 32))
