"""Random calls of every native function, each with what must come of it. `fuzz.py` makes them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.ops.hostile import (
    FLOATS,
    are_edges,
    is_dense,
    is_readable,
    restrided,
    spoiled,
    spoiled_edges,
)
from vig_pyg.conv import CONVS, MaxRelativeConv
from vig_pyg.conv._sparse import reduce_edges, transposed_csr
from vig_pyg.data import BatchLayout
from vig_pyg.graph import ENGINES, DilatedKNN
from vig_pyg.layers import LinearNorm, multi_head_mlp
from vig_pyg.ops import NodeNorm, batch_norm_gelu, edge_rows, knn, max_relative, mlp, unit_rows


@dataclass
class Call:
    """A call, whether it is sound, and what is wrong with a result ("" for nothing).

    What is not sound must be refused; `None` leaves it open, where torch decides.
    """

    run: Callable[[], Any]
    sound: bool | None
    wrong: Callable[[Any], str]


def size(rng, most=70):
    """Mostly small, often at the edge of a vector."""
    return rng.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, rng.randint(1, most)])


def hostile(rng):
    return rng.random() < 0.5


def graph(rng, num_src, num_dst, most=6):
    """Edges, sorted by target or not, some targets without any."""
    kind, count = rng.randrange(4), rng.randint(0, most * num_dst) if num_src and num_dst else 0
    source = torch.randint(max(1, num_src), (count,))
    target = torch.randint(max(1, num_dst), (count,))
    if kind:
        target = target.sort().values
    if kind == 3 and count:
        target.fill_(rng.randrange(num_dst))  # all at one target
    return restrided(rng, torch.stack([source, target]))


def close(got, want, rtol=1e-3, atol=1e-3):
    if got.shape != want.shape:
        return f"shape {tuple(got.shape)} and not {tuple(want.shape)}"
    same = torch.isclose(got.double(), want.double(), rtol=rtol, atol=atol, equal_nan=True)
    return "" if same.all() else f"{int((~same).sum())} of {got.numel()} numbers differ"


# ---- search


def knn_arguments(rng):
    b, n, m, c = rng.randint(0, 3), rng.randint(0, 20), size(rng), size(rng)
    if rng.random() < 0.03:
        m = rng.randint(200, 1500)
    dtype = rng.choice(FLOATS)
    x, y = torch.randn(b, n, c).to(dtype), torch.randn(b, m, c).to(dtype)
    if rng.random() < 0.2:
        x, y = x.round(), y.round()
    bias = torch.randn(rng.choice([1, b]), rng.choice([1, n]), m) if rng.random() < 0.5 else None
    if bias is not None and rng.random() < 0.2:
        bias = bias.masked_fill(bias > 1, -torch.inf)
    given = {"x": restrided(rng, x), "y": restrided(rng, y), "bias": bias if bias is None else restrided(rng, bias)}
    k, step = rng.randint(1, m), rng.choice([1, 1, 2, 3, m, 2**63 - 1])
    if hostile(rng):
        if rng.random() < 0.3:
            k, step = rng.choice([0, -1, m + 1, 2**62, 1]), rng.choice([0, -1, -(2**63), 1])
        else:
            name = rng.choice([name for name, value in given.items() if value is not None])
            native = dtype in (torch.float32, torch.bfloat16)  # torch reads the others
            given[name] = spoiled(rng, given[name], memory=native)
    return given["x"], given["y"], k, step, given["bias"], rng.random() < 0.5


def knn_is_sound(x, y, k, step, bias):
    if not (is_dense(x, 3) and is_dense(y, 3)) or x.dtype != y.dtype or x.shape[::2] != y.shape[::2] or not x.shape[2]:
        return False
    (b, n, _), m = x.shape, y.shape[1]
    if not 1 <= k <= m or step < 1:
        return False
    if bias is not None and not (is_dense(bias, 3) and bias.shape[2] == m):
        return False
    if bias is not None and (bias.shape[0] not in (1, b) or bias.shape[1] not in (1, n)):
        return False
    native = x.dtype in (torch.float32, torch.bfloat16)
    if native and not (is_readable(x) and is_readable(y)):
        return False
    if native and bias is not None and bias.dtype == torch.float32 and not is_readable(bias) and b * n:
        return False
    finite = [x, y] if b * n else []
    return all(bool(part.isfinite().all()) for part in finite) and not (
        b * n and bias is not None and bias.isnan().any()
    )


def knn_is_wrong(edges, x, y, k, step, bias, normalize):
    x, y = x.double(), y.double()
    (b, n, _), m = x.shape, y.shape[1]
    ranks = torch.arange(0, k, min(step, k))
    if edges.shape != (2, b * n * len(ranks)):
        return f"shape {tuple(edges.shape)}"
    if not b * n:
        return ""
    source, target = edges.view(2, b, n, len(ranks))
    if not torch.equal(target, torch.arange(b * n).view(b, n, 1).expand_as(target)):
        return "other targets"
    source = source - m * torch.arange(b).view(b, 1, 1)
    if source.min() < 0 or source.max() >= m:
        return "sources of another image"
    if normalize:
        x, y = (part / part.norm(dim=-1, keepdim=True).clamp_min(1e-12) for part in (x, y))
    if bias is None:
        scores = -torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square() / 2
    else:
        scores = x @ y.transpose(1, 2) + bias.double()
    want = scores.topk(k, dim=-1).values[..., ranks]
    scale = 1 + float(x.abs().max()) * float(y.abs().max()) * x.shape[-1]
    return close(scores.gather(2, source), want, rtol=0, atol=1e-5 * scale)


def search(rng, function):
    x, y, k, step, bias, normalize = knn_arguments(rng)
    return Call(
        lambda: function(x, y, k, step, bias, normalize),
        knn_is_sound(x, y, k, step, bias),
        lambda edges: knn_is_wrong(edges, x, y, k, step, bias, normalize),
    )


def public_knn(rng):
    return search(rng, lambda x, y, k, step, bias, unit: knn(x, y, k, step=step, bias=bias, normalize=unit))


def registered_knn(rng):
    return search(rng, torch.ops.vig_pyg.knn)


def unit(rng):
    n = rng.randint(0, 30)
    x = restrided(rng, torch.randn(n, size(rng)).to(rng.choice(FLOATS)))
    if hostile(rng):
        x = spoiled(rng, x, memory=False)  # torch reads it
    counts = rng.choice([[max(1, n)], [n], [1, max(0, n - 1)], []])
    sound = is_dense(x, 2) and bool(x.isfinite().all())
    return Call(
        lambda: unit_rows(x, counts),
        sound,
        lambda got: close(got, functional.normalize(x.double(), dim=1, eps=1e-12), atol=1e-5),
    )


# ---- aggregation


def max_relative_arguments(rng):
    num_src, num_dst, channels = rng.randint(0, 30), rng.randint(0, 30), rng.choice([16, 17, 24, 31, 32, 33, 48, 70])
    dtype = rng.choice([torch.float32, torch.float32, torch.bfloat16])
    x_src, x_dst = torch.randn(num_src, channels).to(dtype), torch.randn(num_dst, channels).to(dtype)
    if rng.random() < 0.3:
        x_src = x_src.round()
    edges = graph(rng, num_src, num_dst, most=6 if rng.random() < 0.95 else 40)
    x_src, x_dst = restrided(rng, x_src), restrided(rng, x_dst)
    if hostile(rng):
        kind = rng.randrange(4)
        if kind == 0:
            x_src = spoiled(rng, x_src)
        elif kind == 1:
            x_dst = spoiled(rng, x_dst)
        else:
            edges = spoiled_edges(rng, edges)
    return x_src, x_dst, edges


def max_relative_is_sound(x_src, x_dst, edges):
    if (
        not (is_dense(x_src, 2) and is_dense(x_dst, 2))
        or x_src.dtype != x_dst.dtype
        or x_src.shape[1] != x_dst.shape[1]
    ):
        return False
    if x_src.shape[1] < 16 or x_src.dtype not in (torch.float32, torch.bfloat16):
        return False
    if not (is_readable(x_src) and is_readable(x_dst) and are_edges(edges, len(x_src), len(x_dst))):
        return False
    return edges.dtype != torch.int64 or is_readable(edges)


def by_hand(x_src, x_dst, edges):
    """The largest difference and which edge of each target has it first, in float64."""
    order = edges[1].argsort(stable=True)
    source, target = edges.long()[:, order]
    values, n = x_src.double()[source], len(x_dst)
    rows = target.view(-1, 1).expand_as(values)
    largest = torch.full_like(x_dst, -torch.inf, dtype=torch.float64).scatter_reduce(0, rows, values, "amax")
    place = torch.arange(len(source)).view(-1, 1).expand_as(rows)
    hit = torch.where(values == largest[target], place, len(source))
    none = torch.full((n, x_dst.shape[1]), len(source))
    winner = none.scatter_reduce(0, rows, hit, "amin")
    return largest, winner, source


def forward_is_wrong(out, x_src, x_dst, edges):
    largest, _, _ = by_hand(x_src, x_dst, edges)
    relative = torch.where(largest == -torch.inf, 0, largest - x_dst.double())
    want = torch.stack([x_dst.double(), relative], 2).flatten(1)
    if x_src.isinf().any():
        return ""  # the reference takes minus infinity for no neighbor
    return close(out, want, rtol=0.01 if out.dtype == torch.bfloat16 else 1e-6, atol=1e-6)


def gradients_are_wrong(got, grad, x_src, x_dst, edges):
    if not (x_src.isfinite().all() and x_dst.isfinite().all()):
        return ""
    _, winner, source = by_hand(x_src, x_dst, edges)
    some, grad = winner < len(source), grad.double()
    own, relative = grad[:, 0::2], torch.where(some, grad[:, 1::2], 0)
    to_src = torch.zeros(x_src.shape, dtype=torch.float64)
    at = source[winner[some]], torch.arange(x_src.shape[1]).expand_as(winner)[some]
    to_src.index_put_(at, relative[some], accumulate=True)
    rtol = 0.02 if got[0].dtype == torch.bfloat16 else 1e-4
    return close(got[0], to_src, rtol, 10 * rtol) or close(got[1], own - relative, rtol, 10 * rtol)


def too_many(edges):
    return edges.numel() > 0 and int(edges[1].bincount().max()) > 256


def public_max_relative(rng):
    x_src, x_dst, edges = max_relative_arguments(rng)
    sound, train = max_relative_is_sound(x_src, x_dst, edges), rng.random() < 0.5

    def run():
        if not train or not sound:
            return max_relative(x_src, x_dst, edges, by_target=rng.random() < 0.5)
        src, dst = x_src.detach().requires_grad_(), x_dst.detach().requires_grad_()
        out = max_relative(src, dst, edges)
        grad = torch.randn(out.shape).to(out.dtype)
        grads = torch.autograd.grad(out, [src, dst], restrided(rng, grad))
        return out.detach(), grad, grads

    def wrong(got):
        if not train:
            return forward_is_wrong(got, x_src, x_dst, edges)
        found = gradients_are_wrong(got[2], got[1], x_src, x_dst, edges)
        return found or forward_is_wrong(got[0], x_src, x_dst, edges)

    return Call(run, sound and not (train and too_many(edges)), wrong)


def registered_max_relative(rng):
    x_src, x_dst, edges = max_relative_arguments(rng)
    winners = rng.random() < 0.5
    sound = max_relative_is_sound(x_src, x_dst, edges)
    return Call(
        lambda: torch.ops.vig_pyg.max_relative(x_src, x_dst, edges, winners, rng.random() < 0.5),
        sound and not (winners and too_many(edges)),
        lambda got: forward_is_wrong(got[0], x_src, x_dst, edges),
    )


def registered_backward(rng):
    num_src, num_dst, channels = rng.randint(0, 20), rng.randint(0, 20), rng.choice([1, 3, 16, 17, 40])
    edges = graph(rng, num_src, num_dst)
    degree = torch.bincount(edges[1], minlength=num_dst) if num_dst else torch.zeros(0)
    slots = (torch.rand(num_dst, channels) * degree.view(-1, 1)).long().to(torch.uint8)
    grad = restrided(rng, torch.randn(num_dst, 2 * channels).to(rng.choice([torch.float32, torch.bfloat16])))
    slots = restrided(rng, slots)
    if hostile(rng):
        kind = rng.randrange(5)
        if kind == 0:
            grad = spoiled(rng, grad)
        elif kind == 1:
            edges = spoiled_edges(rng, edges)
        elif kind == 2:
            num_src = rng.choice([-1, 0, num_src - 1, num_src + 1, -(2**40)])
        elif kind == 3 and slots.numel():
            slots = slots.clone(memory_format=torch.contiguous_format)
            slots.view(-1)[rng.randrange(slots.numel())] = rng.choice([1, 100, 255])
        else:
            slots = spoiled(rng, slots)
    sound = is_dense(grad, 2) and isinstance(slots, torch.Tensor) and slots.is_cpu and slots.dtype == torch.uint8
    sound = sound and slots.layout == torch.strided and slots.dim() == 2 and num_src >= 0
    sound = sound and grad.shape == (slots.shape[0], 2 * slots.shape[1]) and are_edges(edges, num_src, len(slots))
    sound = sound and (grad.dtype != torch.float32 or is_readable(grad)) and is_readable(slots)
    sound = sound and (edges.dtype != torch.int64 or is_readable(edges))
    if sound:
        degree = torch.bincount(edges[1].long(), minlength=len(slots)).view(-1, 1)
        sound = bool(((slots < degree) | (degree == 0)).all()) and not too_many(edges)

    def wrong(got):
        order = edges[1].argsort(stable=True)
        source = edges[0].long()[order]
        first = (functional.pad(degree.flatten().cumsum(0), (1, 0)))[:-1].view(-1, 1)
        some = degree.expand_as(slots) > 0
        own, relative = grad.double()[:, 0::2], torch.where(some, grad.double()[:, 1::2], 0)
        to_src = torch.zeros(num_src, slots.shape[1], dtype=torch.float64)
        at = source[(first + slots)[some]], torch.arange(slots.shape[1]).expand_as(slots)[some]
        to_src.index_put_(at, relative[some], accumulate=True)
        rtol = 1e-4 if got[0].dtype in (torch.float32, torch.float64) else 0.02
        return close(got[0], to_src, rtol, 10 * rtol) or close(got[1], own - relative, rtol, 10 * rtol)

    backward = torch.ops.vig_pyg.max_relative_backward
    return Call(lambda: backward(grad, edges, slots, num_src, rng.random() < 0.5), sound, wrong)


def rows(rng):
    num_src, num_dst = rng.randint(0, 30), rng.randint(0, 30)
    edges = graph(rng, num_src, num_dst)
    if hostile(rng):
        edges = spoiled_edges(rng, edges)
        num_src, num_dst = rng.choice([(num_src, num_dst), (num_src - 1, num_dst), (num_src, max(0, num_dst - 1))])
    sound = are_edges(edges, num_src, num_dst) and (edges.dtype != torch.int64 or is_readable(edges))

    def wrong(got):
        order = edges[1].argsort(stable=True)
        first = functional.pad(torch.bincount(edges[1], minlength=num_dst).cumsum(0), (1, 0))[: num_dst + 1]
        return "" if torch.equal(got[0], edges[0].long()[order]) and torch.equal(got[1], first) else "other rows"

    return Call(lambda: edge_rows(edges, num_src, num_dst), sound, wrong)


def products(rng):
    num_src, num_dst, channels = rng.randint(1, 30), rng.randint(1, 30), size(rng)
    edges, x = graph(rng, num_src, num_dst), restrided(rng, torch.randn(num_src, channels))
    edges = spoiled_edges(rng, edges) if hostile(rng) else edges
    sound = are_edges(edges, num_src, num_dst) and (edges.dtype != torch.int64 or is_readable(edges))

    def wrong(got):
        largest, _, _ = by_hand(x, x.new_zeros(num_dst, channels), edges)
        return close(got, largest.masked_fill(largest == -torch.inf, 0))

    return Call(lambda: reduce_edges(transposed_csr(edges, num_src, num_dst, x.dtype), x, "amax"), sound, wrong)


# ---- operators


def operator(name):
    """Calls of an operator, with gradients in training."""

    def case(rng):
        channels = rng.choice([1, 2, 4, 8, 16, 32])
        heads = rng.choice([heads for heads in (1, 2, 4) if channels % heads == 0])
        one = CONVS[name](channels, 2 * channels, heads=heads).train(rng.random() < 0.5)
        one.fuse, one.by_target = rng.random() < 0.7, rng.random() < 0.5
        num_dst = rng.randint(2, 20)
        num_src = rng.choice([num_dst, rng.randint(1, 20)])
        x = [restrided(rng, torch.randn(rows, channels)) for rows in (num_src, num_dst)]
        edges = graph(rng, num_src, num_dst)
        if hostile(rng):
            if rng.random() < 0.7:
                edges = spoiled_edges(rng, edges, memory=False)
            else:
                at = rng.randrange(2)
                x[at] = spoiled(rng, x[at], memory=False)
        if num_src == num_dst and rng.random() < 0.5:
            x[0] = x[1]
        given = x[1] if x[0] is x[1] and rng.random() < 0.8 else tuple(x)
        before = copy.deepcopy(one) if rng.random() < 0.3 else None
        return Call(
            lambda: passed(one, given, edges),
            operator_is_sound(name, one, x, edges),
            lambda got: "" if before is None else differs(got, before.double(), given, edges),
        )

    return case


def operator_is_sound(name, one, x, edges):
    if x[1] is None and isinstance(x[0], torch.Tensor):
        x = [x[0], x[0]]  # zeros, as many as sources
    if isinstance(edges, torch.Tensor) and edges.layout != torch.strided:
        return None  # a sparse adjacency matrix, if it has the right size
    if not all(is_dense(part, 2) and part.shape[1] == one.in_channels and part.dtype == x[0].dtype for part in x):
        return False
    if not are_edges(edges, len(x[0]), len(x[1])):
        return False
    if x[0].dtype != torch.float32:  # other than the weights
        return None
    statistics = [] if name == "edge" else [len(x[1])]  # a batch norm needs two rows
    statistics += [edges.shape[1]] if name in ("edge", "sage") else []
    if not one.training or min(statistics) > 1:
        return True
    return False if 1 in statistics else None


def passed(one, x, edges):
    """The result, in training with the gradients of its inputs."""
    if not one.training or not all(isinstance(p, torch.Tensor) and p.is_floating_point() for p in pair(x)):
        with torch.no_grad():
            return [one(x, edges)]
    parts = [part.detach().requires_grad_() for part in pair(x)]
    out = one(parts[0] if isinstance(x, torch.Tensor) else tuple(parts), edges)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [
        out.detach(),
        *torch.autograd.grad((out * weight).sum(), parts[:1] if isinstance(x, torch.Tensor) else parts),
    ]


def pair(x):
    return (x, x) if isinstance(x, torch.Tensor) else x


def differs(got, one, x, edges):
    """By the messages, in float64."""
    if pair(x)[1] is None:
        x = x[0], torch.zeros_like(x[0])
    if not all(part.isfinite().all() for part in pair(x)):
        return ""
    x_src, x_dst = pair(x)
    if one.training and min(float(part.std(0).min()) for part in (x_src[edges[0].long()], x_dst)) < 1e-3:
        return ""  # a batch norm of what does not vary shows nothing but rounding
    one.fuse = False
    wide = x.double() if isinstance(x, torch.Tensor) else tuple(part.double() for part in x)
    want = passed(one, wide, edges.long())
    if isinstance(one, MaxRelativeConv) and pair(x)[0] is pair(x)[1]:
        got, want = got[:1], want[:1]  # a largest difference of 0 shares its gradient with scatter's initial 0
    for mine, exact in zip(got, want, strict=True):
        scale = 1 + float(exact.abs().max()) if exact.numel() else 1
        found = close(mine, exact, rtol=0, atol=1e-3 * scale)
        if found:
            return found
    return ""


# ---- norms


def norm(rng):
    """All methods of one `NodeNorm`."""
    rows_, channels, gelu = rng.randint(0, 40), rng.choice([8, 16, 24, 40, 64]), rng.random() < 0.5
    one = nn.BatchNorm1d(channels if rng.random() < 0.9 else rng.choice([1, 7, 8, 16]))
    nn.init.normal_(one.weight)
    h, grad = torch.randn(rows_, channels), torch.randn(rows_, channels)
    given = {"h": h, "grad": grad, "out": torch.empty(rows_, channels), "hidden": h.clone()}
    if hostile(rng):
        name = rng.choice(list(given))
        given[name] = rng.choice([spoiled, restrided])(rng, given[name])
        given["out"] = "x" if given["out"] is None else given["out"]  # None is a fresh tensor
        if rng.random() < 0.1:
            one = rng.choice([one.double(), nn.BatchNorm1d(channels, affine=False)])
    sound = one.num_features == channels and one.weight is not None and one.weight.dtype == torch.float32 and rows_ > 1
    for name, part in given.items():
        sound = sound and is_dense(part, 2) and part.dtype == torch.float32 and part.shape[1] == channels
        sound = sound and part.is_contiguous() and is_readable(part) and not part.is_neg()
        sound = sound and (len(part) > 0 if name == "hidden" else len(part) == rows_)
    start = {name: part.clone() for name, part in given.items()} if sound else given

    def run():
        step = NodeNorm.of(given["h"], one, gelu=gelu)
        out = step.apply(given["h"], given["out"])
        step.apply_with_slope_(given["hidden"], torch.empty_like(given["hidden"]))
        return [out, *step.backward_(given["grad"], given["h"])[:2], given["grad"]]

    def wrong(got):
        if not all(part.isfinite().all() for part in (start["h"], start["grad"])):
            return ""
        exact = copy.deepcopy(one).double().train()
        x = start["h"].double().requires_grad_()
        z = exact(x)
        z = functional.gelu(z) if gelu else z
        z.backward(start["grad"].double())
        want = [z.detach(), exact.weight.grad, exact.bias.grad, x.grad]
        return next((w for w in (close(a, b, 0.01, 0.01) for a, b in zip(got, want, strict=True)) if w), "")

    return Call(run, sound, wrong)


def layers(rng):
    """Passes of two linear layers in training, with other numbers of channels than their norms."""
    rows_, channels, heads = rng.randint(0, 40), rng.choice([1, 3, 8, 16, 32]), 1
    first, second = multi_head_mlp(channels, rng.choice([8, 16, 12]), heads), None
    second = LinearNorm(first[0].out_features, rng.choice([8, 16, 5]))
    x = torch.randn(rows_, channels)
    x = spoiled(rng, x, memory=False) if hostile(rng) else restrided(rng, x)
    x = x if isinstance(x, torch.Tensor) else torch.randn(1, 1)
    if rng.random() < 0.2:
        second = LinearNorm(rng.choice([8, 16]), 8)
    if rng.random() < 0.1:
        second[1] = nn.BatchNorm1d(rng.choice([8, 16]))
    sound = is_dense(x, 2) and x.dtype == torch.float32 and len(x) != 1 and x.shape[1] == channels
    sound = sound and second[0].in_features == first[0].out_features
    sound = sound and second[0].out_features == second[1].num_features
    if is_dense(x, 2) and not len(x):
        sound = None  # torch's batch norm looks at no channels then
    exact = copy.deepcopy(nn.ModuleList([first, second])).double()

    def run():
        src = x.detach().requires_grad_() if is_dense(x, 2) else x
        out = mlp(src, first, second)
        return [out.detach(), torch.autograd.grad(out.square().sum(), src)[0]]

    def wrong(got):
        if not x.isfinite().all():
            return ""
        src = x.detach().double().requires_grad_()
        out = exact[1][1](exact[1][0](exact[0](src)))
        return close(got[0], out.detach(), 0.01, 0.01)

    return Call(run, sound, wrong)


def maps(rng):
    """Batch norm and GELU of feature maps in training, with other channels than the norm's."""
    b, channels = rng.randint(1, 3), rng.choice([1, 7, 8, 16, 24])
    one = nn.BatchNorm2d(channels if rng.random() < 0.6 else rng.choice([1, 8, 16]))
    x = torch.randn(b, channels, rng.randint(1, 5), rng.randint(1, 5)).to(memory_format=torch.channels_last)
    gelu, found = rng.choice([None, nn.GELU()]), spoiled(rng, x, memory=False) if rng.random() < 0.3 else x
    x = found if isinstance(found, torch.Tensor) else x
    sound = is_dense(x, 4) and x.shape[1] == one.num_features and x.numel() != x.shape[1]
    if is_dense(x, 4) and (x.dtype != torch.float32 or not x.numel()):
        sound = None
    exact = copy.deepcopy(one).double()

    def run():
        return batch_norm_gelu(x.detach().requires_grad_() if is_dense(x, 4) else x, one, gelu).detach()

    def wrong(got):
        if not x.isfinite().all():
            return ""
        want = exact(x.double())
        return close(got, (want if gelu is None else gelu(want)).detach(), 0.01, 0.01)

    return Call(run, sound, wrong)


# ---- libraries


def neighbors(rng):
    """Searches of batches by either engine, with features of other nodes than the layout's."""
    sizes = [(rng.randint(1, 4), rng.randint(1, 4)) for _ in range(rng.randint(1, 3))]
    layout = BatchLayout.from_sizes(sizes * rng.choice([1, 2]) if rng.random() < 0.5 else sizes[:1] * 3)
    source, channels = layout.pooled(rng.choice([1, 1, 2])), rng.choice([4, 8, 12])
    x, y = torch.randn(layout.num_nodes, channels), torch.randn(source.num_nodes, channels)
    if hostile(rng):
        x, y = rng.choice([(spoiled(rng, x, memory=False), y), (x, spoiled(rng, y, memory=False))])
    y = x if source is layout and rng.random() < 0.7 else y
    search = DilatedKNN(
        rng.randint(1, 9), rng.randint(1, 3), engine=rng.choice(ENGINES), position=rng.choice([None, "grid"])
    )
    sound = is_dense(x, 2) and is_dense(y, 2) and x.shape[1] == y.shape[1] > 0
    sound = sound and len(x) == layout.num_nodes and len(y) == source.num_nodes
    sound = sound and bool(x.isfinite().all()) and bool(y.isfinite().all())
    if sound and search.position is not None and x.shape[1] % 4:
        sound = False
    if sound and x.dtype != y.dtype:
        sound = None  # both become float32 on the way to torch_cluster

    def wrong(edges):
        if not are_edges(edges, len(y), len(x)) or not torch.equal(source.batch[edges[0]], layout.batch[edges[1]]):
            return "edges between images, or beyond them"
        counts = torch.tensor(source.num_nodes_per_graph)[layout.batch].clamp_max(search.k)
        return "" if torch.equal(edges[1].bincount(minlength=len(x)), counts) else "other numbers of neighbors"

    return Call(lambda: search(x, layout, y, source), sound, wrong)


def outlines(rng):
    """Outlines through the door to pycocotools; `call_masks` looks at what comes of them itself."""
    from tests.detection.outlines import OutlineError, call_masks

    draw = np.random.default_rng(rng.randrange(2**32))

    def run():
        if call_masks(draw) == "refused":
            raise OutlineError("refused")

    return Call(run, None, lambda got: "")


#: A function joins by one line: its name, and what draws a call of it.
CASES = {
    "knn": public_knn,
    "vig_pyg::knn": registered_knn,
    "unit_rows": unit,
    "max_relative": public_max_relative,
    "vig_pyg::max_relative": registered_max_relative,
    "vig_pyg::max_relative_backward": registered_backward,
    "edge_rows": rows,
    "reduce_edges": products,
    "NodeNorm": norm,
    "mlp": layers,
    "batch_norm_gelu": maps,
    "DilatedKNN": neighbors,
    **({"read_outline": outlines} if find_spec("pycocotools") else {}),
    **{CONVS[name].__name__: operator(name) for name in CONVS},
}
