"""Jobs in a process of their own: one that breaks the GPU's context, is killed or hangs does not end the others."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from gpu_networks import Networks
from gpu_profile import profiles
from gpu_report import Report
from gpu_search import search_jobs
from gpu_tables import Table, large, prepare, run_table, tables

#: The parts of the benchmark, in the order in which they run by default: what compiles comes last.
PARTS = ["search", "eager", "graphs", "large", "compiled", "graph-training", "compiled-training"]
PROFILES = {"profile": ["inference", "training"], "compiled-profile": ["compiled"]}
_TABLES: dict[str, Callable[[Table], bool]] = {
    "eager": lambda table: table.how == "eager",
    "graphs": lambda table: table.how == "CUDA graph" and not table.train,
    "graph-training": lambda table: table.how == "CUDA graph" and table.train,
    "compiled": lambda table: table.compiles and not table.train,
    "compiled-training": lambda table: table.compiles and table.train,
}
#: Seconds after which no compilation ahead of its measurement begins, and seconds that the last ones may take then.
AHEAD_SECONDS, LAST_SECONDS = 60.0, 60.0
#: Seconds without a new row and without a finished job after which a job on a GPU is ended, because it hangs.
STALLED_SECONDS = 150.0
#: Exit code of a process whose job has told its error, and whose GPU answers no more.
_BROKEN = 3


class Job(NamedTuple):
    """One or more tables."""

    name: str
    run: Callable[[Report], None]


def all_jobs(args: argparse.Namespace) -> list[Job]:
    """The jobs of the command's parts, in their order."""
    found: list[Job] = []
    for part in args.parts:
        if part in _TABLES and part.startswith("compiled") and args.ahead:
            found.append(Job("compile ahead", partial(_compile_ahead, args)))
            args = argparse.Namespace(**vars(args) | {"ahead": 0})
        if part == "search":
            found += [Job(*job) for job in search_jobs(args)]
        elif part == "large":
            found.append(Job(part, partial(large, args)))
        elif part in PROFILES:
            found.append(Job(part, partial(profiles, args, PROFILES[part])))
        else:
            found += [_table_job(table, name, args) for table, name in _plans(args) if _TABLES[part](table)]
    return found


def _compile_ahead(args: argparse.Namespace, _: Report) -> None:
    warm_up(args, args.ahead, seconds=AHEAD_SECONDS)


def _plans(args: argparse.Namespace) -> list[tuple[Table, str]]:
    """A table of every model, then the next."""
    by_model = [[(table, name) for table in tables(args, name)] for name in args.models]
    return [plan for same in zip(*by_model, strict=True) for plan in same]


def _table_job(table: Table, name: str, args: argparse.Namespace) -> Job:
    return Job(f"{table.mode} | {name} | {table.batch}", partial(run_table, table, name, args))


def prepare_process(device: torch.device) -> dict[str, str]:
    """What comes first in each process: seeds, and what the result file says of the machine."""
    torch.manual_seed(0)
    return {"device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU"}


def run_jobs(
    make_jobs: Callable[[], list[Job]],
    report: Report,
    begin: Callable[[], dict[str, str]],
    method: str = "spawn",
    stalled: float | None = None,
) -> None:
    """Runs jobs behind each other in one process; if it dies or hangs, the jobs after that one run in another.

    Args:
        make_jobs: Makes the jobs, in each process anew.
        report: Where rows go; its file holds what all processes have measured.
        begin: Runs first in each process and returns what the file says of the machine.
        method: How processes start. CUDA works in no process that was forked from one with a driver.
        stalled: Seconds without a new row and without a finished job after which a process hangs, and is killed.
    """
    context = multiprocessing.get_context(method)
    done, began, jobs = context.Value("i", 0), context.Event(), make_jobs()
    while done.value < len(jobs):
        child = context.Process(target=_work, args=(make_jobs, report, begin, done, began))
        child.start()
        says = _wait(child, report, done, stalled)
        report.read()
        if not began.is_set() and not says:  # not the job's fault: rather all in this process than none
            _work(make_jobs, report, begin, done, began)
        elif child.exitcode and child.exitcode != _BROKEN and done.value < len(jobs):
            report.add(_lost(jobs[done.value], says or f"exit code {child.exitcode}"))
            done.value += 1


def _wait(child: Any, report: Report, done: Any, stalled: float | None) -> str:
    """Waits until a process ends; one that hangs is killed, and what is wrong with it returned."""
    before, since = None, time.monotonic()
    while child.is_alive():
        child.join(1.0)
        now = done.value, report.path.stat().st_mtime_ns if report.path.exists() else 0
        if now != before:
            before, since = now, time.monotonic()
        elif stalled is not None and time.monotonic() - since > stalled:
            child.kill()
            child.join()
            return f"nothing new for {stalled:.0f} s"
    return ""


def _lost(job: Job, error: str) -> dict[str, Any]:
    return {"mode": "lost", "network": job.name, "error": error}


def _work(
    make_jobs: Callable[[], list[Job]], report: Report, begin: Callable[[], dict[str, str]], done: Any, began: Any
) -> None:
    report.head.update(begin())
    began.set()
    for job in make_jobs()[done.value :]:
        try:
            job.run(report)
        except Exception as error:
            report.add(_lost(job, f"{type(error).__name__}: {str(error)[:300]}"))
            done.value += 1
            if torch.cuda.is_initialized():
                _check_gpu()
            continue
        done.value += 1


def _check_gpu() -> None:
    """Ends this process if its GPU answers no more: every later job would be lost with it."""
    try:
        torch.cuda.synchronize()
    except Exception:
        os._exit(_BROKEN)  # what ends the process in the usual way may wait for the GPU


def warm_up(args: argparse.Namespace, processes: int, seconds: float | None = None) -> None:
    """Compiles all that the command will time, several at once, into the compiler's cache on disk; measures nothing.

    Args:
        args: The command's options.
        processes: How many at once.
        seconds: None begins later than this.
    """
    until = None if seconds is None else time.monotonic() + seconds
    context = multiprocessing.get_context("spawn")
    plans = [(table, name) for table, name in _plans(args) if table.compiles]
    todo = [(table, name, network) for table, name in plans for network in table.networks]
    children = [context.Process(target=_compile, args=(args, todo[i::processes], until)) for i in range(processes)]
    for child in children:
        child.start()
    end_all(children, None if until is None else until + LAST_SECONDS)


def end_all(children: list[Any], until: float | None) -> None:
    """Waits until processes end, and kills those that have not at a time: one that hangs would hold up the rest."""
    for child in children:
        child.join(None if until is None else max(0.0, until - time.monotonic()))
        if child.is_alive():
            print(f"{child.name} is killed: it has not ended in time", flush=True)
            child.kill()
            child.join()


def _compile(args: argparse.Namespace, share: Iterable[tuple[Table, str, str]], until: float | None) -> None:
    for table, name, network in share:
        if until is not None and time.monotonic() > until:
            return
        torch.compiler.reset()
        start, says = time.perf_counter(), "compiled"
        try:
            prepare(table, Networks(name, args, train=table.train), network, args).run()
            if args.device.type == "cuda":
                torch.cuda.empty_cache()
        except Exception as error:  # the timed run will meet it again
            says = f"{type(error).__name__}: {str(error)[:200]}"
        took = time.perf_counter() - start
        print(f"{took:4.0f} s, {table.mode} | {name} | {table.batch} | {network}: {says}", flush=True)
