"""Products of two activations and layer normalization in the exact form: operator → function."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from edgewright.emit.onnx_integer_arithmetic import UNSIGNED, cast, number, requantized
from edgewright.emit.onnx_ops_attention import embedding, factors, last_axis
from edgewright.emit.onnx_writer import Emit, Tensor, Writer
from edgewright.ir.graph import Node
from edgewright.ir.layout_plan import reordered
from edgewright.ops.layer_norm import FRACTION_BITS
from edgewright.ops.requant import INT32_MIN, tensor_quant

LOW, HIGH = -128, 127


def _matmul(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    names, layout = factors(writer, node)
    ins, outs = writer.graph.ins(node), writer.graph.outs(node)
    zero_points = [number(writer, tensor_quant(value)[1] + UNSIGNED, np.uint8) for value in ins]
    sums = cast(writer, writer.node("MatMulInteger", [*names, *zero_points]))
    bound = min(-INT32_MIN, int(ins[0].shape[-1] or 1) << 16)
    return Tensor(requantized(writer, sums, bound, op.multipliers(ins, outs), tensor_quant(outs[0])[1], LOW, HIGH), layout)


def _layer_norm(writer: Writer, node: Node) -> Tensor:
    """In int64: as :meth:`edgewright.ops.layer_norm.LayerNorm.evaluate_integer`."""
    op: Any = node.op
    raw, layout, seen, held = last_axis(writer, node)
    ins, outs = writer.graph.ins(node), writer.graph.outs(node)
    weight, bias = (reordered(np.asarray(writer.graph.array(name), np.int64), seen, held) for name in node.inputs[1:])
    count = weight.size
    x = _with(writer, "Sub", cast(writer, raw, TensorProto.INT64), UNSIGNED)
    last = writer.constant("axes", np.asarray([-1], np.int64))
    total = writer.node("ReduceSum", [x, last], keepdims=1)
    squares = writer.node("ReduceSum", [writer.node("Mul", [x, x]), last], keepdims=1)
    spread = writer.node("Sub", [_with(writer, "Mul", squares, count), writer.node("Mul", [total, total])])
    inverse, divisor = _reciprocal_root(writer, _with(writer, "Add", spread, op.integer_epsilon(ins)))
    apart = writer.node("Sub", [_with(writer, "Mul", x, count), total])
    scaled = writer.node("Add", [writer.node("Mul", [apart, inverse]), _with(writer, "Div", divisor, 2)])
    # The division of ONNX rounds towards zero; without its remainder, which has the sign of the divisor, it is exact.
    normalized = writer.node("Div", [writer.node("Sub", [scaled, writer.node("Mod", [scaled, divisor])]), divisor])
    sums = writer.node("Add", [writer.node("Mul", [normalized, writer.constant("weights", weight)]), writer.constant("bias", bias)])
    multiplier = op.multipliers(ins, outs)
    if seen != held:
        order = reordered(np.arange(count), seen, held)
        multiplier = type(multiplier)(*(tuple(part[index] for index in order) for part in (multiplier.multiplier, multiplier.shift)))
    return Tensor(requantized(writer, cast(writer, sums), -INT32_MIN, multiplier, tensor_quant(outs[0])[1], LOW, HIGH), layout)


def _reciprocal_root(writer: Writer, x: str) -> tuple[str, str]:
    """(raw, divisor): 1 / sqrt(x) is raw / divisor with FRACTION_BITS behind the point; ``x`` times a power of 4 has 61 or 62 bits."""
    power = _number(writer, 1)
    for bits in (32, 16, 8, 4, 2):
        small = writer.node("Less", [x, _number(writer, 1 << (62 - bits))])
        x = writer.node("Where", [small, _with(writer, "Mul", x, 1 << bits), x])
        power = writer.node("Where", [small, _with(writer, "Mul", power, 1 << (bits // 2)), power])
    root = cast(writer, writer.node("Sqrt", [cast(writer, x)]), TensorProto.INT64)
    above = writer.node("Greater", [writer.node("Mul", [root, root]), x])
    root = writer.node("Where", [above, _with(writer, "Sub", root, 1), root])
    more = _with(writer, "Add", root, 1)
    root = writer.node("Where", [writer.node("LessOrEqual", [writer.node("Mul", [more, more]), x]), more, root])
    return writer.node("Div", [_number(writer, 1 << 61), root]), writer.node("Div", [_number(writer, 1 << (61 - FRACTION_BITS)), power])


def _number(writer: Writer, value: int) -> str:
    return number(writer, value, np.int64)


def _with(writer: Writer, op: str, x: str, value: int) -> str:
    return writer.node(op, [x, _number(writer, value)])


INTEGER_ATTENTION: dict[str, Emit] = {"Embedding": embedding, "MatMul": _matmul, "LayerNorm": _layer_norm}
