"""Weights became zero that were not, or pruned weights came back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case, Weights
from edgewright.diagnosis.finding import Cure, Finding, Fix

DRIFT = 0.05
"""Share of a layer's weights."""


def find(case: Case) -> Finding | None:
    """Zeros that rounding does not explain (the float weight is larger than a step), and numbers where the float weight is exactly zero."""
    constants: dict[str, NDArray[np.float32]] = {}
    where, lost, regrown = [], 0.0, 0.0
    for entry in case.weights:
        zeroed, back = _drifted(entry)
        if max(zeroed.mean(), back.mean()) < DRIFT:
            continue
        where.append(entry.node.name)
        lost, regrown = max(lost, float(zeroed.mean())), max(regrown, float(back.mean()))
        rows = np.where(zeroed | back, entry.on_grid(entry.real), entry.got)
        constants[entry.name] = rows.astype(np.float32).reshape(case.pair.constants[entry.name].shape)
    if not where:
        return None
    parts = [f"{100 * lost:.0f} % of a layer's weights became zero"] if lost >= DRIFT else []
    parts += [f"{100 * regrown:.0f} % of them are pruned in the float network and no longer zero"] if regrown >= DRIFT else []
    fix = Fix("keep the float network's mask: quantize it anew, and prune with fine-tuning if it has to be sparser")
    numbers = {"layers": float(len(where)), "zeroed": lost, "regrown": regrown}
    return Finding("sparsity drift", tuple(where), "; ".join(parts), numbers, fix, Cure({}, constants))


def _drifted(entry: Weights) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Weights that are zero without having been small, in rows that are not zero altogether; and such that were zero and are not."""
    gain = np.where(np.isfinite(entry.gain), np.abs(entry.gain), 1.0)[:, None]
    alive = np.any(entry.got != 0, axis=1)[:, None]
    zeroed = (entry.got == 0) & (np.abs(entry.real) * np.maximum(gain, 0.5) > 1.5 * entry.coarse[:, None]) & alive
    back = (entry.real == 0) & (np.abs(entry.got) > 1.5 * entry.step[:, None]) & np.any(entry.real != 0, axis=1)[:, None]
    return zeroed, back
