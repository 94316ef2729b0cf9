"""The kernels for GPUs alone: whether they are right, and how near they come to what memory and arithmetic allow."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vig_pyg.ops import knn, max_relative

#: Targets, sources, channels and neighbors (looked at, kept) of one image in the layers of pvig_small and vig_small.
SHAPES = {
    "pvig_small stage 1": (3136, 196, 80, 9, 9),
    "pvig_small stage 2": (784, 196, 160, 9, 9),
    "pvig_small stage 3": (196, 196, 400, 18, 9),
    "pvig_small stage 4": (49, 49, 640, 27, 9),
    "vig_small, last": (196, 196, 320, 54, 18),
}


def features(shape: tuple[int, ...], images: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Random targets and sources, `(B, n, C)` and `(B, m, C)`."""
    n, m, channels, *_ = shape
    return tuple(torch.randn(images, count, channels, device=device, dtype=dtype) for count in (n, m))  # type: ignore[return-value]


def correct(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Neighbors and gradients beside float64: the share of equal neighbors, and the largest error."""
    rows = []
    for name, shape in SHAPES.items():
        x, y = features(shape, min(args.batch_size, 8), args.device, torch.float32)
        k, step = shape[3], shape[3] // shape[4]
        edges = knn(x, y, k, step=step, normalize=True)
        same = edges[0] == knn(x.double(), y.double(), k, step=step, normalize=True)[0]
        a, b = y.flatten(0, 1).requires_grad_(), x.flatten(0, 1).requires_grad_()
        out = max_relative(a, b, edges, by_target=True)
        weight = torch.randn_like(out)
        got = torch.autograd.grad((out * weight).sum(), (a, b))
        c, d = (part.detach().double().requires_grad_() for part in (a, b))
        gathered = c[edges[0]].view(d.size(0), -1, d.size(1)).amax(1) - d
        wanted = torch.stack([d, gathered], 2).flatten(1)
        want = torch.autograd.grad((wanted * weight.double()).sum(), (c, d))
        error = max(float((g.double() - w).abs().max() / w.abs().max()) for g, w in zip(got, want, strict=True))
        rows.append(
            {
                "shape": name,
                "equal neighbors": float(same.double().mean()),
                "error of values": float((out.double() - wanted).abs().max()),
                "relative error of gradients": error,
            }
        )
    return rows


def kernel_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time of each kernel, the bytes and operations it needs, and the time that these take at the measured rates."""
    bandwidth, rate = memory_bandwidth(args), float32_rate(args)
    rows = []
    for name, shape in SHAPES.items():
        n, m, channels, k, kept = shape
        images = args.batch_size
        x, y = features(shape, images, args.device, torch.float32)
        edges = knn(x, y, k, step=k // kept, normalize=True)
        a, b = y.flatten(0, 1).bfloat16(), x.flatten(0, 1).bfloat16()
        grads = a.clone().requires_grad_(), b.clone().requires_grad_()
        out = max_relative(*grads, edges, by_target=True)
        weight = torch.randn_like(out)
        targets, sources, count = images * n, images * m, images * n * kept
        needs: dict[str, tuple[Callable[[], Any], float, float]] = {
            "search": (
                lambda x=x, y=y, k=k, kept=kept: knn(x, y, k, step=k // kept, normalize=True),
                4 * (targets + sources) * channels + 16 * count,
                2.0 * targets * m * channels,
            ),
            "gather-max": (
                lambda a=a, b=b, edges=edges: max_relative(a, b, edges, by_target=True),
                2 * channels * (sources + 3 * targets) + 8 * count,
                0.0,
            ),
            "gather-max, backward": (
                lambda out=out, grads=grads, weight=weight: torch.autograd.grad(out, grads, weight, retain_graph=True),
                2 * channels * (3 * targets + targets) + 4 * channels * sources + 8 * count,
                0.0,
            ),
        }
        for kernel, (run, moved, operations) in needs.items():
            took = timed(run, args)
            least = max(moved / bandwidth, operations / rate)
            rows.append(
                {
                    "shape": name,
                    "kernel": kernel,
                    "us": took * 1e6,
                    "MB": moved / 1e6,
                    "GFLOP": operations / 1e9,
                    "floor, us": least * 1e6,
                    "of the floor": least / took,
                }
            )
    print(f"measured: {bandwidth / 1e9:.0f} GB/s, {rate / 1e12:.1f} TFLOP/s in float32")
    return rows


def timed(run: Callable[[], Any], args: argparse.Namespace, inner: int = 10) -> float:
    """Median seconds of one run among many in a row, so that the launch does not count."""
    from gpu import seconds

    inner = inner if args.device.type == "cuda" else 1
    run()
    return (
        statistics.median(seconds(lambda: [run() for _ in range(inner)], args.device) for _ in range(args.repeats))
        / inner
    )


def memory_bandwidth(args: argparse.Namespace) -> float:
    """Bytes a second of a copy, read and written."""
    source = torch.empty(2**28 if args.device.type == "cuda" else 2**22, device=args.device)
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / timed(lambda: target.copy_(source), args)


def float32_rate(args: argparse.Namespace) -> float:
    """Operations a second of a matrix product in float32."""
    side = 4096 if args.device.type == "cuda" else 512
    a = torch.randn(side, side, device=args.device)
    return 2 * side**3 / timed(lambda: a @ a, args)
