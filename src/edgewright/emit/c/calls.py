"""The table: operator → the function that turns a layer into calls of kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgewright.emit.c import call_cpu, call_helium
from edgewright.emit.c.call_attention import call_layer_norm, call_matmul
from edgewright.emit.c.call_convolution import call_conv2d, call_dense, call_depthwise_conv2d
from edgewright.emit.c.call_elementwise import call_dequantize, call_lookup, call_mul, call_prelu, call_quantize, call_sum
from edgewright.emit.c.call_int16 import WIDE, is_wide
from edgewright.emit.c.call_movement import call_concat, call_embedding, call_pad, call_slice, call_transpose
from edgewright.emit.c.call_recurrent import call_gru, call_lstm
from edgewright.emit.c.call_reduction import call_log_softmax, call_mean, call_pool, call_resize, call_softmax
from edgewright.emit.c.call_size import call_products
from edgewright.emit.c.call_sparse import call_sparse
from edgewright.emit.c.call_tile import (
    call_append_rows,
    call_fill_border,
    call_keep_rows,
    call_loop_end,
    call_put_tile,
    call_take_tile,
)
from edgewright.emit.c.call_transposed import call_transpose_conv2d
from edgewright.emit.c.layer import Call, Layer
from edgewright.errors import UnsupportedError

CALLS: Mapping[str, Callable[[Layer], list[Call]]] = {
    "Add": call_sum,
    "AppendRows": call_append_rows,
    "AveragePool2D": call_pool,
    "CloseLoop": call_loop_end,
    "Concat": call_concat,
    "Conv2D": call_conv2d,
    "Dense": call_dense,
    "DepthwiseConv2D": call_depthwise_conv2d,
    "Dequantize": call_dequantize,
    "Embedding": call_embedding,
    "FillBorder": call_fill_border,
    "KeepRows": call_keep_rows,
    "GRU": call_gru,
    "LSTM": call_lstm,
    "LayerNorm": call_layer_norm,
    "LogSoftmax": call_log_softmax,
    "MatMul": call_matmul,
    "MaxPool2D": call_pool,
    "Mean": call_mean,
    "Mul": call_mul,
    "OpenLoop": call_loop_end,
    "PRelu": call_prelu,
    "Pad": call_pad,
    "PutTile": call_put_tile,
    "Quantize": call_quantize,
    "Resize": call_resize,
    "Slice": call_slice,
    "Softmax": call_softmax,
    "Sub": call_sum,
    "TakeTile": call_take_tile,
    "Transpose": call_transpose,
    "TransposeConv2D": call_transpose_conv2d,
}


HELIUM: Mapping[str, Callable[[Layer], list[Call]]] = {
    "Add": call_helium.call_sum,
    "Conv2D": call_helium.call_conv2d,
    "Dense": call_helium.call_dense,
    "DepthwiseConv2D": call_helium.call_depthwise_conv2d,
    "Sub": call_helium.call_sum,
}
"""Operators whose Helium kernels take other parameters."""
CPU: Mapping[str, Callable[[Layer], list[Call]]] = {
    "Conv2D": call_cpu.call_products,
    "Dense": call_cpu.call_products,
    "DepthwiseConv2D": call_cpu.call_depthwise_conv2d,
}
"""Operators whose kernels for CPUs take other parameters."""
SIZE: Mapping[str, Callable[[Layer], list[Call]]] = dict.fromkeys(("Conv2D", "Dense", "DepthwiseConv2D"), call_products)
"""Operators that share a kernel where size comes first."""


def calls_of(layer: Layer) -> list[Call]:
    """The calls that compute ``layer``; pointwise operators without an entry are tables of 256 numbers."""
    op = layer.node.op
    if is_wide(layer) and op.kind in WIDE:
        return WIDE[op.kind](layer)
    if layer.sparse:
        return call_sparse(layer)
    for folder, table in (("size", SIZE), ("helium", HELIUM), ("cpu", CPU)):
        if folder in layer.kernels and op.kind in table:
            return table[op.kind](layer)
    if op.kind in CALLS:
        return CALLS[op.kind](layer)
    if op.pointwise:
        return call_lookup(layer)
    raise UnsupportedError(
        f"the C emitter has no kernel for {op.kind} ({layer.node.name!r})", hint="emit .tflite or .onnx, or replace the operator"
    )
