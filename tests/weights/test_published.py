"""Checkpoints as they are published, made by the rule of the parity numbers, from the file to the logits."""

import argparse

import numpy as np
import pytest
import torch

from tests.parity import rule
from vig_pyg import create_model, weights
from vig_pyg.cli import main

SMALLEST = ("vig_ti_224_gelu", "pvig_ti_224_gelu")
NAMES = [name if name in SMALLEST else pytest.param(name, marks=pytest.mark.slow) for name in rule.PUBLISHED]


def official_state(name):
    """The weights by the rule with the tables that the published pyramids hold beside them, and `module.`."""
    state = rule.official_state(name)
    tables = {key: torch.zeros(1) for key, _ in rule.manifest()[name] if key.endswith("relative_pos")}
    assert bool(tables) == name.startswith("pvig")
    return {f"module.{key}": tensor for key, tensor in (state | tables).items()}


@pytest.fixture
def folder(tmp_path):
    """Emptied at once: pytest would keep gigabytes."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def write(path, state):
    """A file as timm's training scripts and mmpretrain write it."""
    args = argparse.Namespace(model="published", lr=2e-3, opt="adamw", mean=None, aa="rand-m9-mstd0.5-inc1")
    torch.save(
        {"epoch": 299, "arch": "published", "state_dict": state, "args": args, "version": 2, "metric": 0.5}, path
    )


def raw_bytes(tensor):
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().flatten().view(torch.uint8).numpy()


def assert_identical(one, two):
    assert one.keys() == two.keys()
    for key in one:
        (*kind, content), (*other_kind, other_content) = raw_bytes(one[key]), raw_bytes(two[key])
        assert kind == other_kind and np.array_equal(content, other_content), key


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("format", ["official", "mmpretrain"])
def test_a_file_as_published_gives_the_published_logits(name, format, folder):
    path, state = folder / "published.pth.tar", official_state(name)
    write(path, state if format == "official" else weights.convert(weights.unwrap_state_dict(state), "mmpretrain"))
    del state
    model = create_model(rule.PUBLISHED[name]).double()
    report = weights.load_weights(model, path)
    assert (report.format, report.left_out, report.notes) == (format, (), ())
    assert len(report.loaded) == len(model.state_dict())
    with torch.no_grad():
        logits = model.eval()(rule.images())
    np.testing.assert_allclose(logits.numpy(), rule.expected(name)["logits"], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_converting_there_and_back_gives_identical_bytes(name, folder):
    paths = {format: folder / f"{format}.pth" for format in ("native", "official", "mmpretrain")}
    source, state = folder / "published.pth.tar", official_state(name)
    state = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    write(source, state)
    original = {key.removeprefix("module."): t for key, t in state.items() if not key.endswith("relative_pos")}
    for format in ("mmpretrain", "native", "official", "native", "mmpretrain", "official"):
        assert main(["convert", str(source), str(paths[format]), "--format", format, "--overwrite"]) == 0
        source = paths[format]
        if format == "official":
            assert_identical(weights.read_state(source), original)


def mmpretrain_name(key, downs):
    """The rule of mmpretrain's converter, written down a second time. `downs`: places of Downsamples in the list."""
    first, *rest = key.split(".")
    if first == "prediction":
        return ".".join(["head", {"0": "fc1", "1": "bn", "4": "fc2"}[rest[0]], *rest[1:]])
    if first != "backbone":
        return f"backbone.{key}".replace("stem.convs.", "stem.")
    place = int(rest[0])
    if not downs:
        return f"backbone.blocks.{key.removeprefix('backbone.')}"
    before = [down for down in downs if down <= place]
    inner = ".".join(rest[1:]).removeprefix("conv.")
    return f"backbone.stages.{len(before)}.{place - max(before, default=0)}.{inner}"


@pytest.mark.parametrize("name", rule.PUBLISHED)
def test_names_are_those_of_mmpretrains_converter(name):
    keys = [key for key, _ in rule.manifest()[name] if not key.endswith("relative_pos")]
    downs = sorted({int(key.split(".")[1]) for key in keys if ".conv." in key and key.startswith("backbone.")})
    assert len(downs) == (3 if name.startswith("pvig") else 0)
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in rule.manifest()[name]}
    assert set(weights.convert(state, "mmpretrain")) == {mmpretrain_name(key, downs) for key in keys}
