"""Peak memory and time of inference over the size of the image.

    uv run python examples/benchmarks/memory.py

One image, float32, `fuse()`, each size in a process of its own: peak resident memory over that of the process before
the first image, median seconds, and the time that multiply-accumulates predict from 224 px. Writes an image beside the
result file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
from harness import RESULTS, PeakMemory, write
from matplotlib.figure import Figure

from vig_pyg import create_model
from vig_pyg._figure import figure
from vig_pyg._palette import BLUE, GRAY
from vig_pyg.macs import count_macs

SIZES = [(224, 224), (448, 448), (640, 640), (800, 1280), (1024, 1024), (1536, 1536), (2048, 2048)]


def measure(name: str, size: tuple[int, int], repeats: int) -> dict[str, float]:
    """One size, in this process."""
    model = create_model(name).eval().fuse()
    image = torch.randn(1, 3, *size)
    with torch.inference_mode():
        model(torch.randn(1, 3, 64, 64))  # libraries loaded, threads started
        memory, times = PeakMemory(), []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            model(image)
            times.append(time.perf_counter() - start)
    seconds = statistics.median(times[1:])
    return {"peak GiB": memory.read(), "seconds": seconds, "GMACs": count_macs(model, size) / 1e9}


def draw(rows: list[dict[str, float]], name: str) -> Figure:
    """Memory and time over the number of patches."""
    fig = figure(8, 3.2)
    patches = [row["patches"] / 1000 for row in rows]
    for axes, key, label in zip(
        fig.subplots(1, 2), ("peak GiB", "seconds"), ("peak memory (GiB)", "time (s)"), strict=True
    ):
        axes.plot(patches, [row[key] for row in rows], "o-", color=BLUE, label="measured")
        if key == "seconds":
            axes.plot(patches, [row["predicted s"] for row in rows], "--", color=GRAY, label="by MACs from 224 px")
            axes.legend(frameon=False)
        axes.set(xlabel="patches of the first stage (thousands)", ylabel=label, xlim=0, ylim=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    fig.suptitle(f"{name}, one image, float32")
    return fig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pvig_small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=int, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.model, tuple(args.one), args.repeats)))
        return
    rows = []
    for height, width in SIZES:
        repeats = args.repeats if height * width < 2e6 else 1
        command = [sys.executable, __file__, "--model", args.model, "--repeats", str(repeats)]
        done = subprocess.run([*command, "--one", str(height), str(width)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        first = rows[0] if rows else None
        predicted = first["seconds"] * found["GMACs"] / first["GMACs"] if first else found["seconds"]
        rows.append(
            {
                "size": f"{height} x {width}",
                "patches": (height // 4) * (width // 4),
                **found,
                "predicted s": predicted,
                "time / predicted": found["seconds"] / predicted,
                "KiB a patch": found["peak GiB"] * 2**20 / ((height // 4) * (width // 4)),
            }
        )
        print(rows[-1], flush=True)
    draw(rows, args.model).savefig(RESULTS / "memory_cpu.png")
    write("memory_cpu", rows, model=args.model, repeats=args.repeats)


if __name__ == "__main__":
    main()
