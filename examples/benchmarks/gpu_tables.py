"""The tables of networks: each network by itself first, then all in turn."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from gpu_networks import PEERS, Captured, Networks, adamw, compiled, graphed, inference, plain, training_step
from gpu_report import Report, Row
from gpu_timing import Run, peak_gib, seconds, state_bytes, summary

from vig_pyg import create_model

How = Literal["eager", "CUDA graph", "compiled", "reduce-overhead"]
OURS = ["ours", "reference", "floor"]


class Prepared(NamedTuple):
    """What one row measures."""

    run: Run
    own_bytes: Callable[[], int]


class Table(NamedTuple):
    """One table of each model.

    Args:
        how: How the networks run.
        train: Training steps, or inference.
        batch: Images.
        networks: Their names, in the order in which they are prepared: what is lost first when the time is up is last.
    """

    how: How
    train: bool
    batch: int
    networks: list[str]

    @property
    def mode(self) -> str:
        """The name of the table."""
        return f"{'training step' if self.train else 'inference'}, {self.how}"

    @property
    def compiles(self) -> bool:
        """Whether its networks are compiled."""
        return self.how in ("compiled", "reduce-overhead")


def tables(args: argparse.Namespace, name: str) -> list[Table]:
    """All tables of a model; what compiles comes last."""
    batch = args.batch_size
    near = ["Swin-T", "ConvNeXt-T" if name.startswith("pvig") else "DeiT-S"]
    peers = near if args.quick else list(PEERS)
    found = [
        Table("eager", False, batch, [*OURS, *peers, "ours, plain torch", "ours, torch_cluster"]),
        Table("eager", False, 1, [*OURS, *peers]),
        Table("eager", True, batch, [*OURS, *peers]),
    ]
    if args.device.type == "cuda":
        found += [Table("CUDA graph", False, size, [*OURS, *peers]) for size in (1, batch)]
        found += [Table("CUDA graph", True, batch, ["ours", "Swin-T", "reference", *([] if args.quick else ["floor"])])]
    if args.no_compile:
        return found
    few = ["ours", "reference", "Swin-T"]  # each compilation takes half a minute
    rest = [name for name in ("floor", *peers) if name not in few]
    small = [] if args.quick else rest
    found += [
        Table("compiled", False, batch, [*few, *(["floor"] if args.quick and name.startswith("pvig") else rest)]),
        Table("reduce-overhead", False, 1, [*few, *small]),
        Table("compiled", True, batch, [*few, *small]),
    ]
    return found


def run_table(table: Table, name: str, args: argparse.Namespace, report: Report) -> None:
    """Measures one table of one model."""
    torch.compiler.reset()  # the limit of recompilations counts over all networks that share a class
    networks = cache(lambda: Networks(name, args, train=table.train))  # none if the time is up
    rows = {network: (lambda network=network: prepare(table, networks(), network, args)) for network in table.networks}
    head = {"mode": table.mode, "model": name, "batch": table.batch}
    compare(rows, head, args, report, repeats=args.repeats * (3 if table.batch == 1 else 1))


def prepare(table: Table, networks: Networks, network: str, args: argparse.Namespace) -> Prepared:
    """A network, ready to run."""
    side = 224 if network in PEERS else args.image_size
    images = torch.randn(table.batch, 3, side, side, device=args.device)
    net = networks.build(network)
    optimizer = adamw(net) if table.train else None
    call: Any = net
    if table.how in ("compiled", "reduce-overhead"):
        call = compiled(net, "reduce-overhead" if table.how == "reduce-overhead" else None)

    def run() -> Any:
        if table.how == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        return inference(call, images) if optimizer is None else training_step(call, images, optimizer)

    if table.how == "CUDA graph" and table.train:
        call = graphed(net, images)
    final = Captured(net, images) if table.how == "CUDA graph" and not table.train else run
    return Prepared(plain(final) if network == "ours, plain torch" else final, lambda: state_bytes(net, optimizer))


def compare(
    rows: dict[str, Callable[[], Prepared]],
    head: Row,
    args: argparse.Namespace,
    report: Report,
    *,
    repeats: int,
    inner: int = 1,
) -> None:
    """Measures what the rows prepare: alone at once, then all in turn. An error is a row, not the end.

    Args:
        rows: What prepares each row.
        head: What all rows say: mode, model, batch.
        args: The command's options.
        report: Where rows go.
        repeats: Rounds.
        inner: Runs behind each other in one measurement, so that a launch does not count.
    """
    ready: dict[str, tuple[Run, Row]] = {}
    for network, make in rows.items():
        row = {**head, "network": network}
        if report.is_over:
            report.add({**row, "error": "not run: the time was up"})
            continue
        try:
            prepared, told = _warm(make, args)
            run = prepared.run if inner == 1 else _many(prepared.run, inner)
            times = [seconds(run, args.device) / inner for _ in range(min(3, repeats))]
            ready[network] = run, told
            report.add({**row, **_speed(head, times), **told, "rounds": "alone"})
        except Exception as error:
            _failed(row, error, args, report)
    if repeats > 1 and ready:
        _in_turn(ready, head, args, report, repeats, inner)
    ready.clear()
    gc.collect()
    if args.device.type == "cuda":
        torch.cuda.empty_cache()


def _warm(make: Callable[[], Prepared], args: argparse.Namespace) -> tuple[Prepared, Row]:
    torch._dynamo.utils.counters.clear()
    start = time.perf_counter()
    prepared = make()
    prepared.run()
    told: Row = {"setup s": time.perf_counter() - start}
    for _ in range(2):
        prepared.run()
    told["peak GiB"] = peak_gib(prepared.run, prepared.own_bytes, args.device)
    if torch._dynamo.utils.counters["stats"]:
        told["graph breaks"] = sum(torch._dynamo.utils.counters["graph_break"].values())
    return prepared, told


def _in_turn(
    ready: dict[str, tuple[Run, Row]], head: Row, args: argparse.Namespace, report: Report, repeats: int, inner: int
) -> None:
    times: dict[str, list[float]] = {network: [] for network in ready}
    for _ in range(repeats):
        for network, (run, _) in list(ready.items()):
            try:
                times[network].append(seconds(run, args.device) / inner)
            except Exception as error:
                ready.pop(network)
                _failed({**head, "network": network}, error, args, report)
    for network, (_, told) in ready.items():
        report.add({**head, "network": network, **_speed(head, times[network]), **told, "rounds": "in turn"})


def _failed(row: Row, error: Exception, args: argparse.Namespace, report: Report) -> None:
    """A row with the error; ends the process if the GPU answers no more, as every later number would be lost too."""
    report.add({**row, "error": f"{type(error).__name__}: {str(error)[:300]}"})
    if args.device.type == "cuda":
        torch.cuda.synchronize()


def _speed(head: Row, times: list[float]) -> Row:
    found: Row = dict(summary(times))
    return {"images/s": 1000 * head["batch"] / found["ms"], **found}


def _many(run: Run, inner: int) -> Run:
    def repeated() -> None:
        for _ in range(inner):
            run()

    return repeated


def large(args: argparse.Namespace, report: Report) -> None:
    """pvig_small on large images, batch 4: our kernels beside plain torch."""
    height, width = args.large_size
    images = torch.randn(4, 3, height, width, device=args.device)
    model = create_model("pvig_small", position="grid").to(args.device).eval().fuse()

    def run() -> Any:
        return inference(model, images)

    rows = {
        "ours": lambda: Prepared(run, lambda: state_bytes(model)),
        "ours, plain torch": lambda: Prepared(plain(run), lambda: state_bytes(model)),
    }
    head = {"mode": f"inference, eager, {height} x {width}", "model": "pvig_small", "batch": 4}
    compare(rows, head, args, report, repeats=args.repeats)
