"""The operators of batch norm on a GPU; without one, on a CPU by Triton's interpreter."""

from contextlib import contextmanager

import torch

from vig_pyg.ops import _gpu_batch_norm, _recomputed_branch, recomputed
from vig_pyg.ops._gpu_batch_norm import GPUNorm

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
_IMPLEMENTATIONS = {
    "norm_statistics": _gpu_batch_norm._statistics,
    "norm_apply": _gpu_batch_norm._apply,
    "norm_backward": _gpu_batch_norm._backward,
}


def use_gpu_steps(monkeypatch):
    """Let the passes use the norms of GPUs, also on a CPU, and keep nothing that GPUs do not keep."""
    for module in (recomputed, _recomputed_branch):
        monkeypatch.setattr(module, "norm_step", lambda h, norm, offset, *, gelu: GPUNorm(h, norm, offset, gelu=gelu))
        monkeypatch.setattr(module, "keeps_hidden", lambda _: False)


@contextmanager
def interpreted():
    """Inside, the operators take tensors of `DEVICE`."""
    if DEVICE == "cuda":
        yield
        return
    library = torch.library.Library("vig_pyg", "IMPL")
    try:
        for name, function in _IMPLEMENTATIONS.items():
            library.impl(name, function, "CPU")
        yield
    finally:
        library._destroy()
