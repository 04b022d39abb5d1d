"""Half-precision weights: half the bytes, float computation."""

from __future__ import annotations

import dataclasses

import numpy as np

from edgewright.ir.dtype import DType
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.passes.registry import Context, graph_pass

FLOAT16_MAX = float(np.finfo(np.float16).max)


@graph_pass(level="float", exact=False)
def quantize_float16(graph: Graph, ctx: Context) -> Graph:
    """Store every float32 constant as float16 (IEEE 754 binary16), rounded to nearest; constants that would overflow stay float32."""
    values, constants = [], {}
    for name, constant in graph.constants.items():
        value = graph.value(name)
        if value.dtype is not DType.FLOAT32:
            continue
        if constant.array.size and float(np.abs(constant.array).max()) > FLOAT16_MAX:
            ctx.skipped(name, f"holds numbers beyond {FLOAT16_MAX:.0f}")
            continue
        values.append(dataclasses.replace(value, dtype=DType.FLOAT16))
        constants[name] = Constant(constant.array.astype(np.float16), constant.structure)
    if not values:
        return graph
    ctx.did(graph.name, f"{len(values)} constants to float16")
    return rebuild(graph, values=values, constants=constants)
