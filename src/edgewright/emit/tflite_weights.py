"""Which tensors of a .tflite file under construction are weights that may be stored in another form."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgewright.emit.tflite_writer import Writer

READERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
"""Operators whose second input is a weight."""
ARRAYS: dict[int, np.dtype[Any]] = {schema.TensorType.FLOAT32: np.dtype("<f4"), schema.TensorType.INT8: np.dtype("i1")}


def weight_tensors(writer: Writer) -> list[tuple[int, tuple[str, ...]]]:
    """Tensors of the network that are read as weights and as nothing else, have a buffer of their own and the type of their layer's
    activations (or, beside int16 ones, int8), each with the operators that read it."""
    kinds = [kind for kind, _ in writer.codes]
    main = writer.subgraphs[0]
    buffers = Counter(record.buffer for subgraph in writer.subgraphs for record in subgraph.tensors)
    readers: dict[int, list[str]] = {}
    spoiled: set[int] = {*main.outputs}
    for operator in main.operators:
        kind = kinds[operator.opcodeIndex]
        for place, index in enumerate(operator.inputs.tolist()):
            if kind not in READERS or place != 1:
                spoiled.add(index)
                continue
            # A transposed convolution reads its sizes first, the activations third.
            x = main.tensors[operator.inputs[2 if kind == "TRANSPOSE_CONV" else 0]]
            if (main.tensors[index].type == schema.TensorType.FLOAT32) != (x.type == schema.TensorType.FLOAT32):
                spoiled.add(index)
            readers.setdefault(index, []).append(kind)
    found = []
    for index, names in readers.items():
        record = main.tensors[index]
        if index not in spoiled and record.buffer and buffers[record.buffer] == 1 and record.type in ARRAYS:
            found.append((index, tuple(names)))
    return found


def weight_array(writer: Writer, index: int) -> NDArray[Any]:
    """The numbers of a weight."""
    record = writer.subgraphs[0].tensors[index]
    return np.frombuffer(writer.buffers[record.buffer].data, ARRAYS[record.type]).reshape(record.shape)


def replace_data(writer: Writer, index: int, data: bytes) -> None:
    """Other bytes for a weight that has a buffer of its own."""
    record = writer.subgraphs[0].tensors[index]
    writer.buffers[record.buffer].data = data
