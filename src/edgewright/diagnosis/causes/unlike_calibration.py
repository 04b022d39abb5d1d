"""Ranges were chosen on too few samples, or on samples unlike those that the network is given."""

from __future__ import annotations

import numpy as np

from edgewright.diagnosis.case import Case, Seen, grid_noise, reach
from edgewright.diagnosis.causes import preprocessing_mismatch
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ir.dtype import Quant

WORSE = 4.0
"""How many times the noise of the grid over what is seen now."""
WIDER = 3.0
"""A grid that is wider than the data by this factor was chosen on other data."""


def find(case: Case) -> Finding | None:
    """Activations that are clipped, or that use a part of their grid only."""
    if preprocessing_mismatch.find(case) is not None:
        return None
    clipped: dict[str, float] = {}
    unused: dict[str, float] = {}
    quants: dict[str, Quant | None] = {}
    for name, quant, seen in case.activations():
        whole = seen.whole_grid(quant.dtype)
        if seen.high <= seen.low or grid_noise(quant, seen.numbers) < WORSE * grid_noise(seen.best_grid(quant.dtype), seen.numbers):
            continue
        low, high = reach(quant)
        beyond = _beyond(seen, low, high, quant)
        if beyond > 1e-4 and grid_noise(quant, seen.numbers) > WORSE * grid_noise(whole, seen.numbers):
            clipped[name] = beyond
        elif high - low > WIDER * (max(seen.high, 0.0) - min(seen.low, 0.0)):
            unused[name] = (high - low) / max(max(seen.high, 0.0) - min(seen.low, 0.0), 1e-30)
        else:
            continue
        quants[name] = seen.best_grid(quant.dtype)
    if not quants:
        return None
    parts = []
    if clipped:
        worst = max(clipped, key=lambda name: clipped[name])
        parts.append(f"{len(clipped)} activations leave their grids, {100 * clipped[worst]:.2f} % of {worst!r} does")
    if unused:
        worst = max(unused, key=lambda name: unused[name])
        parts.append(f"{len(unused)} grids are far wider than the data, that of {worst!r} {unused[worst]:.1f} times")
    numbers = {"clipped_grids": float(len(clipped)), "most_clipped": max(clipped.values(), default=0.0)}
    numbers |= {"wide_grids": float(len(unused)), "widest": max(unused.values(), default=1.0)}
    fix = Fix("calibrate on samples like these, a hundred or more", options={"ranges": "mse"})
    where = tuple(dict.fromkeys(case.pair.layer_of(name) for name in quants))
    return Finding("unlike calibration data", where, "; ".join(parts), numbers, fix, Cure(quants))


def _beyond(seen: Seen, low: float, high: float, quant: Quant) -> float:
    """The share of numbers more than a step beyond the grid; what a rectifier cuts off is not seen here, as it comes after it."""
    step = quant.scale[0]
    return float(np.mean((seen.numbers < low - step) | (seen.numbers > high + step)))
