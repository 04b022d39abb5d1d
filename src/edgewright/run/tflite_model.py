"""What the runners of .tflite files ask of the file and of the samples before anything runs."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.errors import DataError, ModelError
from edgewright.run.run import Arrays

_BYTES_AN_ELEMENT = 8
"""At most; an arena that is too large costs nothing."""
_BYTES_A_TENSOR = 1024


@dataclass(frozen=True)
class TfliteModel:
    """The bytes of a .tflite file, how many inputs and outputs it has, whether it keeps something from call to call, and what it needs."""

    data: bytes
    inputs: int
    outputs: int
    stateful: bool
    tensor_bytes: int


def the_tflite(files: Mapping[str, bytes]) -> TfliteModel:
    """The only .tflite among ``files``; DataError where there is none or more, ModelError where it cannot be read."""
    names = [name for name in files if name.lower().endswith(".tflite")]
    if len(names) != 1:
        raise DataError(f"expected one .tflite file, got {', '.join(names) or 'none'}", hint="emit with format tflite")
    data = files[names[0]]
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        handles = [code for code in model.operatorCodes if code.builtinCode == schema.BuiltinOperator.VAR_HANDLE]
        tensors = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
        stateful = bool(handles) or any(tensor.isVariable for tensor in tensors)
        main = model.subgraphs[0]
        ends = len(main.inputs), len(main.outputs)
        elements = sum(int(np.prod(tensor.shape, dtype=np.int64)) if tensor.shape is not None else 1 for tensor in tensors)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{names[0]} cannot be read: {error}", hint="it must be a .tflite file that load_tflite takes") from error
    return TfliteModel(data, *ends, stateful, _BYTES_AN_ELEMENT * elements + _BYTES_A_TENSOR * len(tensors))


def sample_slices(inputs: Arrays, shapes: Sequence[Sequence[int]],
                  dtypes: Sequence[np.dtype[np.generic]]) -> list[list[NDArray[np.generic]]]:
    """``inputs`` cut into what one call takes, call by call; DataError where they do not fit the model's ``shapes`` and ``dtypes``."""
    arrays = [np.ascontiguousarray(array) for array in inputs]
    if len(arrays) != len(shapes):
        raise DataError(f"the network takes {len(shapes)} inputs, got {len(arrays)}",
                        hint="give one array for each input, the batch at axis 0")
    counts = set()
    for index, (array, shape, dtype) in enumerate(zip(arrays, shapes, dtypes, strict=True)):
        fits = array.ndim == len(shape) > 0 and array.shape[1:] == tuple(shape)[1:]
        if not fits or array.shape[0] == 0 or array.shape[0] % shape[0]:
            raise DataError(f"input {index} has shape {list(array.shape)}, the network takes {list(shape)}",
                            hint="axis 0 is the batch: one sample or more, or a multiple of what the file fixes")
        if array.dtype != dtype:
            raise DataError(f"input {index} is {array.dtype}, the network takes {dtype}",
                            hint="quantize it with the input's scale and zero point")
        counts.add(array.shape[0] // shape[0])
    if len(counts) != 1:
        raise DataError("the inputs differ in their number of samples")
    pairs = list(zip(arrays, shapes, strict=True))
    return [[array[call * shape[0] : (call + 1) * shape[0]] for array, shape in pairs] for call in range(counts.pop())]
