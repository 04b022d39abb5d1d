"""What attention is made of, as calls of kernels: products of activations, and layer normalization."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edgewright.emit.c.call_convolution import constants_of, factors_of
from edgewright.emit.c.call_elementwise import output_fields
from edgewright.emit.c.layer import Call, Layer, Parameter, Table, known, steps_of
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Value
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.matmul import MatMul
from edgewright.ops.requant import tensor_quant

LEADING_AXES = 3


def call_matmul(layer: Layer) -> list[Call]:
    """Product by product over at most three leading axes."""
    op = layer.node.op
    assert isinstance(op, MatMul)
    layer.expect_int8(2)
    parameters: dict[str, Parameter] = {
        **matrices_of(layer, op.transposed),
        "first_zero_point": tensor_quant(layer.ins[0])[1],
        "second_zero_point": tensor_quant(layer.ins[1])[1],
        **output_fields(layer, op.multipliers(layer.ins, layer.outs), "none"),
    }
    return [Call("matmul_s8", parameters, [layer.input(0), layer.input(1), layer.output()])]


def matrices_of(layer: Layer, transposed: bool) -> dict[str, Parameter]:
    """How the kernels of products walk over the matrices."""
    *leading, rows, columns = known(layer.outs[0].shape)
    if len(leading) > LEADING_AXES:
        raise UnsupportedError(
            f"{layer.node.op.kind} {layer.node.name!r} has {len(leading)} axes of matrices", hint=f"the C kernel takes {LEADING_AXES}"
        )
    depth = known(layer.ins[0].shape)[-1]
    return {
        "sizes": [1] * (LEADING_AXES - len(leading)) + leading,
        "first_step": _leading_steps(layer.ins[0]),
        "second_step": _leading_steps(layer.ins[1]),
        "rows": rows,
        "columns": columns,
        "depth": depth,
        "second_down": 1 if transposed else columns,
        "second_across": depth if transposed else 1,
    }


def _leading_steps(value: Value) -> list[int]:
    """Elements between matrices along each leading axis; 0 where the value is broadcast."""
    shape: Sequence[int] = known(value.shape)
    steps = [0 if size == 1 else step for size, step in zip(shape[:-2], steps_of(shape)[:-2], strict=True)]
    return [0] * (LEADING_AXES - len(steps)) + steps


def call_layer_norm(layer: Layer) -> list[Call]:
    """Row by row."""
    op = layer.node.op
    assert isinstance(op, LayerNorm)
    layer.expect_int8()
    weight, bias = constants_of(layer)
    assert bias is not None
    *rows, channels = known(layer.ins[0].shape)
    parameters: dict[str, Parameter] = {
        "rows": prod(rows),
        "channels": channels,
        "epsilon": op.integer_epsilon(layer.ins),
        "output_zero_point": tensor_quant(layer.outs[0])[1],
        "weights": Table("weights", weight.astype(np.int8)),
        "bias": Table("bias", bias.astype(np.int32)),
        **factors_of(op.multipliers(layer.ins, layer.outs), channels),
    }
    return [Call("layer_norm_s8", parameters, [layer.input(), layer.output()])]
