"""Weights in the width that the kernels of a device read."""

from __future__ import annotations

import dataclasses

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Structure, Value

BYTE = DType.INT8.bits


def narrow_constants(graph: Graph) -> list[Value]:
    """Constants of integers below a byte."""
    return [value for name, value in graph.values.items() if name in graph.constants and value.dtype.is_integer and value.dtype.bits < BYTE]


def widen_weights(graph: Graph) -> Graph:
    """``graph`` with every constant of fewer than eight bits as int8: the same numbers under the same scales, and so the same outputs.

    Their structure tells how many bits they fit: kernels that read packed weights go by that. A file keeps the narrow type.
    """
    values, constants = [], {}
    for value in narrow_constants(graph):
        constant = graph.constants[value.name]
        constants[value.name] = Constant(constant.array, dataclasses.replace(constant.structure or Structure(), bits=value.dtype.bits))
        old = value.quant
        quant = None if old is None else Quant(DType.INT8, old.scale, old.zero_point, old.axis)
        values.append(dataclasses.replace(value, dtype=DType.INT8, quant=quant))
    return rebuild(graph, values=values, constants=constants) if values else graph
