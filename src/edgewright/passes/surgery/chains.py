"""A layer with weights replaced by a chain of others: what both cost, and what the layer is fed with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from edgewright.analysis.linear import Edits, FloatArray, Linear, bias_array, with_activation
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ir.operator import Operator
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context
from edgewright.passes.side_by_side import affordable, moments

Chain = tuple[tuple[Operator, FloatArray], ...]
"""(operator without activation, weight), in order."""


def put_chain(edits: Edits, part: Linear, chain: Chain, bias: FloatArray | None) -> list[Node]:
    """Enter ``chain`` for layer ``part``: its last layer bears the name, ``bias`` and the activation."""
    node, source, nodes = part.node, part.data, []
    for index, (op, weight) in enumerate(chain):
        last = index == len(chain) - 1
        name = node.name if last else edits.fresh_node(f"{node.name}_factor{index}")
        inputs = [source, edits.constant(edits.fresh(f"{part.weight}_factor{index}"), weight.astype("float32"))]
        if last and bias is not None:
            inputs.append(edits.constant(edits.fresh(f"{node.name}_bias"), bias.astype("float32")))
        source = node.outputs[0]
        if not last:
            source = edits.fresh(f"{node.name}_rank{index}")
            (shape,) = op.infer([_value(edits, one) for one in inputs])
            edits.values[source] = replace(edits.graph.value(node.outputs[0]), name=source, shape=shape)
        nodes.append(Node(name, with_activation(op, part.activation) if last else op, tuple(inputs), (source,)))
        edits.nodes[node.name] = nodes
    return nodes


def corrected_bias(graph: Graph, part: Linear, weight: FloatArray, mean: FloatArray | None) -> FloatArray | None:
    """The bias, and what ``weight`` (in the layer's shape) takes from the mean output; None where there is none of either."""
    if mean is None:
        return None if part.bias is None else bias_array(graph, part)
    lost = graph.array(part.weight).astype("float64") - weight
    return bias_array(graph, part) + lost.reshape(len(lost), -1) @ mean


def chain_macs(graph: Graph, part: Linear, chain: Chain) -> int:
    """Multiply-accumulates of ``chain`` for one sample."""
    edits = Edits(graph)
    return nodes_macs(edits, put_chain(edits, part, chain, None))


def nodes_macs(edits: Edits, nodes: Sequence[Node]) -> int:
    """Multiply-accumulates of ``nodes``, which ``edits`` describe, for one sample."""
    values = [([_value(edits, name) for name in node.inputs], [_value(edits, name) for name in node.outputs]) for node in nodes]
    return sum(node.op.macs(ins, outs) for node, (ins, outs) in zip(nodes, values, strict=True))


def chain_cycles(graph: Graph, ctx: Context, part: Linear, chain: Chain | None) -> float:
    """Modelled cycles of ``chain`` (None: of the layer itself) alone on the target; infinite where they are unknown."""
    edits = Edits(graph)
    return nodes_cycles(edits, ctx, part, [part.node] if chain is None else put_chain(edits, part, chain, bias_array(graph, part)))


def nodes_cycles(edits: Edits, ctx: Context, part: Linear, nodes: Sequence[Node]) -> float:
    """The same of ``nodes`` that stand for the layer ``part``."""
    if "cycles" not in ctx.costs:
        return math.inf
    alone = rebuild(edits.graph, nodes=nodes, values=edits.values.values(), constants=edits.constants, inputs=[part.data],
                    outputs=[part.node.outputs[0]], states=(), name="layer")
    return ctx.costs["cycles"](alone)


def slower(graph: Graph, ctx: Context, part: Linear, chain: Chain) -> str | None:
    """Why ``chain`` does not pay on the target; None where it does, or where nobody knows."""
    before = chain_cycles(graph, ctx, part, None)
    return not_faster(ctx, before, chain_cycles(graph, ctx, part, chain) if math.isfinite(before) else before)


def not_faster(ctx: Context, before: float, after: float) -> str | None:
    """Why a layer of ``after`` cycles does not pay for one of ``before``; None where it does, or where nobody knows."""
    where = "the target" if ctx.target is None else ctx.target.name
    known = math.isfinite(before)
    return f"it would take {after:,.0f} cycles instead of {before:,.0f} on {where}" if known and after >= before else None


def layer_moments(graph: Graph, ctx: Context, parts: dict[str, Linear], samples: int) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Centred second moments (K, K) and means (K,) of what layers without groups are fed with, by node name.

    Over as many ``samples`` of the calibration data as fit into memory; empty without data, and for a network with states.
    """
    if ctx.data is None or not samples or graph.states or not parts:
        return {}
    fixed = max((graph.value(name).shape[0] or 1 for name in graph.inputs), default=1)
    count = max(fixed, affordable(graph, min(samples, ctx.data.count)) // fixed * fixed)
    found = {}

    def look(value: Value, x: Tensor) -> None:
        for name, part in parts.items():
            if part.data == value.name and name not in found:
                seen = moments(graph, part, x, x)
                if seen is not None and seen.positions > 1:
                    found[name] = seen.second[0].numpy(), seen.mean[0].numpy()

    evaluate(graph, [array[:count] for array in ctx.data.inputs], observe=look, chunk=count)
    return found


def _value(edits: Edits, name: str) -> Value:
    return edits.values[name] if name in edits.values else edits.graph.value(name)
