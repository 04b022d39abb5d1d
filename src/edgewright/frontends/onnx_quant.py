"""QuantizeLinear and DequantizeLinear: not operators of a Graph, but the integer grids of its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand
from edgewright.frontends.onnx_arguments import Arguments
from edgewright.ir.dtype import DType, Quant
from edgewright.ops.quantize import Quantize
from edgewright.ops.requantize import Requantize

SHIFTS = {
    "int8": (DType.INT8, 0),
    "uint8": (DType.INT8, 128),
    "int16": (DType.INT16, 0),
    "uint16": (DType.INT16, 1 << 15),
    "int32": (DType.INT32, 0),
}
"""Integer types of ONNX: the type that holds them here, and by how much they move. int32 comes with biases alone."""


@dataclass(frozen=True)
class Integers:
    """What stands between QuantizeLinear and DequantizeLinear: an activation or a constant on its grid.

    ``quant`` is None for an integer input of the graph, whose grid the DequantizeLinear behind it tells. ``dtype``: the type in the file.
    """

    operand: Operand
    quant: Quant | None
    dtype: str


def grid(scale: Known, zero_point: Known | None, dtype: str, axis: int) -> Quant:
    """The Quant that scale, zero point and type describe; ``axis`` counts where there are several scales."""
    if dtype not in SHIFTS:
        raise UnsupportedError(f"quantization to {dtype}", hint="use int8, uint8 or int16")
    kind, shift = SHIFTS[dtype]
    if scale.array.ndim > 1:
        raise UnsupportedError("quantization in blocks", hint="use one scale a tensor or a channel")
    scales = np.asarray(scale.array, np.float32).reshape(-1)
    zeros = np.zeros(len(scales), np.int64) if zero_point is None else np.asarray(zero_point.array).astype(np.int64).reshape(-1)
    if len(zeros) != len(scales):
        raise ModelError(f"{len(scales)} scales come with {len(zeros)} zero points", hint=INCONSISTENT)
    along = axis if scale.array.ndim == 1 and len(scales) > 1 else None
    return Quant(kind, tuple(float(item) for item in scales), tuple(int(item) - shift for item in zeros), along)


def _axis(a: Arguments, rank: int) -> int:
    """The axis that several scales run along; where there is one scale, the attribute means nothing."""
    return a.axis(rank, 1) if a.known(1).array.size > 1 else 0


def quantize(door: Door, a: Arguments, alone: Callable[[], bool]) -> Integers:
    """QuantizeLinear. ``alone``: nothing reads its input but such that round it to the same grid, so that the input itself can carry it."""
    zero_point = a.maybe_known(2)
    dtype = "uint8" if zero_point is None else zero_point.array.dtype.name
    if a.integer("block_size", 0):
        raise UnsupportedError("quantization in blocks", hint="use one scale a tensor or a channel")
    x = a.operand(0)
    rank = x.array.ndim if isinstance(x, Known) else x.layout.rank
    quant = grid(a.known(1), zero_point, dtype, _axis(a, rank))
    if isinstance(x, Known):
        return Integers(Known(x.array, x.name, quant), quant, dtype)
    if quant.axis is not None:
        raise UnsupportedError("activations quantized per channel", hint="quantize activations per tensor")
    known = door.quants.get(x.name)
    if known == quant:
        return Integers(x, quant, dtype)
    if known is None and alone():
        door.quants[x.name] = quant
        return Integers(x, quant, dtype)
    name = door.emit(Quantize() if known is None else Requantize(), [x.name], [quant])
    return Integers(Held(name, x.layout), quant, dtype)


def dequantize(door: Door, a: Arguments, x: Integers | Operand) -> Operand:
    """DequantizeLinear of integers that were quantized before, of an integer input of the graph, or of constant integers."""
    zero_point = a.maybe_known(2)
    if a.integer("block_size", 0):
        raise UnsupportedError("quantization in blocks", hint="use one scale a tensor or a channel")
    if isinstance(x, Known):
        quant = grid(a.known(1), zero_point, x.array.dtype.name, _axis(a, x.array.ndim))
        shift = SHIFTS[x.array.dtype.name][1]
        if quant.axis is not None and len(quant.scale) != x.array.shape[quant.axis]:
            raise ModelError(f"{len(quant.scale)} scales for shape {list(x.array.shape)}", hint=INCONSISTENT)
        return Known(_finite(quant, x.array.astype(np.int64) - shift, x.name), x.name, quant)
    if isinstance(x, Held):
        raise UnsupportedError("it dequantizes what was never quantized", hint=INCONSISTENT)
    operand = x.operand
    if x.quant is None and isinstance(operand, Held):
        quant = grid(a.known(1), zero_point, x.dtype, 0)
        door.quants[operand.name] = quant
        return operand
    rank = operand.array.ndim if isinstance(operand, Known) else operand.layout.rank
    if x.quant != grid(a.known(1), zero_point, x.dtype, _axis(a, rank)):
        raise UnsupportedError("it dequantizes with another scale than was quantized with", hint="quantize the model again")
    if isinstance(operand, Known) and x.quant is not None:
        return Known(_finite(x.quant, x.quant.to_integer(np.asarray(operand.array, np.float32)), operand.name), operand.name, x.quant)
    return operand


def _finite(quant: Quant, steps: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """The reals that ``steps`` stand for; ModelError where a scale is so large that they overflow."""
    with np.errstate(over="ignore"):
        reals = quant.to_real(steps)
    if not np.all(np.isfinite(reals)):
        raise ModelError(f"the scales of {name!r} overflow float32", hint="the file is damaged, or the tensor was never calibrated")
    return reals
