"""Our networks on a GPU beside the published one, the floor and timm's peers: everything in one call.

    uv run python examples/benchmarks/gpu.py --quick
    uv run python examples/benchmarks/gpu.py --device cpu --models pvig_micro --batch-size 2 --no-compile --repeats 1

`--quick` takes five minutes at most on an H100 or H200. The second line only shows that the script works where there
is no GPU. Times are medians of CUDA events under bfloat16 autocast, all networks of a table in turn in one process;
memory is what torch allocates at most for one network. Every row is written as soon as it is known, and a job that
breaks the GPU's context, or hangs, does not end those after it. Compilation takes most of the time: `--quick` compiles
ahead in eight processes. `--warm 8` does that alone and times nothing, for a run after it with `--ahead 0`.

Where a GPU is there for minutes only, what was never measured comes first, then the tests, whose failures are named in
a file as they happen:

    timeout 150 python examples/benchmarks/gpu.py --quick --warm 12
    python examples/benchmarks/gpu.py --quick --ahead 0 --parts compiled large search graph-training eager graphs
    python -m pytest --device cuda -n 12 --failures=failures.txt
"""

from __future__ import annotations

import argparse
from datetime import datetime
from functools import partial
from pathlib import Path

import torch
from gpu_jobs import PARTS, PROFILES, STALLED_SECONDS, all_jobs, prepare_process, run_jobs, warm_up
from gpu_report import Report
from harness import RESULTS

MODELS = ["pvig_small", "vig_small", "vig_tiny", "vig_base", "pvig_tiny", "pvig_medium", "pvig_base"]
QUICK_MODELS = MODELS[:2]
#: Seconds after which `--quick` begins no further measurement; a compilation in progress may take half a minute.
QUICK_SECONDS = 260.0


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="pvig_small and vig_small, in five minutes at most")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=[*PARTS, *PROFILES], help="in this order")
    parser.add_argument("--warm", type=int, metavar="PROCESSES", help="only compile, in so many processes")
    parser.add_argument("--ahead", type=int, metavar="PROCESSES", help="compile in these first; quick on a GPU: 8")
    parser.add_argument("--profile", action="store_true", help="tables of torch's profiler too, of the first model")
    parser.add_argument("--models", nargs="+", help=f"by default {', '.join(MODELS)}; quick: {', '.join(QUICK_MODELS)}")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--large-size", type=int, nargs=2, default=(800, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each table")
    parser.add_argument("--seconds", type=float, help=f"begin nothing after this; quick: {QUICK_SECONDS:.0f}")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--no-compile", action="store_true", help="eager networks only")
    parser.add_argument("--commit", help="written into the results, for a copy of the files without git's history")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    return parser


def main() -> None:
    parser = options()
    args = parser.parse_args()
    if args.device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu shows that the script works")
    args.models = args.models or (QUICK_MODELS if args.quick else MODELS)
    if args.profile:
        args.parts = ["profile", *args.parts, *([] if args.no_compile else ["compiled-profile"])]
    if args.ahead is None:
        args.ahead = 8 if args.quick and args.device.type == "cuda" else 0
    if args.warm:
        warm_up(args, args.warm)
        return
    report = Report(
        args.out / f"gpu_{datetime.now():%Y-%m-%dT%H%M}.json",
        seconds=args.seconds or (QUICK_SECONDS if args.quick else None),
        image_size=args.image_size,
    )
    if args.commit:
        report.head["environment"]["commit"] = args.commit
    stalled = STALLED_SECONDS if args.device.type == "cuda" else None
    run_jobs(partial(all_jobs, args), report, partial(prepare_process, args.device), stalled=stalled)
    print(f"\n{report.tables()}\n\n{report.path}, {report.elapsed:.0f} s")


if __name__ == "__main__":
    main()
