import pytest
import torch
from torch import nn
from torch_geometric.explain import CaptumExplainer, Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import GATv2Conv, MessagePassing, SAGEConv

from tests.explain.common import model_of
from vig_pyg.explain import ExplainableViG

CONVS = {"mr": "mr", "edge": "edge", "gin": "gin", "sage": "sage", "GATv2": GATv2Conv, "SAGE of PyG": SAGEConv}


def explainer(model, algorithm):
    return Explainer(
        model,
        algorithm,
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )


def state(model):
    """What masking could leave behind."""
    convs = [module for module in model.modules() if isinstance(module, MessagePassing)]
    return [(conv.explain, conv._edge_mask, conv.explain_message.__func__) for conv in convs]


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("conv", CONVS)
def test_weights_of_one_change_nothing_and_weights_of_nought_do(name, conv):
    model, images = model_of(name, conv=CONVS[conv]), torch.rand(2, 3, 32, 32)
    explained = ExplainableViG(model, images)
    with torch.no_grad():
        expected = model(images)
        assert torch.allclose(explained(explained.x, explained.edge_index), expected, atol=1e-5)
        ones = torch.ones(explained.edge_index.size(1))
        set_masks(explained, ones, explained.edge_index, apply_sigmoid=False)
        assert torch.allclose(explained(explained.x, explained.edge_index), expected, atol=1e-4)
        set_masks(explained, 0 * ones, explained.edge_index, apply_sigmoid=False)
        assert not torch.allclose(explained(explained.x, explained.edge_index), expected, atol=1e-3)
    clear_masks(explained)
    assert torch.allclose(model(images), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_each_layer_takes_its_own_weights(name):
    """A weight of 0 on one edge is that message at 0, in that layer alone."""
    model, images = model_of(name, conv="gin"), torch.rand(1, 3, 32, 32)
    explained = ExplainableViG(model, images)
    for layer, count in enumerate(explained.counts):
        mask = torch.ones(explained.edge_index.size(1))
        explained.split(mask)[layer][count // 2] = 0
        set_masks(explained, mask, explained.edge_index, apply_sigmoid=False)
        found = explained(explained.x, explained.edge_index)
        clear_masks(explained)

        def without(conv, inputs, message, edge=count // 2):
            return message.index_fill(0, torch.tensor([edge]), 0)

        handle = model.graphers()[layer].conv.register_message_forward_hook(without)
        expected = explained(explained.x, explained.edge_index)
        handle.remove()
        assert torch.allclose(found, expected, atol=1e-6)
        assert not torch.allclose(found, model(images), atol=1e-6)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize(
    "algorithm",
    [GNNExplainer(epochs=3), CaptumExplainer("Saliency"), CaptumExplainer("IntegratedGradients", n_steps=4)],
)
@pytest.mark.filterwarnings("ignore:Input Tensor . did not already require gradients:UserWarning")  # captum's
def test_the_explainers_of_pyg_run_and_leave_nothing(name, algorithm):
    model, images = model_of(name), torch.rand(2, 3, 32, 32)
    explained = ExplainableViG(model, images)
    before = state(model)
    found = explainer(explained, algorithm)(explained.x, explained.edge_index)
    assert found.validate()
    assert torch.equal(found.target, model(images).argmax(1))
    assert found.node_mask.shape == explained.x.shape
    layers = explained.split(found.edge_mask)
    assert [len(layer) for layer in layers] == [graph.edge_index.size(1) for graph in explained.graphs]
    assert all(layer.abs().sum() > 0 for layer in layers)
    assert state(model) == before


def test_an_error_leaves_nothing_behind():
    model = model_of("vig_micro")
    explained = ExplainableViG(model, torch.rand(1, 3, 32, 32))
    before = state(model), [grapher.graph for grapher in model.graphers()]
    with pytest.raises(ValueError, match=r"x \(N, 64\), got \(64, 3\)"):
        explained(explained.x[:, :3], explained.edge_index)
    assert (state(model), [grapher.graph for grapher in model.graphers()]) == before


def test_what_cannot_be_explained_is_refused():
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"model.eval\(\)"):
        ExplainableViG(model_of("vig_micro").train(), images)

    class NoMessages(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.linear = nn.Linear(i, o)

        def forward(self, x, edge_index):
            return self.linear(x)

    with pytest.raises(ValueError, match="NoMessages of layer 1"):
        ExplainableViG(model_of("vig_micro", conv=NoMessages), images)
    explained = ExplainableViG(model_of("vig_micro"), images)
    with pytest.raises(ValueError, match="edges of all layers"):
        explained(explained.x, explained.edge_index[:, 1:])
