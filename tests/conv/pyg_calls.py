"""Calls that PyG's own operators are tested with, as functions of an operator's factory.

`make(in_channels, **options)` returns an operator with 8 channels out, and `ref(operator, sources, targets, edges)` is
what it should return. A call returns pairs (got, want) of tensors.
"""

import copy
import io
from itertools import product

import torch
from torch import nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import Sequential
from torch_geometric.nn.aggr import MaxAggregation, SumAggregation
from torch_geometric.testing import assert_module
from torch_geometric.typing import WITH_TORCH_SPARSE, SparseTensor

M, N, C, OUT = 6, 5, 8, 8


def dense_graph(num_src, num_dst, k=3):
    """K different sources for each target, in no order."""
    source = torch.stack([torch.randperm(num_src)[:k] for _ in range(num_dst)]).flatten()
    edges = torch.stack([source, torch.arange(num_dst).repeat_interleave(k)])
    return edges[:, torch.randperm(edges.size(1))]


def nodes(n, width=C):
    return torch.randn(n, width, dtype=torch.float64)


def matrix(edges, size, layout):
    """The transposed adjacency matrix of ones, `(N, M)`."""
    ones = torch.ones(edges.size(1), dtype=torch.float64)
    coo = torch.sparse_coo_tensor(edges.flip(0), ones, (size[1], size[0]), check_invariants=True)
    if layout == "uncoalesced":
        return coo
    return {"coo": coo.coalesce, "csr": coo.to_sparse_csr, "csc": coo.to_sparse_csc}[layout]()


def ordered(edges, row):
    return edges[:, edges[row].argsort(stable=True)]


FORMS = {
    "int64": lambda e, _: e,
    "int32": lambda e, _: e.int(),
    "strided": lambda e, _: e.t().contiguous().t(),
    "coo": lambda e, s: matrix(e, s, "coo"),
    "uncoalesced": lambda e, s: matrix(e, s, "uncoalesced"),
    "csr": lambda e, s: matrix(e, s, "csr"),
    "csc": lambda e, s: matrix(e, s, "csc"),
    "csc transposed": lambda e, s: matrix(e.flip(0), s[::-1], "csc").t(),
    "EdgeIndex": lambda e, _: EdgeIndex(e),
    "EdgeIndex int32": lambda e, s: EdgeIndex(e.int(), sparse_size=s),
    "EdgeIndex by row": lambda e, s: EdgeIndex(ordered(e, 0), sparse_size=s, sort_order="row"),
    "EdgeIndex by column": lambda e, s: EdgeIndex(ordered(e, 1), sparse_size=s, sort_order="col"),
}
if WITH_TORCH_SPARSE:
    FORMS["SparseTensor"] = lambda e, s: SparseTensor.from_edge_index(e, sparse_sizes=s).t()

#: Nodes in all forms, the numbers of sources and targets, and `size=`.
NODES = {
    "x": lambda: (nodes(N), N, N, None),
    "x and size": lambda: (nodes(N), N, N, (N, N)),
    "(x, x)": lambda: ((x := nodes(N), x), N, N, None),
    "pair": lambda: ((nodes(M), nodes(N)), M, N, None),
    "list": lambda: ([nodes(M), nodes(N)], M, N, None),
    "pair and size": lambda: ((nodes(M), nodes(N)), M, N, (M, N)),
    "(x, None)": lambda: ((nodes(N), None), N, N, None),
    "(x, None) and size": lambda: ((nodes(M), None), M, N, (M, N)),
}


def both(x, n):
    """Sources and targets; targets without features count as zeros."""
    if isinstance(x, torch.Tensor):
        return x, x
    return x[0], x[0].new_zeros(n, x[0].size(1)) if x[1] is None else x[1]


def given(name, form):
    def call(make, ref):
        x, m, n, size = NODES[name]()
        edges, operator = dense_graph(m, n), make(C)
        more = {} if size is None else {"size": size}
        got = operator(x, FORMS[form](edges, (m, n)), **more)
        return [(got, operator(both(x, n), edges)), (got, ref(operator, *both(x, n), edges))]

    return call


def backward(name, form):
    """With `flow="target_to_source"` row 0 of the edges receives; a pair is (senders, receivers) all the same."""

    def call(make, ref):
        x, m, n, size = NODES[name]()
        edges, operator = dense_graph(m, n), make(C, flow="target_to_source")
        got = operator(x, FORMS[form](edges.flip(0), (n, m)), **({} if size is None else {"size": size}))
        return [(got, ref(operator, *both(x, n), edges))]

    return call


def aggregated(aggr, **options):
    def call(make, ref):
        x_src, x_dst, edges = nodes(M), nodes(N), ordered(dense_graph(M, N), 1)  # some aggregations need an order
        operator = make(C, aggr=aggr() if isinstance(aggr, type) else aggr, **options)
        return [(operator((x_src, x_dst), edges), ref(operator, x_src, x_dst, edges))]

    return call


def with_widths(widths, name, actual=(C, C)):
    def call(make, ref):
        _, m, n, size = NODES[name]()
        first = nodes(m, actual[0])
        x = first if name == "x" else (first, None if "None" in name else nodes(n, actual[1]))
        edges, operator = dense_graph(m, n), make(widths)
        before = repr(operator), copy.deepcopy(operator)
        got = operator(x, edges, **({} if size is None else {"size": size}))
        want = ref(operator, *both(x, n), edges)
        assert before and torch.equal(operator(x, edges, **({} if size is None else {"size": size})), got)
        other = before[1]
        other.load_state_dict(operator.state_dict())
        return [(got, want), (other(x, edges, **({} if size is None else {"size": size})), got)]

    return call


def hooked(kind):
    def call(make, _):
        operator, seen = make(C), []
        x, edges = nodes(N), dense_graph(N, N)
        plain = operator(x, edges)
        handle = getattr(operator, f"register_{kind}_hook")(lambda *_: seen.append(kind))
        pairs = [(operator(x, edges), plain)]
        if "message_and_aggregate" in kind:  # PyG fires it for matrices only
            operator(x, matrix(edges, (N, N), "csr"))
        never = "edge_update" in kind or ("message_and_aggregate" in kind and x.is_cuda)  # some make messages there
        assert seen or never, f"{kind} has not fired"
        handle.remove()
        count = len(seen)
        assert torch.allclose(operator(x, edges), plain) and len(seen) == count
        return pairs

    return call


def changed_by_hook(make, _):
    operator, x, edges = make(C), nodes(N), dense_graph(N, N)
    handle = operator.register_aggregate_forward_hook(lambda _module, _inputs, out: 0 * out)
    got = operator(x, edges)
    handle.remove()
    assert not torch.allclose(got, operator(x, edges))
    return []


def explained(make, ref):
    operator, x, edges = make(C), nodes(N), ordered(dense_graph(N, N), 1)
    plain, pairs = operator(x, edges), []
    for mask in (torch.ones(edges.size(1)).double(), torch.rand(edges.size(1)).double()):
        operator.explain, operator._edge_mask, operator._apply_sigmoid = True, mask, False
        operator._loop_mask = edges[0] != edges[1]
        pairs.append((operator(x, edges), plain if bool((mask == 1).all()) else ref(operator, x, x, edges, mask)))
    operator.explain = False
    return [*pairs, (operator(x, edges), plain)]


def copied(way):
    def call(make, _):
        operator, x, edges = make(C), nodes(N), dense_graph(N, N)
        want = operator(x, edges)
        if way == "pickle":
            file = io.BytesIO()
            torch.save(operator, file)
            other = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
        else:
            other = copy.deepcopy(operator)
        assert repr(other) == repr(operator)
        return [(other(x, edges), want)]

    return call


def asserted(name):
    def call(make, _):
        x, m, n, size = NODES[name]()
        more = {} if size is None else {"size": size}
        sizes = None if size is not None or isinstance(x, torch.Tensor) else (m, n)
        got = assert_module(make(C), x, dense_graph(m, n), expected_size=(n, OUT), sparse_size=sizes, **more)
        return [(got, got)]

    return call


def trained(form):
    """Gradients of nodes and parameters in training mode."""

    def call(make, _):
        x_src, x_dst, edges, operator = nodes(M).requires_grad_(), nodes(N), dense_graph(M, N), make(C).train()
        leaves = [x_src, *operator.parameters()]
        weight = nodes(N, OUT)

        def gradients(adj):
            out = operator((x_src, x_dst), adj)
            return torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)

        found = zip(gradients(FORMS[form](edges, (M, N))), gradients(edges), strict=True)
        return [pair for pair in found if pair[0] is not None]

    return call


def misfit(change):
    """Edges and sizes of other nodes: an error, not numbers."""

    def call(make, _):
        x, edges = (nodes(M), nodes(N)), dense_graph(M, N)
        adj, more = change(edges)
        make(C)(x, adj, **more)
        return []

    return call


def forward_of(options, x=None):
    def call(make, ref):
        given_x = nodes(N) if x is None else x()
        edges = dense_graph(N, N)
        operator = make(C, **options)
        return [(operator(given_x, edges), ref(operator, given_x, given_x, edges))]

    return call


def sequential(make, _):
    """Beside PyG's layers, each call by position and by name."""
    x, edges, operator = nodes(N), dense_graph(N, N), make(C)
    net = Sequential("x, edge_index", [(operator, "x, edge_index -> x"), nn.ReLU()])
    return [(net(x, edges), operator(x=x, edge_index=edges).relu())]


AGGRS = ["add", "sum", "mean", "min", "max", "mul", "std", "var", "median", SumAggregation, MaxAggregation]
CALLS = {
    **{f"{x}, {form}": given(x, form) for x, form in product(NODES, FORMS)},
    **{
        f"flow, {x}, {form}": backward(x, form)
        for x, form in product(["x", "x and size", "pair", "pair and size"], ["int64", "EdgeIndex", "int32"])
    },
    **{f"aggr {aggr if isinstance(aggr, str) else aggr.__name__}": aggregated(aggr) for aggr in AGGRS},
    "aggr [mean]": aggregated(["mean"]),
    "aggr softmax": aggregated("softmax", aggr_kwargs={"learn": True}),
    "aggr powermean": aggregated("powermean", aggr_kwargs={"p": 1.0}),
    **{f"widths {w}, {x}": with_widths(w, x) for w in ((C, C), -1, (-1, -1), (C, -1), (-1, C)) for x in ("x", "pair")},
    "widths -1, x of 12": with_widths(-1, "x", (12, 12)),
    "widths (8, 8), (x, None)": with_widths((C, C), "(x, None) and size"),
    **{
        f"hook {kind}": hooked(kind)
        for kind in (
            *("propagate_forward_pre", "propagate_forward", "message_forward_pre", "message_forward"),
            *("aggregate_forward_pre", "aggregate_forward", "edge_update_forward_pre", "edge_update_forward"),
            *("message_and_aggregate_forward_pre", "message_and_aggregate_forward", "forward_pre", "forward"),
        )
    },
    "hook changes the aggregate": changed_by_hook,
    "explain": explained,
    **{way: copied(way) for way in ("deepcopy", "pickle")},
    **{f"assert_module {x}": asserted(x) for x in ("x", "x and size", "pair", "pair and size", "(x, None) and size")},
    **{f"trained, {form}": trained(form) for form in FORMS},
    "sequential": sequential,
    "node_dim -2": forward_of({"node_dim": -2}),
    "node_dim 0": forward_of({"node_dim": 0}),
    "decomposed_layers 1": forward_of({"decomposed_layers": 1}),
}

#: Calls that PyG's own operators accept in part, and ours refuse or accept in part.
HARD = {
    "aggr [mean, max]": aggregated(["mean", "max"]),
    "aggr None": aggregated(None),
    "widths (8, 12), pair": with_widths((C, 12), "pair", (C, 12)),
    "widths -1, pair of 8 and 12": with_widths(-1, "pair", (C, 12)),
    "widths -1, (x, None)": with_widths(-1, "(x, None) and size"),
    "node_dim 1": forward_of({"node_dim": 1}),
    "node_dim -1": forward_of({"node_dim": -1}),
    "decomposed_layers 2": forward_of({"decomposed_layers": 2}),
    "static graphs": forward_of({}, lambda: torch.randn(3, N, C, dtype=torch.float64)),
    "unknown option": forward_of({"flows": "source_to_target"}),
    "unknown flow": forward_of({"flow": "sideways"}),
    "flow, (x, None)": backward("(x, None)", "int64"),
    **{f"flow, pair, {form}": backward("pair", form) for form in ("coo", "csr", "csc")},
    "size of other nodes": misfit(lambda e: (e, {"size": (M + 1, N)})),
    "size turned": misfit(lambda e: (e, {"size": (N, M)})),
    "matrix turned": misfit(lambda e: (matrix(e.flip(0), (N, M), "csr"), {})),
    "matrix of other nodes": misfit(lambda e: (matrix(e, (M + 1, N), "csr"), {})),
    "EdgeIndex of other nodes": misfit(lambda e: (EdgeIndex(e, sparse_size=(M + 1, N)), {})),
    "size and EdgeIndex disagree": misfit(lambda e: (EdgeIndex(e, sparse_size=(M, N)), {"size": (M, N + 1)})),
    "weighted matrix": misfit(lambda e: (2 * matrix(e, (M, N), "coo"), {})),
    "size of three": misfit(lambda e: (e, {"size": (M, N, 1)})),
}


def plain_mlp(width):
    return nn.Sequential(nn.Linear(width, OUT), nn.BatchNorm1d(OUT), nn.GELU()).double().eval()


#: Messages and updates of our four operators.
EQUATIONS = {
    "mr": (lambda _, i, j: j - i, lambda op, x, out: op.mlp(torch.stack([x, out], 2).flatten(1))),
    "edge": (lambda op, i, j: op.mlp(torch.cat([i, j - i], 1)), lambda _op, _x, out: out),
    "gin": (lambda _op, _i, j: j, lambda op, x, out: op.mlp((1 + op.eps) * x + out)),
    "sage": (lambda op, _i, j: op.mlp_src(j), lambda op, x, out: op.mlp(torch.cat([x, out], 1))),
}


def reference(name):
    """The equation of an operator over all edges, with its own weights and PyG's aggregation."""
    message, update = EQUATIONS[name]

    def ref(operator, x_src, x_dst, edges, mask=None):
        messages = message(operator, x_dst[edges[1]], x_src[edges[0]])
        messages = messages if mask is None else messages * mask.unsqueeze(1)
        out = operator.aggr_module(messages, edges[1], dim_size=len(x_dst), dim=-2)
        return update(operator, x_dst, out)

    return ref
