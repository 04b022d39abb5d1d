"""Branches of very different size are joined under one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case, Seen
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ir.dtype import Quant
from edgewright.ir.graph import Node

RATIO = 8.0
"""One branch against another, and the grid of a joined value against what is on it."""


def find(case: Case) -> Finding | None:
    """Concatenations and additions whose branches differ RATIO times, or whose branch has a grid RATIO times too wide for it."""
    quants: dict[str, Quant | None] = {}
    constants: dict[str, NDArray[np.float32]] = {}
    where, worst, fewest = list[str](), 1.0, 256.0
    for node in case.pair.floating.nodes:
        if node.op.kind not in ("Concat", "Add", "Sub"):
            continue
        branches = [(name, case.seen[name], case.pair.quants[name]) for name in node.inputs if name in case.seen]
        if len(branches) < 2:
            continue
        sizes = [max(_size(seen), 1e-30) for _, seen, _ in branches]
        ratio = max(sizes) / min(sizes)
        shared = len({quant for _, _, quant in branches}) == 1
        if ratio < RATIO or not (shared or node.op.kind == "Concat"):
            continue
        where.append(node.name)
        worst = max(worst, ratio)
        for name, seen, quant in branches:
            quants[name] = seen.best_grid(quant.dtype)
            fewest = min(fewest, (seen.high - seen.low) / max(quant.scale[0], 1e-30))
        behind = _joined(case, node, quants)
        constants |= {entry.name: case.balanced(entry) for entry in case.weights if entry.node.inputs[0] in behind}
    if not where:
        return None
    evidence = f"branches joined under one scale differ {worst:.0f} times; the smallest uses {fewest:.1f} of 256 steps"
    fix = Fix("bring the branches to a like size by factors that the next layer takes back", before=("balance_joins",))
    return Finding("scale clash", tuple(where), evidence, {"ratio": worst, "fewest_steps": fewest}, fix, Cure(quants, constants))


def _size(seen: Seen) -> float:
    return float(np.quantile(np.abs(seen.numbers), 0.999)) if seen.numbers.size else 0.0


def _joined(case: Case, node: Node, quants: dict[str, Quant | None]) -> set[str]:
    """The joined value, and what it is moved on to: each gets a grid a channel, as the smaller branch is lost there for good."""
    found: set[str] = set()
    pending = list(node.outputs) if node.op.kind == "Concat" else []
    while pending:
        name = pending.pop()
        found.add(name)
        seen, quant = case.seen.get(name), case.pair.quants.get(name)
        if seen is not None and quant is not None and name not in quants:
            quants[name] = seen.channel_grid(case.pair.floating.value(name).rank, quant.dtype)
        for reader in case.pair.floating.consumers.get(name, ()):
            if reader.op.same_quant or reader.op.kind in ("Mean", "AveragePool2D"):
                pending += [other for other in reader.outputs if other not in found]
    return found
