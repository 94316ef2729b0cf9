import copy
import io
import pickle
import random

import pytest
import torch
from torch import nn

from tests.fake_gpu import Issued, fake_gpu, on_gpu
from tests.test_fuse import settled
from vig_pyg import _low_precision
from vig_pyg._fused_layers import FusedLayer, _has_bfloat16

DEVICE = torch.get_default_device().type


def other_weights(model):
    """The fused model's state, of other numbers."""
    return {key: torch.randn_like(t) * 0.1 if t.is_floating_point() else t for key, t in model.state_dict().items()}


def write_data(model):
    for p in model.parameters():
        p.data.mul_(0.5)


def assign_data(model):
    for p in model.parameters():
        p.data = torch.randn_like(p.data) * 0.1


def copied_in(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.1)


def numpy_written(model):
    for p in model.parameters():
        if p.dtype != torch.bfloat16:
            p.detach().numpy()[...] *= 2


def stepped(model, optimizer, **options):
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer(model.parameters(), lr=0.05, **options).step()
    model.zero_grad()


def loaded_in_inference_mode(model):
    with torch.inference_mode():
        model.load_state_dict(other_weights(model))


def saved_and_loaded(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def moved_to_memory_of_others(model):
    """Twice other memory: the second time perhaps that of the first."""
    for _ in range(3):
        assign_data(model)


#: What changes the weights of a fused copy, or the copy: each returns the one to go on with, or `None` for the same.
CHANGES = {
    "load": lambda model: model.load_state_dict(other_weights(model)) and None,
    "assign": lambda model: model.load_state_dict(other_weights(model), assign=True) and None,
    "inference": loaded_in_inference_mode,
    "copy_": copied_in,
    "data": write_data,
    "data =": assign_data,
    "memory": moved_to_memory_of_others,
    "numpy": numpy_written,
    "sgd": lambda model: stepped(model, torch.optim.SGD),
    "fused sgd": lambda model: stepped(model, torch.optim.SGD, fused=True),
    "adam": lambda model: stepped(model, torch.optim.AdamW, foreach=True),
    "fused adam": lambda model: stepped(model, torch.optim.AdamW, fused=True),
    "deepcopy": copy.deepcopy,
    "deepcopy and load": lambda model: CHANGES["load"](new := copy.deepcopy(model)) or new,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "saved": saved_and_loaded,
    "half": lambda model: model.half().float(),
    "double": lambda model: model.double().float(),
    "bfloat16": lambda model: model.to(torch.bfloat16).float(),
    "moved": lambda model: model.cpu().to(DEVICE),
    "shared": lambda model: model.share_memory(),
    "nothing": lambda model: None,
}


if DEVICE != "cpu":  # torch does not count these, and a GPU is not asked
    for unseen in ("data", "numpy", "fused sgd", "fused adam"):
        del CHANGES[unseen]


with torch.random.fork_rng():
    TEMPLATE = settled("pvig_micro").fuse()


def without_cache(model):
    """A copy that keeps nothing from before."""
    fresh = copy.deepcopy(TEMPLATE)
    fresh.load_state_dict({key: t.clone() for key, t in model.state_dict().items()}, assign=True)
    return fresh


@pytest.mark.skipif(not _has_bfloat16(), reason="this CPU has no bfloat16")
@pytest.mark.parametrize("seed", range(4))
def test_weights_in_bfloat16_are_those_of_now_after_any_sequence_of_changes(seed):
    rng, images = random.Random(seed), torch.randn(2, 3, 32, 32)
    model = settled("pvig_micro").fuse()
    others = []
    for _ in range(10):
        change = rng.choice(sorted(CHANGES))
        before = model
        model = CHANGES[change](model) or model
        if model is not before:
            others.append(before)  # alive, with a cache of its own
        for one in (model, *others[-1:]):
            with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
                got, want = one(images), without_cache(one)(images)
            assert got.isfinite().all() and torch.equal(got, want), f"after {change}: {(got - want).abs().max()}"


@pytest.mark.skipif(not _has_bfloat16(), reason="this CPU has no bfloat16")
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_alone_is_seen(change):
    images, model = torch.randn(2, 3, 32, 32), settled("pvig_micro").fuse()
    with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
        before = model(images)
        kept = [m._low.of(m.layer, torch.bfloat16)[0] for m in model.modules() if isinstance(m, FusedLayer)]
        assert all(
            m._low.of(m.layer, torch.bfloat16)[0] is low for m, low in zip(layers(model), kept, strict=True)
        )  # there is a cache
        changed = CHANGES[change](model) or model
        got, want = changed(images), without_cache(changed)(images)
    assert torch.equal(got, want)
    if change not in ("deepcopy", "pickle", "saved", "half", "double", "bfloat16", "moved", "shared", "nothing"):
        assert not torch.equal(got, before)


def layers(model):
    return [module for module in model.modules() if isinstance(module, FusedLayer)]


def test_a_copy_starts_with_nothing_kept():
    model = settled("vig_micro").fuse()
    with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
        model(torch.randn(1, 3, 32, 32))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model).half()):
        assert [m._low._kept for m in layers(other)] == [None] * len(layers(other))


def each(model, write):
    """Write into the weights of each map in a way that torch does not count."""
    for one in layers(model):
        write(one.layer.weight.detach().numpy(), one.layer.bias.detach().numpy())


def swapped(model):
    for one in layers(model):
        for name, p in list(one.layer.named_parameters()):
            torch.utils.swap_tensors(getattr(one.layer, name), nn.Parameter(2 * p.detach(), requires_grad=False))


def as_buffer(model):
    for one in layers(model):
        weight = one.layer.weight.detach()
        del one.layer.weight
        one.layer.register_buffer("weight", 2 * weight)


def reparametrized(model):
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    for one in layers(model):
        torch.nn.utils.parametrize.register_parametrization(one.layer, "weight", Doubled())


def gaps(model):
    """Weights that are a part of larger ones, and a bias that is one number: first as it was, then others."""
    for one in layers(model):
        weight = one.layer.weight.data
        one.layer.weight.data = torch.cat([weight, weight], 1)[:, : weight.size(1)]
        one.layer.bias.data = one.layer.bias.data[:1].expand(len(one.layer.bias))
    run_low(model)
    for one in layers(model):
        one.layer.weight.data[-1] += 1


def run_low(model):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator(torch.get_default_device()).manual_seed(0))
    with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
        return model(images)


#: Writes into a part of each weight or bias, and other places for all of it.
PARTS = {
    **{
        f"row {i}": lambda model, i=i: each(model, lambda weight, _: weight[i % len(weight)].__iadd__(1))
        for i in range(5)
    },
    **{
        f"column {i}": lambda model, i=i: each(model, lambda weight, _: weight[:, i % weight.shape[1]].__iadd__(1))
        for i in range(5)
    },
    **{f"bias {i}": lambda model, i=i: each(model, lambda _, bias: bias[i : i + 1].__iadd__(1)) for i in range(5)},
    "tap": lambda model: each(model, lambda weight, _: weight[..., -1:].__iadd__(1)),
    "swapped": swapped,
    "buffer": as_buffer,
    "parametrized": reparametrized,
    "gaps": gaps,
}
if DEVICE != "cpu":
    PARTS = {change: PARTS[change] for change in ("swapped", "buffer", "parametrized")}


@pytest.mark.skipif(not _has_bfloat16(), reason="this CPU has no bfloat16")
@pytest.mark.parametrize("change", PARTS)
@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_writes_into_parts_and_other_places_of_weights_are_seen(name, change):
    model = settled(name).fuse()
    before = run_low(model)
    PARTS[change](model)
    got, want = run_low(model), run_low(copy.deepcopy(model))  # a copy starts with nothing kept
    assert torch.equal(got, want) and not torch.equal(got, before)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (12, 12), (1, 9), (9, 1), (8, 3, 3, 3), (6, 4, 1, 1), (4, 1, 3, 3)])
@pytest.mark.parametrize("axes", ["contiguous", "channels last", "reversed"])
def test_a_probe_looks_at_every_row_and_column(shape, axes):
    tensor = torch.zeros(shape)
    if axes == "channels last" and tensor.dim() == 4:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    if axes == "reversed":
        tensor = tensor.permute(*reversed(range(tensor.dim())))
    assert _low_precision._is_dense(tensor)
    probe = _low_precision._probe(tensor)
    assert len(probe) < tensor.numel() or min(shape) == 1
    for dim, size in enumerate(tensor.shape):
        for i in range(size):
            tensor.zero_().select(dim, i).fill_(1)
            assert probe.any(), (dim, i)


def resized(layer):
    layer.weight.data = layer.weight.data[:4]


def transposed(layer):
    layer.weight.data = layer.weight.data.t()


#: Changes that are seen without a look at the numbers, as on a GPU.
COUNTED = {
    "load": lambda layer: layer.load_state_dict({key: 2 * t for key, t in layer.state_dict().items()}),
    "assign": lambda layer: layer.load_state_dict({key: 2 * t for key, t in layer.state_dict().items()}, assign=True),
    "copy_": lambda layer: layer.weight.copy_(2 * layer.weight),
    "one number": lambda layer: layer.weight[3, 5].add_(1),
    "bias": lambda layer: layer.bias[2:3].add_(1),
    "data =": lambda layer: setattr(layer.weight, "data", 2 * layer.weight.data),
    "bias.data =": lambda layer: setattr(layer.bias, "data", 2 * layer.bias.data),
    "sgd": lambda layer: stepped(layer, torch.optim.SGD),
    "adam": lambda layer: stepped(layer, torch.optim.AdamW, foreach=True),
    "double": lambda layer: layer.double(),
    "rows": resized,
    "transposed": transposed,
}


@pytest.mark.parametrize("change", COUNTED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_on_a_gpu_counted_writes_and_other_memory_are_seen(change, dtype, monkeypatch):
    monkeypatch.setattr(_low_precision, "_OnCPU", _low_precision._OnDevice)
    layer, low = nn.Linear(8, 8), _low_precision.LowPrecision()
    with torch.no_grad():
        before = low.of(layer, dtype)
        assert low.of(layer, dtype) is before  # kept
        assert low.of(layer, torch.float32)[0].dtype == torch.float32  # another type is another weight
        low.of(layer, dtype)
        COUNTED[change](layer)
        after = low.of(layer, dtype)
    assert torch.equal(after[0], layer.weight.to(dtype)) and torch.equal(after[1], layer.bias.to(dtype))
    assert low.of(layer, dtype) is after


def test_on_a_gpu_memory_of_before_is_not_taken_for_that_of_now(monkeypatch):
    """An address that is free again may be that of other weights: so it is kept until the next look."""
    monkeypatch.setattr(_low_precision, "_OnCPU", _low_precision._OnDevice)
    layer, low = nn.Linear(64, 64), _low_precision.LowPrecision()
    for _ in range(20):
        low.of(layer, torch.bfloat16)
        layer.weight.data = torch.randn(64, 64)
        assert torch.equal(low.of(layer, torch.bfloat16)[0], layer.weight.bfloat16())


@pytest.mark.parametrize("made_in", [torch.no_grad, torch.inference_mode])
def test_on_a_gpu_weights_written_where_they_lie_are_converted_to_where_they_were(made_in, monkeypatch):
    """A CUDA graph goes on reading there: nothing else may come to lie at that address."""
    monkeypatch.setattr(_low_precision, "_OnCPU", _low_precision._OnDevice)
    layer, low = nn.Linear(8, 8), _low_precision.LowPrecision()
    with made_in():
        kept = low.of(layer, torch.bfloat16)
    for name in ("load", "copy_", "bias", "sgd"):
        with torch.no_grad():
            COUNTED[name](layer)
            assert low.of(layer, torch.bfloat16) is kept
            assert torch.equal(kept[0], layer.weight.bfloat16()) and torch.equal(kept[1], layer.bias.bfloat16())


def test_what_is_recorded_in_a_cuda_graph_is_not_kept(monkeypatch):
    """While a graph is captured nothing is computed: what it will write is not there yet for anybody else."""
    layer = FusedLayer(nn.Conv2d(4, 8, 3), gelu=True).requires_grad_(False)
    capturing = [True]
    monkeypatch.setattr(_low_precision, "_is_recorded", lambda _: capturing[0])
    with fake_gpu(torch.bfloat16):
        layer, x = on_gpu(layer), torch.empty(1, 4, 5, 5, device="cuda")
        layer(x)
        assert layer._low._kept is None
        capturing[0] = False
        layer(x)
        assert (kept := layer._low._kept) is not None
        capturing[0] = True
        assert issued_once(lambda: layer(x))["_to_copy"] == 1 and layer._low._kept is kept  # the input


def test_on_a_gpu_no_number_is_read():
    layer = FusedLayer(nn.Conv2d(4, 8, 3), gelu=True).requires_grad_(False)
    with fake_gpu(torch.bfloat16):
        layer, x = on_gpu(layer), torch.empty(1, 4, 5, 5, device="cuda")
        for write in (lambda: None, lambda: layer.layer.weight.mul_(2)):
            write()
            first, second = issued_once(lambda: layer(x)), issued_once(lambda: layer(x))
            assert (
                first["_to_copy"] + first["copy_"] == 3 and second["_to_copy"] == 1
            )  # weight and bias are converted once


def issued_once(run):
    with Issued() as mode:
        run()
    return mode.counts
