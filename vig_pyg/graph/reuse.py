"""Reuse of one graph by several Graphers."""

from __future__ import annotations

from torch import Tensor, nn

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.edge_attr import Edges
from vig_pyg.graph.registry import GRAPHS
from vig_pyg.ops import is_open


class Reuse:
    r"""A graph factory with which only every n-th Grapher builds a graph; the Graphers in between reuse the edges.

    .. math:: \mathcal{G}_l = \mathcal{G}_{n \lfloor l / n \rfloor}

    for Grapher l = 0, 1, ... of the model (the static-graph ablation of dynamic graph networks, as in DeepGCNs, arXiv
    1904.03751). If the grid changes in between, as between the stages of a pyramid, the next Grapher builds a new
    graph. The k and dilation of reused edges are those of the Grapher that built them.

    The edges are stored in the layout, which a model creates in every forward pass. So a pass never uses the edges of
    another pass, and they are freed after it.

    Args:
        factory: Name or factory of the builders, which is called with `k` and `dilation`. `"knn"` is the search with
            the options of the model.
        every: The period n, at least 1; 1 means that every Grapher builds its own graph.

    Raises:
        ValueError: If `every` is below 1, or the name is unknown.
        TypeError: If `factory` is neither a name nor callable.

    Example:
        >>> from vig_pyg import ViG
        >>> model = ViG("micro", graph=Reuse("knn", every=2))
        >>> [grapher.graph.builds for grapher in model.graphers()]
        [True, False, True, False]
    """

    def __init__(self, factory: str | GraphFactory, *, every: int) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}.")
        if isinstance(factory, str):
            GRAPHS.resolve(factory)
        elif not callable(factory):
            raise TypeError(f"Reuse needs a name or a callable (k, dilation) -> builder, got {factory!r}.")
        self.factory = factory
        self.every = every
        self._count = 0
        self._group = object()

    def fresh(self, factory: GraphFactory) -> Reuse:
        """Return a copy with another factory, whose count starts at the first Grapher; each model needs its own copy.

        Args:
            factory: The factory for the name that was given, such as the search of the model for `"knn"`.

        Example:
            >>> Reuse("knn", every=2).fresh(lambda k, dilation: None).every
            2
        """
        return Reuse(factory, every=self.every)

    def __call__(self, k: int, dilation: int) -> Reused:
        builds = self._count % self.every == 0
        if builds:
            self._group = object()
        self._count += 1
        factory = GRAPHS.resolve(self.factory) if isinstance(self.factory, str) else self.factory
        return Reused(factory(k, dilation), builds=builds, group=self._group)

    def __repr__(self) -> str:
        return f"Reuse({self.factory!r}, every={self.every})"


class Reused(nn.Module):
    """The graph builder of one Grapher under `Reuse`.

    Args:
        builder: The builder that is called if there are no edges to reuse.
        builds: If true, `builder` is called in every pass.
        group: An object that identifies the Graphers that share edges.

    Shapes: those of `builder`.

    Example:
        >>> from vig_pyg import DilatedKNN
        >>> Reuse(DilatedKNN, every=2)(9, 1).builds
        True
    """

    def __init__(self, builder: Builder, *, builds: bool, group: object) -> None:
        super().__init__()
        self.builder = builder
        self.builds = builds
        self.group = group
        self.edge_attr: object = getattr(builder, "edge_attr", ())

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        sizes = *layout_src.distinct_num_nodes, layout_src.num_graphs
        key = self.group, layout_src.ratio, () if is_open(*sizes) else sizes  # an open size has no hash
        if self.builds or key not in layout.shared_edges:
            layout.shared_edges[key] = self.builder(x, layout, x_src, layout_src)
        return layout.shared_edges[key]

    def extra_repr(self) -> str:
        return f"builds={self.builds}"
