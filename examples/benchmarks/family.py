"""Images a second of the later family on a CPU: ours beside the dense form with rolls, and timm's networks.

    uv run python examples/benchmarks/family.py
    uv run python examples/benchmarks/family.py --quick   # three rounds of batches of two, nothing is written

Batch 8 at 224 px, float32 and bfloat16 autocast, everything interleaved in one process, medians of 7 rounds. The
weights are random, with the batch statistics of one pass and layer scales of 0.1, so that features have their usual
size. GMACs are those of torch's counter for the dense form; it knows convolutions and products of matrices only.
"""

from __future__ import annotations

import argparse

import torch
from family_dense import DenseFamily
from harness import interleaved, write
from inference import settle
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vig_pyg import create_model, weights
from vig_pyg.layers import LayerScale

MODELS = ("mobilevig_small", "greedyvig_small")
PEERS = ("mobilenetv3_large_100", "efficientformer_l1", "swin_tiny_patch4_window7_224")


def gmacs(network: nn.Module, images: Tensor) -> float:
    """Multiply-accumulates of one image, in units of 1e9."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images[:1])
    return counter.get_total_flops() / 2e9


def candidates(images: Tensor) -> dict[str, dict[str, nn.Module]]:
    """The networks of each group, the dense form first."""
    import timm

    found: dict[str, dict[str, nn.Module]] = {}
    for name in MODELS:
        model = create_model(name)
        for module in model.modules():
            if isinstance(module, LayerScale):
                nn.init.constant_(module.gamma, 0.1)
        settle(model, images)
        dense = DenseFamily(model.config).eval()
        dense.load_state_dict(weights.convert(model, "official"))
        with torch.no_grad():
            torch.testing.assert_close(model(images[:2]), dense(images[:2]), atol=2e-3, rtol=1e-2)
        found[name] = {"dense": dense, "ours": model, "ours fused": model.fuse()}
    found["timm"] = {peer: timm.create_model(peer).eval() for peer in PEERS}
    return found


def measure(images: Tensor, repeats: int) -> list[dict[str, object]]:
    """One row for each network and precision."""
    networks = {(group, key): one for group, all_of in candidates(images).items() for key, one in all_of.items()}
    counts = {key: (gmacs(one, images), sum(p.numel() for p in one.parameters())) for key, one in networks.items()}
    rows: list[dict[str, object]] = []
    for precision in ("float32", "bfloat16"):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            runs = {" ".join(key): (lambda network=network: network(images)) for key, network in networks.items()}
            seconds = interleaved(runs, repeats=repeats)
        for group, key in networks:
            own, dense = seconds[f"{group} {key}"], seconds.get(f"{group} dense")
            macs, parameters = counts[group, "dense"] if dense else counts[group, key]
            rows.append(
                {
                    "model": group if dense else key,
                    "network": key if dense else "timm",
                    "precision": precision,
                    "M parameters": parameters / 1e6,
                    "GMACs": macs,
                    "images/s": len(images) / own,
                    "x dense": dense / own if dense else float("nan"),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds of batches of two; nothing is written")
    quick = parser.parse_args().quick
    torch.manual_seed(0)
    images = torch.randn(2 if quick else 8, 3, 224, 224)
    rows = measure(images, 3 if quick else 7)
    if quick:
        for row in rows:
            print("  ".join(f"{v:.2f}" if isinstance(v, float) else f"{v:<16}" for v in row.values()))
    else:
        for row in rows:
            row["x dense"] = None if row["x dense"] != row["x dense"] else row["x dense"]
        write("family_cpu", rows, batch=len(images), image_size=224, rounds=7)


if __name__ == "__main__":
    main()
