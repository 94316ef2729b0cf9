"""Models and folders as tests need them."""

import os
from pathlib import Path

import torch
from torch import nn


def calibrated(model, size=(32, 32)):
    """The model in evaluation mode, its batch norms with statistics, as those of a trained one.

    Without them a fresh model's features are nearly the same everywhere, and rounding decides between neighbors.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(4, model.config.in_channels, *size).to(model.pos_embed.weight))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def assert_same(got, want):
    """Bit for bit on a CPU; a GPU adds what edges bring in no fixed order, by atomic additions."""
    tolerance = 1e-5 if want.is_cuda else 0
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def empty(make, *args, **overrides):
    """A model whose weights were never drawn: fast, whatever its size."""
    with torch.device("meta"):
        model = make(*args, **overrides)
    return model.to_empty(device=torch.get_default_device())


def closed(monkeypatch, name):
    """Let the system refuse what is in folders of a name, as it does to users without permission (not to root)."""
    real = os.stat

    def stat(path, *args, **kwargs):
        if not isinstance(path, int) and Path(os.fsdecode(path)).parent.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
