"""How the quantization of one .tflite tensor follows from that of others."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.ir.dtype import DType, Quant


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
