"""Nodes that compute the same numbers every time become constants."""

from __future__ import annotations

import dataclasses

import torch

from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Node, Value
from edgewright.ops.evaluate import constant_tensors
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float|integer", exact=True)
def fold_constants(graph: Graph, ctx: Context, *, largest_bytes: int = 1 << 20) -> Graph:
    """Evaluate nodes whose inputs are all constants, and keep the result instead.

    A result of more than ``largest_bytes`` that is larger than what it is computed from stays computed. So do graph outputs and what
    states write: a device must have something to compute.
    """
    candidates = _candidates(graph)
    if not candidates:
        return graph
    tensors = constant_tensors(graph)
    constants: dict[str, Constant] = {}
    values: dict[str, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        ins, outs = graph.ins(node), graph.outs(node)
        if node.name not in candidates or any(name not in tensors for name in node.inputs):
            nodes.append(node)
            continue
        if sum(value.bytes for value in outs) > max(largest_bytes, sum(value.bytes for value in ins)):
            ctx.skipped(node.name, f"its result has more than {largest_bytes} bytes, and more than what it is computed from")
            nodes.append(node)
            continue
        inputs = [tensors[name] for name in node.inputs]
        with torch.inference_mode():
            results = node.op.evaluate_integer(inputs, ins, outs) if graph.level is Level.INTEGER else node.op.evaluate(inputs)
        for value, result in zip(outs, results, strict=True):
            tensors[value.name] = result
            constants[value.name] = Constant(result.numpy().astype(value.dtype.numpy))
            values[value.name] = dataclasses.replace(value, shape=tuple(result.shape))
        ctx.did(node.name, f"{node.op.kind} of constants computed beforehand")
    return rebuild(graph, nodes=nodes, values=values.values(), constants=constants) if constants else graph


def _candidates(graph: Graph) -> set[str]:
    """Nodes with nothing but constants before them, whose outputs have a known shape and are not visible outside."""
    fixed = set(graph.constants)
    found = set()
    for node in graph.nodes:
        known = all(None not in value.shape for value in graph.outs(node))
        if node.inputs and known and all(name in fixed for name in node.inputs) and graph.kept.isdisjoint(node.outputs):
            fixed.update(node.outputs)
            found.add(node.name)
    return found
