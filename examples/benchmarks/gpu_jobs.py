"""Jobs in a process of their own: one that breaks the GPU's context, or is killed, does not end the others."""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterable
from itertools import cycle
from typing import Any, NamedTuple

import torch
from gpu_networks import Networks
from gpu_profile import profiles
from gpu_report import Report
from gpu_search import search_tables
from gpu_tables import Table, large, prepare, run_table, tables

#: The parts of the benchmark, in the order in which they run by default: what compiles comes last.
PARTS = ["search", "eager", "graphs", "large", "compiled"]
_HOW = {"eager": ("eager",), "graphs": ("CUDA graph",), "compiled": ("compiled", "reduce-overhead")}


class Job(NamedTuple):
    """One or more tables."""

    name: str
    run: Callable[[Report], None]


def has_gpu() -> bool:
    """Whether there is a GPU: asked in a child, as CUDA works in no fork of a process that has asked."""
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(not torch.cuda.is_available()))
    child.start()
    child.join()
    return child.exitcode == 0


def all_jobs(args: argparse.Namespace) -> list[Job]:
    """The jobs of the command's parts, in their order."""
    found: list[Job] = []
    for part in args.parts:
        if part == "search":
            found.append(Job(part, lambda report: search_tables(args, report)))
        elif part == "large":
            found.append(Job(part, lambda report: large(args, report)))
        else:
            found += [_table_job(table, name, args) for table, name in _plans(args) if table.how in _HOW[part]]
    if args.profile:
        eager = ["inference", "training"]
        first = next((i for i, part in enumerate(found) if "compiled" in part.name), len(found))
        found.insert(first, Job("profile", lambda report: profiles(args, report, eager)))
        if not args.no_compile:
            found.append(Job("profile, compiled", lambda report: profiles(args, report, ["compiled"])))
    return found


def _plans(args: argparse.Namespace) -> list[tuple[Table, str]]:
    """A table of every model, then the next."""
    by_model = [[(table, name) for table in tables(args, name)] for name in args.models]
    return [plan for same in zip(*by_model, strict=True) for plan in same]


def _table_job(table: Table, name: str, args: argparse.Namespace) -> Job:
    return Job(f"{table.mode} | {name} | {table.batch}", lambda report: run_table(table, name, args, report))


def run_jobs(jobs: list[Job], report: Report, prepare_process: Callable[[], dict[str, Any]]) -> None:
    """Runs jobs behind each other in one process; if it dies, the jobs after that one run in another.

    Args:
        jobs: The jobs.
        report: Where rows go; its file holds what all processes have measured.
        prepare_process: Runs first in each process and returns what the file says of the machine. This process must
            not touch the GPU itself, or its children could not.
    """
    context = multiprocessing.get_context("fork")
    done = context.Value("i", 0)

    def work() -> None:
        report.head.update(prepare_process())
        for job in jobs[done.value :]:
            job.run(report)
            done.value += 1

    while done.value < len(jobs):
        child = context.Process(target=work)
        child.start()
        child.join()
        report.read()
        if child.exitcode:
            report.add({"mode": "lost", "network": jobs[done.value].name, "error": f"exit code {child.exitcode}"})
            done.value += 1


def warm_up(args: argparse.Namespace, processes: int) -> None:
    """Compiles all that the command will time, several at once, into the compiler's cache on disk; measures nothing."""
    context = multiprocessing.get_context("fork")
    plans = [(table, name) for table, name in _plans(args) if table.how in _HOW["compiled"]]
    todo = [(table, name, network) for table, name in plans for network in table.networks]
    shares: list[list[tuple[Table, str, str]]] = [[] for _ in range(processes)]
    for share, one in zip(cycle(shares), todo, strict=False):
        share.append(one)
    children = [context.Process(target=_compile, args=(args, share)) for share in shares]
    for child in children:
        child.start()
    for child in children:
        child.join()


def _compile(args: argparse.Namespace, share: Iterable[tuple[Table, str, str]]) -> None:
    for table, name, network in share:
        print(f"compiles {table.mode} | {name} | {table.batch} | {network}", flush=True)
        torch.compiler.reset()
        with contextlib.suppress(Exception):  # the timed run will say what is wrong
            prepare(table, Networks(name, args, train=table.train), network, args).run()
            if args.device.type == "cuda":
                torch.cuda.empty_cache()
