"""What the time of one pass and one training step goes to, and how many kernels they launch."""

from __future__ import annotations

import argparse

import torch
from gpu_networks import Networks, adamw, compiled, inference, training_step
from gpu_report import Report
from gpu_timing import Run
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

#: Lines of a table.
LINES = 25


def profile_run(run: Run, args: argparse.Namespace) -> tuple[str, int, float]:
    """The profiler's table of one run, the kernels and copies it launched, and their milliseconds on the GPU."""
    for _ in range(3):
        run()
    on_gpu = args.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
    with profile(activities=activities) as found:
        run()
        if on_gpu:
            torch.cuda.synchronize()
    launched = [event for event in found.events() if event.device_type == DeviceType.CUDA]
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    text = found.key_averages().table(sort_by=order, row_limit=LINES, max_name_column_width=70)
    return text, len(launched), sum(event.time_range.elapsed_us() for event in launched) / 1000


def profiles(args: argparse.Namespace, whats: list[str], report: Report) -> None:
    """Tables of the first model of the command into text files, and a row with the counts of each.

    Args:
        args: The command's options.
        whats: Of `"inference"`, `"training"`, `"compiled"`.
        report: Where the rows go.
    """
    name = args.models[0]
    side = args.image_size
    images = torch.randn(args.batch_size, 3, side, side, device=args.device)
    for what in whats:
        row = {"mode": "profile", "model": name, "batch": args.batch_size, "network": f"ours, {what}"}
        if report.is_over:
            report.add({**row, "error": "not run: the time was up"})
            continue
        try:
            net = Networks(name, args, train=what == "training").build("ours")
            text, count, took = profile_run(_run(what, net, images), args)
        except Exception as error:
            report.add({**row, "error": f"{type(error).__name__}: {str(error)[:300]}"})
            continue
        (args.out / f"profile_{name}_{what}.txt").write_text(text)
        report.add({**row, "launches": count, "ms of kernels": took})


def _run(what: str, net: torch.nn.Module, images: torch.Tensor) -> Run:
    if what == "training":
        optimizer = adamw(net)
        return lambda: training_step(net, images, optimizer)
    call = compiled(net, None) if what == "compiled" else net
    return lambda: inference(call, images)
