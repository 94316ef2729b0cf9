"""Graphs from the features of the previous layer, so that no graph waits for the features of its own layer."""

from __future__ import annotations

from torch import Tensor, nn

from vig_pyg.data import BatchLayout
from vig_pyg.graph.contract import Builder, GraphFactory
from vig_pyg.graph.edge_attr import Edges
from vig_pyg.graph.registry import GRAPHS, register_graph


class Lookahead:
    r"""A graph factory with which each Grapher uses the graph of the previous Grapher.

    .. math:: \mathcal{G}_l = B_{l - 1}(x_{l - 1}), \qquad \mathcal{G}_0 = B_0(x_0)

    for Grapher l = 0, 1, ... on one grid, its builder :math:`B_l`, and its features :math:`x_l`. So the graph of a
    layer is known before the features of the layer, and can be built while the previous layer is computed. The k and
    the dilation are also those of the previous layer. If the grid changes, as between the stages of a pyramid, the next
    Grapher builds a graph of its own features. (This is the graph of DGCNN, arXiv 1801.07829, one layer late; `Reuse`
    keeps one graph for several layers instead.)

    The features are stored in the layout, which a model creates in every forward pass, and only the next Grapher reads
    them. Therefore a forward pass never uses the features of another one.

    Args:
        factory: Name or factory of the wrapped builders, which is called with `k` and `dilation`. `"knn"` is the
            search with the options of the model.

    Raises:
        TypeError: If `factory` is neither a name nor callable.
        ValueError: If the name is unknown.

    Example:
        >>> from vig_pyg import ViG
        >>> ViG("micro", graph=Lookahead("axial")).graphers()[1].graph.builder
        AxialGraph(stride=2)
    """

    def __init__(self, factory: str | GraphFactory = "knn") -> None:
        if isinstance(factory, str):
            GRAPHS.resolve(factory)
        elif not callable(factory):
            raise TypeError(f"Lookahead needs a name or a callable (k, dilation) -> builder, got {factory!r}.")
        self.factory = factory
        self._last: Builder | None = None

    def __call__(self, k: int, dilation: int) -> LookaheadGraph:
        factory = GRAPHS.resolve(self.factory) if isinstance(self.factory, str) else self.factory
        before, self._last = self._last, factory(k, dilation)
        return LookaheadGraph(self._last, before=before)

    def fresh(self, factory: GraphFactory) -> Lookahead:
        """Return a copy with another factory, which starts with the first Grapher; each model needs its own copy.

        Args:
            factory: The factory for the name that was given, such as the search of the model for `"knn"`.

        Example:
            >>> Lookahead("knn").fresh(lambda k, dilation: None).factory(9, 1) is None
            True
        """
        return Lookahead(factory)

    def __repr__(self) -> str:
        return f"Lookahead({self.factory!r})"


class LookaheadGraph(nn.Module):
    """The graph builder of one Grapher under `Lookahead`.

    Args:
        builder: The builder whose edges the next Grapher uses.
        before: The builder of the previous Grapher, or `None` for the first.

    Shapes: those of `builder`.

    Example:
        >>> Lookahead("grid")(9, 1).builder
        GridGraph()
    """

    def __init__(self, builder: Builder, *, before: Builder | None) -> None:
        super().__init__()
        self.builder = builder
        self._before = (before,)  # the tuple hides the builder, which is a part of another module
        self.edge_attr: object = getattr(builder, "edge_attr", ())

    def forward(self, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout) -> Edges:
        key, mine = (LookaheadGraph, layout_src.ratio), (self.builder, x, x_src)
        found = layout.shared_edges.get(key)
        # The stored features belong to another builder on a new grid, or in another pass over this layout.
        builder, *nodes = found if found is not None and found[0] is self._before[0] else mine
        layout.shared_edges[key] = mine
        # The Grapher that uses the edges builds them, so that no unused edges are built.
        edges: Edges = builder(nodes[0], layout, nodes[1], layout_src)
        return edges


register_graph("lookahead")(Lookahead())
