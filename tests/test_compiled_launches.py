"""What a compiled model issues on a GPU, read from the graph that the compiler gets (`fake_gpu.py`)."""

from collections import Counter

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounter

from tests.fake_gpu import fake_gpu, on_gpu
from vig_pyg import create_model

#: Operators that change a type, and where they do it.
CAST = "prims.convert_element_type"


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled_graph(model, images):
    """The graph of operators that inductor would get, with its own decompositions."""
    from torch._inductor.decomposition import select_decomp_table

    graphs = []

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    compiler = aot_autograd(fw_compiler=keep, inference_compiler=keep, decompositions=select_decomp_table())
    with fake_gpu(torch.bfloat16), torch.no_grad():
        model, x = on_gpu(model), torch.empty(images, device="cuda")
        model(x)  # makes the position tables
        torch.compile(model, backend=compiler, fullgraph=True)(x)
    (graph,) = graphs
    return graph.graph


def names(graph):
    return Counter(str(node.target).rsplit(".", 1)[0] for node in graph.nodes if node.op == "call_function")


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "low"),
    [
        slow("pvig_micro", False),
        ("pvig_micro", True),
        *(slow(name, low) for name in ("pvig_small", "vig_small") for low in (False, True)),
    ],
)
def test_a_compiled_network_has_nothing_to_copy(name, low):
    model = create_model(name).eval().fuse()
    blocks, convolutions = len(model.graphers()), sum(isinstance(m, torch.nn.Conv2d) for m in model.modules())
    parameters = len(list(model.parameters()))
    graph = compiled_graph(model.bfloat16() if low else model, (2, 3, model.config.image_size, model.config.image_size))
    found = names(graph)
    assert found["vig_pyg.knn_max_relative"] == found["aten.bmm"] == blocks
    assert found["aten.addmm"] == 4 * blocks + 2
    assert found["aten.convolution"] == convolutions
    # GELU is computed in float32: two conversions each, fused into the kernel; weights in float32 one each
    gelus, images = 2 * found["aten.erf"], 1
    embedding = 0 if low else 1  # the sum with the map
    assert found[CAST] == gelus + images + embedding + (0 if low else parameters - 1)
    # images as channels last, heads joined, maps and pooled maps as nodes: all fused into what follows, or views
    assert found["aten.clone"] <= 1 + blocks + 4 + found["aten.avg_pool2d"]
    assert not {key for key in found if key.startswith(("aten.arange", "aten._to_copy", "aten.lift", "aten.full"))}
    assert not [node for node in graph.nodes if node.op == "get_attr"]  # tables are inputs and lie on the GPU


@pytest.mark.parametrize(
    ("name", "training"),
    [("vig_micro", True), slow("pvig_micro", False), slow("pvig_micro", True), slow("vig_micro", False)],
)
def test_nothing_of_a_compiled_network_lies_on_the_cpu(name, training):
    """Else CUDA graphs (`mode="reduce-overhead"`) would be left out."""
    model, seen = create_model(name).train(training), []

    def keep(graph, inputs):
        seen.extend(node.meta["example_value"] for node in graph.graph.nodes if "example_value" in node.meta)
        seen.extend(inputs)
        return graph.forward

    with fake_gpu(torch.bfloat16):
        model, x = on_gpu(model), torch.empty(2, 3, 64, 64, device="cuda")
        model(x)
        torch.compile(model, backend=keep, fullgraph=True)(x)
    tensors = [part for part in seen if isinstance(part, torch.Tensor)]
    assert len(tensors) > 100 and {part.device.type for part in tensors} == {"cuda"}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("pvig_micro", "inference"),
        *(slow("pvig_micro", mode) for mode in ("autocast", "training")),
        *(slow("vig_micro", mode) for mode in ("inference", "autocast", "training")),
    ],
)
def test_batches_of_all_sizes_share_two_graphs(name, mode):
    """The first size is compiled for itself, the second for all that follow (torch's own rule)."""
    model = create_model(name)
    model = model.train() if mode == "training" else model.eval().fuse()
    counter, frames = CompileCounter(), []
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for size in (2, 3, 7, 5, 2):
        with torch.set_grad_enabled(mode == "training"), torch.autocast("cpu", enabled=mode == "autocast"):
            compiled(torch.rand(size, 3, 64, 64))
        frames.append(counter.frame_count)
    assert frames == [1, 2, 2, 2, 2]
