"""Assertions that check your own operators, graph builders and models.

Each function returns the measured error, or raises an `AssertionError` with the numbers. Modules are tested in
evaluation mode, and their mode is restored afterwards. The random choices are always the same.

Shapes: N targets, M sources, E edges, C channels, B images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vig_pyg.conv import ConvFactory, NodesOrPair
from vig_pyg.data import BatchLayout
from vig_pyg.graph import Builder, split_edges
from vig_pyg.graph.static import one_image
from vig_pyg.models import ModelConfig, VisionGNN

#: Largest relative difference that is considered rounding.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def assert_operator(
    conv: ConvFactory, *, in_channels: int = 16, out_channels: int = 32, dtype: torch.dtype = torch.float32
) -> float:
    """Check all properties of an operator for `conv=` on a random graph, and return the largest error.

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
    with _evaluation(operator), torch.no_grad():
        shape = tuple(operator(x, edge_index).shape)
    assert shape == (20, out_channels), f"{_name(operator)} returned {shape}, expected {(20, out_channels)}."
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
    """
    __tracebackhide__ = True
    x_src, x_dst = (x, x) if isinstance(x, Tensor) else x
    new_dst = _permutation(x_dst.size(0), 1, x_dst)
    new_src = new_dst if isinstance(x, Tensor) else _permutation(x_src.size(0), 2, x_src)
    edges = torch.stack([new_src.argsort()[edge_index[0]], new_dst.argsort()[edge_index[1]]])
    edges = edges[:, edges[1].argsort(stable=True)]
    renamed = x_dst[new_dst] if isinstance(x, Tensor) else (x_src[new_src], x_dst[new_dst])
    with _evaluation(operator), torch.no_grad():
        got, want = operator(renamed, edges), operator(x, edge_index)[new_dst]
    return _close(got, want, f"{_name(operator)} depends on the numbering of the nodes", tolerance)


def assert_edge_order_invariance(
    operator: nn.Module, x: NodesOrPair, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    """Check that the result does not depend on the order of the edges."""
    __tracebackhide__ = True
    shuffled = edge_index[:, _permutation(edge_index.size(1), 3, edge_index)]
    with _evaluation(operator), torch.no_grad():
        got, want = operator(x, shuffled), operator(x, edge_index)
    return _close(got, want, f"{_name(operator)} depends on the order of the edges", tolerance)


def assert_bipartite_equals_plain(
    operator: nn.Module, x: Tensor, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    """Check that equal sources and targets give the result of one node set: `f((x, x), E) = f(x, E)`."""
    __tracebackhide__ = True
    with _evaluation(operator), torch.no_grad():
        got, want = operator((x, x), edge_index), operator(x, edge_index)
    return _close(got, want, f"{_name(operator)} treats (x, x) otherwise than x", tolerance)


def assert_graph_independence(
    operator: nn.Module, x: Tensor, edge_index: Tensor, *, tolerance: float | None = None
) -> float:
    """Check that two unconnected graphs in one batch give the same results as separately."""
    __tracebackhide__ = True
    other = 2 * x.flip(0) - 1
    with _evaluation(operator), torch.no_grad():
        got = operator(torch.cat([x, other]), torch.cat([edge_index, edge_index + x.size(0)], dim=1))
        want = torch.cat([operator(x, edge_index), operator(other, edge_index)])
    return _close(got, want, f"{_name(operator)} mixes the graphs of a batch", tolerance)


def assert_parameters_get_gradients(module: nn.Module, *inputs: Any) -> float:
    """Check that every parameter has a gradient in evaluation mode, and return the smallest norm of a gradient.

    Example:
        >>> assert_parameters_get_gradients(nn.Linear(2, 3), torch.ones(1, 2)) > 0
        True
    """
    __tracebackhide__ = True
    names, parameters = zip(*((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True)
    with _evaluation(module), torch.enable_grad():
        out = module(*inputs)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(4), device="cpu").to(out)
        gradients = torch.autograd.grad((out * weight).sum(), parameters, allow_unused=True)
    norms = [0.0 if g is None else g.norm().item() for g in gradients]
    idle = [name for name, norm in zip(names, norms, strict=True) if not 0 < norm < float("inf")]
    assert not idle, f"{_name(module)} has parameters without a finite gradient: {', '.join(idle)}."
    return min(norms)


def assert_block_equivariance(
    block: Callable[[Tensor, BatchLayout], Tensor], x: Tensor, layout: BatchLayout, *, tolerance: float | None = None
) -> float:
    """Check that a permutation of the patches of each image permutes the result, `(N, C)` to `(N, C')`.

    The nodes are passed as a point set without a grid, so the block must not pool its sources.
    """
    __tracebackhide__ = True
    new = torch.cat([_permutation(n, i, x) + layout.ptr[i] for i, n in enumerate(layout.num_nodes_per_graph)])
    plain = BatchLayout(layout.pos, layout.batch, layout.ptr, layout.num_nodes_per_graph, None)
    renamed = BatchLayout(layout.pos[new], layout.batch, layout.ptr, layout.num_nodes_per_graph, None)
    with _evaluation(block), torch.no_grad():
        got, want = block(x[new], renamed), block(x, plain)[new]
    return _close(got, want, f"{_name(block)} depends on the numbering of the patches", tolerance)


def assert_builder(
    builder: Builder, x: Tensor, layout: BatchLayout, x_src: Tensor | None = None, layout_src: BatchLayout | None = None
) -> int:
    """Check the contract of a graph builder (shape, order, no edges between images), and return the number of edges.

    Pass targets `x (N, C)` of several images, and for pooled sources `x_src (M, C)`, each with its layout. All nodes
    must differ, so that there are no ties. Attributes of edges must not depend on the other images either.
    """
    __tracebackhide__ = True
    src, layout_src = (x, layout) if x_src is None or layout_src is None else (x_src, layout_src)
    with _evaluation(builder):
        edges, attr = split_edges(builder(x, layout, src, layout_src))
        form = tuple(edges.shape), edges.dtype
        assert form[0][:-1] == (2,) and form[1] == torch.long, f"Expected (2, E) int64: {form}."
        top = edges.max(dim=1).values.tolist()
        assert edges.min() >= 0 and top[0] < src.size(0) and top[1] < x.size(0), f"Edges reach nodes {top}: too far."
        assert (edges[1].diff() >= 0).all(), "Edges are not sorted by target."
        crossing = layout_src.batch[edges[0]] != layout.batch[edges[1]]
        assert not crossing.any(), f"{int(crossing.sum())} edges join two images."
        for i in range(layout.num_graphs):
            one = (x[layout.batch == i], one_image(layout, i))
            one_src = one if src is x else (src[layout_src.batch == i], one_image(layout_src, i))
            alone, attr_alone = split_edges(builder(*one, *one_src))
            first, here = torch.stack([layout_src.ptr[i], layout.ptr[i]]), layout.batch[edges[1]] == i
            same = torch.equal(edges[:, here] - first.unsqueeze(1), alone)
            assert same, f"Image {i} has other edges alone than in the batch."
            assert (attr is None) == (attr_alone is None), "Only some of the edges have edge_attr."
            if attr is not None and attr_alone is not None:
                _close(attr[here].detach(), attr_alone.detach(), f"Image {i} has other edge_attr alone", None)
    return edges.size(1)


def assert_batch_independence(
    model: nn.Module, images: Tensor | list[Tensor], *, tolerance: float | None = None
) -> float:
    """Check that the result for each image does not depend on the other images of the batch.

    Example:
        >>> from vig_pyg import vig_micro
        >>> assert_batch_independence(vig_micro().double(), [torch.rand(3, 32, w).double() for w in (32, 40)]) < 1e-9
        True
    """
    __tracebackhide__ = True
    with _evaluation(model), torch.no_grad():
        got, want = model(images), torch.cat([model(image.unsqueeze(0)) for image in images])
    return _close(got, want, f"{_name(model)} mixes the images of a batch", tolerance)


def assert_every_field_matters(
    make: Callable[[Any], VisionGNN[Any]],
    config: ModelConfig,
    changes: Mapping[str, Any],
    *,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, list[str]]:
    """Check that every field of a configuration has an effect, and return the effects.

    Args:
        make: Factory of a model from a configuration.
        config: The configuration that is changed, one field at a time.
        changes: Another value for each field.
        given: For a field that has an effect only with certain values of others, these values, on both sides.

    Returns:
        For each field, those of `parameters`, `outputs`, `graphs`, `training` (outputs in training mode) and `steps`
        (the tensor operations of a forward pass) that differ.
    """
    __tracebackhide__ = True
    names = [f.name for f in fields(config)]
    unknown = set(changes) ^ set(names)
    assert not unknown, f"Expected one change for each field of {type(config).__name__}, not so: {sorted(unknown)}."
    found: dict[str, list[str]] = {}
    for name in names:
        base = replace(config, **(given or {}).get(name, {}))
        assert getattr(base, name) != changes[name], f"{name} is changed to what it was: {changes[name]!r}."
        one = _traits(make, base, config.image_size)
        two = _traits(make, replace(base, **{name: changes[name]}), config.image_size)
        found[name] = [trait for trait in one if not _same(one[trait], two[trait])]
    dead = [name for name, traits in found.items() if not traits]
    assert not dead, f"Fields of {type(config).__name__} that change nothing: {', '.join(dead)}."
    return found


class _Steps(TorchDispatchMode):
    """Counts tensor operations by name, and by the words among their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[" ".join([str(func), *(arg for arg in args if isinstance(arg, str))])] += 1
        return func(*args, **(kwargs or {}))


def _traits(make: Callable[[Any], VisionGNN[Any]], config: ModelConfig, side: int) -> dict[str, Any]:
    """The observable properties of a model, from a fixed seed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = make(config).eval()
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        torch.manual_seed(1)
        images = torch.rand(4, config.in_channels, side, side)
        with _Steps() as steps:
            outputs = model(images)
        graphs = [graph.edge_index for graph in model.graphs(images)]
        torch.manual_seed(2)
        training = model.train()(images)
    return {"parameters": state, "outputs": outputs, "graphs": graphs, "training": training, "steps": steps.count}


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return one.shape == two.shape and torch.allclose(one, two, rtol=0, atol=1e-5)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    return bool(one == two)


@contextmanager
def _evaluation(module: object) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()] if isinstance(module, nn.Module) else []
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _permutation(n: int, seed: int, like: Tensor) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed), device="cpu").to(like.device)


def _name(part: object) -> str:
    return type(part).__name__ if isinstance(part, nn.Module) else getattr(part, "__name__", repr(part))


def _close(got: Tensor, want: Tensor, fault: str, tolerance: float | None) -> float:
    """Return the largest difference relative to the largest value; fail if it exceeds the tolerance."""
    __tracebackhide__ = True
    assert got.shape == want.shape, f"{fault}: shapes {tuple(got.shape)} and {tuple(want.shape)}."
    bound = TOLERANCE[want.dtype] if tolerance is None else tolerance
    error = float((got - want).abs().max() / want.abs().max().clamp_min(1))
    assert error <= bound, f"{fault}: they differ by {error:.1e}, rounding is {bound:.0e}."  # NaN fails too
    return error
