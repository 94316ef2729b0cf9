import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.data import BatchLayout, to_batch
from vig_pyg.foreign_batch import pool_batch, sorted_layout
from vig_pyg.graph import Reuse

SIZES = [(32, 32), (16, 24), (24, 24)]
MODELS = {
    "vig": lambda: ViG("micro", depth=2, channels=16, k=3, num_classes=3, head_channels=8),
    "grid": lambda: ViG("micro", depth=2, channels=16, graph="grid", num_classes=3, head_channels=8),
    "pvig": lambda: PyramidViG("micro", depths=(1, 1), channels=(8, 16), reduce_ratios=(2, 1), k=3, num_classes=3),
}


@pytest.fixture(params=MODELS)
def model(request):
    return calibrated(MODELS[request.param]())


def picked(batch, nodes):
    """A batch with some nodes in some order, as indexing gives it; ptr and grid_size stay as they were."""
    new = copy.copy(batch)
    new.x, new.pos, new.batch = batch.x[nodes], batch.pos[nodes], batch.batch[nodes]
    return new


def logits(model, batch):
    with torch.no_grad():
        return model.forward_head(model.forward_features(batch))


def test_random_orders_and_parts_are_right_or_refused(model):
    """120 batches: none may give other numbers in silence."""
    rng, counts = random.Random(3), {"right": 0, "refused": 0}
    for round_ in range(120):
        generator = torch.Generator().manual_seed(round_)
        sizes = rng.sample(SIZES, rng.randint(1, 3)) if rng.random() < 0.5 else [rng.choice(SIZES)] * rng.randint(1, 3)
        images = [torch.rand(3, *size, generator=generator) for size in sizes]
        with torch.no_grad():
            batch = model.embed(images)
        nodes = torch.randperm(batch.num_nodes, generator=generator)
        kind = rng.choice(["all", "within", "part", "part in order", "free part", "twice"])
        if kind == "within":
            nodes = nodes[batch.batch[nodes].argsort(stable=True)]
        if "part" in kind:
            nodes = nodes[: max(1, int(len(nodes) * rng.random()))]
            nodes = nodes.sort().values if kind == "part in order" else nodes
        if kind == "twice":
            nodes = torch.cat([nodes, nodes[:1]])
        given = picked(batch, nodes)
        for name in ("ptr", "grid_size") if kind == "free part" else ("ptr",) if rng.random() < 0.5 else ():
            del given[name]
        try:
            with torch.no_grad():
                features = model.forward_features(given)
                got = model.forward_head(features)
        except ValueError:
            counts["refused"] += 1
            assert kind not in ("all", "within")
            continue
        counts["right"] += 1
        full = len(nodes) == batch.num_nodes and kind != "twice"
        want = batch if full else free(batch, nodes)
        assert torch.allclose(got, logits(model, want), atol=1e-5), kind
        if not isinstance(model, PyramidViG):
            assert torch.equal(features.pos, given.pos) and torch.equal(features.batch, given.batch)
            reference = model.forward_features(want)
            place = {key(reference, i): i for i in range(len(nodes))}
            order = [place[key(given, i)] for i in range(len(nodes))]
            assert torch.allclose(features.x, reference.x[order], atol=1e-5)
    assert counts["right"] > 30 and counts["refused"] > 30


def key(batch, i):
    return (int(batch.batch[i]), *batch.pos[i].tolist())


def free(batch, nodes):
    """The nodes as PyG makes a batch of sets of points, one image after the other."""
    parts = [nodes[batch.batch[nodes] == i].sort().values for i in range(batch.num_graphs)]
    return Batch.from_data_list([Data(x=batch.x[part], pos=batch.pos[part]) for part in parts])


def test_a_subgraph_says_that_its_grid_is_out_of_date(model):
    batch = model.embed(torch.rand(2, 3, 32, 32))
    part = batch.subgraph(torch.rand(batch.num_nodes) < 0.7)
    with pytest.raises(
        ValueError, match=r"Image 0 of the batch has .* nodes, but its grid_size .* `del batch\.grid_size`"
    ):
        model.forward_features(part)


def test_the_head_needs_no_places(model):
    with torch.no_grad():
        batch = model.forward_features([torch.rand(3, 32, 32), torch.rand(3, 24, 24)])
        nodes = torch.randperm(batch.num_nodes)
        assert torch.allclose(model.forward_head(picked(batch, nodes)), model.forward_head(batch), atol=1e-6)
        one = Data(x=batch[0].x)
        assert torch.allclose(model.forward_head(one), model.forward_head(batch)[:1], atol=1e-6)
        lost = picked(batch, (batch.batch == 0).nonzero()[:, 0])
        with pytest.raises(ValueError, match="Every image needs at least one node"):
            model.forward_head(lost)


def test_one_data_is_an_image(model):
    batch = model.embed(torch.rand(1, 3, 32, 32))
    alone = batch.to_data_list()[0]
    assert not isinstance(alone, Batch)
    assert torch.allclose(logits(model, alone), logits(model, batch), atol=1e-6)


def test_batches_of_our_own_are_not_looked_at_again(model, monkeypatch):
    batch = model.embed(torch.rand(2, 3, 32, 32))
    monkeypatch.setattr("vig_pyg.foreign_batch.order_of", None)  # a call would fail
    assert torch.equal(logits(model, batch), logits(model, copy.copy(batch)))


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.pos.copy_(batch.pos.flip(0)),
        lambda batch: batch.batch.copy_(batch.batch.flip(0)),
        lambda batch: setattr(batch, "pos", batch.pos.flip(0)),
        lambda batch: setattr(batch, "grid_size", [(4, 16)] * 2),
        lambda batch: setattr(batch, "x", batch.x[:-1]),
        lambda batch: batch.__delattr__("pos"),
    ],
)
def test_a_changed_batch_of_our_own_is_looked_at(change):
    model = calibrated(MODELS["vig"]())
    batch = model.embed(torch.rand(2, 3, 32, 32))
    change(batch)
    try:
        index = sorted_layout(batch)[1]
    except ValueError:
        return
    assert index is not None


def test_a_layout_of_nodes_out_of_order_is_refused():
    batch = MODELS["vig"]().embed(torch.rand(2, 3, 32, 32))
    nodes = torch.randperm(batch.num_nodes)
    with pytest.raises(ValueError, match="not sorted by image, or not in raster order on a grid"):
        BatchLayout.from_batch(picked(batch, nodes))
    assert torch.allclose(pool_batch(picked(batch, nodes)), pool_batch(batch), atol=1e-6)
    assert to_batch(batch.x, BatchLayout.from_batch(batch)).num_graphs == 2


def numpy_turned(batch):
    for name in ("x", "pos", "batch"):
        batch[name].detach().numpy()[...] = batch[name].flip(0).detach().numpy()


def data_turned(batch):
    for name in ("x", "pos", "batch"):
        batch[name].data.copy_(batch[name].flip(0))


@pytest.mark.parametrize("turn", [numpy_turned, data_turned])
def test_writes_that_torch_does_not_count_are_seen(model, turn):
    batch = model.embed([torch.rand(3, 32, 32), torch.rand(3, 24, 24)])
    want = logits(model, batch)
    turn(batch)
    assert torch.allclose(logits(model, batch), want, atol=1e-5)


def test_each_pass_of_a_batch_has_edges_of_its_own():
    model = ViG("micro", depth=4, channels=16, k=3, graph=Reuse(DilatedKNN, every=4)).eval()
    batch = model.embed(torch.rand(2, 3, 32, 32))
    first, second = sorted_layout(batch)[0], sorted_layout(copy.copy(batch))[0]
    assert first.shared_edges is not second.shared_edges
    model.forward_features(batch)
    assert not sorted_layout(batch)[0].shared_edges


def remade(batch, **changes):
    """The images of a batch as a user of PyG puts them together; a change is a function of one image's `Data`."""
    parts = []
    for one in batch.to_data_list():
        values = {"x": one.x, "pos": one.pos, "grid_size": one.grid_size}
        values |= {name: change(one) for name, change in changes.items()}
        parts.append(Data(**{name: value for name, value in values.items() if value is not None}))
    return Batch.from_data_list(parts)


#: Ways to say the same.
SAME = {
    "tuples": lambda b: remade(b),
    "lists": lambda b: remade(b, grid_size=lambda one: list(one.grid_size)),
    "torch.Size": lambda b: remade(b, grid_size=lambda one: torch.Size(one.grid_size)),
    "tensors (1, 2)": lambda b: remade(b, grid_size=lambda one: torch.tensor([list(one.grid_size)])),
    "tensors (2,)": lambda b: remade(b, grid_size=lambda one: torch.tensor(list(one.grid_size))),
    "arrays": lambda b: remade(b, grid_size=lambda one: np.array(one.grid_size)),
    "numbers of NumPy": lambda b: remade(b, grid_size=lambda one: tuple(np.array(one.grid_size))),
    "integer places": lambda b: remade(b, pos=lambda one: one.pos.long()),
    "half places": lambda b: remade(b, pos=lambda one: one.pos.half()),
    "permuted images": lambda b: shuffled(remade(b)),
    "Data and batch": lambda b: Data(x=b.x, pos=b.pos, batch=b.batch, grid_size=list(b.grid_size)),
    "Data and int32": lambda b: Data(x=b.x, pos=b.pos, batch=b.batch.int(), grid_size=list(b.grid_size)),
    "Data and ptr": lambda b: Data(x=b.x, pos=b.pos, ptr=b.ptr, grid_size=list(b.grid_size)),
    "another grid_size": lambda b: changed_in_place(b, torch.tensor(b.grid_size)),
    "a list of tensors": lambda b: changed_in_place(b, [torch.tensor(size) for size in b.grid_size]),
    "clone": lambda b: b.clone(),
    "pickle": lambda b: pickle.loads(pickle.dumps(b)),
}


def shuffled(batch):
    """The patches of each image in another order."""
    parts = []
    for one in batch.to_data_list():
        order = torch.randperm(one.num_nodes)
        parts.append(Data(x=one.x[order], pos=one.pos[order], grid_size=one.grid_size))
    return Batch.from_data_list(parts)


def changed_in_place(batch, grid_size):
    batch.grid_size = grid_size
    return batch


@pytest.mark.parametrize("way", SAME)
@pytest.mark.parametrize("sizes", [SIZES, SIZES[:1], [SIZES[0]] * 2])
def test_batches_in_other_words_are_right(model, way, sizes):
    batch = model.embed([torch.rand(3, *size) for size in sizes])
    want = logits(model, batch)
    assert torch.allclose(logits(model, SAME[way](batch)), want, atol=1e-5)


def emptied(batch, i, size):
    parts = remade(batch).to_data_list()
    parts[i] = Data(x=parts[i].x[:0], pos=parts[i].pos[:0], grid_size=size or parts[i].grid_size)
    return Batch.from_data_list(parts)


#: What is wrong, and the cause that is named.
WRONG = {
    "no pos": (lambda b: remade(b, pos=lambda _: None), "The batch has no `pos`"),
    "masked": (
        lambda b: b.subgraph(torch.arange(b.num_nodes) % 3 > 0),
        "nodes, but its grid_size .* `del batch.grid_size`",
    ),
    "an image masked away": (lambda b: b.subgraph(b.batch != 1), "Every image needs at least one node"),
    "Data of several": (
        lambda b: Data(x=b.x, pos=b.pos, grid_size=list(b.grid_size)),
        "3 images, but this Data has nei",
    ),
    **{
        f"image {i} empty{' on a grid' * bool(size)}": (
            lambda b, i=i, size=size: emptied(b, i, size),
            "Every image needs at least one node",
        )
        for i in range(3)
        for size in (None, (0, 0))
    },
    "grids of floats": (
        lambda b: remade(b, grid_size=lambda one: tuple(map(float, one.grid_size))),
        "Expected grid_size",
    ),
    "one column": (lambda b: remade(b, pos=lambda one: one.pos[:, :1]), "not those of all cells .* of its grids"),
    "turned places": (lambda b: remade(b, pos=lambda one: one.pos.flip(1)), "not those of all cells .* of its grids"),
    "integers": (
        lambda b: remade(b, x=lambda one: one.x.long()),
        "dense x of torch.float32 on cpu, .* got torch.int64",
    ),
    "double": (lambda b: remade(b, x=lambda one: one.x.double()), "got torch.float64 on cpu: convert x, or the model"),
    "no device": (
        lambda b: Data(x=b[0].x.to("meta"), pos=b[0].pos, grid_size=b[0].grid_size),
        "got torch.float32 on meta",
    ),
    "sparse": (lambda b: Data(x=b[0].x.to_sparse(), pos=b[0].pos, grid_size=b[0].grid_size), "layout torch.sparse_coo"),
    "other width": (lambda b: remade(b, x=lambda one: one.x[:, 1:]), "map them to the width of the blocks first"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_batches_that_are_wrong_are_refused_with_the_cause(model, fault):
    change, words = WRONG[fault]
    batch = model.embed([torch.rand(3, *size) for size in SIZES])
    with pytest.raises(ValueError, match=words):
        logits(model, change(batch))


def test_patches_in_lower_precision_enter_under_autocast():
    model = calibrated(MODELS["vig"]())
    batch = model.embed(torch.rand(2, 3, 32, 32))
    low = remade(batch, x=lambda one: one.x.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert logits(model, low).isfinite().all()
    with pytest.raises(ValueError, match=r"got torch\.bfloat16 on cpu"):
        logits(model, low)
