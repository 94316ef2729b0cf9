"""Our models against outputs of the published code, in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.parity import rule
from vig_pyg import ViG, weights
from vig_pyg.checkpoints.formats import foreign_names
from vig_pyg.data import pool_graphs


def outputs(model, images):
    """Means over the nodes after the stem and each element of the published flat list, and the neighbors."""
    found, elements = {}, []
    stem = model.stem.register_forward_hook(lambda m, i, out: found.update(stem=out.mean((2, 3))))
    handles = [stem]
    for module in model.modules():
        if type(module).__name__ == "Downsample":
            handles.append(module.register_forward_hook(lambda m, i, out: elements.append(out.mean((2, 3)))))
        if type(module).__name__ == "Block":
            handles.append(module.register_forward_hook(lambda m, i, out: elements.append(pool_graphs(out, i[1]))))
    with torch.no_grad():
        found["logits"] = model(images)
    for handle in handles:
        handle.remove()
    return found | {f"block{i:02d}": value for i, value in enumerate(elements)}


@pytest.mark.parametrize("name", [*rule.PUBLISHED, *rule.SMALL])
@pytest.mark.parametrize("layout", ["official", "mmpretrain"])
def test_logits_and_blocks(name, layout):
    model = rule.make_model(name).eval()
    state = rule.official_state(name)
    weights.load_weights(model, state)
    if layout == "mmpretrain":
        state = weights.convert(model, "mmpretrain")
        model = rule.make_model(name).eval()
        weights.load_weights(model, state)
    want = rule.expected(name)
    got = outputs(model, rule.images())
    keys = [key for key in want if key.startswith(("logits", "stem", "block"))]
    assert set(keys) == set(got)
    for key in keys:
        np.testing.assert_allclose(got[key].cpu().numpy(), want[key], rtol=0, atol=1e-8, err_msg=key)


@pytest.mark.parametrize("name", [n for n in [*rule.PUBLISHED, *rule.SMALL] if "neighbors00" in rule.expected(n)])
def test_neighbors(name):
    model = rule.make_model(name).eval()
    weights.load_weights(model, rule.official_state(name))
    want = rule.expected(name)
    graphs = model.graphs(rule.images())
    assert len(graphs) == sum(key.startswith("neighbors") for key in want)
    for i, graph in enumerate(graphs):
        table = np.stack([g.edge_index[0].view(g.pos.size(0), -1).cpu().numpy() for g in graph.to_data_list()])
        np.testing.assert_array_equal(np.sort(table), np.sort(want[f"neighbors{i:02d}"]), err_msg=f"Grapher {i}")


@pytest.mark.parametrize("name", rule.SMALL)
def test_training_loss_and_gradients(name):
    model = rule.make_model(name).train()
    weights.load_weights(model, rule.official_state(name))
    want = rule.expected(name)
    loss = F.cross_entropy(model(rule.images()), torch.tensor([0, 1]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), want["train_loss"], rtol=1e-6)
    ours = dict(model.named_parameters())
    names = {foreign: own for own, foreign in foreign_names(model.state_dict(), "official").items()}
    norms = {key: ours[names[key]].grad.norm().item() for key in want["grad_norm_keys"].tolist()}
    # biases before a batch norm have no effect: their gradients are rounding, here and there
    np.testing.assert_allclose(list(norms.values()), want["grad_norms"], rtol=1e-6, atol=1e-9)
    assert isinstance(model, ViG) == name.startswith("vig")
