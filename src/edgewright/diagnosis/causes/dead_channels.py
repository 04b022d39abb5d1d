"""Channels that say something in the float network are constant in the quantized one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case
from edgewright.diagnosis.finding import Cure, Finding, Fix


def find(case: Case) -> Finding | None:
    """Rows of weights that are all zero although rounding on their own grid would have left something of them."""
    constants: dict[str, NDArray[np.float32]] = {}
    where, dead, channels = [], 0, 0
    for entry in case.weights:
        peak = np.abs(entry.real).max(1, initial=0.0)
        gone = ~np.any(entry.got != 0, axis=1) & (peak > 1.5 * entry.step) & (peak > 0)
        # A row with a scale of its own was scaled to its own peak; one that is zero has whatever scale its maker left there.
        if not entry.shared:
            gone = ~np.any(entry.got != 0, axis=1) & (peak > 1e-3 * np.median(peak))
        if not gone.any():
            continue
        where.append(entry.node.name)
        dead, channels = dead + int(gone.sum()), channels + len(gone)
        rows = np.where(gone[:, None], entry.real, entry.got)
        constants[entry.name] = rows.astype(np.float32).reshape(case.pair.constants[entry.name].shape)
        if entry.bias is not None:
            constants[entry.bias] = np.where(gone, entry.real_bias, entry.got_bias).astype(np.float32)
    if not where:
        return None
    evidence = f"{dead} of {channels} channels of {len(where)} layers have no weight left that is not zero"
    fix = Fix("quantize the float network anew; channels that must go are removed with what reads them (remove_dead_channels)")
    return Finding("dead channels", tuple(where), evidence, {"dead": float(dead), "channels": float(channels)}, fix, Cure({}, constants))
