"""Search and aggregation as the networks call them: correct, and never slower than plain torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gpu_networks import plain
from gpu_report import Report
from gpu_tables import Prepared, compare
from torch import Tensor
from torch.nn.functional import normalize

from vig_pyg.ops import knn, max_relative

#: Targets, sources, channels and neighbors (looked at, kept) of one image in the layers of pvig_small and vig_small.
SHAPES = {
    "pvig_small stage 1": (3136, 196, 80, 9, 9),
    "pvig_small stage 2": (784, 196, 160, 9, 9),
    "pvig_small stage 3": (196, 196, 400, 18, 9),
    "pvig_small stage 4": (49, 49, 640, 27, 9),
    "vig_small, first": (196, 196, 320, 9, 9),
    "vig_small, last": (196, 196, 320, 54, 18),
}
#: A search that takes longer than `baddbmm` and `topk` by more than this share is slower.
TOLERANCE = 0.02
PLAIN = "baddbmm + topk"
#: The fewest operations of torch with the kernels' result; a dispatcher could choose them where they are faster.
EXACT = "torch, same result"


def features(shape: tuple[int, ...], images: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Random targets and sources, `(B, n, C)` and `(B, m, C)`."""
    n, m, channels, *_ = shape
    x, y = (torch.randn(images, count, channels, device=device).to(dtype) for count in (n, m))
    return x, y


def search_jobs(args: argparse.Namespace) -> list[tuple[str, Callable[[Report], None]]]:
    """Names and functions of the parts, in their order: a fault at one shape does not end the others."""
    found: list[tuple[str, Callable[[Report], None]]] = []
    for name, shape in SHAPES.items():
        found.append((f"correct | {name}", partial(_correct, name, shape, args)))
    for batch in dict.fromkeys((args.batch_size, 1)):
        for name, shape in SHAPES.items():
            found.append((f"search | {name} | {batch}", partial(_shape, name, shape, batch, args)))
    return [*found, ("dispatcher", _never_slower)]


def _shape(name: str, shape: tuple[int, ...], batch: int, args: argparse.Namespace, report: Report) -> None:
    """The search in bfloat16 and float32, and the aggregation."""
    for dtype in (torch.bfloat16, torch.float32):
        _search(name, shape, batch, dtype, args, report)
    _aggregation(name, shape, batch, args, report)


def _correct(name: str, shape: tuple[int, ...], args: argparse.Namespace, report: Report) -> None:
    """Neighbors and gradients beside float64."""
    k, step = shape[3], shape[3] // shape[4]
    row: dict[str, Any] = {"mode": "correct", "model": name, "batch": min(args.batch_size, 8), "network": "ours"}
    x, y = features(shape, row["batch"], args.device, torch.float32)
    edges = knn(x, y, k, step=step, normalize=True)
    wanted = knn(x.double(), y.double(), k, step=step, normalize=True)
    row["equal neighbors"] = float((edges[0] == wanted[0]).double().mean())
    a, b = y.flatten(0, 1).requires_grad_(), x.flatten(0, 1).requires_grad_()
    out = max_relative(a, b, edges, by_target=True)
    weight = torch.randn_like(out)
    got = torch.autograd.grad((out * weight).sum(), (a, b))
    c, d = (part.detach().double().requires_grad_() for part in (a, b))
    right = torch.stack([d, c[edges[0]].view(d.size(0), -1, d.size(1)).amax(1) - d], 2).flatten(1)
    want = torch.autograd.grad((right * weight.double()).sum(), (c, d))
    row["error of values"] = float((out.double() - right).abs().max())
    row["relative error of gradients"] = max(
        float((g.double() - w).abs().max() / w.abs().max()) for g, w in zip(got, want, strict=True)
    )
    report.add(row)


def _baddbmm_topk(x: Tensor, y: Tensor, bias: Tensor, k: int, step: int) -> Tensor:
    """Products, bias, selection in one type: what any search of torch must do; features are normalized before."""
    return torch.baddbmm(bias, x, y.transpose(1, 2)).topk(k, dim=-1).indices[..., ::step]


def exact_edges(x: Tensor, y: Tensor, bias: Tensor, k: int, step: int) -> Tensor:
    """The edges of `knn` in the fewest operations of torch: in float32, and sorted stably, as `topk` may swap ties."""
    unit = normalize(x.float(), dim=-1)
    unit_y = unit if y is x else normalize(y.float(), dim=-1)
    scores = torch.baddbmm(bias, unit, unit_y.transpose(1, 2))
    source = scores.sort(dim=-1, descending=True, stable=True).indices[..., :k:step]  # (B, n, kept)
    (b, n, kept), m = source.shape, y.size(1)
    source = source + torch.arange(0, b * m, m, device=x.device).view(-1, 1, 1)
    target = torch.arange(b * n, device=x.device).view(b, n, 1).expand(b, n, kept)
    return torch.stack([source, target]).flatten(1)  # (2, B, n, kept) -> (2, E)


def _search(
    name: str, shape: tuple[int, ...], batch: int, dtype: torch.dtype, args: argparse.Namespace, report: Report
) -> None:
    n, m, _, k, kept = shape
    x, y = features(shape, batch, args.device, dtype)
    if n == m:
        x = y  # nothing is pooled
    bias = torch.randn(1, n, m, device=args.device)
    unit, unit_y = (normalize(part.float(), dim=-1).to(dtype) for part in (x, y))
    ours = partial(knn, x, y, k, step=k // kept, bias=bias, normalize=True)
    runs = {
        "ours": ours,
        PLAIN: partial(_baddbmm_topk, unit, unit_y, bias.to(dtype), k, k // kept),
        EXACT: partial(exact_edges, x, y, bias, k, k // kept),
    }
    if not args.quick:
        runs["ours, plain torch"] = plain(ours)
    _compare(runs, f"search, {str(dtype).removeprefix('torch.')}", name, batch, args, report)


def _aggregation(name: str, shape: tuple[int, ...], batch: int, args: argparse.Namespace, report: Report) -> None:
    n, _, _, k, kept = shape
    x, y = features(shape, batch, args.device, torch.bfloat16)
    edges = knn(x, y, k, step=k // kept, normalize=True)
    a, b = y.flatten(0, 1), x.flatten(0, 1)
    grads = a.clone().requires_grad_(), b.clone().requires_grad_()
    out = max_relative(*grads, edges, by_target=True)
    weight = torch.randn_like(out)

    def gathered() -> Tensor:
        largest = a[edges[0]].view(batch * n, kept, -1).amax(1)  # (E, C) -> (N, kept, C) -> (N, C)
        return torch.stack([b, largest - b], 2).flatten(1)

    runs = {"ours": partial(max_relative, a, b, edges, by_target=True), "gathered": gathered}
    _compare(runs, "gather-max", name, batch, args, report)
    backward = partial(torch.autograd.grad, out, grads, weight, retain_graph=True)
    _compare({"ours": backward}, "gather-max, backward", name, batch, args, report)


def _compare(
    runs: dict[str, Callable[[], Any]], mode: str, name: str, batch: int, args: argparse.Namespace, report: Report
) -> None:
    rows = {network: (lambda run=run: Prepared(run, lambda: 0)) for network, run in runs.items()}
    inner = 10 if args.device.type == "cuda" else 1
    compare(
        rows, {"mode": mode, "model": name, "batch": batch}, args, report, repeats=min(args.repeats, 3), inner=inner
    )


def _never_slower(report: Report) -> None:
    """Says for each search whether our kernels, which `knn` always chooses, are the fastest.

    A last row counts those slower than `baddbmm` and `topk`, although these compute in lower precision.
    """
    times = {key: row["ms"] for key, row in report.rows.items() if key[0].startswith("search, ") and "ms" in row}
    pairs = {key[:3]: (ms, times.get((*key[:3], PLAIN))) for key, ms in times.items() if key[3] == "ours"}
    for (mode, name, batch), (ms, other) in pairs.items():
        exact = times.get((mode, name, batch, EXACT))
        found: dict[str, Any] = {"chosen": "kernels", "ms": ms}
        if exact:
            found |= {f"{EXACT}, ms": exact, "the faster of both": ms <= (1 + TOLERANCE) * exact}
        if other:
            found |= {f"{PLAIN}, ms": other, "no slower": ms <= (1 + TOLERANCE) * other}
        report.add({"mode": f"dispatcher, {mode}", "model": name, "batch": batch, "network": "ours", **found})
    slower = [", ".join(key) for key, (ms, other) in pairs.items() if other and ms > (1 + TOLERANCE) * other]
    row = {"mode": "dispatcher", "model": "all", "batch": "all", "network": "ours"}
    report.add({**row, "shapes": len(pairs), "slower": len(slower), "which": "; ".join(slower)})
