import pytest
import torch
from torch_geometric.data import Batch, Data

from vig_pyg.batch_order import order_of
from vig_pyg.data import to_batch, to_nodes

SIZES = [(3, 4), (2, 2)]


def made(sizes=SIZES):
    return to_batch(*to_nodes([torch.rand(5, *size) for size in sizes]))


def without(data, *names, **changes):
    kept = {key: data[key] for key in data.keys() if key not in names}  # noqa: SIM118  (no mapping)
    return Batch(_base_cls=Data, **kept | changes)


def test_an_ordered_batch_needs_no_order():
    batch = made()
    found = order_of(batch)
    assert (found.num_nodes_per_graph, found.grid_sizes, found.nodes) == ((12, 4), tuple(SIZES), None)
    assert torch.equal(found.batch, batch.batch) and torch.equal(found.ptr, batch.ptr)


@pytest.mark.parametrize("gone", [("batch",), ("ptr",), ("grid_size",), ("grid_size", "ptr"), ("grid_size", "batch")])
def test_what_the_rest_tells_may_be_missing(gone):
    found = order_of(without(made(), *gone))
    assert found.num_nodes_per_graph == (12, 4) and found.nodes is None
    assert found.grid_sizes == (None if "grid_size" in gone else tuple(SIZES))


def test_any_order_is_found_again():
    batch = made()
    for seed in range(20):
        new = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
        mixed = without(batch, "ptr", x=batch.x[new], pos=batch.pos[new], batch=batch.batch[new])
        found = order_of(mixed)
        assert torch.equal(mixed.x[found.nodes], batch.x) and torch.equal(found.batch, batch.batch)
        free = order_of(without(mixed, "grid_size"))
        assert torch.equal(free.batch, batch.batch) and free.num_nodes_per_graph == (12, 4)


ONE = torch.zeros(16)
WRONG = {
    "no x": ({"x": None}, r"nodes x \(N, C\), but it has no x"),
    "x of images": ({"x": torch.rand(2, 3, 4, 4)}, r"nodes x \(N, C\), but x is \(2, 3, 4, 4\)"),
    "short batch": ({"batch": torch.zeros(3).long()}, r"one image per node, \(16,\) integers, got \(3,\)"),
    "float batch": ({"batch": ONE}, r"integers, got \(16,\) of torch.float32"),
    "negative": ({"batch": ONE.long() - 1}, "images counted from 0 in batch, got -1"),
    "huge": ({"batch": ONE.long() + 2**60}, "contains the image index 1152921504606846976, but there are 16 nodes"),
    "lost image": ({"batch": ONE.long()}, r"Every image needs at least one node, got \(16, 0\) nodes"),
    "more images": ({"batch": torch.arange(16) % 3}, "batch has 3 images, but ptr or grid_size has 2"),
    "no pos": ({"pos": None}, "The batch has no `pos`"),
    "short pos": ({"pos": torch.zeros(3, 2)}, r"the row and column of each of 16 nodes, got \(3, 2\)"),
    "twice": ({"pos": torch.zeros(16, 2)}, "not those of all cells .* of its grids"),
    "between": ({"pos": torch.full((16, 2), 0.5)}, "not those of all cells .* of its grids"),
    "no number": ({"pos": torch.full((16, 2), float("nan"))}, "not those of all cells .* of its grids"),
    "three axes": ({"pos": torch.zeros(16, 3)}, "not those of all cells .* of its grids"),
    "other grids": ({"grid_size": [(2, 2), (3, 4)]}, r"Image 0 of the batch has 12 nodes, but its grid_size \(2, 2\)"),
    "turned": ({"grid_size": [(4, 3), (2, 2)]}, "not those of all cells .* of its grids"),
    "one grid": ({"grid_size": [(3, 4)]}, r"one \(height, width\) for each of 2 images"),
    "no grid": ({"grid_size": 3}, r"one \(height, width\) for each of 2 images, got 3"),
    "negative grid": ({"grid_size": [(-3, -4), (2, 2)]}, r"one \(height, width\) for each of 2 images"),
    "bad ptr": ({"batch": None, "ptr": torch.tensor([0, 3])}, "its ptr .* does not divide 16 nodes"),
    "neither": ({"batch": None, "ptr": None}, "neither `batch` nor `ptr`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_with_the_cause(case):
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        order_of(without(made(), *changes, **{key: value for key, value in changes.items() if value is not None}))


def test_one_image_is_a_batch_of_one():
    found = order_of(Data(x=torch.rand(4, 3), pos=made([(2, 2)]).pos.flip(0), grid_size=(2, 2)))
    assert found.num_nodes_per_graph == (4,) and found.nodes.tolist() == [3, 2, 1, 0] and found.ptr.tolist() == [0, 4]
    with pytest.raises(ValueError, match="at least one node"):
        order_of(Data(x=torch.rand(0, 3), pos=torch.rand(0, 2)))


def test_the_default_device_is_of_no_importance():
    """Orders are made on the CPU, wherever new tensors lie."""
    for batch in (made(), without(made(), "batch")):
        want = order_of(batch)
        with torch.device("meta"):
            found = order_of(batch)
        assert torch.equal(found.ptr, want.ptr) and torch.equal(found.batch, want.batch)
