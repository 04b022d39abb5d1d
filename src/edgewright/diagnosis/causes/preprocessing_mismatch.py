"""The quantized network expects its input in other units, or its channels in another order."""

from __future__ import annotations

import numpy as np

from edgewright.diagnosis.case import Case, Seen, Weights, reach
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ir.dtype import Quant

MOST_CLIPPED = 0.1
"""Share of the input beyond its grid."""
USUAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0), (-127.0, 127.0), (-0.5, 0.5))
"""Ranges that preprocessing gives images and sound."""
FIX = Fix("feed the quantized network as the float one was trained: quantize the float network on this data, in its own units and order")


def find(case: Case) -> Finding | None:
    """The input's grid against the data, and the first layer's weights against the float ones with channels reversed or scaled."""
    return _order(case) or _units(case)


def _order(case: Case) -> Finding | None:
    """Red and blue exchanged: the first layer's weights fit only when its input channels are reversed."""
    first = _first(case)
    if first is None:
        return None
    channels = int(case.pair.floating.value(case.pair.floating.inputs[0]).shape[-1] or 1)
    if not 2 <= channels <= 4 or first.real.shape[1] % channels:
        return None
    turned = first.real.reshape(len(first.real), -1, channels)[:, :, ::-1].reshape(first.real.shape)
    plain, reversed_ = _cosine(first.real, first.got), _cosine(turned, first.got)
    if reversed_ < 0.9 or reversed_ - plain < 0.05:
        return None
    evidence = (
        f"the first layer has its {channels} input channels reversed: cosine with the float weights {plain:.3f}, reversed {reversed_:.3f}"
    )
    return _finding(case, (first.node.name,), evidence, {"cosine": plain, "cosine_reversed": reversed_}, first)


def _units(case: Case) -> Finding | None:
    for name in case.pair.floating.inputs:
        quant, seen = case.pair.quants.get(name), case.seen.get(name)
        if quant is None or seen is None or quant.axis is not None:
            continue
        low, high = reach(quant)
        clipped = float(np.mean((seen.numbers < low - quant.scale[0]) | (seen.numbers > high + quant.scale[0])))
        used = (seen.high - seen.low) / max(high - low, 1e-30)
        if clipped >= MOST_CLIPPED:
            what = f"{100 * clipped:.1f} % of the numbers of input {name!r} lie beyond its grid"
        elif used < 0.25 and _usual(quant):
            what = f"input {name!r} uses {100 * used:.1f} % of its grid"
        else:
            continue
        evidence = f"{what}: {low:.4g} … {high:.4g}, the data go from {seen.low:.4g} to {seen.high:.4g}"
        return _finding(case, (name,), evidence, {"clipped": clipped, "used": used, "grid_low": low, "grid_high": high}, _first(case))
    return None


def _usual(quant: Quant) -> bool:
    low, high = reach(quant)
    return any(abs(low - a) <= 0.02 * (b - a) and abs(high - b) <= 0.02 * (b - a) for a, b in USUAL)


def _first(case: Case) -> Weights | None:
    """The first layer with weights that reads an input."""
    return next((entry for entry in case.weights if entry.node.inputs[0] in case.pair.floating.inputs), None)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))


def _finding(case: Case, where: tuple[str, ...], evidence: str, numbers: dict[str, float], first: Weights | None) -> Finding:
    """Undone: every grid that the data leave or hardly use fits them, and the first layer has its own weights."""
    quants: dict[str, Quant | None] = {}
    for name, quant, seen in case.activations():
        if _unfit(quant, seen):
            quants[name] = seen.whole_grid(quant.dtype)
    constants = {}
    if first is not None:
        constants[first.name] = first.on_grid(first.real).reshape(case.pair.constants[first.name].shape)
        if first.bias is not None:
            constants[first.bias] = first.real_bias.astype(np.float32)
    return Finding("preprocessing mismatch", where, evidence, numbers, FIX, Cure(quants, constants))


def _unfit(quant: Quant, seen: Seen) -> bool:
    low, high = reach(quant)
    span = max(seen.high - seen.low, 1e-30)
    return seen.low < low - 0.1 * span or seen.high > high + 0.1 * span or high - low > 3 * span
