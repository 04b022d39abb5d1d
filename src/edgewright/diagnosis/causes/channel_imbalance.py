"""Channels of very different size share one scale: the small ones are lost in rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case, Weights
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ir.dtype import Quant

RATIO = 8.0
"""The largest channel against the median one."""


def find(case: Case) -> Finding | None:
    """Weights with one scale for all rows, and activations, whose channels differ RATIO times and more."""
    shared = {entry.name: ratio for entry in case.weights if (ratio := _ratio(entry)) >= RATIO}
    uneven: dict[str, float] = {}
    quants: dict[str, Quant | None] = {}
    for name, quant, seen in case.activations():
        maker = case.pair.floating.producers.get(name)
        joins = maker is not None and maker.op.kind in ("Concat", "Add", "Sub")
        if seen.imbalance >= RATIO and len(seen.channel_low) > 1 and not joins and quant.dtype.bits <= 8:
            quants[name] = seen.channel_grid(case.pair.floating.value(name).rank, quant.dtype)
            uneven[name] = seen.imbalance
    if not shared and not uneven:
        return None
    constants: dict[str, NDArray[np.float32]] = {}
    for entry in case.weights:
        if entry.name in shared or entry.node.inputs[0] in uneven:
            constants[entry.name] = case.balanced(entry)
            if entry.bias is not None:
                constants[entry.bias] = entry.real_bias.astype(np.float32)
    worst, most = max(shared.values(), default=1.0), max(uneven.values(), default=1.0)
    parts = []
    if shared:
        parts.append(f"{len(shared)} layers have one scale for all their weights, whose rows differ up to {worst:.0f} times")
    if uneven:
        parts.append(f"channels of {len(uneven)} activations differ up to {most:.0f} times")
    before = ("equalize_layers", "smooth_activations") if uneven else ("equalize_layers",)
    fix = Fix("one scale a channel, and channels of like size by moving factors between layers", before=before)
    numbers = {"layers": float(len(shared)), "weights_ratio": worst, "activations": float(len(uneven)), "activations_ratio": most}
    where = tuple(dict.fromkeys(case.pair.layer_of(name) for name in (*shared, *uneven)))
    return Finding("channel imbalance", where, "; ".join(parts), numbers, fix, Cure(quants, constants))


def _ratio(entry: Weights) -> float:
    """The largest row against the median one where all share one scale; 1 otherwise."""
    if not entry.shared:
        return 1.0
    peaks = np.abs(entry.real).max(1, initial=0.0)
    alive = peaks[peaks > 0]
    return float(alive.max() / np.median(alive)) if alive.size else 1.0
