"""Weights in the width that the kernels of a device read."""

from __future__ import annotations

import dataclasses

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Value

BYTE = DType.INT8.bits


def narrow_constants(graph: Graph) -> list[Value]:
    """Constants of integers below a byte."""
    return [value for name, value in graph.values.items() if name in graph.constants and value.dtype.is_integer and value.dtype.bits < BYTE]


def widen_weights(graph: Graph) -> Graph:
    """``graph`` with every constant of fewer than eight bits as int8: the same numbers under the same scales, and so the same outputs.

    The C kernels read a byte a weight; a file keeps the narrow type.
    """
    values = []
    for value in narrow_constants(graph):
        old = value.quant
        quant = None if old is None else Quant(DType.INT8, old.scale, old.zero_point, old.axis)
        values.append(dataclasses.replace(value, dtype=DType.INT8, quant=quant))
    return rebuild(graph, values=values) if values else graph
