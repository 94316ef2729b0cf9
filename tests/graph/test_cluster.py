import pytest
import torch

from vig_pyg.data import BatchLayout
from vig_pyg.graph import DilatedKNN, cluster
from vig_pyg.graph.cluster import MAX_NEIGHBORS_CUDA, cluster_neighbors, cluster_refuses, position_as_coordinates
from vig_pyg.position import Codes


def test_position_as_coordinates_orders_by_the_inner_product():
    x, y, p, q = (torch.randn(n, 6, dtype=torch.float64) for n in (20, 15, 20, 15))
    targets, sources = position_as_coordinates(x, y, p, q)
    order = torch.cdist(targets, sources).argsort(dim=1)
    assert torch.equal(order, (x @ y.t() + p @ q.t()).argsort(dim=1, descending=True))


def test_all_sources_get_one_length():
    sources = position_as_coordinates(*torch.randn(4, 9, 6, dtype=torch.float64))[1]
    torch.testing.assert_close(sources.norm(dim=1), sources.norm(dim=1).max().expand(9))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_neighbors_of_a_ragged_batch_are_those_of_each_image(pooled, coded):
    layout = BatchLayout.from_sizes([(3, 4), (5, 5)])
    source = layout.pooled(2 if pooled else 1)
    x = torch.randn(layout.num_nodes, 4, dtype=torch.float64)
    y = torch.randn(source.num_nodes, 4, dtype=torch.float64) if pooled else x
    codes = Codes(torch.randn_like(x), torch.randn_like(y)) if coded else None
    edges = cluster_neighbors(x, layout, y, source, 3, codes)
    bias = codes.p @ codes.q.t() if coded else 0
    scores = -torch.cdist(x, y).square() / 2 + bias
    if coded:
        scores = x @ y.t() + bias  # the lengths of the sources do not count beside codes
    other = layout.batch[:, None] != source.batch[None]
    want = scores.masked_fill(other, -torch.inf).topk(3).indices
    assert torch.equal(edges[0].view(-1, 3), want)
    assert torch.equal(edges[1], torch.arange(layout.num_nodes).repeat_interleave(3))


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("ratio", [1, 2])
def test_threads_change_nothing(monkeypatch, threads, ratio):
    layout = BatchLayout.from_sizes([(4, 4), (6, 4), (2, 2), (5, 5), (4, 4)])
    source = layout.pooled(ratio)
    x = torch.randn(layout.num_nodes, 4, requires_grad=True)
    y = x if ratio == 1 else torch.randn(source.num_nodes, 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = cluster_neighbors(x, layout, y, source, 3, None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(cluster_neighbors(x, layout, y, source, 3, None), alone)


def test_more_neighbors_than_nodes_are_fewer():
    layout = BatchLayout.from_sizes([(1, 2), (2, 2)])
    x = torch.randn(6, 4)
    assert cluster_neighbors(x, layout, x, layout, 3, None)[1].bincount().tolist() == [2, 2, 3, 3, 3, 3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the limit is the CUDA kernel's")
def test_the_limit_of_the_cuda_kernel_is_an_error():
    layout = BatchLayout.from_sizes([(20, 20)], torch.device("cuda"))
    x = torch.randn(400, 4, device="cuda")
    with pytest.raises(ValueError, match='use a smaller k or dilation, or knn_engine="dense"'):
        cluster_neighbors(x, layout, x, layout, MAX_NEIGHBORS_CUDA + 1, None)


def test_where_it_cannot_search_it_says_so():
    assert cluster_refuses(torch.device("cpu"), 10**6) == cluster_refuses(torch.device("cuda", 1), 100) == ""
    assert "at most 100 neighbors on CUDA, got k * dilation = 101" in cluster_refuses(torch.device("cuda"), 101)
    for name in ("mps", "xpu", "meta"):
        assert f'searches on cpu and cuda, got nodes on {name}: use knn_engine="auto"' in cluster_refuses(
            torch.device(name), 3
        )


LAYOUT = BatchLayout.from_sizes([(3, 3), (2, 4)])
X = torch.randn(17, 8)


def relaid(batch):
    return BatchLayout(LAYOUT.pos, batch, LAYOUT.ptr, LAYOUT.num_nodes_per_graph, LAYOUT.grid_sizes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": X[:16], "y": X[:16]}, "Got 16 nodes, but a layout of 17"),
        ({"y": torch.randn(18, 8)}, "Got 18 nodes, but a layout of 17"),
        ({"y": torch.randn(17, 5)}, r"the same number of channels, .*\(17, 5\)"),
        ({"x": X[:, :0], "y": X[:, :0]}, "channels, at least 1,"),
        ({"y": X.double()}, "the same dtype and device"),
        ({"k": 0}, "k must be at least 1"),
        ({"layout": relaid(LAYOUT.batch.flip(0))}, "must be sorted by image, but `batch` is not"),
        ({"layout": relaid(LAYOUT.batch[:9])}, "Got 17 nodes, but a layout of 17 nodes in 2 images"),
        ({"layout_src": BatchLayout.from_sizes([(1, 17)])}, "a layout of 17 nodes in 1 images"),
        ({"codes": Codes(X[:9], X)}, r"Codes \(9, 8\) .* are not those of 17 nodes"),
        ({"codes": Codes(X, X.double())}, "Codes .* of torch.float64 are not those"),
    ],
)
def test_what_torch_cluster_does_not_look_at_is_refused(arguments, words):
    given = {"x": X, "layout": LAYOUT, "y": X, "layout_src": LAYOUT, "k": 3, "codes": None} | arguments
    with pytest.raises(ValueError, match=words):
        cluster_neighbors(**given)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No module named 'torch_cluster'"), "needs torch_cluster, but"),
        (
            ImportError("Could not find module '_knn_cpu'"),
            r"for the installed torch .* \(Could not find module '_knn_cpu'",
        ),
        (OSError("undefined symbol: _ZN3c10"), r"for the installed torch .* \(undefined symbol: _ZN3c10\), but"),
        (RuntimeError("built with CUDA 12.1"), r"for the installed torch .* \(built with CUDA 12.1\), but"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_without_torch_cluster_the_dense_search_serves_every_batch(error, words, monkeypatch):
    layout = BatchLayout.from_sizes([(3, 4), (5, 5)])
    x = torch.randn(layout.num_nodes, 4)
    want = [DilatedKNN(3, 2, engine=engine)(x, layout, x, layout) for engine in ("auto", "torch_cluster")]
    monkeypatch.setattr(cluster, "_IMPORT_ERROR", error)
    for engine in ("auto", "dense"):
        for edges in want:
            assert torch.equal(DilatedKNN(3, 2, engine=engine)(x, layout, x, layout), edges)
    with pytest.raises(ImportError, match=words):
        DilatedKNN(3, engine="torch_cluster")
    with pytest.raises(ImportError, match=words):
        cluster_neighbors(x, layout, x, layout, 3, None)
