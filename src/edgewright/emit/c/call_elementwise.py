"""Operators that work element by element as calls of kernels: sums, products, tables, and the edges to float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.emit.c.layer import Call, Layer, Parameter, Table, known, steps_of
from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Value
from edgewright.ops.add import Add
from edgewright.ops.mul import Mul
from edgewright.ops.pointwise import lookup_table
from edgewright.ops.prelu import PRelu
from edgewright.ops.requant import Multiplier, activation_range, tensor_quant
from edgewright.ops.rescaled_sum import SumMultipliers
from edgewright.ops.sub import Sub

MOST_AXES = 4


def call_sum(layer: Layer) -> list[Call]:
    """Add and Sub, broadcast or, faster, of one shape."""
    op = layer.node.op
    assert isinstance(op, Add | Sub)
    layer.expect_int8(2)
    factors = op.multipliers(layer.ins, layer.outs)
    flat = _flat_sum(layer, factors, op)
    if flat is not None:
        return [flat]
    parameters: dict[str, Parameter] = {
        **broadcast_of(layer),
        "left_shift": factors.left_shift,
        "first_zero_point": tensor_quant(layer.ins[0])[1],
        **factor_fields("first", factors.first),
        "second_zero_point": tensor_quant(layer.ins[1])[1],
        **factor_fields("second", factors.second),
        "second_sign": -1 if isinstance(op, Sub) else 1,
        **output_fields(layer, factors.output, op.activation),
    }
    return [Call("sum_s8", parameters, [layer.input(0), layer.input(1), layer.output()])]


def _flat_sum(layer: Layer, factors: SumMultipliers, op: Add | Sub) -> Call | None:
    """The kernel for two tensors of one shape; None where it has bounds other than int8's, or an output factor of 1/2 or more."""
    if (
        layer.ins[0].shape != layer.ins[1].shape
        or factors.output.shift[0] >= 0
        or activation_range(op.activation, layer.outs[0]) != (-128, 127)
    ):
        return None
    exact = Multiplier((1 << 30,), (0,))
    signs = (1, -1 if isinstance(op, Sub) else 1)
    pair = (factors.first, factors.second)
    # The halved operand may be subtracted, as it is exact; the other, which is rounded, may not.
    half = next((index for index in (0, 1) if pair[index] == exact and signs[1 - index] == 1), None)
    if half is None:
        return None
    other = pair[1 - half]
    # A factor of 1/2 has shift 0; with one more bit beforehand it is a factor of 1/4 of twice the number, and as exact.
    extra = 1 if other == exact else 0
    if other.shift[0] >= 0 and not extra:
        return None
    half_unit, other_unit = signs[half] << (factors.left_shift - 1), 1 << (factors.left_shift + extra)
    zero_points = [tensor_quant(value)[1] for value in layer.ins]
    parameters: dict[str, Parameter] = {
        "count": layer.outs[0].elements,
        "half_unit": half_unit,
        "half_offset": -zero_points[half] * half_unit,
        "other_unit": other_unit,
        "other_offset": -zero_points[1 - half] * other_unit,
        "other_doubled": _doubled(other),
        "other_right": 0 if extra else -1 - other.shift[0],
        "output_doubled": _doubled(factors.output),
        "output_right": -1 - factors.output.shift[0],
        "output_offset": 2 * tensor_quant(layer.outs[0])[1] + 1,
    }
    return Call("sum_flat_s8", parameters, [layer.input(half), layer.input(1 - half), layer.output()])


def _doubled(factor: Multiplier) -> int:
    """Twice the multiplier as a signed number of 32 bits."""
    return factor.multiplier[0] * 2 - (1 << 32 if factor.multiplier[0] >= 1 << 30 else 0)


def call_mul(layer: Layer) -> list[Call]:
    """The product, broadcast."""
    op = layer.node.op
    assert isinstance(op, Mul)
    layer.expect_int8(2)
    parameters: dict[str, Parameter] = {
        **broadcast_of(layer),
        "first_zero_point": tensor_quant(layer.ins[0])[1],
        "second_zero_point": tensor_quant(layer.ins[1])[1],
        **output_fields(layer, op.multipliers(layer.ins, layer.outs), op.activation),
    }
    return [Call("mul_s8", parameters, [layer.input(0), layer.input(1), layer.output()])]


def call_lookup(layer: Layer) -> list[Call]:
    """A pointwise operator as a table of 256 results."""
    layer.expect_int8()
    table = lookup_table(layer.node.op, layer.ins[0], layer.outs[0])
    return [Call("lookup_s8", {"count": layer.outs[0].elements, "table": Table("table", table)}, [layer.input(), layer.output()])]


def call_prelu(layer: Layer) -> list[Call]:
    """Slopes by channel."""
    op = layer.node.op
    assert isinstance(op, PRelu)
    layer.expect_int8(2)
    identity, slope = op.multipliers(layer.ins, layer.outs)
    slopes = layer.array(1).astype(np.int16) - np.int16(tensor_quant(layer.ins[1])[1])
    parameters: dict[str, Parameter] = {
        "positions": layer.outs[0].elements // max(slopes.size, 1),
        "channels": slopes.size,
        "input_zero_point": tensor_quant(layer.ins[0])[1],
        "output_zero_point": tensor_quant(layer.outs[0])[1],
        **factor_fields("identity", identity),
        **factor_fields("slope", slope),
        "slopes": Table("slopes", slopes),
    }
    return [Call("prelu_s8", parameters, [layer.input(), layer.output()])]


def call_quantize(layer: Layer) -> list[Call]:
    """From float32 to int8, at the edge of the network."""
    layer.expect_types([DType.FLOAT32], DType.INT8)
    scale, zero_point = tensor_quant(layer.outs[0])
    parameters: dict[str, Parameter] = {"count": layer.outs[0].elements, "zero_point": zero_point, "scale": scale}
    return [Call("quantize_f32_s8", parameters, [layer.input(), layer.output()])]


def call_dequantize(layer: Layer) -> list[Call]:
    """From int8 to float32, at the edge of the network."""
    layer.expect_types([DType.INT8], DType.FLOAT32)
    scale, zero_point = tensor_quant(layer.ins[0])
    parameters: dict[str, Parameter] = {"count": layer.outs[0].elements, "zero_point": zero_point, "scale": scale}
    return [Call("dequantize_s8_f32", parameters, [layer.input(), layer.output()])]


def factor_fields(stem: str, factor: Multiplier) -> dict[str, int]:
    """Multiplier and shift of a factor for a whole tensor."""
    return {f"{stem}_multiplier": factor.multiplier[0], f"{stem}_shift": factor.shift[0]}


def output_fields(layer: Layer, factor: Multiplier, activation: str) -> dict[str, int]:
    """How sums or products of a whole tensor become outputs."""
    low, high = activation_range(activation, layer.outs[0])
    return {"output_zero_point": tensor_quant(layer.outs[0])[1], **factor_fields("output", factor), "output_min": low, "output_max": high}


def broadcast_of(layer: Layer) -> dict[str, Parameter]:
    """Sizes and steps of at most four axes over which both operands and the output walk."""
    shape = known(layer.outs[0].shape)
    walks = [shape, *(_steps_within(value, shape) for value in layer.ins)]
    axes: list[list[int]] = []
    for size, *steps in zip(*walks, strict=True):
        if size == 1:
            continue
        # An axis joins the one before it where every operand walks both in one stride.
        if axes and all(before == step * size for before, step in zip(axes[-1][1:], steps, strict=True)):
            axes[-1] = [axes[-1][0] * size, *steps]
        else:
            axes.append([size, *steps])
    if len(axes) > MOST_AXES:
        raise UnsupportedError(
            f"{layer.node.op.kind} {layer.node.name!r} broadcasts along {len(axes)} separate axes", hint=f"the C kernels take {MOST_AXES}"
        )
    axes = [[1, 0, 0]] * (MOST_AXES - len(axes)) + axes
    sizes, first, second = (list(row) for row in zip(*axes, strict=True))
    return {"sizes": sizes, "first_step": first, "second_step": second}


def _steps_within(value: Value, shape: Sequence[int]) -> tuple[int, ...]:
    """Steps of ``value`` along the axes of ``shape``; 0 where it is broadcast."""
    own = (1,) * (len(shape) - value.rank) + known(value.shape)
    return tuple(0 if size == 1 else step for size, step in zip(own, steps_of(own), strict=True))
