import pytest
import torch

from tests.explain.common import model_of
from vig_pyg.conv import EdgeConv
from vig_pyg.data import BatchLayout, to_batch
from vig_pyg.explain import attribute, fixed_graphs


def slope(function, step=1e-5):
    """Derivative at 1."""
    with torch.no_grad():
        return float((function(1 + step) - function(1 - step)) / (2 * step))


@pytest.fixture(params=["mr", "edge", "gin", "sage"])
def case(request):
    torch.set_default_dtype(torch.float64)
    yield model_of("pvig_micro", conv=request.param), torch.rand(3, 32, 32)
    torch.set_default_dtype(torch.float32)


def test_a_patchs_score_is_the_slope_of_scaling_it(case):
    model, image = case
    found = attribute(model, image, 3)
    height, width = found.patches.shape
    patches = model.embed(image[None])
    for row, column in ((0, 0), (height // 2, 3), (height - 1, width - 1)):

        def logit(scale, node=row * width + column):
            x = patches.x.clone()
            x[node] *= scale
            with fixed_graphs(model, [graph.edge_index for graph in found.graphs]):
                features = model.forward_features(to_batch(x, BatchLayout.from_batch(patches)))
            return model.forward_head(features)[0, 3]

        assert found.patches[row, column].item() == pytest.approx(slope(logit), rel=1e-4, abs=1e-9)


def logit_of_scaled_messages(model, image, found, layer, edges):
    """A function of the scale of some messages of one layer; found with PyG's hook, not with its masks."""
    conv = model.graphers()[layer].conv

    def logit(scale):
        def scaled(conv, inputs, message):
            weight = torch.ones(len(message), 1)
            weight[edges] = scale
            return message * weight

        handle, conv.fuse = conv.register_message_forward_hook(scaled), False
        try:
            with fixed_graphs(model, [graph.edge_index for graph in found.graphs]):
                return model(image[None])[0, found.target]
        finally:
            handle.remove()
            conv.fuse = True

    return logit


def test_an_edges_score_is_the_slope_of_scaling_its_message(case):
    model, image = case
    found = attribute(model, image)
    ties = isinstance(model.graphers()[0].conv, EdgeConv)  # half of its heads see the center alone
    for layer, scores in enumerate(found.edges):
        target = found.graphs[layer].edge_index[1]
        largest = int(scores.abs().argmax())
        for edges in [target == target[largest]] + ([] if ties else [[largest]]):
            score = scores[edges].sum().item()
            assert score != 0
            expected = slope(logit_of_scaled_messages(model, image, found, layer, edges))
            assert score == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_the_default_is_the_models_answer_and_the_model_stays_as_it_was():
    model, image = model_of("vig_micro"), torch.rand(3, 32, 48)
    before = model(image[None])
    found = attribute(model, image)
    assert found.target == int(before.argmax())
    assert found.patches.shape == (8, 12)
    assert [len(scores) for scores in found.edges] == [graph.edge_index.size(1) for graph in found.graphs]
    assert not found.patches.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(model(image[None]), before)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_a_fused_copy_gives_the_same_scores(name):
    model, image = model_of(name).double(), torch.rand(3, 32, 32).double()
    one, two = attribute(model, image, 1), attribute(model.fuse(), image, 1)
    torch.testing.assert_close(two.patches, one.patches)
    torch.testing.assert_close(two.edges, one.edges)


def test_wrong_input_is_refused():
    model = model_of("vig_micro")
    with pytest.raises(ValueError, match="one image"):
        attribute(model, torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="from 0 to 4, got 5"):
        attribute(model, torch.rand(3, 32, 32), 5)
