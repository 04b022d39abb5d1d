"""How elementwise operators, and those that move or select numbers, are written in the exact form: operator → function."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import TensorProto

from edgewright.emit.onnx_integer_arithmetic import (
    UNSIGNED,
    cast,
    centred,
    number,
    requantized,
    rounded_away,
    scaled,
    unsigned,
    with_number,
)
from edgewright.emit.onnx_integer_softmax import log_softmax, softmax
from edgewright.emit.onnx_ops_other import OTHER as MOVES
from edgewright.emit.onnx_ops_other import operands, padded
from edgewright.emit.onnx_writer import Array, Emit, Tensor, Writer
from edgewright.ir.graph import Node, Value
from edgewright.ir.layout import Layout
from edgewright.ir.layout_plan import channels_first, locate
from edgewright.ops.pointwise import INT8_VALUES, lookup_table
from edgewright.ops.requant import activation_range, tensor_quant

MOST_CENTRED = 255
"""An int8 number minus its zero point, in magnitude."""


def _sum(op_type: str) -> Emit:
    """Add and Sub: both operands on twice the larger scale, with extra bits, then the sum on the grid of the output."""

    def emit(writer: Writer, node: Node) -> Tensor:
        op: Any = node.op
        ins, outs = writer.graph.ins(node), writer.graph.outs(node)
        names, layout = operands(writer, node)
        factors = op.multipliers(ins, outs)
        left = factors.left_shift
        terms = [
            scaled(writer, _centred(writer, name, value), MOST_CENTRED, multiplier, lifted=left)
            for name, value, multiplier in zip(names, ins, (factors.first, factors.second), strict=True)
        ]
        total = writer.node(op_type, terms)
        zero_point, (low, high) = tensor_quant(outs[0])[1], activation_range(op.activation, outs[0])
        return Tensor(requantized(writer, total, 2 * MOST_CENTRED << left, factors.output, zero_point, low, high), layout)

    return emit


def _product(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    ins, outs = writer.graph.ins(node), writer.graph.outs(node)
    names, layout = operands(writer, node)
    product = writer.node("Mul", [_centred(writer, name, value) for name, value in zip(names, ins, strict=True)])
    zero_point, (low, high) = tensor_quant(outs[0])[1], activation_range(op.activation, outs[0])
    return Tensor(requantized(writer, product, MOST_CENTRED**2, op.multipliers(ins, outs), zero_point, low, high), layout)


def _centred(writer: Writer, name: str, value: Value) -> str:
    return centred(writer, name, tensor_quant(value)[1])


def _requantize(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    ins, outs = writer.graph.ins(node), writer.graph.outs(node)
    source = writer.tensor(node.inputs[0])
    low, high = outs[0].dtype.minimum, outs[0].dtype.maximum
    x, zero_point = _centred(writer, source.name, ins[0]), tensor_quant(outs[0])[1]
    return Tensor(requantized(writer, x, MOST_CENTRED, op.multipliers(ins, outs), zero_point, low, high), source.layout)


def _pointwise(writer: Writer, node: Node) -> Tensor:
    """A table of 256 entries."""
    source = writer.tensor(node.inputs[0])
    table = lookup_table(node.op, *writer.graph.ins(node), *writer.graph.outs(node))
    return Tensor(_looked_up(writer, table, cast(writer, source.name, TensorProto.INT32)), source.layout)


def _prelu(writer: Writer, node: Node) -> Tensor:
    """A table of 256 entries for each channel, one after the other."""
    graph = writer.graph
    every = torch.arange(-128, 128, dtype=torch.int32)
    slopes = torch.from_numpy(np.array(graph.array(node.inputs[1]), np.int32))
    (results,) = node.op.evaluate_integer([every[:, None].expand(-1, len(slopes)), slopes], graph.ins(node), graph.outs(node))
    layout = writer.layout(node.inputs[0])
    axis = layout.rank - 1
    wanted, places = locate(layout, [axis], channels_first(layout.rank))
    starts = np.arange(len(slopes), dtype=np.int32).reshape(-1, *(1,) * (len(wanted) - 1 - places[axis])) * INT8_VALUES
    x = cast(writer, writer.fetch(node.inputs[0], wanted), TensorProto.INT32)
    index = writer.node("Add", [x, writer.constant("starts", starts.astype(np.int32))])
    return Tensor(_looked_up(writer, results.numpy().T.reshape(-1), index), Layout(layout.seen, wanted))


def _looked_up(writer: Writer, table: Array, index: str) -> str:
    return writer.node("Gather", [writer.constant("table", (table.astype(np.int32) + UNSIGNED).astype(np.uint8)), index])


def _pad(writer: Writer, node: Node) -> Tensor:
    op: Any = node.op
    return padded(writer, node, np.asarray(op.fill_integer(writer.graph.outs(node)) + UNSIGNED, np.uint8))


def _quantize(writer: Writer, node: Node) -> Tensor:
    source, output = writer.tensor(node.inputs[0]), writer.graph.value(node.outputs[0])
    scale, zero_point = tensor_quant(output)
    steps = cast(writer, writer.node("Div", [source.name, number(writer, scale, np.float32)]))
    low, high = output.dtype.minimum, output.dtype.maximum
    shifted = with_number(writer, "Add", rounded_away(writer, steps), zero_point + UNSIGNED)
    return Tensor(unsigned(writer, shifted, low, high), source.layout)


def _dequantize(writer: Writer, node: Node) -> Tensor:
    source, value = writer.tensor(node.inputs[0]), writer.graph.value(node.inputs[0])
    reals = with_number(writer, "Mul", _centred(writer, source.name, value), tensor_quant(value)[0])
    return Tensor(cast(writer, reals, TensorProto.FLOAT), source.layout)


OTHER: dict[str, Emit] = {
    "Add": _sum("Add"),
    "Sub": _sum("Sub"),
    "Mul": _product,
    "Requantize": _requantize,
    "Quantize": _quantize,
    "Dequantize": _dequantize,
    "PRelu": _prelu,
    "Pad": _pad,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    **{kind: MOVES[kind] for kind in ("Concat", "Slice", "Reshape", "Transpose")},
    **dict.fromkeys(("Relu", "Relu6", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "SiLU", "GELU", "Rsqrt"), _pointwise),
    **dict.fromkeys(("Abs", "ELU", "Mish", "Softplus"), _pointwise),
}
