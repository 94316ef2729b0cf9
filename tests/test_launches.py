"""What a model issues on a GPU, counted without one (`fake_gpu.py`). Each operator is a launch or a few."""

import pytest
import torch

from tests.fake_gpu import fake_gpu, issued, on_gpu
from vig_pyg import create_model


def counts(name, dtype, size=224, **options):
    fused = create_model(name, **options).eval().fuse()
    with fake_gpu(dtype), torch.no_grad():
        model = on_gpu(fused)
        images = torch.empty(2, 3, size, size, device="cuda")
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
