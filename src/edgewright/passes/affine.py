"""Nodes that scale and shift channel by channel, and how they vanish in the weights and biases of their neighbours."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from edgewright.analysis.linear import (
    Edits,
    FloatArray,
    bias_array,
    contribution,
    input_channels,
    linear,
    rows_are_channels,
    scale_structure,
    with_activation,
)
from edgewright.ir.graph import Graph, Node
from edgewright.ir.operator import Operator
from edgewright.ops.add import Add
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.mul import Mul
from edgewright.ops.sub import Sub
from edgewright.passes.registry import Context


@dataclass(frozen=True, eq=False)
class Affine:
    """Node ``node``, of which output 0 is ``data`` * ``scale`` + ``offset`` ((C,) along the last axis), then its activation."""

    node: Node
    data: str
    scale: FloatArray
    offset: FloatArray

    @property
    def activation(self) -> str:
        return str(getattr(self.node.op, "activation", "none"))


def affine(graph: Graph, node: Node | None) -> Affine | None:
    """``node`` as an Affine, or None where it is not one: BatchNorm, and Add, Sub and Mul with a constant for each channel."""
    if node is None:
        return None
    if isinstance(node.op, BatchNorm):
        if not all(graph.is_constant(name) for name in node.inputs[1:]):
            return None
        scale, offset, mean, variance = (graph.array(name).astype(np.float64) for name in node.inputs[1:])
        factor = scale / np.sqrt(variance + node.op.epsilon)
        return Affine(node, node.inputs[0], factor, offset - mean * factor)
    if not isinstance(node.op, (Add, Sub, Mul)):
        return None
    constant = [graph.is_constant(name) for name in node.inputs]
    if sum(constant) != 1:
        return None
    place = constant.index(True)
    data, numbers = node.inputs[1 - place], graph.array(node.inputs[place]).astype(np.float64)
    value = graph.value(data)
    per_channel = numbers.size == (numbers.shape[-1] if numbers.ndim else 1)
    if value.rank < 2 or value.shape != graph.value(node.outputs[0]).shape or not (per_channel or numbers.size == 1):
        return None
    channels = np.broadcast_to(numbers.reshape(-1), (int(value.shape[-1] or 0),)).copy()
    ones, zeros = np.ones_like(channels), np.zeros_like(channels)
    if isinstance(node.op, Mul):
        return Affine(node, data, channels, zeros)
    if isinstance(node.op, Add):
        return Affine(node, data, ones, channels)
    return Affine(node, data, ones, -channels) if place == 1 else Affine(node, data, -ones, channels)


def fold_affines(graph: Graph, ctx: Context, kinds: tuple[type[Operator], ...]) -> Graph:
    """Fold Affines of ``kinds`` into the Linear before them, or else into the one behind; ``graph`` itself where none can go."""
    while True:
        edits = Edits(graph)
        touched: set[str] = set()
        for node in graph.nodes:
            part = affine(graph, node) if isinstance(node.op, kinds) else None
            if part is None or node.name in touched:
                continue
            for fold in (_into_maker, _into_reader):
                neighbour = fold(graph, part, edits, touched)
                if neighbour is not None:
                    ctx.did(node.name, f"{node.op.kind} folded into {neighbour!r}")
                    break
        if not touched:
            return graph
        graph = edits.apply()


def _into_maker(graph: Graph, part: Affine, edits: Edits, touched: set[str]) -> str | None:
    """Fold ``part`` into the weight before it, also across reshapes that leave the channels last; the name of that node, or None."""
    chain: list[Node] = []
    reader, name = part.node, part.data
    while True:
        maker = graph.producers.get(name)
        if maker is None or len(maker.outputs) != 1 or graph.sole_consumer(name) is not reader or maker.name in touched:
            return None
        chain.append(maker)
        if not (maker.op.view and graph.value(maker.inputs[0]).shape[-1] == graph.value(name).shape[-1]):
            break
        reader, name = maker, maker.inputs[0]
    target = linear(graph, maker)
    if target is None or target.activation != "none" or not rows_are_channels(graph, target):
        return None
    weight, bias = graph.array(target.weight).astype(np.float64), bias_array(graph, target)
    scaled = weight * part.scale.reshape(-1, *[1] * (weight.ndim - 1))
    inputs = [target.data, target.weight]
    if not np.all(part.scale == 1.0):
        inputs[1] = edits.weight(target, scaled, scale_structure(graph.constants[target.weight].structure, part.scale))
    bias_name = edits.bias(target, bias * part.scale + part.offset)
    assert bias_name is not None
    outputs = {node.name: node.outputs for node in chain} | {chain[0].name: part.node.outputs}
    op = target.node.op if part.activation == "none" else with_activation(target.node.op, part.activation)
    for node in chain:
        edits.nodes[node.name] = [dataclasses.replace(node, outputs=outputs[node.name])]
    edits.nodes[maker.name] = [Node(maker.name, op, (*inputs, bias_name), outputs[maker.name])]
    edits.nodes[part.node.name] = []
    touched.update({part.node.name, *(node.name for node in chain)})
    return maker.name


def _into_reader(graph: Graph, part: Affine, edits: Edits, touched: set[str]) -> str | None:
    """Fold ``part`` into columns of the weight behind it where its offset reaches every output alike; the name of that node, or None."""
    target = linear(graph, graph.sole_consumer(part.node.outputs[0]))
    if target is None or part.activation != "none" or target.data != part.node.outputs[0] or target.node.name in touched:
        return None
    meeting = input_channels(graph, target)
    structure = graph.constants[target.weight].structure
    if meeting is None or (structure is not None and (structure.codebook is not None or structure.bits is not None)):
        return None
    axis, pairs = meeting
    weight = graph.array(target.weight).astype(np.float64)
    offsets = np.broadcast_to(part.offset, graph.value(part.data).sample_shape)
    added = contribution(graph, target, offsets, weight)
    if added is None:
        return None
    inputs = [part.data, target.weight, *target.node.inputs[2:]]
    if not np.all(part.scale == 1.0):
        factors = np.ones(weight.shape[axis])
        factors[pairs[:, 1]] = part.scale[pairs[:, 0]]
        inputs[1] = edits.weight(target, weight * factors.reshape([-1 if place == axis else 1 for place in range(weight.ndim)]), structure)
    if added.any():
        bias = edits.bias(target, bias_array(graph, target) + added)
        assert bias is not None
        inputs[2:] = [bias]
    edits.nodes[target.node.name] = [dataclasses.replace(target.node, inputs=tuple(inputs))]
    edits.nodes[part.node.name] = []
    touched.update({part.node.name, target.node.name})
    return target.node.name


def affine_run(graph: Graph, node: Node) -> list[Affine]:
    """The longest run of Affines from ``node`` on, each read by the next alone, only the last with an activation; may be empty."""
    run: list[Affine] = []
    part = affine(graph, node)
    while part is not None:
        run.append(part)
        following = affine(graph, graph.sole_consumer(part.node.outputs[0])) if part.activation == "none" else None
        part = following if following is not None and following.data == part.node.outputs[0] else None
    return run
