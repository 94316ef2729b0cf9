"""Detection of operators with attributes or weights of edges, and the check of those that a graph builder returned."""

from __future__ import annotations

import inspect
from typing import Literal

from torch import Tensor, nn

EdgeArgument = Literal["edge_attr", "edge_weight"]


def edge_argument(conv: nn.Module) -> EdgeArgument | None:
    """Return the name under which an operator takes values of edges, from the signature of its `forward`.

    Args:
        conv: The operator.

    Returns:
        `"edge_attr"` for attributes `(E, D)` (also if `forward` has `**kwargs`), `"edge_weight"` for weights `(E,)`, or
        `None` if it takes neither.

    Example:
        >>> from torch_geometric.nn import GATv2Conv, GraphConv, SAGEConv
        >>> [edge_argument(conv) for conv in (GATv2Conv(8, 8, edge_dim=2), GraphConv(8, 8), SAGEConv(8, 8))]
        ['edge_attr', 'edge_weight', None]
    """
    try:
        parameters = inspect.signature(conv.forward).parameters
    except (TypeError, ValueError):  # a compiled module may have no signature
        return None
    if "edge_attr" in parameters:
        return "edge_attr"
    if "edge_weight" in parameters:
        return "edge_weight"
    return "edge_attr" if any(part.kind is part.VAR_KEYWORD for part in parameters.values()) else None


def refuse_edge_attr(conv: nn.Module) -> ValueError:
    """Return the error for a graph with edge attributes and an operator without an argument for them.

    Args:
        conv: The operator.

    Example:
        >>> print(str(refuse_edge_attr(nn.Identity()))[:56])
        The graph builder returns edge attributes, but Identity.
    """
    return ValueError(
        f"The graph builder returns edge attributes, but {type(conv).__name__}.forward has no argument edge_attr or "
        "edge_weight: use an operator that takes them, such as torch_geometric.nn.GATv2Conv with edge_dim, or a "
        "builder without edge_attr."
    )


def edge_values(edge_attr: Tensor, conv: nn.Module, name: EdgeArgument | None) -> dict[str, Tensor]:
    """Return the keyword argument with which an operator receives the attributes of its edges.

    Args:
        edge_attr: Attributes `(E, D)` or `(E,)`.
        conv: The operator.
        name: The result of `edge_argument(conv)`.

    Raises:
        ValueError: If the operator takes none, if it takes weights and there is more than one column, or if its
            `edge_dim` is not the number of columns.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GraphConv
        >>> edge_values(torch.ones(5, 1), GraphConv(8, 8), "edge_weight")["edge_weight"].shape
        torch.Size([5])
    """
    if name is None:
        raise refuse_edge_attr(conv)
    if name == "edge_attr":
        _check_edge_dim(conv, edge_attr.size(1) if edge_attr.dim() > 1 else 1)
        return {name: edge_attr}
    if edge_attr.numel() != edge_attr.size(0):
        raise ValueError(
            f"{type(conv).__name__} takes one weight for each edge (edge_weight), got attributes "
            f'{tuple(edge_attr.shape)}: ask the builder for one column, such as edge_attr="distance".'
        )
    return {name: edge_attr.flatten()}


def _check_edge_dim(conv: nn.Module, columns: int) -> None:
    """Check the `edge_dim` of PyG's operators; without it `GATConv` would ignore the attributes."""
    expected = getattr(conv, "edge_dim", columns)
    if (expected is None or isinstance(expected, int)) and expected != columns:
        raise ValueError(
            f"{type(conv).__name__} has edge_dim={expected}, but the graph builder returns {columns} attributes per "
            f"edge: create the operator with edge_dim={columns}."
        )
