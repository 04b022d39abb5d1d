"""A layer that the network is sensitive to has too few bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.case import Case, Weights
from edgewright.diagnosis.finding import Cure, Finding, Fix
from edgewright.ir.dtype import DType, Quant
from edgewright.numerics.scales import weight_scales

MOST_BITS = 7
"""Of weights and of activations, int8 is the measure."""


def find(case: Case) -> Finding | None:
    """Weights and activations of less than 8 bits; undone, they have 8."""
    constants: dict[str, NDArray[np.float32]] = {}
    quants: dict[str, Quant | None] = {}
    narrow, where = 8, []
    for entry in case.weights:
        if entry.bits <= MOST_BITS:
            constants[entry.name] = _in_8_bits(entry).reshape(case.pair.constants[entry.name].shape)
            narrow = min(narrow, entry.bits)
            where.append(entry.node.name)
    for name, quant, seen in case.activations():
        if quant.dtype.bits <= MOST_BITS:
            quants[name] = seen.best_grid(DType.INT8)
            narrow = min(narrow, quant.dtype.bits)
            where.append(case.pair.layer_of(name))
    if not where:
        return None
    layers = tuple(dict.fromkeys(where))
    whole = len(constants) < len(case.weights)
    evidence = (
        f"{len(constants)} of {len(case.weights)} layers have weights of {narrow} bits and more, below 8; {len(quants)} activations too"
    )
    if whole and constants:
        fix = Fix("8 bits for the layers that suffer", options={"weight_bits": 8} | ({"activation_bits": 8} if quants else {}))
    else:
        fix = Fix(
            "round weights by what the layers give, and 8 bits where that is not enough", options=_mse(quants), after=("round_weights",)
        )
    numbers = {"layers": float(len(constants)), "activations": float(len(quants)), "bits": float(narrow)}
    return Finding("low bit width", layers, evidence, numbers, fix, Cure(quants, constants))


def _mse(quants: dict[str, Quant | None]) -> dict[str, str | bool | int | float]:
    found: dict[str, str | bool | int | float] = {"weight_ranges": "mse"}
    return found | ({"ranges": "mse"} if quants else {})


def _in_8_bits(entry: Weights) -> NDArray[np.float32]:
    gain = np.where(np.isfinite(entry.gain) & (entry.gain > 0.2), entry.gain, 1.0)
    rows = entry.real * gain[:, None]
    return entry.on_grid(rows, Quant.per_axis(weight_scales(rows, None, 1.0), 0))
