"""Mixed widths of activations: a few layers take and give int16, the rest of the network stays int8."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import RecipeError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.numerics.scales import BIAS_STEPS, bias_scales
from edgewright.ops.evaluate import evaluate
from edgewright.ops.requant import affine_quant
from edgewright.passes.activation_widths import Widths, activation_widths
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.side_by_side import affordable


@graph_pass(level="quantized", exact=False, needs_data=True)
def widen_activations(graph: Graph, ctx: Context, *, layers: str = "", count: int = 2, samples: int = 64) -> Graph:
    """Give some layers of a network of int8 activations int16 ones, with a Requantize where the width changes.

    ``layers``: their names, with commas between; ``*`` stands for anything. Without names, those ``count`` activations are taken that bring
    the network's outputs nearest to those of unrounded activations when they are left unrounded one at a time, on ``samples`` calibration
    samples: the layers that make them, and all that read them. Ranges and weights stay; an input or output of the network becomes int16
    where only such layers read or make it.
    Source: TensorFlow Lite's 16x8 quantization; sensitivity one by one as in Nagel et al. 2021 (arXiv:2106.08295), section 4.2.
    """
    if count < 1 or samples < 1:
        raise RecipeError(f"widen_activations got count {count} and samples {samples}", hint="at least 1")
    bare = [name for name, value in graph.values.items() if value.quant is None]
    if bare:
        ctx.skipped(graph.name, f"{len(bare)} values are not quantized, {bare[0]!r} is the first")
        return graph
    named = _named(graph, layers) if layers else _sensitive(graph, ctx, count, samples)
    chosen = [node for node in named if _fits(graph, node, ctx)]
    if not chosen:
        return graph
    names = {node.name for node in chosen}
    widths = activation_widths(graph, lambda node: node.name in names or _is_wide(graph, node.outputs[0]))
    for node in chosen:
        ctx.did(node.name, f"{node.op.kind} takes and gives int16")
    return _requantized(graph, widths, names)


def _named(graph: Graph, layers: str) -> list[Node]:
    patterns = [part.strip() for part in layers.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(node.name, pattern) for node in graph.nodes):
            known = ", ".join(node.name for node in graph.nodes[:5])
            raise RecipeError(f"{graph.name!r} has no layer {pattern!r}", hint=f"its first layers are {known}")
    return [node for node in graph.nodes if any(fnmatchcase(node.name, pattern) for pattern in patterns)]


def _sensitive(graph: Graph, ctx: Context, count: int, samples: int) -> list[Node]:
    """What makes and reads the activations that gain most, in the order of the network."""
    if graph.states:
        ctx.skipped(graph.name, "layers of networks with states are not chosen yet: name them")
        return []
    data = ctx.calibration()
    inputs = [array[: affordable(graph, min(samples, data.count))] for array in data.inputs]
    candidates = [members for members in _activations(graph) if all(node.op.takes_int16 for node in _around(graph, members))]
    wanted = evaluate(_unrounded(graph, [name for name in graph.values if name not in graph.constants]), inputs)

    def loss(changed: Graph) -> float:
        pairs = [(got.astype(np.float64), exact.astype(np.float64)) for got, exact in zip(evaluate(changed, inputs), wanted, strict=True)]
        return sum(float(np.square(got - exact).mean()) / max(float(exact.var()), 1e-30) for got, exact in pairs)

    before = loss(graph)
    gains = [before - loss(_unrounded(graph, members)) for members in candidates]
    best = [index for index in sorted(range(len(gains)), key=lambda index: -gains[index])[:count] if gains[index] > 0]
    names = {node.name for index in best for node in _around(graph, candidates[index])}
    return [node for node in graph.nodes if node.name in names]


def _activations(graph: Graph) -> list[list[str]]:
    """The int8 activations of the network, each with those that are the same numbers moved."""
    found: dict[str, list[str]] = {}
    for name in graph.inputs:
        found[name] = [name]
    for node in graph.nodes:
        source = next((name for name in node.inputs if name in found), None) if node.op.same_quant else None
        for name in node.outputs:
            found[name] = [name] if source is None else found[source]
            if source is not None:
                found[name].append(name)
    distinct = {id(members): members for members in found.values()}
    return [members for members in distinct.values() if all(_type(graph, name) is DType.INT8 for name in members)]


def _around(graph: Graph, members: Sequence[str]) -> list[Node]:
    """What makes and reads ``members``."""
    makers = [graph.producers[name] for name in members if name in graph.producers]
    return makers + [node for name in members for node in graph.consumers.get(name, ())]


def _unrounded(graph: Graph, names: Sequence[str]) -> Graph:
    return rebuild(graph, values=[dataclasses.replace(graph.value(name), quant=None) for name in names])


def _fits(graph: Graph, node: Node, ctx: Context) -> bool:
    """Whether ``node`` can be widened; the report says why not."""
    why = "" if node.op.takes_int16 else f"{node.op.kind} has no int16 form"
    if _is_wide(graph, node.outputs[0]):
        why = "it is int16 already"
    elif not why and (index := node.op.bias_input) is not None and index < len(node.inputs):
        quant = _bias_quant(graph, node)
        if np.any(np.abs(graph.array(node.inputs[index])) > np.asarray(quant.scale) * BIAS_STEPS):
            why = "its bias would not fit into 32 bits"
    if why:
        ctx.skipped(node.name, why)
    return not why


def _is_wide(graph: Graph, name: str) -> bool:
    return _type(graph, name) is DType.INT16


def _type(graph: Graph, name: str) -> DType | None:
    quant = graph.value(name).quant
    return None if quant is None else quant.dtype


def _grid(quant: Quant | None, dtype: DType) -> Quant:
    """The grid of ``dtype`` over the range of ``quant``."""
    assert quant is not None
    if quant.dtype is dtype:
        return quant
    low, high = (quant.scale[0] * (end - quant.zero_point[0]) for end in (quant.dtype.minimum, quant.dtype.maximum))
    return affine_quant(low, high, dtype)


def _bias_quant(graph: Graph, node: Node) -> Quant:
    """The grid of the bias beside int16 data."""
    weight = graph.value(node.inputs[1]).quant
    assert weight is not None
    scales = bias_scales(np.asarray(weight.scale, np.float32), _grid(graph.value(node.inputs[0]).quant, DType.INT16).scale[0])
    return dataclasses.replace(weight, dtype=DType.INT32, scale=tuple(scales.tolist()))


def _requantized(graph: Graph, widths: Widths, names: Container[str]) -> Graph:
    """The graph of ``widths`` with every activation on the grid of its type, and copies of what the nodes ``names`` read as constants."""
    values: list[Value] = []
    for name, dtype in widths.types.items():
        value = widths.graph.value(name)
        if dtype is not DType.INT16 and not _is_wide(widths.graph, name):
            continue
        node = widths.graph.producers.get(name)
        fixed = None if node is None else node.op.output_quant(widths.graph.ins(node), node.outputs.index(name), dtype)
        quant = _grid(value.quant, dtype) if fixed is None else Quant.per_tensor(*fixed, dtype)
        values.append(dataclasses.replace(value, quant=quant))
    grids = {name: value.quant for name, value in widths.graph.values.items()} | {value.name: value.quant for value in values}
    taken, before = {*widths.graph.values}, {node.name: node for node in graph.nodes}
    constants: dict[str, Constant] = {}
    nodes = []
    for node in widths.graph.nodes:
        inputs = list(node.inputs)
        for index, name in enumerate(node.inputs) if node.name in names else ():
            if not graph.is_constant(name) or index in (*node.op.weight_inputs, *node.op.int8_inputs):
                continue
            quant = _bias_quant(graph, before[node.name]) if index == node.op.bias_input else _operand(graph.array(name))
            if node.op.same_quant:
                quant = grids[node.outputs[0]] or quant
            inputs[index] = fresh_name(taken, f"{name}_{node.name}")
            taken.add(inputs[index])
            constants[inputs[index]] = graph.constants[name]
            values.append(dataclasses.replace(graph.value(name), name=inputs[index], quant=quant))
        nodes.append(dataclasses.replace(node, inputs=tuple(inputs)))
    return rebuild(widths.graph, nodes=nodes, values=values, constants=constants)


def _operand(array: NDArray[np.generic]) -> Quant:
    """The grid of a constant that stands where an activation could."""
    return affine_quant(float(array.min(initial=0)), float(array.max(initial=0)), DType.INT16)
