"""A few large numbers stretch a grid so far that the many small ones share a few of its steps."""

from __future__ import annotations

import numpy as np

from edgewright.diagnosis.case import Case, Weights, reach
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ir.dtype import DType, Quant
from edgewright.numerics.scales import weight_scales
from edgewright.recipe import Option

BETTER = 4.0
"""By how many times less noise the weights inside of the best clipped range must have."""
PERCENTS = (99.99, 99.9, 99.5, 99.0, 98.0, 97.0, 95.0)
NARROWER = 0.6
"""Of the range, what the best clipped one takes at most."""


def find(case: Case) -> Finding | None:
    """Activations, and rows of weights, whose grid ends where the data end, though the noise is less where a narrower one clips them."""
    constants = {}
    stretch: dict[str, float] = {}
    for entry in case.weights:
        again = _clipped(entry)
        if again is not None:
            constants[entry.name] = again.reshape(case.pair.constants[entry.name].shape)
            stretch[entry.name] = float(np.max(np.abs(entry.got)) / max(float(np.quantile(np.abs(entry.got), 0.99)), 1e-30))
    quants, options = _activations(case, stretch)
    if not stretch:
        return None
    worst = max(stretch, key=lambda name: stretch[name])
    evidence = f"outliers stretch {len(stretch)} ranges, that of {worst!r} {stretch[worst]:.1f} times beyond where the noise is least"
    if constants:
        options["weight_ranges"] = "mse"
    where = tuple(dict.fromkeys(case.pair.layer_of(name) for name in stretch))
    numbers = {"stretched": float(len(stretch)), "most": stretch[worst]}
    fix = Fix("clip ranges where the noise is least", options=options)
    return Finding("range outliers", where, evidence, numbers, fix, Cure(quants, constants))


def _activations(case: Case, stretch: dict[str, float]) -> tuple[dict[str, Quant | None], dict[str, Option]]:
    """The clipped grids that leave the output the least noise, and the options that make them; tells ``stretch`` by how much."""
    best: dict[str, Quant | None] = {}
    least, options = case.noise, dict[str, Option]()
    for percent in (None, *PERCENTS):
        quants: dict[str, Quant | None] = {}
        for name, quant, seen in case.activations():
            span = max(seen.high, 0.0) - min(seen.low, 0.0)
            grid = seen.best_grid(quant.dtype) if percent is None else seen.middle_grid(percent, quant.dtype)
            low, high = reach(quant)
            if high - low <= 3 * span and reach(grid)[1] - reach(grid)[0] <= NARROWER * (high - low):
                quants[name] = grid
        noise = case.noise_of(case.pair.graph(quants=quants)) if quants else np.inf
        if noise < least:
            best, least = quants, noise
            options = {"ranges": "mse"} if percent is None else {"ranges": "percentile", "percentile": percent}
    for name, found in best.items():
        if found is not None:
            ends = reach(case.pair.quants[name]), reach(found)
            stretch[name] = (ends[0][1] - ends[0][0]) / max(ends[1][1] - ends[1][0], 1e-30)
    return best, options


def _clipped(entry: Weights) -> np.ndarray | None:
    """The float weights on per-channel grids of least error, where plain per-channel ones are far worse; None otherwise."""
    if entry.quant.axis is None or entry.quant.dtype not in (DType.INT8, DType.INT4) or entry.real.shape[1] < 8:
        return None
    scales = weight_scales(entry.real, None, 1.0, entry.quant.dtype, "mse")
    best = Quant.per_axis(scales, 0, entry.quant.dtype)
    kept = np.abs(entry.real) <= scales[:, None] * entry.quant.dtype.maximum
    errors = [float(np.mean((entry.on_grid(entry.real, quant) - entry.real)[kept] ** 2)) for quant in (entry.quant, best)]
    narrower = float(np.median(scales / entry.step)) < NARROWER
    return entry.on_grid(entry.real, best) if narrower and errors[0] > BETTER * errors[1] else None
