"""Which graph? Number of neighbors, dilation, heads, position, engine, and other ways to build the graph.

    uv run python examples/ablate_graph.py                        # digits, about ten minutes on two cores
    uv run python examples/ablate_graph.py --model pvig_micro     # with the position modes of the pyramid
    uv run python examples/ablate_graph.py --data imagenette --images-per-class 200 --epochs 15 \
        --only knn k-3 axial window grid random                   # under half an hour

The table has the spectral gap of each graph in the trained network, which tells how fast messages spread:
1 - |second largest eigenvalue| of the random walk matrix, which steps from a patch to one of its neighbors with equal
probability (`vig_pyg.explain.spectral_gap`).

The published rule raises the dilation every four blocks, which small models hardly reach: `dilation-2` and
`dilation-4` set it for all blocks. Stochastic dilation is `dilation-2` with random neighbors in a fifth of the
training passes. `torch_cluster` is the same graph by another engine: what differs in accuracy is rounding.
"""

from __future__ import annotations

from functools import partial

from ablation import Variant, changed, main

from vig_pyg import DilatedKNN, create_model
from vig_pyg.classification.ablation import spectral_gaps
from vig_pyg.graph import GraphFactory, Reuse, WindowGraph


def searches(model: str) -> list[Variant]:
    """The neighbor search with other options."""
    pyramid = model.startswith("pvig")
    knn = partial(DilatedKNN, position="official") if pyramid else DilatedKNN

    def spaced(dilation: int, **options: bool) -> GraphFactory:
        return lambda k, _: knn(k, dilation, **options)

    found = [changed("knn", "k nearest neighbors, as published")]
    found += [changed(f"k-{k}", f"k = {k} in all blocks", k=k) for k in (3, 6, 15)]
    if any(dilation > 1 for _, dilation in create_model(model).config.neighbors()):
        found.append(changed("dilation-off", "dilation 1 in all blocks", dilation=False))
    found += [changed(f"dilation-{d}", f"dilation {d} in all blocks", graph=spaced(d)) for d in (2, 4)]
    found.append(changed("stochastic", "dilation 2, stochastic", graph=spaced(2, stochastic=True)))
    found += [changed(f"heads-{h}", f"{h} heads in the graph convolution (published: 4)", heads=h) for h in (1, 8)]
    if pyramid:
        found.append(changed("position-grid", "position codes of the true grid in the search", position="grid"))
        found.append(changed("position-none", "no position in the search", position=None))
    found.append(changed("torch_cluster", "search by torch_cluster", knn_engine="torch_cluster"))
    found.append(changed("reuse", "every second Grapher builds", graph=Reuse(knn, every=2)))
    return found


def variants(model: str) -> list[Variant]:
    return [
        *searches(model),
        changed("window", "nearest neighbors in windows of 4 x 4 (WiGNet)", graph=partial(WindowGraph, window=4)),
        changed("axial", "every second patch of row and column (MobileViG)", graph="axial"),
        changed("axial_rings", "on rings of each row and column (MobileViG, as published)", graph="axial_rings"),
        changed("axial_threshold", "those nearer than a threshold (GreedyViG)", graph="axial_threshold"),
        changed("cross", "the four patches on these rings (MobileViGv2)", graph="cross"),
        changed("log", "distances 1, 2, 4, ... in row and column (after LogViG)", graph="log"),
        changed("grid", "the eight cells around", graph="grid"),
        changed("complete", "all patches", graph="complete"),
        changed("random", "k random patches", graph="random"),
    ]


if __name__ == "__main__":
    main(__doc__ or "", variants, script=__file__, epochs=6, measure=spectral_gaps)
