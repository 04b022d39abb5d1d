"""What a detector says: a named cause, where, the evidence, the remedy, and what the network would be without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import Quant
from edgewright.recipe import Option

CAUSES = (
    "preprocessing mismatch",
    "unlike calibration data",
    "range outliers",
    "channel imbalance",
    "scale clash",
    "batch-norm drift",
    "saturating accumulator",
    "sparsity drift",
    "dead channels",
    "low bit width",
)


@dataclass(frozen=True)
class Fix:
    """Changes to a recipe: passes before quantization, options of quantize_static, passes after it. ``why``: in words."""

    why: str
    before: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    after: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Cure:
    """What would stand in the quantized network if the cause were undone and nothing else: grids and constants by name."""

    quants: Mapping[str, Quant | None] = field(default_factory=dict)
    constants: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Finding:
    """A suspected cause. ``where``: layers. ``numbers``: the evidence, by name. ``explains``: the share of the output's noise power that
    goes when the cause alone is undone, in simulation; the detector leaves it at 0, the diagnosis measures it."""

    cause: str
    where: tuple[str, ...]
    evidence: str
    numbers: Mapping[str, float]
    fix: Fix
    cure: Cure
    explains: float = 0.0
