"""Dynamic-range quantization: int8 weights in the file, activations quantized at run time by the runtime's hybrid kernels."""

from __future__ import annotations

import dataclasses

from edgewright.ir.dtype import Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Level
from edgewright.numerics.scales import weight_scales
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=False)
def quantize_dynamic(graph: Graph, ctx: Context, *, minimum_elements: int = 256) -> Graph:
    """Quantize weights to int8 per channel and leave activations in float; needs no data.

    Weights with fewer than ``minimum_elements`` numbers stay as they are: they save nothing.
    Source: TensorFlow Lite dynamic range quantization.
    """
    values = {}
    for node in graph.nodes:
        if node.op.weight_groups is not None:
            ctx.skipped(node.name, f"{node.op.kind} has no form with int8 weights beside float activations")
            continue
        for index in node.op.weight_inputs:
            name = node.inputs[index]
            if not graph.is_constant(name):
                ctx.skipped(node.name, "its weight is computed at run time")
            elif graph.value(name).elements < minimum_elements:
                ctx.skipped(node.name, f"its weight has only {graph.value(name).elements} numbers")
            else:
                values[name] = dataclasses.replace(graph.value(name), quant=Quant.per_axis(weight_scales(graph.array(name), None, 1.0), 0))
                ctx.did(node.name, "weight to int8, one scale a channel")
    return rebuild(graph, values=values.values(), level=Level.QUANTIZED) if values else graph
