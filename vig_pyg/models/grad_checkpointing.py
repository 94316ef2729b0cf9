"""Gradient checkpointing of blocks: activations are recomputed in the backward pass instead of stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from vig_pyg.data import BatchLayout
from vig_pyg.ops import is_transformed


def run_block(block: nn.Module, x: Tensor, layout: BatchLayout, *, checkpointing: bool) -> Tensor:
    """Apply a block to nodes, with or without gradient checkpointing.

    With checkpointing, only the input of the block is stored for the backward pass, which applies the block again with
    the same random numbers (arXiv 1604.06174). The second application does not change the running statistics of batch
    norms, so checkpointing does not change the resulting model. It has no effect in a compiled model, because the
    compiler chooses what to recompute (see `torch._functorch.config.activation_memory_budget`), nor under the
    transforms of `torch.func`, because torch has no checkpoints there.

    Example:
        >>> from vig_pyg import vig_micro
        >>> from vig_pyg.data import BatchLayout
        >>> x = torch.rand(16, 64, requires_grad=True)
        >>> run_block(vig_micro().blocks[0], x, BatchLayout.from_sizes([(4, 4)]), checkpointing=True).shape
        torch.Size([16, 64])
    """
    out: Tensor
    if not checkpointing or not torch.is_grad_enabled() or torch.compiler.is_compiling() or is_transformed():
        out = block(x, layout)
    else:
        shared = dict(layout.shared_edges)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _as_before(block, layout, shared)

        out = checkpoint(block, x, layout, use_reentrant=False, context_fn=contexts)
    return out


@contextmanager
def _as_before(block: nn.Module, layout: BatchLayout, shared: dict[object, Any]) -> Iterator[None]:
    """A context for the second application of a block, which ends with the state from before.

    Args:
        block: The block, whose batch norms keep their running statistics.
        layout: The layout of its nodes.
        shared: What Graphers shared before the first application. The second one must find it, so that it builds the
            graphs that the first one has built (see `vig_pyg.graph.Reuse` and `vig_pyg.graph.Lookahead`).
    """
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.training]
    # `.data` has no version counter, so tensors that autograd saved stay valid.
    buffers = [buffer.data for norm in norms for buffer in norm.buffers(recurse=False)]
    kept, now = [buffer.clone() for buffer in buffers], layout.shared_edges
    layout.shared_edges = dict(shared)
    try:
        yield
    finally:
        layout.shared_edges = now
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)
