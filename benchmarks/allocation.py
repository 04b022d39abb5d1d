"""Static allocation on the instances of google/minimalloc: the heights reached, what is proved, and a solver of other making beside it.

Every placement is checked by comparing all pairs of buffers. Seconds are processor time. The compiled depth-first search decides the given
capacity; then the same search minimizes, with a limit of placements for each height that it tries.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.errors import ModelError
from edgewright.lower.allocate import allocate, end_of, fit, greedy, lower_bound, overlaps
from edgewright.lower.beam import Answer
from edgewright.lower.depth_first import depth_first
from edgewright.lower.memory import Buffer

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "bench" / "minimalloc"
CAPACITY = 1_048_576
MINIMIZE_NODES = 300_000
OTHER_SECONDS = 20.0


def instance(name: str) -> list[Buffer]:
    """The buffers of instance ``name`` (A to K)."""
    with open(FOLDER / f"{name}.{CAPACITY}.csv", newline="") as file:
        return [Buffer(row["id"], int(row["size"]), int(row["lower"]), int(row["upper"]) - 1) for row in csv.DictReader(file)]


def check(buffers: list[Buffer], offsets: Mapping[str, int], capacity: int) -> None:
    """ModelError where a buffer leaves ``capacity``, or two that live at the same time share a byte."""
    for index, a in enumerate(buffers):
        start, end = offsets[a.name], offsets[a.name] + a.size_bytes
        if start < 0 or end > capacity:
            raise ModelError(f"buffer {a.name!r} lies at {start}:{end}, outside of {capacity}")
        for b in buffers[:index]:
            if overlaps(a, b) and start < offsets[b.name] + b.size_bytes and offsets[b.name] < end:
                raise ModelError(f"buffers {a.name!r} and {b.name!r} overlap")


def rows() -> list[dict[str, Any]]:
    """One row per instance, and their sum."""
    if not FOLDER.is_dir():
        return [{"instance": f"skipped: no {FOLDER.name} instances at {FOLDER}"}]
    table = [_row(path.name[0]) for path in sorted(FOLDER.glob(f"?.{CAPACITY}.csv"))]
    total: dict[str, Any] = {"instance": "all", "buffers": sum(row["buffers"] for row in table)}
    total |= {key: round(sum(row[key] for row in table), 2) for key in ("seconds", "minimizing seconds")}
    total["at capacity"] = f"{sum(row['at capacity'] == 'yes' for row in table)} of {len(table)}"
    return [*table, total]


def _row(name: str) -> dict[str, Any]:
    buffers = instance(name)
    bound = lower_bound(buffers)
    started = time.process_time()
    answer, offsets = fit(buffers, CAPACITY, depth_first)
    seconds = time.process_time() - started
    if answer is Answer.FOUND:
        check(buffers, offsets, CAPACITY)
    started = time.process_time()
    least, proof = (offsets, "optimal") if answer is Answer.FOUND and end_of(buffers, offsets) == bound else _minimize(buffers)
    height = end_of(buffers, least)
    check(buffers, least, height)
    if answer is Answer.FOUND and end_of(buffers, offsets) < height:
        height = end_of(buffers, offsets)
    return {
        "instance": name,
        "buffers": len(buffers),
        "lower bound": bound,
        "greedy": end_of(buffers, greedy(buffers)),
        "at capacity": "yes" if answer is Answer.FOUND else answer.value,
        "seconds": round(seconds, 2),
        "least height": height,
        "proof": proof,
        "minimizing seconds": round(time.process_time() - started, 2),
        "CP-SAT at capacity": _other(buffers),
    }


def _minimize(buffers: list[Buffer]) -> tuple[Mapping[str, int], str]:
    found = allocate(buffers, functools.partial(depth_first, nodes=MINIMIZE_NODES))
    return found.offsets, found.strategy


def _other(buffers: list[Buffer]) -> str:
    """What ortools' CP-SAT, one worker, says about the capacity within OTHER_SECONDS."""
    if importlib.util.find_spec("ortools") is None:
        return "skipped: ortools is not installed"
    from ortools.sat.python import cp_model  # an optional extra

    model = cp_model.CpModel()
    across, upward = [], []
    for b in buffers:
        offset = model.new_int_var(0, CAPACITY - b.size_bytes, b.name)
        across.append(model.new_fixed_size_interval_var(b.first, b.last + 1 - b.first, f"{b.name} time"))
        upward.append(model.new_fixed_size_interval_var(offset, b.size_bytes, f"{b.name} place"))
    model.add_no_overlap_2d(across, upward)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = OTHER_SECONDS
    started = time.process_time()
    status = solver.solve(model)
    seconds = time.process_time() - started
    return f"{seconds:.1f} s" if status in (cp_model.OPTIMAL, cp_model.FEASIBLE) else f"no answer in {seconds:.0f} s"
