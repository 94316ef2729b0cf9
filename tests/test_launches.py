"""What a model issues on a GPU, counted without one (`fake_gpu.py`). Each operator is a launch or a few."""

from collections import Counter

import pytest
import torch

from tests.fake_gpu import Issued, backward, fake_gpu, issued, on_gpu
from vig_pyg import create_model
from vig_pyg.layers import FFN


def counts(name, dtype, size=224, **options):
    fused = create_model(name, **options).eval().fuse()
    with fake_gpu(dtype), torch.no_grad():
        model = on_gpu(fused)
        height, width = (size, size) if isinstance(size, int) else size
        images = torch.empty(2, 3, height, width, device="cuda")
        return issued(lambda: model(images))


@pytest.mark.parametrize("name", ["pvig_small", "vig_small"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, None])
def test_inference_issues_few_operators(name, dtype):
    blocks, pyramid = (12, True) if name == "pvig_small" else (16, False)
    convolutions = 6 if pyramid else 5
    found = counts(name, dtype)
    # one conversion, of the images; weights, the position table and the residual stream are in the right type
    assert found.pop("_to_copy", 0) == (dtype is not None)
    joined = found.pop("knn_max_relative", 0)  # search and aggregation in one
    assert joined + found.pop("knn", 0) == joined + found.pop("max_relative", 0) == found.pop("bmm") == blocks
    assert found.pop("addmm") == 4 * blocks + 2  # of the Grapher two, of the FFN two, of the head two
    assert found.pop("convolution") == convolutions
    assert found.pop("bias_gelu_") == blocks + convolutions
    assert found.pop("gelu_") == blocks + 1
    assert found.pop("add") == 2 * blocks + 1  # residual branches and the position embedding
    assert found.pop("mean") == 1
    assert found.pop("avg_pool2d", 0) == (4 if pyramid else 0)
    assert found.pop("clone", 0) <= 1 + (4 if pyramid else 1)  # images as channels last; image numbers of a layout
    assert found.pop("arange", 0) == (4 if pyramid else 1)
    assert not found, f"more than that: {found}"


@pytest.mark.parametrize("position", ["official", "grid"])
def test_large_images_make_no_edges_either(position):
    """Position codes of grids without a table are terms of columns and rows: no features are copied, none is wider."""
    found = counts("pvig_micro", torch.bfloat16, size=(448, 640), position=position)
    blocks = len(create_model("pvig_micro").graphers())
    assert found["knn_max_relative"] == blocks and "knn" not in found and "cat" not in found
    assert found["_to_copy"] == 1


def forward_in_training(module, *args):
    """What a forward pass issues in training, and the bytes that it keeps for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor  # the tensor too, so that no other takes its place
        return tensor

    def step():
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            module(*args)

    counts = issued(step)
    weights = {p.untyped_storage()._cdata for p in module.parameters()}
    return counts, sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in weights)


@pytest.mark.parametrize("dtype", [torch.bfloat16, None])
def test_an_ffn_in_training_keeps_little_and_issues_few_operators(dtype):
    nodes, channels = 4096, 64
    ffn = FFN(channels, 4 * channels)
    with fake_gpu(dtype):
        x = torch.empty(nodes, channels, device="cuda", requires_grad=True)
        batch = torch.zeros(nodes, dtype=torch.long, device="cuda")
        found, kept = forward_in_training(on_gpu(ffn), x, batch, 1)
    size = nodes * channels * (2 if dtype else 4)
    assert kept < 2.2 * size  # the input and the second layer's result; plain layers keep 14
    assert found.pop("norm_statistics") == found.pop("norm_apply") == 2
    assert found.pop("mm") == 2  # the residual connection is added by the last norm
    assert found.pop("_to_copy", 0) == (3 if dtype else 0)  # x and weights
    assert not found, f"more than that: {found}"


@pytest.mark.parametrize("name", ["pvig_small", "vig_small"])
def test_a_training_step_keeps_little_of_what_plain_layers_keep(name):
    model, size = create_model(name), 224
    with fake_gpu(torch.bfloat16):
        model, images = on_gpu(model), torch.empty(128, 3, size, size, device="cuda")
        found, kept = forward_in_training(model, images)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vig_pyg.ops._recomputable.has_gpu_norm", lambda *_: False)
            _, plain = forward_in_training(model, images)
    assert kept < 0.36 * plain
    assert kept < 3.5 * 2**30  # at the published code's peak 10.1 GiB are in use
    assert found["norm_statistics"] == found["norm_apply"] > 60
    assert found["native_batch_norm"] + found["cudnn_batch_norm"] == found["gelu"] == 1  # those of the head


#: Operators that a training step may issue and conversions among them, forward, then backward; without the optimizer.
STEPS = {
    "pvig_micro": (145, 30, 192, 42),
    "pvig_small": (299, 67, 411, 80),
    "vig_small": (398, 115, 520, 112),
}


@pytest.mark.parametrize(
    "name", ["pvig_micro", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pvig_small", "vig_small"))]
)
def test_a_training_step_issues_few_operators(name):
    """The host launches them one by one, which takes longer than most of them run."""
    model = create_model(name).train()
    with fake_gpu(torch.bfloat16):
        model, size = on_gpu(model), model.config.image_size
        images = torch.empty(128, model.config.in_channels, size, size, device="cuda")
        labels = torch.zeros(128, dtype=torch.long, device="cuda")

        def loss():
            return torch.nn.functional.cross_entropy(model(images), labels)

        loss()  # makes what is kept
        with Issued() as mode:
            out = loss()
        forward, mode.counts = mode.counts, Counter()
        with mode:
            backward(out)
        back = mode.counts
    blocks = len(model.graphers())
    assert mode.devices == {"cuda"}  # no copy from the CPU, so that a CUDA graph of the step reads nothing old
    found = forward.total(), forward["_to_copy"], back.total(), back["_to_copy"]
    assert all(count <= most for count, most in zip(found, STEPS[name], strict=True)), found
    # no zeros for the biases that a norm cancels, no residual connection by itself but the position embedding's
    assert not {"zeros_like", "new_zeros", "fill_", "zeros", "sum"} & back.keys()
    assert forward["add"] <= 1 and forward["knn_max_relative"] == blocks
    assert back["norm_backward"] == forward["norm_statistics"] == forward["norm_apply"]
