"""Detection of operators that accept edge attributes or edge weights, and checks of these attributes."""

from __future__ import annotations

import copy
import inspect
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vig_pyg.conv._types import NodesOrPair
from vig_pyg.conv.node_sets import apply_to_pair

EdgeArgument = Literal["edge_attr", "edge_weight"]
#: Numbers of attributes per edge with which a failed operator is tried, in addition to the widths of the nodes.
_TRIED = range(1, 9)
_FAULTS = (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError)


def edge_argument(conv: nn.Module) -> EdgeArgument | None:
    """Return the name of the argument for edge attributes or weights in the signature of an operator's `forward`.

    Args:
        conv: The operator.

    Returns:
        `"edge_attr"` for attributes `(E, D)` (also if `forward` has `**kwargs`), `"edge_weight"` for weights `(E,)`, or
        `None` if it has neither.

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
        "edge_weight: use an operator that accepts them, such as torch_geometric.nn.GATv2Conv with edge_dim, or a "
        "builder without edge_attr."
    )


def edge_values(edge_attr: Tensor, conv: nn.Module, name: EdgeArgument | None) -> dict[str, Tensor]:
    """Return the keyword argument with which an operator receives the attributes of its edges.

    Args:
        edge_attr: Attributes `(E, D)` or `(E,)`.
        conv: The operator.
        name: The result of `edge_argument(conv)`.

    Shapes: attributes `(E, D)` or `(E,)` to the same, or to weights `(E,)`.

    Raises:
        ValueError: If the operator accepts none, if it accepts weights and there is more than one column, or if its
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
            f"{type(conv).__name__} accepts one weight per edge (edge_weight), got attributes "
            f'{tuple(edge_attr.shape)}: request a single column from the builder, such as edge_attr="distance".'
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


def apply_with_edge_attr(
    conv: nn.Module,
    y: NodesOrPair,
    edge_index: Tensor,
    edge_attr: Tensor,
    name: EdgeArgument | None,
    reduce_ratio: int,
) -> Any:
    """Call an operator with the attributes of its edges; explain the failure if they do not fit.

    Operators name the number of attributes in many ways (`edge_dim`, `dim`, `in_edge_channels`, the first layer of a
    network). So if the call fails, a copy of the operator is called with other numbers of attributes. If one of these
    calls succeeds, the attributes were the cause.

    Args:
        conv: The operator.
        y: Nodes `(N, C)`, or a pair of sources and targets.
        edge_index: Edges `(2, E)`.
        edge_attr: Attributes `(E, D)` or `(E,)`.
        name: The result of `edge_argument(conv)`.
        reduce_ratio: Pooling of the sources, for error messages.

    Shapes: nodes `(N, C)`, edges `(2, E)` and attributes `(E, D)` or `(E,)` to `(N, C')`.

    Raises:
        ValueError: If the attributes do not fit the operator (see `edge_values`). Other errors keep their type.

    Example:
        >>> from torch_geometric.nn import GENConv
        >>> x, edges = torch.rand(3, 8), torch.tensor([[0, 1], [1, 2]])
        >>> apply_with_edge_attr(GENConv(8, 8, edge_dim=1), x, edges, torch.rand(2, 1), "edge_attr", 1).shape
        torch.Size([3, 8])
    """
    values = edge_values(edge_attr, conv, name)
    if torch.compiler.is_compiling():
        return apply_to_pair(conv, y, edge_index, reduce_ratio, **values)
    try:
        return apply_to_pair(conv, y, edge_index, reduce_ratio, **values)
    except _FAULTS as error:
        expected = "" if isinstance(error, torch.OutOfMemoryError) else _what_fits(conv, y, edge_index, edge_attr, name)
        if not expected:
            raise
        columns = edge_attr.size(1) if edge_attr.dim() > 1 else 1
        raise ValueError(
            f"{type(conv).__name__} got {columns} attributes per edge from the graph builder, but it expects "
            f"{expected} (it failed with {type(error).__name__}: {error}): request other attributes from the builder, "
            f"or create the operator for {columns}, with the one of edge_dim={columns}, dim={columns} and "
            f"in_edge_channels={columns} that it has."
        ) from error


def _what_fits(
    conv: nn.Module, y: NodesOrPair, edge_index: Tensor, edge_attr: Tensor, name: EdgeArgument | None
) -> str:
    """Return the numbers of attributes with which a failed operator works; the list is empty if there are none."""
    if _fits(conv, y, edge_index, edge_attr, name, tuple(edge_attr.shape)):
        return ""  # the shape is not the cause
    widths = {part.size(1) for part in ((y,) if isinstance(y, Tensor) else y)}
    shapes: dict[str, tuple[int, ...] | None] = {"none": None, "a vector": (edge_index.size(1),)}
    if name == "edge_attr":
        shapes |= {str(width): (edge_index.size(1), width) for width in (*_TRIED, *sorted(widths - set(_TRIED)))}
    return " or ".join(what for what, shape in shapes.items() if _fits(conv, y, edge_index, edge_attr, name, shape))


@torch.no_grad()
def _fits(
    conv: nn.Module,
    y: NodesOrPair,
    edge_index: Tensor,
    edge_attr: Tensor,
    name: EdgeArgument | None,
    shape: tuple[int, ...] | None,
) -> bool:
    """True if an operator works with attributes of this shape; a copy is called, so that its state is kept."""
    values = {} if shape is None or name is None else {name: edge_attr.new_zeros(shape)}
    try:
        copy.deepcopy(conv).eval().forward(y, edge_index, **values)
    except Exception:
        return False
    return True
