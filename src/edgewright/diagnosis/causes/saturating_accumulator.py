"""A bias, or a sum of products, does not fit into the 32 bits of the accumulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ops.requant import INT32_MAX

NEAR = 0.999
"""Share of the greatest integer at which a bias was cut off."""


def find(case: Case) -> Finding | None:
    """Biases that stand at the end of int32, or that the accumulator's scale cannot hold; sums whose bound lies beyond it."""
    constants: dict[str, NDArray[np.float32]] = {}
    where, rows, largest = [], 0, 0.0
    for entry in case.weights:
        data = case.pair.quants.get(entry.node.inputs[0])
        if data is None or data.axis is not None or entry.bias is None:
            continue
        unit = entry.step * data.scale[0]
        wanted, got = entry.real_bias / unit, entry.got_bias / unit
        cut = (np.abs(got) >= NEAR * INT32_MAX) | ((np.abs(wanted) > INT32_MAX) & (np.abs(got) < 0.5 * np.abs(wanted)))
        if not cut.any():
            continue
        where.append(entry.node.name)
        rows += int(cut.sum())
        largest = max(largest, float(np.abs(wanted[cut]).max()))
        constants[entry.bias] = np.where(cut, entry.real_bias, entry.got_bias).astype(np.float32)
    if not where:
        return None
    evidence = (
        f"{rows} biases of {len(where)} layers are cut off at int32: the largest would be {largest:.3g} steps, the most is {INT32_MAX:.3g}"
    )
    fix = Fix("scales that leave the bias room (those of quantize_static do)")
    return Finding("saturating accumulator", tuple(where), evidence, {"biases": float(rows), "largest": largest}, fix, Cure({}, constants))
