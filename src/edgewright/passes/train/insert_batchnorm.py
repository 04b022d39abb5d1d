"""Batch normalization comes back into a network that arrived with it folded, so that it can be trained."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewright.analysis.linear import Edits, bias_array, linear, scale_structure, without_activation
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ir.operator import Operator
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.evaluate import evaluate
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.passes.registry import Context, graph_pass

FILTER_NORM = math.sqrt(2.0)
TINY = 1e-12
ACTIVATIONS: dict[str, Operator] = {"relu": Relu(), "relu6": Relu6()}


@graph_pass(level="float", exact=True, needs_data=True)
def insert_batchnorm(graph: Graph, ctx: Context) -> Graph:
    """Put a batch norm that changes nothing behind every layer with weights but the last ones, statistics from calibration data.

    Networks arrive with batch norm folded, and then train badly after surgery; fold_batchnorm takes it away again at the end. Filters
    get the norm that they have where training starts (He et al. 2015, arXiv:1502.01852), which batch norm takes back: a step then turns
    every filter as far, whatever the scale of its input. Source: Ioffe and Szegedy 2015 (arXiv:1502.03167).
    """
    chosen = {node.name for node in _inner_layers(graph) if _may_have_one(graph, node, ctx)}
    if not chosen:
        return graph
    opened = _open(graph, chosen)
    statistics = _statistics(opened, ctx, chosen)
    edits = Edits(opened)
    for node in opened.nodes:
        if node.name not in chosen:
            continue
        mean, variance = statistics[node.outputs[0]]
        norm = BatchNorm()
        factor = _to_unit(opened, node)
        scale = np.sqrt(variance * np.square(factor) + np.float32(norm.epsilon)) / factor
        arrays = {"scale": scale, "offset": mean, "mean": mean * factor, "variance": variance * np.square(factor)}
        constants = [edits.constant(edits.fresh(f"{node.name}_norm_{name}"), array) for name, array in arrays.items()]
        sums = edits.like(node.outputs[0], f"{node.name}_sums")
        new = Node(edits.fresh_node(f"{node.name}_norm"), norm, (sums, *constants), node.outputs)
        edits.nodes[node.name] = [Node(node.name, node.op, _scaled(edits, node, factor), (sums,)), new]
        ctx.did(node.name, f"batch norm of {len(mean)} channels behind it")
    return edits.apply()


def _to_unit(graph: Graph, node: Node) -> NDArray[np.float32]:
    """What brings each filter (O, …) to the norm FILTER_NORM: (O,); ones where other layers share the weight, or the filter is empty."""
    weight = graph.array(node.inputs[1])
    norms = np.linalg.norm(weight.reshape(len(weight), -1).astype(np.float64), axis=1)
    if any(len(graph.consumers[name]) > 1 or name in graph.kept for name in node.inputs[1:]):
        return np.ones(len(weight), np.float32)
    return np.where(norms > TINY, FILTER_NORM / np.maximum(norms, TINY), 1.0).astype(np.float32)


def _scaled(edits: Edits, node: Node, factor: NDArray[np.float32]) -> tuple[str, ...]:
    """The inputs of ``node`` with weight and bias multiplied by ``factor``, row by row."""
    part = linear(edits.graph, node)
    if part is None or bool((factor == 1).all()):
        return node.inputs
    weight = edits.graph.array(part.weight).astype(np.float64)
    rows = factor.astype(np.float64)
    structure = scale_structure(edits.graph.constants[part.weight].structure, rows)
    names = [edits.weight(part, weight * rows.reshape(-1, *[1] * (weight.ndim - 1)), structure)]
    if part.bias is not None:
        names.append(edits.bias(part, bias_array(edits.graph, part) * rows) or part.bias)
    return (part.data, *names)


def _inner_layers(graph: Graph) -> list[Node]:
    """Layers with constant weights on whose outputs another one depends, in order."""
    found: list[Node] = []
    ahead: set[str] = set()
    for node in reversed(graph.nodes):
        reaches = bool(ahead & {*node.outputs})
        layer = linear(graph, node) is not None
        if layer and reaches:
            found.append(node)
        if layer or reaches:
            ahead.update(node.inputs)
    return found[::-1]


def _may_have_one(graph: Graph, node: Node, ctx: Context) -> bool:
    """Whether ``node`` is without batch norm, and its activation can stand alone."""
    activation = str(getattr(node.op, "activation", "none"))
    if activation not in ("none", *ACTIVATIONS):
        ctx.skipped(node.name, f"its activation {activation} is no operator of its own")
        return False
    reader = graph.sole_consumer(node.outputs[0])
    return activation != "none" or reader is None or not isinstance(reader.op, BatchNorm)


def _open(graph: Graph, chosen: set[str]) -> Graph:
    """``graph`` with the activations of the layers ``chosen`` as nodes of their own."""
    edits = Edits(graph)
    for node in graph.nodes:
        activation = str(getattr(node.op, "activation", "none"))
        if node.name in chosen and activation != "none":
            sums = edits.like(node.outputs[0], f"{node.name}_normed")
            behind = Node(edits.fresh_node(f"{node.name}_{activation}"), ACTIVATIONS[activation], (sums,), node.outputs)
            edits.nodes[node.name] = [Node(node.name, without_activation(node.op), node.inputs, (sums,)), behind]
    return edits.apply() if edits.nodes else graph


def _statistics(graph: Graph, ctx: Context, chosen: set[str]) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Mean and variance (C,) of what the layers ``chosen`` give for the calibration data, by value name."""
    sums: dict[str, tuple[int, Tensor, Tensor]] = {}
    wanted = {node.outputs[0] for node in graph.nodes if node.name in chosen}

    def add(value: Value, x: Tensor) -> None:
        if value.name in wanted:
            rows = x.reshape(-1, x.shape[-1]).to(torch.float64)
            count, first, second = sums.get(value.name, (0, torch.zeros(()), torch.zeros(())))
            sums[value.name] = count + len(rows), first + rows.sum(0), second + rows.square().sum(0)

    evaluate(graph, ctx.calibration().inputs, observe=add)
    found = {}
    for name, (count, first, second) in sums.items():
        mean = first / count
        variance = (second / count - mean.square()).clamp(min=0.0)
        found[name] = mean.numpy().astype(np.float32), variance.numpy().astype(np.float32)
    return found
