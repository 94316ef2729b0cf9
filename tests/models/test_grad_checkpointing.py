import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap
from torch_geometric.nn import GATv2Conv

from tests.common import calibrated
from vig_pyg import PyramidViG, ViG
from vig_pyg.data import BatchLayout
from vig_pyg.graph import DilatedKNN, GridGraph, RandomGraph, Reuse
from vig_pyg.models.grad_checkpointing import run_block

ATTRIBUTES = ("distance", "offset")


def step(model, images, checkpointing):
    """Loss, gradients and buffers of one training step of a copy."""
    model = copy.deepcopy(model).train()
    model.set_grad_checkpointing(checkpointing)
    torch.manual_seed(3)
    loss = model(images).square().mean()
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters()), *model.buffers()]


def assert_same_steps(model, images):
    """Bit for bit on a CPU; a GPU adds in no fixed order, which the last norms over few patches amplify in float32."""
    on_gpu = model.pos_embed.weight.is_cuda
    if on_gpu:
        model = model.double()
        images = [image.double() for image in images] if isinstance(images, list) else images.double()
    for one, two in zip(step(model, images, False), step(model, images, True), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-5 if on_gpu else 0, atol=1e-7 if on_gpu else 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"drop_path_rate": 0.3, "dropout": 0.2},
        {"stochastic": True, "epsilon": 1.0},
        {"graph": "random"},
        {"graph": Reuse(DilatedKNN, every=3)},
        {"conv": "edge"},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_a_step_is_the_same_bit_for_bit(family, options):
    """With loss, all gradients, and running statistics, which the second application must not update again."""
    assert_same_steps(family("micro", num_classes=5, **options), torch.rand(3, 3, 32, 32))


def attentive(i, o):
    return GATv2Conv(i, o, edge_dim=3)


@pytest.mark.parametrize(("builder", "every"), [(DilatedKNN, 2), (DilatedKNN, 9), (GridGraph, 2), (RandomGraph, 3)])
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_reused_edges_with_attributes_that_have_gradients(family, builder, every):
    """At stages of a pyramid, Graphers that reuse edges build a graph, and must do so again."""

    def graph(k, dilation):
        return GridGraph(edge_attr=ATTRIBUTES) if builder is GridGraph else builder(k, edge_attr=ATTRIBUTES)

    # In float32, the last norms over two patches amplify rounding, which depends on the order in which threads add.
    model = family("micro", num_classes=5, k=3, conv=attentive, graph=Reuse(graph, every=every)).double()
    batch = torch.rand(2, 3, 32, 32).double()
    for images in (batch, [torch.rand(3, 32, 32).double(), torch.rand(3, 24, 40).double()]):
        for one, two in zip(step(model, images, False), step(model, images, True), strict=True):
            torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_transforms_of_functions_have_no_checkpoints_and_the_same_gradients(family):
    model = calibrated(family("micro", num_classes=5, k=3)).double()
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    values = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values, image):
        return functional_call(model, values, (image[None],)).square().sum()

    found = {}
    for checkpointing in (False, True):
        model.set_grad_checkpointing(checkpointing)
        samples = vmap(grad(loss), in_dims=(None, 0))(values, images)
        found[checkpointing] = [samples, grad(loss)(values, images[0]), jacrev(model)(images[:1])]
    torch.testing.assert_close(found[True], found[False], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_images_of_different_sizes(family):
    assert_same_steps(family("micro", num_classes=5), [torch.rand(3, 32, 32), torch.rand(3, 24, 40)])


@pytest.mark.parametrize("momentum", [0.1, None])
def test_norms_of_every_kind_keep_their_statistics(momentum):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4, momentum=momentum)

        def forward(self, x, layout):
            return self.norm(x).relu()

    block, x = Normed(), torch.rand(9, 4, requires_grad=True)
    run_block(block, x, BatchLayout.from_sizes([(3, 3)]), checkpointing=True).sum().backward()
    assert block.norm.num_batches_tracked == 1
    once = nn.BatchNorm1d(4, momentum=momentum)
    once(x)
    assert torch.equal(block.norm.running_var, once.running_var)


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_every_block_runs_twice_and_only_with_gradients(family):
    model, calls = family("micro", num_classes=5), []
    model.set_grad_checkpointing()
    for grapher in model.graphers():
        grapher.fc2.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model(torch.rand(2, 3, 32, 32))
    count = len(model.graphers())
    assert len(calls) == count
    loss = model(torch.rand(2, 3, 32, 32)).sum()
    assert len(calls) == 2 * count
    loss.backward()
    assert len(calls) == 3 * count
    model.set_grad_checkpointing(enable=False)
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    assert len(calls) == 4 * count


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_less_is_kept(family):
    """The bytes that autograd saves in the forward pass."""

    def saved(checkpointing):
        model, tensors = family("micro", num_classes=5, depth=8) if family is ViG else family("micro"), {}
        model.set_grad_checkpointing(checkpointing)

        def keep(tensor):
            tensors[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = model.train()(torch.rand(4, 3, 32, 32))
        del logits
        parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
        return sum(size for place, size in tensors.items() if place not in parameters)

    assert saved(True) < 0.7 * saved(False)


@pytest.mark.slow
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_a_compiled_model_is_one_graph(family):
    shape = {"depth": 1} if family is ViG else {"depths": (1,), "channels": (32,), "reduce_ratios": (1,)}
    model = family("micro", num_classes=5, graph="grid", **shape).train()
    model.set_grad_checkpointing()
    images = torch.rand(2, 3, 32, 32)
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)(images)
    torch.testing.assert_close(compiled, model(images), rtol=0, atol=1e-4)
