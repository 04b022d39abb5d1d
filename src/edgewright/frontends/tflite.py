""".tflite to Graph: float networks, float16 and dynamic-range ones, and fully quantized ones, which keep their bytes.

A quantized network arrives at the integer level: weights, biases and scales as they stand in the file, so that evaluating it gives what
TensorFlow Lite Micro gives. uint8 inputs and outputs (behind a QUANTIZE) become int8: the same reals, every integer 128 less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends import tflite_elementwise as elementwise
from edgewright.frontends import tflite_layers as layers
from edgewright.frontends import tflite_shapes as shapes
from edgewright.frontends.tflite_file import Subgraph, damaged, read_tflite
from edgewright.frontends.tflite_fold import FOLDS
from edgewright.frontends.tflite_importer import Importer, Importing
from edgewright.frontends.tflite_recurrent import unidirectional_sequence_lstm
from edgewright.frontends.tflite_states import Variables
from edgewright.ir.graph import Graph, Level
from edgewright.ops.abs import Abs
from edgewright.ops.add import Add
from edgewright.ops.elu import ELU
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.mul import Mul
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.rsqrt import Rsqrt
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh

MOST_BYTES = 1 << 31
_SPARE_BYTES = 64 << 20

OPERATORS: Mapping[str, Importing] = {
    "CONV_2D": layers.conv_2d, "DEPTHWISE_CONV_2D": layers.depthwise_conv_2d, "TRANSPOSE_CONV": layers.transpose_conv,
    "FULLY_CONNECTED": layers.fully_connected, "MAX_POOL_2D": layers.max_pool_2d, "AVERAGE_POOL_2D": layers.average_pool_2d,
    "RESIZE_BILINEAR": layers.resize_bilinear, "RESIZE_NEAREST_NEIGHBOR": layers.resize_nearest_neighbor,
    "RESHAPE": shapes.reshape, "EXPAND_DIMS": shapes.reshape_as_declared, "SQUEEZE": shapes.reshape_as_declared,
    "TRANSPOSE": shapes.transpose, "GATHER": shapes.gather, "EMBEDDING_LOOKUP": shapes.embedding_lookup,
    "CONCATENATION": shapes.concatenation, "PACK": shapes.pack, "UNPACK": shapes.unpack, "SPLIT": shapes.split, "SPLIT_V": shapes.split_v,
    "SLICE": shapes.slice_, "STRIDED_SLICE": shapes.strided_slice, "PAD": shapes.pad, "PADV2": shapes.pad, "MIRROR_PAD": shapes.mirror_pad,
    "ADD": elementwise.binary(Add, schema.AddOptionsT), "SUB": elementwise.binary(Sub, schema.SubOptionsT),
    "MUL": elementwise.binary(Mul, schema.MulOptionsT),
    "DIV": elementwise.div, "SQUARE": elementwise.square, "SQUARED_DIFFERENCE": elementwise.squared_difference, "NEG": elementwise.neg,
    "MAXIMUM": elementwise.extremum, "MINIMUM": elementwise.extremum, "MEAN": elementwise.mean, "SUM": elementwise.mean,
    "REDUCE_MAX": elementwise.reduce_max,
    "RELU": elementwise.simple(Relu()), "RELU6": elementwise.simple(Relu6()), "RELU_N1_TO_1": elementwise.relu_n1_to_1,
    "RELU_0_TO_1": elementwise.relu_0_to_1,
    "LOGISTIC": elementwise.simple(Sigmoid()), "TANH": elementwise.simple(Tanh()),
    "ABS": elementwise.simple(Abs()), "ELU": elementwise.simple(ELU()),
    "RSQRT": elementwise.simple(Rsqrt()), "HARD_SWISH": elementwise.simple(HardSwish()),
    "LEAKY_RELU": elementwise.leaky_relu, "PRELU": elementwise.prelu, "GELU": elementwise.gelu,
    "BATCH_MATMUL": layers.batch_matmul, "UNIDIRECTIONAL_SEQUENCE_LSTM": unidirectional_sequence_lstm,
    "SOFTMAX": elementwise.softmax, "LOG_SOFTMAX": elementwise.simple(LogSoftmax()),
    "QUANTIZE": elementwise.quantize, "DEQUANTIZE": elementwise.dequantize, "DENSIFY": shapes.densify,
    "CUSTOM TFLM_DECODE": shapes.decode,
}
"""The schema's operator → the function that adds it to a graph; variables (VAR_HANDLE …) are added for each reading."""

_RECURRENT = "of recurrent operators UNIDIRECTIONAL_SEQUENCE_LSTM is read: use that, a cell with state variables, or convolutions over time"
_CONTROL_FLOW = "a graph has no control flow: export the branch or the loop's body as a network of its own"
HINTS: Mapping[str, str] = {
    **dict.fromkeys(("LSTM", "RNN", "SVDF", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM",
                     "BIDIRECTIONAL_SEQUENCE_RNN"), _RECURRENT),
    **dict.fromkeys(("IF", "WHILE", "CALL", "STABLEHLO_WHILE", "STABLEHLO_CASE"), _CONTROL_FLOW),
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"),
                    "convert again: current converters write dilated convolutions as one operator"),
    "CUSTOM ethos-u": "this file was compiled by Vela already: give the one that went into it",
}
"""What to do about operators that OPERATORS lacks, where more can be said than to replace them."""


def load_tflite(source: str | Path | bytes) -> Graph:
    """The network of a .tflite file (a path, or the bytes themselves).

    float32 and float16 networks come at the float level, networks with int8 weights and float activations at the quantized level (the
    weights carry their Quant), int8 networks at the integer level. The batch is symbolic, unless an operator mixes it into other axes.
    UnsupportedError lists everything that the graph cannot express; ModelError says what is wrong with the file.
    """
    data, name = _read(source)
    subgraphs = read_tflite(data)
    level = _level(subgraphs[0])
    room_bytes = _SPARE_BYTES + 16 * len(data)
    first: ModelError | UnsupportedError | None = None
    for symbolic in (True, False) if _may_be_symbolic(subgraphs[0]) else (False,):
        variables = Variables()
        handlers = {**OPERATORS, "CALL_ONCE": variables.call_once, "VAR_HANDLE": variables.var_handle,
                    "READ_VARIABLE": variables.read_variable, "ASSIGN_VARIABLE": variables.assign_variable}
        try:
            return Importer(subgraphs, name, level, symbolic, room_bytes).run(handlers, FOLDS, HINTS, variables.finish)
        except (ModelError, UnsupportedError) as error:
            first = error
    assert first is not None
    raise first


def _read(source: str | Path | bytes) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "network"
    path = Path(source)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise damaged(f"{path} has {path.stat().st_size} bytes, at most {MOST_BYTES} can be read")
        return path.read_bytes(), path.stem or "network"
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}", hint="give the path of a .tflite file") from error


def _may_be_symbolic(main: Subgraph) -> bool:
    """Whether the first input has a batch of 1, or one that the file calls dynamic."""
    if not main.inputs:
        return False
    record = main.tensors[main.inputs[0]]
    return bool(record.shape) and (record.shape[0] == 1 or record.signature[0] == -1)


def _level(main: Subgraph) -> Level:
    """Integer where any operator computes on quantized activations, else float (constants may still make it a quantized one)."""
    computed: Sequence[int] = [index for operation in main.operations for index in operation.outputs if index >= 0]
    types = {main.tensors[index].type for index in (*main.inputs, *computed)}
    return Level.INTEGER if types & {"INT8", "UINT8", "INT16"} else Level.FLOAT
