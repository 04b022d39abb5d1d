"""What a .tflite file tells of a constant beside its numbers: its quantization, where that follows from others, and its structure."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Structure

MOST_VALUES = 16
"""Of a table that is a codebook, which all channels share: where each has values of its own, together they have more."""


def along(quant: Quant | None, axis: int | None) -> Quant | None:
    """``quant`` with its scales along ``axis``; None where it has several and no axis is wanted."""
    if quant is None or quant.axis is None:
        return quant
    return None if axis is None else dataclasses.replace(quant, axis=axis)


def product_quant(x: Quant | None, weight: Quant | None) -> Quant | None:
    """The quantization of a bias: scales multiply in float32, integers are int32."""
    if x is None or weight is None or x.axis is not None:
        return None
    scale = np.asarray(weight.scale, np.float32) * np.float32(x.scale[0])
    return Quant(DType.INT32, tuple(scale.tolist()), (0,) * len(scale), weight.axis)


def stored_structure(array: NDArray[Any], *, sparse: bool, table: bool) -> Structure | None:
    """What the storage of ``array`` says of it: zeros are meant where it is sparse, values are few where they stand in a table."""
    if sparse:
        return Structure(mask=array != 0)
    values = np.unique(array) if table else array
    return Structure(codebook=values) if table and len(values) <= MOST_VALUES else None
