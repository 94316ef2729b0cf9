"""One graph for several Graphers."""

from __future__ import annotations

from torch import Tensor, nn

from vig_pyg.data import Layout
from vig_pyg.graph.contract import Builder, GraphFactory


class Reuse:
    r"""Every n-th Grapher builds its graph, those behind it use the same edges.

    .. math:: \mathcal{G}_l = \mathcal{G}_{n \lfloor l / n \rfloor}

    for Grapher l = 0, 1, ... of the model (the static-graph ablation of dynamic graph networks, as in DeepGCNs, arXiv
    1904.03751). Where the grid has changed in between, as between the stages of a pyramid, the edges do not fit and
    the next Grapher builds anew. The neighbors are those of the Grapher that builds, with its k and dilation.

    Edges are handed on with the layout, which a model makes anew in every pass: a pass never sees edges of another
    one, whatever was copied, and nothing is kept after it.

    Args:
        factory: Makes the builders, from `k` and `dilation`.
        every: n, at least 1; 1 means that all build.

    Raises:
        ValueError: If `every` is below 1.
        TypeError: If `factory` is not callable.

    Example:
        >>> from vig_pyg import DilatedKNN, ViG
        >>> model = ViG("micro", graph=Reuse(DilatedKNN, every=2))
        >>> [grapher.graph.builds for grapher in model.graphers()]
        [True, False, True, False]
    """

    def __init__(self, factory: GraphFactory, *, every: int) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}.")
        if not callable(factory):
            raise TypeError(f"Reuse takes a callable (k, dilation) -> builder, got {factory!r}.")
        self.factory = factory
        self.every = every
        self._count = 0
        self._group = object()

    def fresh(self) -> Reuse:
        """The same from the first Grapher on; every model starts with one of its own."""
        return Reuse(self.factory, every=self.every)

    def __call__(self, k: int, dilation: int) -> Reused:
        builds = self._count % self.every == 0
        if builds:
            self._group = object()
        self._count += 1
        return Reused(self.factory(k, dilation), builds=builds, group=self._group)

    def __repr__(self) -> str:
        return f"Reuse({self.factory!r}, every={self.every})"


class Reused(nn.Module):
    """The builder of one Grapher under `Reuse`.

    Args:
        builder: Builds where there is nothing to reuse.
        builds: Whether it always builds.
        group: Names the Graphers that share edges; the same object for all of them.

    Shapes: as `builder`.
    """

    def __init__(self, builder: Builder, *, builds: bool, group: object) -> None:
        super().__init__()
        self.builder = builder
        self.builds = builds
        self.group = group

    def forward(self, x: Tensor, layout: Layout, x_src: Tensor, layout_src: Layout) -> Tensor:
        key = self.group, layout_src.ratio, layout_src.different_counts, layout_src.num_graphs
        if self.builds or key not in layout.shared:
            layout.shared[key] = self.builder(x, layout, x_src, layout_src)
        return layout.shared[key]

    def extra_repr(self) -> str:
        return f"builds={self.builds}"
