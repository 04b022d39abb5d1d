"""Small .tflite files written field by field, so that the reader is tested on what its own emitter would never write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

NUMPY = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
}


class File:
    """Tensors and operators of the main subgraph, and of one that initializes variables."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.model.subgraphs = []
        self.graph = self.subgraph()

    def subgraph(self) -> Any:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.subgraphs.append(graph)
        return graph

    def tensor(
        self,
        shape: Sequence[int],
        kind: str = "FLOAT32",
        *,
        name: str | None = None,
        data: Any = None,
        scale: Sequence[float] = (),
        zero_point: Sequence[int] = (0,),
        axis: int = 0,
        signature: Sequence[int] | None = None,
        graph: Any = None,
    ) -> int:
        graph = graph or self.graph
        tensor = schema.TensorT()
        tensor.name = name if name is not None else f"t{len(graph.tensors)}"
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = getattr(schema.TensorType, kind)
        tensor.buffer = 0
        if signature is not None:
            tensor.shapeSignature = np.asarray(signature, np.int32)
        if data is not None:
            buffer = schema.BufferT()
            raw = data if isinstance(data, bytes) else np.ascontiguousarray(data, NUMPY[kind]).tobytes()
            buffer.data = np.frombuffer(raw, np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if scale:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = list(scale)
            tensor.quantization.zeroPoint = list(zero_point) * (len(scale) if len(zero_point) == 1 else 1)
            tensor.quantization.quantizedDimension = axis
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def ints(self, numbers: Any, kind: str = "INT32") -> int:
        array = np.asarray(numbers, NUMPY[kind])
        return self.tensor(array.shape, kind, data=array)

    def reals(self, array: NDArray[Any]) -> int:
        return self.tensor(array.shape, "FLOAT32", data=array)

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Any = None,
        *,
        graph: Any = None,
        version: int = 1,
        **fields: Any,
    ) -> None:
        """``options``: a class of the schema; ``fields`` are set on an object of it."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = options()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options.__name__.removesuffix("T"))
            for name, value in fields.items():
                assert hasattr(operator.builtinOptions, name), name
                setattr(operator.builtinOptions, name, value)
        (graph or self.graph).operators.append(operator)

    def build(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
