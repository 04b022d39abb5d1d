"""Writers of the recurrent operators."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright.emit.tflite_writer import Tensor, Writer
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Level, Node
from edgewright.ops.evaluate import quantized_constant
from edgewright.ops.gates import GATE_SCALE
from edgewright.ops.lstm import GATES, LSTM

INTERMEDIATES = 5


def lstm(writer: Writer, node: Node) -> None:
    """LSTM → UNIDIRECTIONAL_SEQUENCE_LSTM: a weight and a bias for each gate, the state and the cell as variables."""
    assert isinstance(node.op, LSTM)
    x, out = writer.value(node.inputs[0]), writer.value(node.outputs[0])
    integer = writer.graph.level is Level.INTEGER
    weights, recurrent, biases = (_gates(writer, name) for name in node.inputs[1:])
    shape, cell = (1, out.shape[2]), Quant.per_tensor(2.0**node.op.cell_exponent, 0, DType.INT16)
    state = writer.variable(f"{node.outputs[0]}_state", shape, out.type, out.quant)
    kept = writer.variable(f"{node.outputs[0]}_cell", shape, "INT16" if integer else "FLOAT32", cell if integer else None)
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    inputs = [x, *weights, *recurrent, None, None, None, *biases, None, None, state, kept, None, None, None, None]
    between: list[Tensor] = []
    if integer:
        gate = Quant.per_tensor(GATE_SCALE, 0, DType.INT16)
        # LiteRT asks for the grids of gates and of the state in tensors of their own, which hold nothing.
        quants = [gate] * (INTERMEDIATES - 1) + [out.quant]
        between = [writer.tensor(writer.name(f"{node.outputs[0]}_grid"), (0,), "INT8" if quant is out.quant else "INT16", quant=quant)
                   for quant in quants]
    writer.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [out], options, intermediates=between)


def _gates(writer: Writer, name: str) -> list[Tensor]:
    """A constant cut into its gates, each with one scale."""
    graph = writer.graph
    value = graph.value(name)
    integer = graph.level is Level.INTEGER
    array = np.asarray(graph.array(name)) if integer else quantized_constant(graph, name)
    parts = []
    for number, part in enumerate(np.split(array, GATES)):
        stem = writer.name(f"{name}_gate{number}")
        if not integer:
            parts.append(writer.tensor(stem, part.shape, "FLOAT32", data=part.astype(np.float32).tobytes()))
            continue
        assert value.quant is not None
        scales = value.quant.scale
        scale = scales[number * len(part)] if len(scales) > 1 else scales[0]
        quant = Quant.per_tensor(scale, 0, value.dtype)
        parts.append(writer.tensor(stem, part.shape, value.dtype.value.upper(), data=np.ascontiguousarray(part).tobytes(), quant=quant))
    return parts
