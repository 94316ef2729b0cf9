"""Images a second of inference on a CPU: ours beside the dense reference, the floor and timm's models.

    uv run python examples/benchmarks/inference.py
    uv run python examples/benchmarks/inference.py --recompiles   # instead: how many graphs torch.compile makes

Batch 8 at 224 px, float32 and bfloat16 autocast (the search stays in float32), everything interleaved in one process.
The weights are random, with the batch statistics of one pass, so that features have their usual size.
"""

from __future__ import annotations

import argparse

import torch
from floor import strip_graphs
from harness import interleaved, write
from reference import DenseReference
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from vig_pyg import VisionGNN, create_model, weights

PEERS = {
    "pvig_small": ("swin_tiny_patch4_window7_224", "convnext_tiny"),
    "vig_small": ("deit_small_patch16_224",),
}

#: Heights and widths, and numbers of images, which `tests/test_open_sizes.py` compiles too.
OPEN_SIZES = ((80, 96), (64, 80), (112, 72), (112, 128))
OPEN_BATCHES = (2, 3, 4)
#: Groups of batches that a compiled model receives one after the other: (images, height, width).
RECOMPILES: dict[str, list[tuple[int, int, int]]] = {
    "first batch": [(2, 80, 96)],
    "4 sizes, 3 batch sizes": [(count, *size) for count in OPEN_BATCHES for size in OPEN_SIZES],
    "one image": [(1, *size) for size in OPEN_SIZES],
    "fewer patches": [],
}


def settle(model: nn.Module, images: Tensor) -> None:
    """Batch statistics of these images in every batch norm, instead of the initial 0 and 1."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    model.eval()


def candidates(name: str, images: Tensor, *, compiled: bool) -> dict[str, nn.Module]:
    """Every network of one table."""
    model = create_model(name)
    settle(model, images)
    state = model.state_dict()

    def again(**options: str) -> VisionGNN:
        other = create_model(name, **options)
        other.load_state_dict(state)
        return other

    reference = DenseReference(model.config).eval()
    reference.load_state_dict(weights.convert(model, "official"))
    found: dict[str, nn.Module] = {
        "reference": reference,
        "plain": model,
        "fused": model.fuse(),
        "floor": strip_graphs(again()).fuse(),
        "torch_cluster": again(knn_engine="torch_cluster").fuse(),
    }
    if compiled:
        found["reference compiled"] = torch.compile(reference)
        found["fused compiled"] = torch.compile(model.fuse())
    if name in PEERS:
        import timm

        found |= {peer: timm.create_model(peer).eval() for peer in PEERS[name]}
    return found


def measure(name: str, images: Tensor, repeats: int, *, compiled: bool) -> list[dict[str, object]]:
    """Rows of one model, both precisions."""
    networks = candidates(name, images, compiled=compiled)
    rows = []
    for precision in ("float32", "bfloat16"):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            runs = {key: (lambda network=network: network(images)) for key, network in networks.items()}
            seconds = interleaved(runs, repeats=repeats)
        for key, value in seconds.items():
            rows.append(
                {
                    "model": name,
                    "precision": precision,
                    "network": key,
                    "images/s": len(images) / value,
                    "x reference": seconds["reference"] / value,
                    "of the floor": seconds["floor"] / value,
                }
            )
            print("  ".join(f"{v:.2f}" if isinstance(v, float) else f"{v:>12}" for v in rows[-1].values()), flush=True)
    return rows


def count_graphs(name: str, options: dict[str, str], dynamic: bool | None) -> dict[str, object]:
    """Graphs that `torch.compile` has made after each group of batches, and how far the outputs are from eager mode.

    The graphs are not turned into machine code, which changes neither their number nor their outputs.
    """
    torch.manual_seed(0)
    torch._dynamo.reset()
    model, counter = create_model(name, num_classes=5, image_size=64, **options), CompileCounter()
    settle(model, torch.randn(8, 3, 64, 64))
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic, backend=counter)
    row: dict[str, object] = {"model": name, **options, "dynamic": dynamic}
    errors = []
    for group, shapes in RECOMPILES.items():
        few = 8 if name.startswith("vig") else 16  # pixels: fewer patches than k * dilation
        for shape in shapes or [(2, few, few + 4), (3, few + 4, few)]:
            images = torch.rand(shape[0], 3, *shape[1:])
            with torch.no_grad():
                want = model(images)
                errors.append((compiled(images) - want).abs().amax(1) / want.abs().max())
        row[group] = counter.frame_count
    row["median error"] = f"{float(torch.cat(errors).median()):.0e}"
    return row


def recompiles() -> None:
    """Count the graphs of both families, without and with `dynamic=True`."""
    cases: list[tuple[str, dict[str, str]]] = [
        ("vig_micro", {}), ("pvig_micro", {}), ("pvig_micro", {"position": "grid"})
    ]  # fmt: skip
    rows = []
    for name, options in cases:
        for dynamic in (None, True):
            rows.append(count_graphs(name, options, dynamic))
            print(rows[-1], flush=True)
    write("recompiles", rows, sizes=OPEN_SIZES, batch_sizes=OPEN_BATCHES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vig_tiny", "vig_small", "pvig_tiny", "pvig_small"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--compiled", action="store_true", help="also through torch.compile (minutes more)")
    parser.add_argument("--recompiles", action="store_true", help="count the graphs of torch.compile, and stop")
    args = parser.parse_args()
    if args.recompiles:
        recompiles()
        return
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, 224, 224)
    rows = [row for name in args.models for row in measure(name, images, args.repeats, compiled=args.compiled)]
    write("inference_cpu", rows, batch_size=args.batch_size, image_size=224, repeats=args.repeats)


if __name__ == "__main__":
    main()
