"""Assertions that check blocks, graph builders and models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vig_pyg._own_parts import new_builder
from vig_pyg.data import BatchLayout
from vig_pyg.graph import Builder, GraphFactory, split_edges
from vig_pyg.graph.crossing import crossing_edges
from vig_pyg.graph.resolver import is_graph_factory
from vig_pyg.graph.static import one_image
from vig_pyg.models import ModelConfig, VisionGNN
from vig_pyg.testing._tools import (
    check_close,
    evaluation_mode,
    is_same,
    name_of,
    permutation,
    traits_of,
)


def assert_block_equivariance(
    block: Callable[[Tensor, BatchLayout], Tensor], x: Tensor, layout: BatchLayout, *, tolerance: float | None = None
) -> float:
    """Check that a permutation of the patches of each image permutes the result, `(N, C)` to `(N, C')`.

    The nodes are passed as a point set without a grid, so the block must not pool its sources.

    Args:
        block: A callable `(x, layout) -> result`.
        x: Nodes `(N, C)`.
        layout: Layout of the nodes.
        tolerance: As for `assert_permutation_equivariance`.

    Shapes: x `(N, C)`.

    Raises:
        AssertionError: If the difference exceeds the tolerance; the message has the difference.

    Example:
        >>> layout = BatchLayout.from_sizes([(2, 3), (1, 2)])
        >>> assert_block_equivariance(lambda x, layout: 2 * x, torch.rand(8, 4), layout)
        0.0
    """
    __tracebackhide__ = True
    new = torch.cat([permutation(n, i, x) + layout.ptr[i] for i, n in enumerate(layout.num_nodes_per_graph)])
    plain = BatchLayout(layout.pos, layout.batch, layout.ptr, layout.num_nodes_per_graph, None)
    renamed = BatchLayout(layout.pos[new], layout.batch, layout.ptr, layout.num_nodes_per_graph, None)
    with evaluation_mode(block), torch.no_grad():
        got, want = block(x[new], renamed), block(x, plain)[new]
    return check_close(got, want, f"{name_of(block)} depends on the numbering of the patches", tolerance)


def assert_builder(
    builder: Builder | GraphFactory,
    x: Tensor | None = None,
    layout: BatchLayout | None = None,
    x_src: Tensor | None = None,
    layout_src: BatchLayout | None = None,
) -> int:
    """Check the contract of a graph builder (shape, order, no edges between images), and return the number of edges.

    Edge attributes must not depend on the other images either.

    Args:
        builder: The graph builder, or what `graph=` accepts: a callable `(k, dilation) -> builder`, which is called
            with k = 3 and dilation = 1.
        x: Targets `(N, C)` of several images, all different, so that there are no ties; by default three images of
            5 x 5 random patches.
        layout: Layout of the targets, which belongs to `x`.
        x_src: Sources `(M, C)`, if they are pooled; by default the targets.
        layout_src: Layout of the sources.

    Shapes: targets `(N, C)` and sources `(M, C)`.

    Raises:
        AssertionError: If the builder breaks the contract; the message says how.
        ValueError: If only one of `x` and `layout` is given.

    Example:
        >>> from vig_pyg.graph import GridGraph
        >>> assert_builder(GridGraph(), torch.rand(8, 4), BatchLayout.from_sizes([(2, 2), (2, 2)]))
        32
    """
    __tracebackhide__ = True
    builder = _built(builder)
    if (x is None) != (layout is None):
        raise ValueError("assert_builder needs both x and layout, or neither of them: got only one.")
    if x is None or layout is None:
        layout = BatchLayout.from_sizes([(5, 5)] * 3)
        x = torch.rand(layout.num_nodes, 16, generator=torch.Generator().manual_seed(0), device="cpu").to(layout.device)
    src, layout_src = (x, layout) if x_src is None or layout_src is None else (x_src, layout_src)
    with evaluation_mode(builder):
        edges, attr = split_edges(builder(x, layout, src, layout_src))
        form = tuple(edges.shape), edges.dtype
        assert form[0][:-1] == (2,) and form[1] == torch.long, (
            f"Expected edges (2, E) of int64, got {form[0]} of {form[1]}."
        )
        top = edges.max(dim=1).values.tolist()
        assert edges.min() >= 0 and top[0] < src.size(0) and top[1] < x.size(0), f"Edges refer to missing nodes: {top}."
        assert (edges[1].diff() >= 0).all(), "Edges are not sorted by target."
        crossing = crossing_edges(edges, layout, layout_src)
        assert not crossing.any(), f"{int(crossing.sum())} edges connect two images."
        for i in range(layout.num_graphs):
            one = (x[layout.batch == i], one_image(layout, i))
            one_src = one if src is x else (src[layout_src.batch == i], one_image(layout_src, i))
            alone, attr_alone = split_edges(builder(*one, *one_src))
            first, here = torch.stack([layout_src.ptr[i], layout.ptr[i]]), layout.batch[edges[1]] == i
            same = torch.equal(edges[:, here] - first.unsqueeze(1), alone)
            assert same, f"Image {i} has different edges alone than in the batch."
            assert (attr is None) == (attr_alone is None), "Only some of the edges have edge_attr."
            if attr is not None and attr_alone is not None:
                check_close(attr[here].detach(), attr_alone.detach(), f"Image {i} has other edge_attr alone", None)
    return edges.size(1)


def _built(builder: Builder | GraphFactory) -> Builder:
    """Return a builder, from itself or from its factory."""
    if isinstance(builder, nn.Module) or not is_graph_factory(builder):
        return cast(Builder, builder)
    return new_builder(cast(GraphFactory, builder), 3, 1, "assert_builder")


def assert_batch_independence(
    model: nn.Module, images: Tensor | list[Tensor], *, tolerance: float | None = None
) -> float:
    """Check that the result for each image does not depend on the other images of the batch.

    Args:
        model: The model.
        images: Images `(B, C, H, W)`, or a list of images `(C, H_i, W_i)`.
        tolerance: As for `assert_permutation_equivariance`.

    Shapes: images `(B, C, H, W)`, or a list of `(C, H_i, W_i)`.

    Raises:
        AssertionError: If the difference exceeds the tolerance; the message has the difference.

    Example:
        >>> from vig_pyg import vig_micro
        >>> assert_batch_independence(vig_micro().double(), [torch.rand(3, 32, w).double() for w in (32, 40)]) < 1e-9
        True
    """
    __tracebackhide__ = True
    with evaluation_mode(model), torch.no_grad():
        got, want = model(images), torch.cat([model(image.unsqueeze(0)) for image in images])
    return check_close(got, want, f"{name_of(model)} mixes the images of a batch", tolerance)


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
        given: For a field that has an effect only with certain values of other fields, these values; both compared
            models use them.

    Returns:
        For each field, the properties that differ: `parameters`, `outputs`, `graphs`, `training` (outputs in training
        mode) or `steps` (the tensor operations of a forward pass).

    Raises:
        AssertionError: If a field changes nothing, or does not have exactly one change; the message has the names of
            the fields.

    Example:
        >>> from vig_pyg import ViG
        >>> changes = {"k": 3}  # and another value for each other field
        >>> assert_every_field_matters(ViG, ViG("micro").config, changes)  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        AssertionError: Fields of ViGConfig without exactly one change: ...
    """
    __tracebackhide__ = True
    names = [f.name for f in fields(config)]
    unknown = set(changes) ^ set(names)
    assert not unknown, f"Fields of {type(config).__name__} without exactly one change: {sorted(unknown)}."
    found: dict[str, list[str]] = {}
    for name in names:
        base = replace(config, **(given or {}).get(name, {}))
        assert getattr(base, name) != changes[name], f"{name} is changed to its current value {changes[name]!r}."
        one = traits_of(make, base, config.image_size)
        two = traits_of(make, replace(base, **{name: changes[name]}), config.image_size)
        found[name] = [trait for trait in one if not is_same(one[trait], two[trait])]
    dead = [name for name, traits in found.items() if not traits]
    assert not dead, f"Fields of {type(config).__name__} that change nothing: {', '.join(dead)}."
    return found
