"""Post-training quantization with calibrated activation ranges (W8A8)."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Graph, Level, Node
from edgewright.ir.operator import Operator
from edgewright.ops.requant import affine_quant
from edgewright.passes.ranges import calibrate, union
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=False)
def quantize_static(graph: Graph, ctx: Context, *, ranges: str = "minmax", percentile: float = 99.99) -> Graph:
    """Quantize weights to int8 per channel and activations to int8 per tensor, with ranges from calibration data.

    ``ranges``: minmax, percentile (the middle ``percentile`` % stay inside) or mse (least squared error).
    Source: Jacob et al. 2018 (arXiv:1712.05877), and the TensorFlow Lite 8-bit quantization specification.
    """
    refuse_float_only(graph)
    data = ctx.calibration()
    observed = calibrate(graph, data, method=ranges, percentile=percentile, dtype=DType.INT8)
    quants = _activation_quants(graph, observed)
    for name in _operand_constants(graph):
        array = graph.array(name)
        quants[name] = affine_quant(float(array.min(initial=0.0)), float(array.max(initial=0.0)))
    copies: dict[str, str] = {}
    nodes = [_quantize_weights(graph, node, quants, copies) for node in graph.nodes]
    values = [dataclasses.replace(graph.value(copies.get(name, name)), name=name, quant=quant) for name, quant in quants.items()]
    constants = {name: graph.constants[original] for name, original in copies.items()}
    ctx.did(graph.name, f"{len(values)} values quantized from {data.count} samples ({ranges} ranges)")
    return rebuild(graph, nodes=nodes, values=values, constants=constants, level=Level.QUANTIZED)


def refuse_float_only(graph: Graph) -> None:
    """UnsupportedError that lists every node without an integer form."""
    missing = [node for node in graph.nodes if type(node.op).evaluate_integer is Operator.evaluate_integer]
    if missing:
        names = ", ".join(f"{node.op.kind} {node.name!r}" for node in missing)
        raise UnsupportedError(f"no integer form for {names}", hint="fold batch norm first (recipe w8a8 does), or replace the operator")


def _operand_constants(graph: Graph) -> list[str]:
    """Constants that stand where an activation could: quantized as a whole."""
    names: list[str] = []
    for node in graph.nodes:
        special = {*node.op.weight_inputs, node.op.bias_input}
        names += [name for index, name in enumerate(node.inputs) if index not in special and graph.is_constant(name)]
    names += [state.initial for state in graph.states if state.initial not in names]
    return list(dict.fromkeys(names))


def _activation_quants(graph: Graph, observed: dict[str, tuple[float, float]]) -> dict[str, Quant]:
    """One Quant for each group of values that must, or had better, share it."""
    groups = _Groups()
    for node in graph.nodes:
        if node.op.same_quant:
            data = [name for name in node.inputs if not graph.is_constant(name)]
            for name in data:
                # A concatenated value that others read too keeps its own range; lowering puts a Requantize before the concatenation.
                if len(data) == 1 or graph.sole_consumer(name) is not None:
                    groups.join(name, node.outputs[0])
            for name in node.outputs[1:]:
                groups.join(name, node.outputs[0])
    for state in graph.states:
        groups.join(state.read, state.write)
        observed.setdefault(state.read, observed[state.write])
    fixed = _fixed_quants(graph)
    quants: dict[str, Quant] = {}
    for members in groups.members(list(observed)):
        known = {fixed[name] for name in members if name in fixed}
        quant = known.pop() if len(known) == 1 else affine_quant(*union(observed, members))
        quants.update({name: fixed.get(name, quant) for name in members})
    return quants


def _fixed_quants(graph: Graph) -> dict[str, Quant]:
    found: dict[str, Quant] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.outputs):
            fact = node.op.output_quant(graph.ins(node), index)
            if fact is not None:
                found[name] = Quant.per_tensor(fact[0], fact[1])
    return found


class _Groups:
    """Union-find over value names."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            self._parent[name] = self._parent.get(parent, parent)
            name = parent
        return name

    def join(self, a: str, b: str) -> None:
        self._parent[self.root(a)] = self.root(b)

    def members(self, names: list[str]) -> list[list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self.root(name), []).append(name)
        return list(found.values())


def _quantize_weights(graph: Graph, node: Node, quants: dict[str, Quant], copies: dict[str, str]) -> Node:
    """Enter the Quants of weight and bias; a constant shared with a node that needs another Quant is copied (``copies``: new name → original)."""
    if not node.op.weight_inputs:
        return node
    index = node.op.weight_inputs[0]
    if not graph.is_constant(node.inputs[index]):
        raise UnsupportedError(f"the weight of {node.op.kind} {node.name!r} is computed at run time", hint="only constant weights can be quantized")
    inputs = list(node.inputs)
    bias = node.op.bias_input if node.op.bias_input is not None and node.op.bias_input < len(inputs) else None
    input_scale = quants[inputs[0]].scale[0]
    scales = weight_scales(graph.array(inputs[index]), None if bias is None else graph.array(inputs[bias]), input_scale)
    wanted = {index: Quant.per_axis(scales, 0)}
    if bias is not None:
        wanted[bias] = Quant.per_axis(np.asarray(scales * np.float32(input_scale), np.float32), 0, DType.INT32)
    for position, quant in wanted.items():
        original = name = inputs[position]
        if quants.get(name, quant) != quant:
            name = fresh_name(quants.keys() | graph.values.keys(), f"{original}_{node.name}")
            copies[name] = original
        quants[name] = quant
        inputs[position] = name
    return dataclasses.replace(node, inputs=tuple(inputs))


def weight_scales(weight: NDArray[np.generic], bias: NDArray[np.generic] | None, input_scale: float, dtype: DType = DType.INT8) -> NDArray[np.float32]:
    """Symmetric scale of each output channel (axis 0), large enough that the int32 bias does not saturate; dead channels take the median."""
    peak = np.abs(weight.reshape(weight.shape[0], -1)).max(axis=1, initial=0.0).astype(np.float64)
    scales = peak / dtype.maximum
    tiny = float(np.finfo(np.float32).tiny)
    alive = scales > tiny
    scales[~alive] = np.median(scales[alive]) if alive.any() else 1.0
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * (1 << 30)))
    return np.maximum(scales, tiny).astype(np.float32)

