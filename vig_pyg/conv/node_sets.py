"""Checks of whether an operator accepts sources and targets as two node sets, as pooled sources require."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg.conv._types import NodesOrPair

#: The first line of the `forward` of an operator that accepts one node set and a pair.
PAIR_LINE = "sources, targets = x if isinstance(x, tuple) else (x, x)"


def takes_one_set(conv: nn.Module) -> bool:
    """True if the type of the first argument of `forward` shows that an operator of PyG accepts only one node set.

    The signatures of other operators are not reliable, so these operators are called with a pair (see `apply_to_pair`).

    Args:
        conv: The operator.

    Example:
        >>> from torch_geometric.nn import GCNConv, SAGEConv
        >>> takes_one_set(GCNConv(8, 8)), takes_one_set(SAGEConv(8, 8))
        (True, False)
    """
    if not _is_of_pyg(conv):
        return False
    try:
        first = next(iter(inspect.signature(conv.forward).parameters))
        return typing.get_type_hints(type(conv).forward).get(first) is Tensor
    except (StopIteration, NameError, TypeError, ValueError):
        return False


def refuse_pair(conv: nn.Module, reduce_ratio: int, cause: object = "its x is one tensor") -> ValueError:
    """Return the error for an operator that does not accept pooled sources.

    Args:
        conv: The operator.
        reduce_ratio: Pooling of the sources.
        cause: The reason why the operator does not accept a pair.

    Example:
        >>> print(str(refuse_pair(nn.Linear(8, 8), 2))[:52])
        Linear does not accept a pair (sources, targets), wh
    """
    mend = "" if _is_of_pyg(conv) else f"If it is yours, begin its forward with  {PAIR_LINE} . Otherwise, use"
    return ValueError(
        f"{type(conv).__name__} does not accept a pair (sources, targets), which it receives because the sources are "
        f"pooled (reduce_ratio={reduce_ratio}); {cause}. {mend or 'Use'} an operator that accepts pairs, such as "
        "SAGEConv, GATv2Conv or GraphConv of torch_geometric.nn, a pyramid with reduce_ratios=(1, 1, 1, 1), or the "
        "isotropic ViG."
    )


def apply_to_pair(conv: nn.Module, y: NodesOrPair, edge_index: Tensor, reduce_ratio: int, **values: Tensor) -> Any:
    """Call an operator; if it does not accept a pair of sources and targets, raise an error that explains this.

    Args:
        conv: The operator.
        y: Nodes `(N, C)`, or a pair of sources and targets.
        edge_index: Edges `(2, E)`.
        reduce_ratio: Pooling of the sources, for the error message.
        **values: Attributes or weights of the edges.

    Shapes: nodes `(N, C)`, or a pair `(M, C)` and `(N, C)`, and edges `(2, E)` to `(N, C')`.

    Raises:
        ValueError: If the operator fails on a pair because it expects a single tensor.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> x = torch.rand(3, 8); apply_to_pair(SAGEConv(8, 4), (x[:2], x), torch.tensor([[0, 1], [1, 2]]), 2).shape
        torch.Size([3, 4])
    """
    # PyG's operators were checked before.
    if isinstance(y, Tensor) or torch.compiler.is_compiling() or _is_of_pyg(conv):
        return conv(y, edge_index, **values)
    try:
        return conv(y, edge_index, **values)
    except (AttributeError, TypeError) as error:
        if "tuple" not in str(error):  # the error has another cause
            raise
        raise refuse_pair(conv, reduce_ratio, f"it failed with {type(error).__name__}: {error}") from error


def _is_of_pyg(conv: nn.Module) -> bool:
    return type(conv).__module__.startswith("torch_geometric.")
