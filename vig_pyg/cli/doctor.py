"""`vig-pyg doctor`: what is installed, which kernels and engines run, and how long a forward pass takes."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from importlib import metadata
from typing import Any

from vig_pyg._io.text import json_text, terminal_text
from vig_pyg.cli._options import in_shell, say_next
from vig_pyg.cli._parser import described

#: Packages whose versions are shown, because results and speed depend on them.
PACKAGES = ("vig-pyg", "torch", "torch_geometric", "torchvision", "numpy", "triton", "torch_cluster", "torch_scatter")
#: The model of the timed forward pass, and the number of timed passes.
MODEL, PASSES = "pvig_tiny", 5


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    doctor = commands.add_parser(
        "doctor",
        **described(
            "check the installation: kernels, engines, extras, speed",
            {"vig-pyg doctor": "what is installed and works", "vig-pyg doctor --json": "the same for a program"},
        ),
    )
    doctor.add_argument("--json", action="store_true", help="print the results as JSON")
    doctor.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the results."""
    found = examine()
    if args.json:
        print(json_text(found))
        return
    for title, rows in found.items():
        print(title)
        width = max(map(len, rows))  # values are sentences, which no column aligns to the right
        for name, value in rows.items():
            print(f"  {name:{width}}  {terminal_text(value, limit=1000)}")
    say_next(in_shell("vig-pyg", "train"))


def examine() -> dict[str, dict[str, str]]:
    """Return what is installed and what works, as rows of names and values for each part."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": _machine(),
        "kernels and engines": _kernels(device),
        "extras": {extra: _extra(extra) for extra in _extras()},
        "speed": {f"{MODEL}, one image of 224 x 224 pixels": _forward(device)},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, str]:
    import torch

    rows = {"system": platform.platform(), "CPU threads": str(torch.get_num_threads())}
    for i in range(torch.cuda.device_count()):
        rows[f"GPU {i}"] = torch.cuda.get_device_name(i)
    if not torch.cuda.is_available():
        rows["GPU"] = "mps (Apple)" if torch.backends.mps.is_available() else "none that torch can use"
    rows["python"] = sys.executable
    return rows


def _kernels(device: str) -> dict[str, str]:
    import torch

    from vig_pyg.graph.cluster import cluster_refuses
    from vig_pyg.ops._native import library
    from vig_pyg.ops._triton import triton_kernels, why_plain_search, why_unsupported

    native = library()
    missing = "missing: plain torch is used, which is slower. A C compiler is needed when vig-pyg is installed"
    if device == "cpu":
        triton = "not used without an NVIDIA GPU"
    else:
        gpu = torch.cuda.current_device()
        reason = "Triton is missing" if triton_kernels() is None else why_unsupported(gpu)
        triton = f"not used, because {reason}: plain torch is used, which is slower" if reason else "work"
        if not reason and (why := why_plain_search(gpu)):
            triton += f" but for the search, because {why}"
    return {
        "CPU kernels": missing if native is None else f"work, from {native._name}",
        "GPU kernels (Triton)": triton,
        "knn_engine auto, dense": "work",
        "knn_engine torch_cluster": cluster_refuses(torch.device(device), 9) or "works",
    }


def _extras() -> list[str]:
    """Return the names of the extras, in their order in `pyproject.toml`."""
    try:
        return metadata.metadata("vig-pyg").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return []


def _extra(extra: str) -> str:
    """Return whether all packages of an extra are installed, or the command that installs them."""
    from vig_pyg._requirements import install_command, is_complete

    return "complete" if is_complete(extra) else f"incomplete: {install_command(extra)}"


def _forward(device: str) -> str:
    """Return the time of a forward pass of a fused model, the best of a few."""
    import torch

    from vig_pyg.builders import create_model

    model = create_model(MODEL).eval().to(device).fuse()
    image = torch.rand(1, 3, 224, 224, device=device)
    seconds = []

    def wait() -> Any:
        return torch.cuda.synchronize() if device == "cuda" else None

    with torch.inference_mode():
        for _ in range(1 + PASSES):  # the first pass prepares kernels and buffers
            wait()
            start = time.perf_counter()
            model(image)
            wait()
            seconds.append(time.perf_counter() - start)
    return f"{1000 * min(seconds[1:]):.1f} ms on {device}"
