"""`edgewright precision`: the front of mixed precision, in one run."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from edgewright import pipeline
from edgewright.data import load_data
from edgewright.passes import load_passes
from edgewright.report.table import columns, render
from edgewright.search.precision import Point, precision_front
from edgewright.targets.target import load_target
from edgewright.verbs.result import Result

PLOT = 24
"""Letters of the longest bar."""


def precision(
    model: str,
    *,
    target: str,
    data: str,
    test: str | None = None,
    widths: str = "2,4,8",
    drop: float | None = None,
    slowdown: float = 0.0,
    activations: str = "8,16",
    arena_bytes: int = 0,
    seed: int = 0,
) -> Result:
    """One row a network, the smallest first; ``drop`` in points."""
    load_passes()
    graph, board = pipeline.load(model), load_target(target)
    samples = load_data(data, graph)
    judges = samples if test is None else load_data(test, graph)
    talk = Console(stderr=True)
    share = None if drop is None else drop / 100
    with talk.status("quantize") as status:
        points = precision_front(
            graph,
            board,
            data=samples,
            test=judges,
            widths=widths,
            drop=share,
            slowdown=slowdown,
            activations=activations,
            arena_bytes=arena_bytes,
            seed=seed,
            progress=status.update,
        )
    titles = ("network", "bytes of weights", "layers' bits", "others", "agrees %", "accuracy %", "R²", "flash B", "arena B", "time", "", "")
    rows = [(*_row(point), _bar(point, points)) for point in points]
    text = render([columns(titles, rows, numbers=(1, 3, 4, 5, 6, 7, 8, 9))])
    text += "\n4/16: weights of 4 bits, activations of 16; without a stroke: of 8; others: how many layers without weights have 16"
    text += "\n* no other is as good in answers, bytes, arena and time, and better in one of them"
    if drop is not None:
        chosen = next((point for point in points if point.chosen), None)
        text += f"\nWithin {drop:g} points: {chosen.name if chosen else 'none of these'}"
    return Result([dataclasses.asdict(point) for point in points], text)


def _row(point: Point) -> tuple[str, ...]:
    shares = ("" if share is None else f"{100 * share:.2f}" for share in (point.agreement, point.accuracy))
    r2 = "" if point.r2 is None else f"{point.r2:.4f}"
    bits = " ".join(f"{width}/16" if layer in point.wide else str(width) for layer, width in point.bits.items())
    others = str(sum(name not in point.bits for name in point.wide) or "")
    costs = (f"{point.costs[name]:,.0f}" if name in point.costs else "" for name in ("flash_bytes", "arena_bytes"))
    return point.name, f"{point.weight_bytes:,}", bits, others, *shares, r2, *costs, _time(point), "*" if point.undominated else ""


def _time(point: Point) -> str:
    """Modelled cycles of one inference, or instructions; empty where neither is known."""
    name = next((name for name in ("cycles", "instructions") if name in point.costs), None)
    return f"{point.costs[name]:,.0f} {name}" if name else ""


def _bar(point: Point, points: list[Point]) -> str:
    """The bytes of ``point`` against the largest of ``points``."""
    return "#" * max(1, round(PLOT * point.weight_bytes / max(other.weight_bytes for other in points)))
