"""Single-operator .tflite files for comparing operators with the runtimes that define them, and those runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant

TENSOR_TYPES = {
    DType.FLOAT32: schema.TensorType.FLOAT32,
    DType.INT8: schema.TensorType.INT8,
    DType.INT16: schema.TensorType.INT16,
    DType.INT32: schema.TensorType.INT32,
}


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of the file; a constant where ``data`` is given, of 64 bits where that has them."""

    shape: tuple[int, ...]
    dtype: DType = DType.INT8
    quant: Quant | None = None
    data: NDArray[Any] | None = None


def constant(array: NDArray[Any], dtype: DType = DType.INT32, quant: Quant | None = None) -> TensorSpec:
    array = np.asarray(array, dtype.numpy)
    return TensorSpec(array.shape, dtype, quant, array)


def build_operator(code: int, options: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, version: int = 1) -> bytes:
    """A .tflite file of one operator. ``code``: schema.BuiltinOperator; ``options``: its object of the schema (or None).

    The file's inputs are those ``inputs`` that have no data.
    """
    model = schema.ModelT()
    model.version = 3
    operator_code = schema.OperatorCodeT()
    operator_code.builtinCode = code
    operator_code.deprecatedBuiltinCode = min(code, 127)
    operator_code.version = version
    model.operatorCodes = [operator_code]
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(model, spec, f"t{index}") for index, spec in enumerate((*inputs, *outputs))]
    graph.inputs = [index for index, spec in enumerate(inputs) if spec.data is None]
    graph.outputs = list(range(len(inputs), len(inputs) + len(outputs)))
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs = list(range(len(inputs)))
    operator.outputs = graph.outputs
    if options is not None:
        operator.builtinOptions = options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    graph.operators = [operator]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(model: Any, spec: TensorSpec, name: str) -> Any:
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = list(spec.shape)
    wide = spec.data is not None and spec.data.dtype == np.int64
    tensor.type = schema.TensorType.INT64 if wide else TENSOR_TYPES[spec.dtype]
    tensor.buffer = 0
    if spec.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(spec.data).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    if spec.quant is not None:
        parameters = schema.QuantizationParametersT()
        parameters.scale = list(spec.quant.scale)
        parameters.zeroPoint = list(spec.quant.zero_point)
        parameters.quantizedDimension = spec.quant.axis or 0
        tensor.quantization = parameters
    return tensor


def run_tflm(model: bytes, inputs: Sequence[NDArray[Any]], *, outputs: int = 1, arena_bytes: int = 1 << 20) -> list[NDArray[Any]]:
    """The first ``outputs`` outputs of TensorFlow Lite Micro's reference kernels; RuntimeError where it refuses the file."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
    for index, array in enumerate(inputs):
        interpreter.set_input(array, index)
    interpreter.invoke()
    return [np.array(interpreter.get_output(index)) for index in range(outputs)]


def run_litert(model: bytes, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Outputs of LiteRT's reference kernels."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()]
