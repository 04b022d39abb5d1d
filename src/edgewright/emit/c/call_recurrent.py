"""Recurrent layers as calls of kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.emit.c.call_elementwise import factor_fields
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, Workspace, known
from edgewright.emit.c.packing import fold_zero_point
from edgewright.ir.dtype import DType
from edgewright.ops.gates import UNIT_SCALE, gate_factors, sigmoid_table
from edgewright.ops.gru import GRU
from edgewright.ops.lstm import LEAST_EXPONENT, LSTM
from edgewright.ops.requant import Multiplier, quantize_multipliers, tensor_quant


def call_lstm(layer: Layer) -> list[Call]:
    """Step by step."""
    op = layer.node.op
    assert isinstance(op, LSTM)
    keep, enter, leave = op.factors(layer.outs)
    parameters = _gates(layer, 4) | {
        **factor_fields("keep", Multiplier(keep[:1], keep[1:])),
        **factor_fields("enter", Multiplier(enter[:1], enter[1:])),
        "tanh_left": op.cell_exponent - LEAST_EXPONENT,
        **_output(layer, leave),
        **_tables(layer, None),
    }
    return [Call("lstm_s8", parameters, [layer.input(), layer.output(), Workspace()])]


def call_gru(layer: Layer) -> list[Call]:
    """Step by step."""
    op = layer.node.op
    assert isinstance(op, GRU)
    bias = layer.array(4)
    parameters = _gates(layer, 3) | {
        **factor_fields("unit", quantize_multipliers([UNIT_SCALE])),
        **_output(layer, UNIT_SCALE / tensor_quant(layer.outs[0])[0]),
        **_tables(layer, bias),
        "first_bias": Table("first_bias", bias.astype(np.int32)),
    }
    return [Call("gru_s8", parameters, [layer.input(), layer.output(), Workspace()])]


def _gates(layer: Layer, gates: int) -> dict[str, Parameter]:
    """Sizes, and a factor for each gate's sums over the input and over the hidden state."""
    layer.expect_types([DType.INT8, DType.INT8, DType.INT8, DType.INT32], DType.INT8)
    _, steps, inputs = known(layer.ins[0].shape)
    units = known(layer.outs[0].shape)[-1]
    parameters: dict[str, Parameter] = {"steps": steps, "inputs": inputs, "units": units}
    for stem, source, weight in (("", layer.ins[0], layer.ins[1]), ("recurrent_", layer.outs[0], layer.ins[2])):
        factors = gate_factors(source, weight)
        parameters[f"{stem}multiplier"] = list(factors.multiplier[::units][:gates])
        parameters[f"{stem}shift"] = list(factors.shift[::units][:gates])
    return parameters


def _output(layer: Layer, factor: float) -> dict[str, Parameter]:
    return {"output_zero_point": tensor_quant(layer.outs[0])[1], **factor_fields("output", quantize_multipliers([factor]))}


def _tables(layer: Layer, recurrent_bias: NDArray[np.generic] | None) -> dict[str, Parameter]:
    weight, recurrent = layer.array(1), layer.array(2)
    return {
        "weights": Table("weights", weight.astype(np.int8)),
        "recurrent": Table("recurrent", recurrent.astype(np.int8)),
        "bias": Table("bias", fold_zero_point(weight, layer.array(3), tensor_quant(layer.ins[0])[1])),
        "recurrent_bias": Table("recurrent_bias", fold_zero_point(recurrent, recurrent_bias, tensor_quant(layer.outs[0])[1])),
        "sigmoid": Table("sigmoid", sigmoid_table()),
    }
