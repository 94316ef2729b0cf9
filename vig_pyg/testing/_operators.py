"""Assertions that check operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg.conv import ConvFactory, NodesOrPair
from vig_pyg.conv.node_sets import PAIR_LINE
from vig_pyg.testing._tools import check_close, evaluation_mode, name_of, permutation


def assert_operator(
    conv: ConvFactory, *, in_channels: int = 16, out_channels: int = 32, dtype: torch.dtype = torch.float32
) -> float:
    """Check all properties of an operator for `conv=` on a random graph, and return the largest error.

    Args:
        conv: A callable `(in_channels, out_channels) -> Module`.
        in_channels: Width of the nodes.
        out_channels: Width of the result.
        dtype: Floating-point type of the operator and the nodes.

    Raises:
        AssertionError: If the operator lacks one of the properties; the message has the measured error.
        Exception: An error of the operator itself, such as a `TypeError` if its `forward` accepts no `edge_index`.

    Example:
        >>> from torch_geometric.nn import GATv2Conv
        >>> assert_operator(lambda i, o: GATv2Conv(i, o)) < 1e-5
        True
    """
    __tracebackhide__ = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        operator = conv(in_channels, out_channels).to(dtype)
        x = torch.randn(20, in_channels, dtype=dtype)
        source = torch.stack([torch.randperm(20)[:5] for _ in range(20)]).flatten()
    edge_index = torch.stack([source, torch.arange(20).repeat_interleave(5)])
    with evaluation_mode(operator), torch.no_grad():
        shape = tuple(operator(x, edge_index).shape)
    assert shape == (20, out_channels), f"{name_of(operator)} returned {shape}, expected {(20, out_channels)}."
    assert_parameters_get_gradients(operator, x, edge_index)
    return max(
        assert_permutation_equivariance(operator, x, edge_index),
        assert_edge_order_invariance(operator, x, edge_index),
        assert_bipartite_equals_plain(operator, x, edge_index),
        assert_graph_independence(operator, x, edge_index),
    )


def assert_permutation_equivariance(
    operator: nn.Module, x: NodesOrPair, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    r"""Check that a permutation of the nodes permutes the result: :math:`f(\pi x, \pi E) = \pi f(x, E)`.

    If `x` is a pair, sources and targets are permuted separately. The permuted edges are sorted by target again.

    Args:
        operator: The operator, a module `(x, edge_index) -> result`.
        x: Nodes `(N, C)`, or a pair of sources `(M, C)` and targets `(N, C)`.
        edge_index: Edges `(2, E)`, sorted by target.
        tolerance: Largest relative error; the default depends on the dtype of the result (see `TOLERANCE`).

    Shapes: nodes `(N, C)` and edges `(2, E)`.

    Raises:
        AssertionError: If the difference exceeds the tolerance; the message has the difference.

    Example:
        >>> from vig_pyg.conv import GINConv
        >>> assert_permutation_equivariance(GINConv(8, 8), torch.rand(2, 8), torch.tensor([[1, 0], [0, 1]])) < 1e-5
        True
    """
    __tracebackhide__ = True
    x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
    new_dst = permutation(x_dst.size(0), 1, x_dst)
    new_src = new_dst if isinstance(x, Tensor) else permutation(x_src.size(0), 2, x_src)
    edges = torch.stack([new_src.argsort()[edge_index[0]], new_dst.argsort()[edge_index[1]]])
    edges = edges[:, edges[1].argsort(stable=True)]
    renamed = x_dst[new_dst] if isinstance(x, Tensor) else (x_src[new_src], x_dst[new_dst])
    with evaluation_mode(operator), torch.no_grad():
        got, want = operator(renamed, edges), operator(x, edge_index)[new_dst]
    return check_close(got, want, f"{name_of(operator)} depends on the numbering of the nodes", tolerance)


def assert_edge_order_invariance(
    operator: nn.Module, x: NodesOrPair, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    """Check that the result does not depend on the order of the edges.

    Args:
        operator: As for `assert_permutation_equivariance`.
        x: As for `assert_permutation_equivariance`.
        edge_index: Edges `(2, E)`.
        tolerance: As for `assert_permutation_equivariance`.

    Shapes: nodes `(N, C)` and edges `(2, E)`.

    Raises:
        AssertionError: If the difference exceeds the tolerance; the message has the difference.

    Example:
        >>> from vig_pyg.conv import GINConv
        >>> assert_edge_order_invariance(GINConv(8, 8), torch.rand(2, 8), torch.tensor([[1, 0], [0, 1]])) < 1e-5
        True
    """
    __tracebackhide__ = True
    shuffled = edge_index[:, permutation(edge_index.size(1), 3, edge_index)]
    with evaluation_mode(operator), torch.no_grad():
        got, want = operator(x, shuffled), operator(x, edge_index)
    return check_close(got, want, f"{name_of(operator)} depends on the order of the edges", tolerance)


def assert_bipartite_equals_plain(
    operator: nn.Module, x: Tensor, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    """Check that equal sources and targets give the result of one node set: `f((x, x), E) = f(x, E)`.

    Args:
        operator: As for `assert_permutation_equivariance`.
        x: Nodes `(N, C)`.
        edge_index: Edges `(2, E)`.
        tolerance: As for `assert_permutation_equivariance`.

    Shapes: nodes `(N, C)` and edges `(2, E)`.

    Raises:
        AssertionError: If the difference exceeds the tolerance, or the operator fails on a pair; the message has the
            difference or the failure.

    Example:
        >>> from vig_pyg.conv import GINConv
        >>> assert_bipartite_equals_plain(GINConv(8, 8), torch.rand(2, 8), torch.tensor([[1, 0], [0, 1]])) < 1e-5
        True
    """
    __tracebackhide__ = True
    with evaluation_mode(operator), torch.no_grad():
        want = operator(x, edge_index)
        try:
            got = operator((x, x), edge_index)
        except Exception as error:  # of any kind: the operator takes a tuple for a tensor
            raise AssertionError(
                f"{name_of(operator)} fails on a pair (sources, targets), which it receives in stages with pooled "
                f"sources, with {type(error).__name__}: {error}. Begin its forward with  {PAIR_LINE} , and read rows "
                "edge_index[0] of sources and edge_index[1] of targets."
            ) from error
    return check_close(got, want, f"{name_of(operator)} gives another result for (x, x) than for x", tolerance)


def assert_graph_independence(
    operator: nn.Module, x: Tensor, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    """Check that two unconnected graphs in one batch give the same results as separately.

    Args:
        operator: As for `assert_permutation_equivariance`.
        x: Nodes `(N, C)` of one graph.
        edge_index: Edges `(2, E)` of this graph.
        tolerance: As for `assert_permutation_equivariance`.

    Shapes: nodes `(N, C)` and edges `(2, E)`.

    Raises:
        AssertionError: If the difference exceeds the tolerance; the message has the difference.

    Example:
        >>> from vig_pyg.conv import GINConv
        >>> assert_graph_independence(GINConv(8, 8), torch.rand(2, 8), torch.tensor([[1, 0], [0, 1]])) < 1e-5
        True
    """
    __tracebackhide__ = True
    other = 2 * x.flip(0) - 1
    with evaluation_mode(operator), torch.no_grad():
        got = operator(torch.cat([x, other]), torch.cat([edge_index, edge_index + x.size(0)], dim=1))
        want = torch.cat([operator(x, edge_index), operator(other, edge_index)])
    return check_close(got, want, f"{name_of(operator)} mixes the graphs of a batch", tolerance)


def assert_parameters_get_gradients(module: nn.Module, *inputs: Any) -> float:
    """Check that every parameter has a gradient in evaluation mode, and return the smallest norm of a gradient.

    Args:
        module: The module.
        inputs: Arguments of the module.

    Raises:
        AssertionError: If a parameter has no gradient, a zero gradient or one that is not finite; the message has the
            names of these parameters.

    Example:
        >>> assert_parameters_get_gradients(nn.Linear(2, 3), torch.ones(1, 2)) > 0
        True
    """
    __tracebackhide__ = True
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    with evaluation_mode(module), torch.enable_grad():
        out = module(*inputs)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(4), device="cpu").to(out)
        gradients = torch.autograd.grad((out * weight).sum(), parameters, allow_unused=True)
    norms = [0.0 if g is None else g.norm().item() for g in gradients]
    idle = [name for name, norm in zip(names, norms, strict=True) if not 0 < norm < float("inf")]
    assert not idle, f"{name_of(module)} has parameters without a finite gradient: {', '.join(idle)}."
    return min(norms)
