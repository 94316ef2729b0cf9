"""MobileViG, GreedyViG and MobileViGv2 against outputs of the published code, in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.parity.family import rule
from vig_pyg import create_model, weights
from vig_pyg.checkpoints.hybrid_format import hybrid_native_names
from vig_pyg.data import pool_graphs

LARGE = [name for name in rule.PUBLISHED if name.endswith(("_m", "_b"))]


def loaded(name, **options):
    model = rule.make_model(name, **options)
    weights.load_weights(model, rule.official_state(name))
    return model


def outputs(model, images):
    """Means over the patches after the stem, each stage's Downsample and each block, and the logits."""
    found, handles = {}, []
    for name, module in model.named_modules():
        if name == "stem" or name.endswith(".downsample"):
            handles.append(module.register_forward_hook(lambda m, i, out, n=name: found.update({n: out.mean((2, 3))})))
        elif name.rpartition(".")[0].endswith(".blocks"):
            handles.append(
                module.register_forward_hook(lambda m, i, out, n=name: found.update({n: pool_graphs(out, i[1])}))
            )
    with torch.no_grad():
        found["logits"] = model(images)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in rule.PUBLISHED])
def test_published_networks(name):
    model = loaded(name).eval()
    want, got = rule.expected(name), outputs(model, rule.images())
    np.testing.assert_allclose(got["logits"].cpu().numpy(), want["logits"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(got["stem"].cpu().numpy(), want["stem"], rtol=0, atol=1e-9)
    ours = [value.cpu().numpy() for key, value in got.items() if key.startswith("stages.")]
    flat = [key for key in want if key.startswith(("local_backbone.", "backbone.")) and key.count(".") < 3]
    theirs = [want[key] for key in sorted(flat, key=place) if want[key].dtype == np.float32]
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    fused = model.fuse()
    with torch.no_grad():
        np.testing.assert_allclose(fused(rule.images()).cpu().numpy(), want["logits"], rtol=0, atol=1e-9)


def place(key):
    """Sorts published modules in the order in which they run."""
    parts = key.split(".")
    return parts[0] != "local_backbone", [int(part) for part in parts[1:]]


@pytest.mark.parametrize("name", rule.SMALL)
def test_other_sizes(name):
    model, want = loaded(name).eval(), rule.expected(name)
    sizes = [key.removeprefix("size/") for key in want if key.startswith("size/")]
    assert len(sizes) == 6
    for size in sizes:
        height, width = map(int, size.split("x"))
        with torch.no_grad():
            got = model(rule.images(height, width)).cpu().numpy()
        np.testing.assert_allclose(got, want[f"size/{size}"], rtol=0, atol=1e-9, err_msg=size)


@pytest.mark.parametrize("name", rule.SMALL)
def test_training(name):
    model, want = loaded(name).train(), rule.expected(name)
    head, other = model(rule.images())
    target = torch.tensor([0, 1])
    loss = F.cross_entropy(head, target) + F.cross_entropy(other, target)
    loss.backward()
    np.testing.assert_allclose(loss.item(), want["train/loss"], rtol=1e-10)
    names = hybrid_native_names(rule.official_state(name))
    ours = dict(model.named_parameters())
    norms = [ours[names[key]].grad.norm().item() for key in want["train/grad_names"].tolist()]
    # biases before a batch norm have no effect: their gradients are rounding, here and there
    np.testing.assert_allclose(norms, want["train/grad_norms"], rtol=1e-8, atol=1e-10)
    assert len(norms) == len(ours)
    buffers = dict(model.named_buffers())
    running = [buffers[names[key]].norm().item() for key in want["train/running_names"].tolist()]
    np.testing.assert_allclose(running, want["train/running_norms"], rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "change", "least"),
    [
        ("greedyvig_s", {"hops": (4, 2, 1, 1)}, 1e-3),
        ("greedyvig_s", {"graph": "axial_rings"}, 5e-3),
        ("mobilevig_ti", {"hops": (1, 1, 1, 1)}, 5e-3),
        ("mobilevig_ti", {"conv": "mr"}, 2e-3),
        ("mobilevigv2_ti", {"hops": (4, 4, 2, 1)}, 5e-4),
        ("mobilevigv2_ti", {"conv": "mr_reversed"}, 1e-3),
    ],
)
def test_the_graph_is_seen_in_the_logits(name, change, least):
    model = rule.make_model(name, **change)
    weights.load_weights(model, rule.official_state(name))
    want = rule.expected(name)["logits"]
    with torch.no_grad():
        got = model.eval()(rule.images()).cpu().numpy()
    assert np.sqrt(((got - want) ** 2).mean()) > least * want.std()


@pytest.mark.parametrize(("name", "millions"), [("mobilevig_tiny", 4.758), ("greedyvig_small", 11.214)])
def test_parameters(name, millions):
    assert sum(p.numel() for p in create_model(name).parameters()) / 1e6 == pytest.approx(millions, abs=1e-3)


def test_drop_paths_of_mobilevigv2_grow_on_graph_blocks_only():
    rates = create_model("mobilevigv2_tiny").config.drop_paths()
    step = 0.1 / 17
    expected = [0, 0, 0, 0, 0, 1, *[2] * 6, 2, 3, 4, 4, 4, 5]
    assert rates == pytest.approx([step * n for n in expected])


@pytest.mark.parametrize("name", ["mobilevig_tiny", "greedyvig_small", "mobilevigv2_tiny"])
def test_images_of_different_sizes_get_what_each_gets_alone(name):
    model = create_model(name, num_classes=5).double().eval()
    for module in model.modules():  # factors of 1e-5 would hide the blocks
        if type(module).__name__ == "LayerScale":
            torch.nn.init.uniform_(module.gamma, 0.5, 1.5)
    images = [torch.rand(3, 64, 96).double(), torch.rand(3, 50, 33).double(), torch.rand(3, 64, 96).double()]
    with torch.no_grad():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=0)
