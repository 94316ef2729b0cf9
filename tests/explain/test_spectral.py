import math

import pytest
import torch

from vig_pyg import PyramidViG, vig_micro
from vig_pyg.explain import graph_gaps, spectral_gap


def ring(n, *, both):
    index = torch.arange(n)
    forward = torch.stack([index, (index + 1) % n])
    return torch.cat([forward, forward.flip(0)], 1) if both else forward


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 13, 30])
class TestKnownGraphs:
    def test_complete(self, n):
        pairs = torch.ones(n, n)
        assert spectral_gap(pairs.nonzero().T, n) == pytest.approx(1)
        others = (pairs - torch.eye(n)).nonzero().T
        assert spectral_gap(others, n) == pytest.approx(1 - 1 / (n - 1))

    def test_ring(self, n):
        """The eigenvalues are cos(2 pi i / n); that of an even ring has -1 among them."""
        expected = 0 if n % 2 == 0 else 1 - math.cos(math.pi / n)
        assert spectral_gap(ring(n, both=True), n) == pytest.approx(expected, abs=1e-9)
        lazy = torch.cat([ring(n, both=True), torch.arange(n).repeat(2, 1)], 1)  # a third of the steps stay
        sizes = sorted(abs((1 + 2 * math.cos(2 * math.pi * i / n)) / 3) for i in range(n))
        assert spectral_gap(lazy, n) == pytest.approx(1 - sizes[-2], abs=1e-9)

    def test_directed_ring_returns_periodically(self, n):
        assert spectral_gap(ring(n, both=False), n) == pytest.approx(0, abs=1e-9)

    def test_star(self, n):
        leaves = torch.stack([torch.zeros(n, dtype=torch.long), torch.arange(1, n + 1)])
        assert spectral_gap(torch.cat([leaves, leaves.flip(0)], 1), n + 1) == pytest.approx(0, abs=1e-9)

    def test_two_parts(self, n):
        one = torch.ones(n, n).nonzero().T
        assert spectral_gap(torch.cat([one, one + n], 1), 2 * n) == pytest.approx(0, abs=1e-9)

    def test_hypercube_with_loops(self, n):
        """The eigenvalues of the lazy walk on the d-cube are (d + 1 - 2 i) / (d + 1)."""
        d = min(n, 6)
        index = torch.arange(2**d)
        edges = [torch.stack([index, index ^ (1 << bit)]) for bit in range(d)] + [index.repeat(2, 1)]
        assert spectral_gap(torch.cat(edges, 1), 2**d) == pytest.approx(2 / (d + 1))


@pytest.mark.parametrize("seed", range(8))
def test_the_order_of_nodes_and_edges_and_copies_do_not_matter(seed):
    draw = torch.Generator().manual_seed(seed)
    n = int(torch.randint(2, 20, (), generator=draw))
    edges = torch.randint(n, (2, 4 * n), generator=draw)
    names = torch.randperm(n, generator=draw)
    shuffled = names[edges[:, torch.randperm(4 * n, generator=draw)]]
    gap = spectral_gap(edges, n)
    assert 0 <= gap <= 1
    assert spectral_gap(shuffled, n) == pytest.approx(gap, abs=1e-6)
    assert spectral_gap(edges.repeat(1, 3), n) == pytest.approx(gap, abs=1e-6)


def test_nodes_without_neighbors_stay():
    assert spectral_gap(torch.empty(2, 0, dtype=torch.long), 1) == 1
    assert spectral_gap(torch.empty(2, 0, dtype=torch.long), 3) == 0
    with pytest.raises(ValueError, match="at least one node, got 0"):
        spectral_gap(torch.empty(2, 0, dtype=torch.long), 0)


def test_every_layer_and_image():
    model = vig_micro(graph="axial").eval()
    gaps = graph_gaps(model.graphs([torch.rand(3, 32, 32), torch.rand(3, 48, 32)]))
    assert len(gaps) == 4 and all(len(layer) == 2 for layer in gaps)
    first = model.graphs(torch.rand(1, 3, 32, 32))[0].get_example(0)
    assert gaps[0][0] == pytest.approx(spectral_gap(first.edge_index, len(first.pos)))


@pytest.mark.parametrize("size", [(32, 32), (40, 72)])
def test_pooled_sources(size):
    complete = PyramidViG("micro", graph="complete").eval().graphs(torch.rand(1, 3, *size))
    pooled = [int(graph.get_example(0).reduce_ratio) > 1 for graph in complete]
    assert any(pooled)
    for (gap,) in graph_gaps(complete):
        assert gap == pytest.approx(1)
    for (gap,) in graph_gaps(PyramidViG("micro", graph="random").eval().graphs(torch.rand(1, 3, *size))):
        assert 0 < gap <= 1
