"""Rows of the weights have other factors and offsets than in the float network: other batch-norm statistics were folded in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case, Weights
from edgewright.diagnosis.finding import Cure, Finding, Fix

GAIN = 0.05
"""Deviation of a row's factor from 1 beyond what rounding makes."""
OFFSET = 8.0
"""Deviation of a bias, in steps of the layer's output or of the bias's own rounding error."""
FEWEST = 0.2
"""Share of the rows of a layer that must have moved."""


def find(case: Case) -> Finding | None:
    """Layers whose rows are still those of the float network, but for a factor and an offset each."""
    constants: dict[str, NDArray[np.float32]] = {}
    where, most_gain, most_offset = [], 0.0, 0.0
    for entry in case.weights:
        gains, offsets = _gains(entry), _offsets(case, entry)
        moved = (gains > 1) | (offsets > 1)
        if moved.mean() < FEWEST:
            continue
        where.append(entry.node.name)
        most_gain = max(most_gain, float(np.nanmax(np.abs(np.where(np.isfinite(entry.gain), entry.gain, 1.0) - 1))))
        most_offset = max(most_offset, float(np.abs(entry.got_bias - entry.real_bias).max()))
        constants[entry.name] = _undone(entry).reshape(case.pair.constants[entry.name].shape)
        if entry.bias is not None:
            constants[entry.bias] = entry.real_bias.astype(np.float32)
    if not where:
        return None
    evidence = f"{len(where)} layers have rows with other factors (up to {100 * most_gain:.0f} % off) or offsets (up to {most_offset:.3g})"
    fix = Fix("fold the float network's own statistics: quantize it anew")
    numbers = {"layers": float(len(where)), "gain": most_gain, "offset": most_offset}
    return Finding("batch-norm drift", tuple(where), evidence, numbers, fix, Cure({}, constants))


def _gains(entry: Weights) -> NDArray[np.float64]:
    """How far each row's factor is from 1, in units of what counts; 0 where its shape has changed too."""
    likeness = np.where(np.isfinite(entry.likeness), entry.likeness, 0.0)
    rounding = entry.step * np.sqrt(entry.real.shape[1] / 12) / np.maximum(np.linalg.norm(entry.real, axis=1), 1e-30)
    # A coarse grid turns a row by about its rounding error: no more may be asked of the likeness.
    whole = np.isfinite(entry.gain) & (likeness > np.minimum(0.98, 1 - 2 * rounding**2))
    return np.where(whole, np.abs(np.where(np.isfinite(entry.gain), entry.gain, 1.0) - 1) / (GAIN + 2 * rounding), 0.0)


def _offsets(case: Case, entry: Weights) -> NDArray[np.float64]:
    """How far each bias is from the float one, in units of what counts: steps of the output, and what a sum of rounding errors makes."""
    grid = case.pair.quants.get(entry.node.outputs[0])
    source = case.seen.get(entry.node.inputs[0])
    step = 0.0 if grid is None else grid.scale[0]
    size = 0.0 if source is None or not source.numbers.size else float(np.sqrt(np.mean(source.numbers.astype(np.float64) ** 2)))
    mean = 0.0 if source is None or not source.numbers.size else abs(float(source.numbers.mean()))
    rounded = np.abs((entry.got - entry.real).sum(1)) * mean + entry.step * size * np.sqrt(entry.real.shape[1])
    likeness = np.where(np.isfinite(entry.likeness), entry.likeness, 0.0)
    off = np.abs(entry.got_bias - entry.real_bias) / np.maximum(OFFSET * step + 2 * rounded, 1e-30)
    return np.where(likeness > 0.9, off, 0.0)


def _undone(entry: Weights) -> NDArray[np.float32]:
    """The rows without their factors, rounded as finely as they are: the grid goes with the factor."""
    gain = np.where(np.isfinite(entry.gain) & (entry.gain != 0), entry.gain, 1.0)
    return np.asarray(entry.got / gain[:, None], np.float32)
