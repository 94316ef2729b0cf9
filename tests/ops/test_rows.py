import pytest
import torch

from vig_pyg.ops import TooManyNeighborsError, edge_rows, rows


def edges(num_src, num_dst, count, *, in_order=True):
    target = torch.randint(num_dst, (count,))
    return torch.stack([torch.randint(num_src, (count,)), target.sort().values if in_order else target])


@pytest.fixture(params=[True, False], ids=["native", "plain"])
def native(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(rows, "library", lambda: None)


@pytest.mark.parametrize("count", [0, 1, 7, 100, 5000])
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("threads", [1, 3])
def test_sources_come_by_target(native, monkeypatch, count, in_order, dtype, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    graph = edges(40, 70, count, in_order=in_order)
    source, first = edge_rows(graph.to(dtype), 40, 70)
    assert torch.equal(source, graph[0, graph[1].argsort(stable=True)])
    assert torch.equal(first.diff(), graph[1].bincount(minlength=70))
    assert first[0] == 0 and source.dtype == first.dtype == torch.int64


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("value", [-1, -(2**63), 2**40, 2**63 - 1])
@pytest.mark.parametrize("at", [0, 50, 99])
@pytest.mark.parametrize("in_order", [True, False])
def test_indices_out_of_range_are_refused(native, row, value, at, in_order):
    graph = edges(40, 70, 100, in_order=in_order)
    graph[row, at] = value
    with pytest.raises(
        IndexError, match=rf"source indices in \[0, 40\) and target indices in \[0, 70\), got .*{value}"
    ):
        edge_rows(graph, 40, 70)


def test_more_neighbors_than_a_byte_can_tell_apart(native):
    graph = torch.zeros(2, 257, dtype=torch.long)
    edge_rows(graph, 1, 1)
    edge_rows(graph[:, 1:], 1, 1, slots=True)
    with pytest.raises(TooManyNeighborsError, match="more than 256 neighbors"):
        edge_rows(graph, 1, 1, slots=True)


def test_unsorted_edges_of_many_targets_take_no_time_for_each():
    count = 200_000
    graph = torch.stack([torch.zeros(count, dtype=torch.long), torch.arange(count) % 2 * (count - 1)])
    assert edge_rows(graph, 1, count)[1][1] == count // 2  # a step for each target and edge would take a minute
