"""Images a second of inference on a CPU: ours beside the dense reference, the floor and timm's models.

    uv run python examples/benchmarks/inference.py

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

from vig_pyg import VisionGNN, create_model, weights

PEERS = {
    "pvig_small": ("swin_tiny_patch4_window7_224", "convnext_tiny"),
    "vig_small": ("deit_small_patch16_224",),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vig_tiny", "vig_small", "pvig_tiny", "pvig_small"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--compiled", action="store_true", help="also through torch.compile (minutes more)")
    args = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(args.batch_size, 3, 224, 224)
    rows = [row for name in args.models for row in measure(name, images, args.repeats, compiled=args.compiled)]
    write("inference_cpu", rows, batch_size=args.batch_size, image_size=224, repeats=args.repeats)


if __name__ == "__main__":
    main()
