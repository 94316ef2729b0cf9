"""A pytest plugin that has timm's own `test_models.py` try our models instead of timm's.

The tests that timm runs on all of its models run on the models that the environment variable `MODELS` names. The tests
of what single architectures of timm can do run on them too, where a Vision GNN can do the same.
"""

import fnmatch
import os
from pathlib import Path
from tempfile import mkdtemp

import pytest
import timm
import torch

import vig_pyg.timm
from vig_pyg.timm import vision_gnn
from vig_pyg.weights import convert

MODELS = os.environ.get("MODELS", "").split(",")
#: Tests of timm that name one architecture each, and that our models must pass as well.
SINGLE = {
    "test_reset_classifier_keeps_pool",
    "test_features_only_grad_checkpointing_backward",
    "test_prune_intermediate_layers_params_used",
    "test_head_hidden_size",
    "test_catavgmax_unsupported",
    "test_forward_after_prune_intermediate_layers",
    "test_prune_intermediate_layers_last_feature",
    "test_headless_checkpoint_reload",
}


def ours(filter="", *args, include_tags=False, pretrained=False, exclude_filters="", **kwargs):
    """Our models, with timm's arguments; its lists of modules do not know ours."""
    excluded = [exclude_filters] if isinstance(exclude_filters, str) else exclude_filters
    names = [name for name in MODELS if not any(fnmatch.fnmatch(name, pattern) for pattern in excluded)]
    patterns = [filter] if isinstance(filter, str) else filter
    names = [name for name in names if not filter or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    tagged = timm.models.list_pretrained("*vig*")
    if pretrained:
        return [name for name in names if any(tag.startswith(f"{name}.") for tag in tagged)]
    if include_tags:
        return [tag for name in names for tag in ([t for t in tagged if t.startswith(f"{name}.")] or [name])]
    return names


def random_file(entry, *, folder=None, progress=True):
    """In place of a download: random weights in the format and under the name of the published file."""
    path = Path(mkdtemp()) / entry.file_name
    torch.save(convert(vig_pyg.create_model(entry.model), entry.format), path)
    return path


def pytest_configure(config):
    """Put our models in place of timm's, before timm's tests are imported."""
    timm.list_models = ours
    timm.list_pretrained = lambda *args, **kwargs: []
    vision_gnn.download = random_file


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """Put our models in place of single architectures."""
    if metafunc.function.__name__ not in SINGLE:
        return
    for i, mark in enumerate(metafunc.definition.own_markers):
        if mark.name == "parametrize":
            names = [name.strip() for name in mark.args[0].split(",")]
            extra = {"model_kwargs": {}, "kwargs": {}, "stop_early_final": True}
            values = [(name, *(extra[one] for one in names[1:])) if names[1:] else name for name in MODELS]
            metafunc.definition.own_markers[i] = pytest.mark.parametrize(mark.args[0], values).mark


def pytest_collection_modifyitems(config, items):
    """Leave out what timm tries on other models only."""
    kept = [item for item in items if any(f"[{name}" in item.name or f"-{name}" in item.name for name in MODELS)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
