from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Level
from edgewright.ops.add import Add
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.cost import cost
from edgewright.ops.dense import Dense


def test_a_shared_constant_counts_once_at_its_first_reader() -> None:
    builder = GraphBuilder("shared")
    x = builder.input("x", (None, 4))
    weight = builder.constant("w", np.zeros((4, 4), np.float32))
    first = builder.node(Dense(), [x, weight], name="first")
    second = builder.node(Dense(), [first, weight], name="second")
    total = cost(builder.finish([builder.node(Add(), [first, second], name="sum")]))
    assert [(row.name, row.kind, row.macs, row.parameters, row.weight_bytes, row.output_bytes) for row in total.nodes] == [
        ("first", "Dense", 16, 16, 64, 16), ("second", "Dense", 16, 0, 0, 16), ("sum", "Add", 0, 0, 0, 16)]
    assert (total.macs, total.parameters, total.weight_bytes) == (32, 16, 64)


def test_bytes_are_those_of_the_level() -> None:
    builder = GraphBuilder("integer", Level.INTEGER)
    x = builder.input("x", (None, 6, 6, 2), DType.INT8, Quant.per_tensor(1.0))
    weight = builder.constant("w", np.zeros((3, 3, 3, 2), np.int8), dtype=DType.INT4, quant=Quant.per_tensor(1.0, 0, DType.INT4))
    bias = builder.constant("b", np.zeros(3, np.int32), quant=Quant.per_tensor(1.0, 0, DType.INT32))
    graph = builder.finish([builder.node(Conv2D(), [x, weight, bias], quants=[Quant.per_tensor(1.0)])])
    (row,) = cost(graph).nodes
    assert (row.macs, row.parameters, row.weight_bytes, row.output_bytes) == (4 * 4 * 3 * 18, 57, 27 + 12, 48)


def test_weights_beside_float_activations_count_as_they_are_stored() -> None:
    builder = GraphBuilder("dynamic", Level.QUANTIZED)
    weight = builder.constant("w", np.zeros((4, 4), np.float32), quant=Quant.per_axis(np.ones(4), 0))
    (row,) = cost(builder.finish([builder.node(Dense(), [builder.input("x", (None, 4)), weight])])).nodes
    assert (row.parameters, row.weight_bytes, row.output_bytes) == (16, 16, 16)
