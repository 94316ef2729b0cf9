"""Tools that look for `nn.Linear`: quantization, counters of operations, tensor parallelism, LoRA."""

import copy
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.common import calibrated
from tests.test_extras import clean_environment
from vig_pyg import PyramidViG, ViG
from vig_pyg.layers import MultiHeadLinear

FAMILIES = [ViG, PyramidViG]
OPERATORS = ["mr", "edge", "gin", "sage"]
deprecated = pytest.mark.filterwarnings(
    "ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor", "ignore:must run observer"
)


def model_of(family, **options):
    """A model on a graph of places: neighbors by features would turn on the errors of quantization."""
    torch.manual_seed(0)
    return calibrated(family("micro", num_classes=5, image_size=32, graph="grid", **options))


def linear_layers(model):
    return [module for module in model.modules() if type(module) is nn.Linear]


def spread(got, want):
    return float((got.float() - want).abs().max() / want.std())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("conv", OPERATORS)
@pytest.mark.parametrize("heads", [1, 4])
def test_every_linear_layer_with_one_head_is_that_of_torch(family, conv, heads):
    model = family("micro", num_classes=5, conv=conv, heads=heads)
    blocks, mlps = len(model.graphers()), {"mr": 1, "edge": 1, "gin": 1, "sage": 2}[conv]
    with_heads = [module for module in model.modules() if isinstance(module, MultiHeadLinear)]
    assert len(linear_layers(model)) == 4 * blocks + 2 + (mlps * blocks if heads == 1 else 0)
    assert len(with_heads) == (mlps * blocks if heads > 1 else 0) and all(layer.heads == 4 for layer in with_heads)
    assert len(linear_layers(model.fuse())) == len(linear_layers(model))
    model.reset_classifier(3)
    assert type(model.head.fc2) is nn.Linear


@deprecated
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("conv", OPERATORS)
def test_dynamic_quantization_takes_every_linear_layer(family, conv):
    model, images = model_of(family, conv=conv, heads=1), torch.randn(2, 3, 32, 32)
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    fused = torch.ao.quantization.quantize_dynamic(model.fuse(), {nn.Linear}, dtype=torch.qint8)
    assert not linear_layers(quantized) and not linear_layers(fused)
    with torch.no_grad():
        want = model(images)
        for changed in (quantized, fused, quantized.fuse()):
            assert 0 < spread(changed(images), want) < 0.5
    assert quantized.train()(images).isfinite().all()  # no pass for training reads a weight that is not there


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("conv", ["mr", "gin"])
def test_torch_counts_the_operations_of_each_layer(family, conv):
    model, images = model_of(family, conv=conv), torch.randn(2, 3, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    counts, name = counter.get_flop_counts(), type(model).__name__
    stage, grid = ("blocks.0", 8) if family is ViG else ("stages.0.blocks.0", 16)
    nodes, channels = 2 * grid * grid, model.graphers()[0].fc1[1].num_features
    assert sum(counts[f"{name}.{stage}.ffn.fc1.0"].values()) == 2 * nodes * channels * 4 * channels
    assert sum(counts[f"{name}.{stage}.grapher.conv.mlp.0"].values()) > 0


@pytest.fixture
def mesh():
    """A mesh of this process alone."""
    from torch import distributed
    from torch.distributed.device_mesh import DeviceMesh

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # torch's of its own code
@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_distributed(family, mesh):
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    model, images = model_of(family), torch.randn(4, 3, 32, 32)
    names = [name for name, module in model.named_modules() if type(module) is nn.Linear and ".ffn." in name]
    plan = {name: ColwiseParallel() if ".fc1." in name else RowwiseParallel() for name in names}
    parallel = parallelize_module(copy.deepcopy(model), mesh, plan)
    assert sum(isinstance(parameter, DTensor) for parameter in parallel.parameters()) == 2 * len(plan) > 0
    for training in (False, True):
        want = model.train(training)(images)
        got = parallel.train(training)(images)
        assert spread(got, want) < 1e-4
    (want.square().mean().backward(), got.square().mean().backward())
    for name in names:
        want_grad, grad = (one.get_submodule(name).weight.grad for one in (model, parallel))
        torch.testing.assert_close(grad.full_tensor(), want_grad, rtol=1e-3, atol=1e-4 * float(want_grad.abs().max()))


@pytest.mark.slow
def test_lora_torchao_and_fvcore_in_an_environment_of_their_own(tmp_path):
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    programs, env = clean_environment("hub", tmp_path)
    command = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        programs / "python",
        "peft",
        "torchao",
        "fvcore",
        "pytest",
    ]
    subprocess.run(command, env=env, check=True)
    env = {**env, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1])])}
    done = subprocess.run(
        [programs / "python", Path(__file__).with_name("tools_job.py")], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["fvcore", "LoRA", "torchao"] * 2
