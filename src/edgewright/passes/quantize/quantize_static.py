"""Post-training quantization with calibrated activation ranges: W8A8, and narrower."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgewright.analysis.ranges import Range, calibrate, union, within
from edgewright.errors import ModelError, RecipeError, UnsupportedError
from edgewright.ir.dtype import INDEX_QUANT, DType, Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Graph, Level, Node, State
from edgewright.ir.operator import Operator
from edgewright.numerics.scales import METHODS, bias_scales, scaled_numbers, weight_scales
from edgewright.ops.requant import affine_quant
from edgewright.ops.requantize import Requantize
from edgewright.passes.precision.activation_widths import Widths, activation_widths
from edgewright.passes.precision.bit_widths import WIDTHS, edge_layers, weight_width
from edgewright.passes.registry import Context, graph_pass


@graph_pass(level="float", exact=False, needs_data=True, makes_integers=True)
def quantize_static(
    graph: Graph,
    ctx: Context,
    *,
    ranges: str = "minmax",
    percentile: float = 99.99,
    weight_bits: int = 8,
    activation_bits: int = 8,
    weight_ranges: str = "minmax",
    edge_bits: int = 0,
) -> Graph:
    """Quantize weights per channel and activations per tensor, to int8, int16 or narrower, with ranges from calibration data.

    ``ranges``: minmax, percentile (the middle ``percentile`` % stay inside), mse (least squared error), kl (least divergence) or octav
    (least expected noise). ``weight_ranges``: minmax or mse.
    ``edge_bits``: the width of weights in the first and the last layers and in depthwise ones (fewer than 16 weights a channel), 0: as in
    the others.
    A weight whose structure says how many bits it has (choose_bits) gets those instead of ``weight_bits``. Narrower activations are those
    that layers with weights read; as is usual, what the first and the last layers read keeps 8 bits. With 16 bits all are int16, with zero
    point 0, but around operators that have no such form, which keep int8. Weights of 16 bits are for C alone: .tflite has none.
    Source: Jacob et al. 2018 (arXiv:1712.05877), and the TensorFlow Lite 8-bit quantization specification.
    """
    _refuse(graph)
    if weight_ranges not in METHODS:
        raise RecipeError(f"unknown range method {weight_ranges!r} of weights", hint=f"one of {', '.join(METHODS)}")
    narrow = _width("activation", activation_bits)
    data = ctx.calibration()
    widths = activation_widths(graph, lambda node: narrow is DType.INT16)
    graph = widths.graph
    observed = calibrate(graph, data, method=ranges, percentile=percentile, dtype=narrow)
    quants = _activation_quants(widths, observed, narrow)
    constants = _Constants(graph, _width("weight", weight_bits), weight_ranges)
    if edge_bits:
        constants.edges = dict.fromkeys(edge_layers(graph), _width("edge", edge_bits))
        for name in [node.name for node in graph.nodes if node.name in constants.edges] if edge_bits != weight_bits else ():
            ctx.skipped(name, f"the first, the last and depthwise layers have weights of {edge_bits} bits (edge_bits)")
    for name in graph.outputs:
        if graph.is_constant(name):
            constants.claim(name, _whole(graph.array(name)), name)
    nodes = [_quantize_constants(widths, node, quants, constants) for node in graph.nodes]
    states = [_quantize_state(graph, state, quants, constants) for state in graph.states]
    quants |= constants.quants
    values = [
        dataclasses.replace(graph.value(constants.original.get(name, name)), name=name, quant=quant) for name, quant in quants.items()
    ]
    copies = {name: graph.constants[original] for name, original in constants.original.items()}
    bits = f"weights int{weight_bits}, activations int{activation_bits}"
    ctx.did(graph.name, f"{len(values)} values quantized from {data.count} samples ({bits}, {ranges} ranges)")
    _tell_narrow(widths, narrow, ctx)
    return rebuild(graph, nodes=nodes, values=values, constants=copies, states=states, level=Level.QUANTIZED)


def _refuse(graph: Graph) -> None:
    """UnsupportedError that lists every node without an integer form; ModelError where a constant is not finite."""
    missing = [f"{node.op.kind} {node.name!r}" for node in graph.nodes if type(node.op).evaluate_integer is Operator.evaluate_integer]
    if missing:
        raise UnsupportedError(
            f"no integer form for {', '.join(missing)}", hint="fold batch norm first (recipe w8a8 does), or replace the operator"
        )
    computed = [
        f"{node.op.kind} {node.name!r}"
        for node in graph.nodes
        if not all(graph.is_constant(node.inputs[index]) for index in (*node.op.weight_inputs, *node.op.channel_inputs))
    ]
    if computed:
        raise UnsupportedError(
            f"the weights of {', '.join(computed)} are computed at run time", hint="only constant weights can be quantized"
        )
    for name, constant in graph.constants.items():
        if not np.all(np.isfinite(constant.array)):
            raise ModelError(f"constant {name!r} holds numbers that are not finite", hint="the training diverged, or the file is damaged")


def _width(what: str, bits: int) -> DType:
    known = {**WIDTHS, 16: DType.INT16}
    if bits not in known:
        raise RecipeError(f"{what}_bits is {bits}", hint=f"one of {', '.join(map(str, known))}")
    return known[bits]


def _tell_narrow(widths: Widths, asked: DType, ctx: Context) -> None:
    """Report the operators that keep int8 although int16 was asked for."""
    for node in widths.graph.nodes if asked is DType.INT16 else ():
        if widths.types[node.outputs[0]] is not asked and not isinstance(node.op, Requantize):
            ctx.skipped(node.name, f"{node.op.kind} has no int16 form: it computes in int8, between two Requantize")


def _narrowed(graph: Graph) -> set[str]:
    """The values that layers with weights read, but for the network's inputs and what its last such layers read."""
    read: set[str] = set()
    ahead: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op.weight_inputs and ahead & {*node.outputs}:
            read.add(node.inputs[0])
        if node.op.weight_inputs or ahead & {*node.outputs}:
            ahead.update(node.inputs)
    return read - {*graph.inputs}


def _activation_quants(widths: Widths, observed: Mapping[str, Range], narrow: DType) -> dict[str, Quant]:
    """One Quant for each group of values that must, or had better, share it."""
    graph, ranges = widths.graph, dict(observed)
    for state in graph.states:
        ranges[state.read] = _range(graph.array(state.initial))
    fixed = _fixed_quants(widths)
    _narrow(graph, ranges, fixed)
    quants: dict[str, Quant] = {}
    narrowed = _narrowed(graph)
    for members in _groups(graph).members(list(ranges)):
        whole = union(ranges[name] for name in members)
        known = {fixed[name] for name in members if name in fixed}
        only = known.pop() if len(known) == 1 else None
        edge = {*graph.inputs, *graph.outputs} & {*members}
        width = widths.types[members[0]]
        dtype = narrow if narrow.bits < 8 and narrowed & {*members} and not edge else width
        quant = only if only is not None and _holds(only, whole) else affine_quant(*whole, dtype)
        quants.update({name: fixed.get(name, quant) for name in members})
    return quants | dict.fromkeys(graph.indices, INDEX_QUANT)


def _fixed_quants(widths: Widths) -> dict[str, Quant]:
    """Quants that an operator's integer arithmetic fixes."""
    found: dict[str, Quant] = {}
    for node in widths.graph.nodes:
        for index, name in enumerate(node.outputs):
            fact = node.op.output_quant(widths.graph.ins(node), index, widths.types[name])
            if fact is not None:
                found[name] = Quant.per_tensor(*fact, widths.types[name])
    return found


def _narrow(graph: Graph, ranges: dict[str, Range], fixed: Mapping[str, Quant]) -> None:
    """Clip ``ranges`` to what a fixed Quant leaves, and what is only moved to the range that it comes from."""
    for node in graph.nodes:
        for name in node.outputs:
            if name in fixed:
                ranges[name] = within(ranges[name], _reals(fixed[name]))
            elif node.op.same_quant:
                sources = [_range(graph.array(source)) if graph.is_constant(source) else ranges[source] for source in node.inputs]
                ranges[name] = within(ranges[name], node.op.bounds(sources))


def _groups(graph: Graph) -> _Groups:
    """Values that share one Quant: what passes through an operator unchanged, and states with what is written to them."""
    groups = _Groups()
    for node in graph.nodes:
        if node.op.same_quant:
            data = [name for index, name in enumerate(node.inputs) if index not in node.op.index_inputs]
            for name in (*data, *node.outputs[1:]):
                # A joined value that others read too keeps its own range; lowering puts a Requantize before the join.
                if len(data) == 1 or name in node.outputs or _leads_only_there(graph, name):
                    groups.join(name, node.outputs[0])
    for state in graph.states:
        groups.join(state.read, state.write)
    return groups


def _leads_only_there(graph: Graph, name: str) -> bool:
    """Whether the one reader of ``name`` is also the only use of what ``name`` was moved from."""
    while graph.sole_consumer(name) is not None:
        maker = graph.producers.get(name)
        if maker is None or not maker.op.same_quant or len(maker.inputs) != 1:
            return True
        name = maker.inputs[0]
    return False


def _reals(quant: Quant) -> Range:
    """The least and greatest real of a per-tensor ``quant``."""
    scale, zero_point = quant.scale[0], quant.zero_point[0]
    return scale * (quant.dtype.minimum - zero_point), scale * (quant.dtype.maximum - zero_point)


def _holds(quant: Quant, whole: Range) -> bool:
    """Whether ``quant`` reaches as far as ``whole``, up to one step at each end."""
    low, high = _reals(quant)
    return low - quant.scale[0] <= whole[0] and whole[1] <= high + quant.scale[0]


def _range(array: NDArray[np.generic]) -> Range:
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _heard(widths: Widths, node: Node, index: int, quants: Mapping[str, Quant]) -> Quant:
    """The Quant of constant input ``index``, as far as it makes a difference: what masks attention is far below all that is held."""
    graph, dtype = widths.graph, widths.of_constant(node, index)
    out = quants.get(node.outputs[0])
    if out is None or out.axis is not None or any(name not in quants and not graph.is_constant(name) for name in node.inputs):
        return _whole(graph.array(node.inputs[index]), dtype)
    ins = [_reals(quants[name]) if name in quants else _range(graph.array(name)) for name in node.inputs]
    return affine_quant(*within(_range(graph.array(node.inputs[index])), node.op.heard(index, ins, _reals(out))), dtype)


def _whole(array: NDArray[np.generic], dtype: DType = DType.INT8) -> Quant:
    """The Quant of a constant that stands where an activation could: one for the whole tensor."""
    return affine_quant(*_range(array), dtype)


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


class _Constants:
    """The Quant of each constant; one that is read under several Quants is copied. ``original``: the copy's name → the constant's.

    ``dtype`` and ``method``: the width of weights, and how their scales are chosen; ``edges``: layers with another width.
    """

    def __init__(self, graph: Graph, dtype: DType = DType.INT8, method: str = "minmax") -> None:
        self.dtype, self.method = dtype, method
        self.edges: dict[str, DType] = {}
        self.quants: dict[str, Quant] = {}
        self.original: dict[str, str] = {}
        self._versions: dict[str, list[str]] = {}
        self._taken = set(graph.values)

    def claim(self, name: str, quant: Quant, reader: str) -> str:
        """The name under which ``reader`` finds constant ``name`` with ``quant``."""
        versions = self._versions.setdefault(name, [])
        for version in versions:
            if self.quants[version] == quant:
                return version
        version = name if not versions else fresh_name(self._taken, f"{name}_{reader}")
        if versions:
            self._taken.add(version)
            self.original[version] = name
        versions.append(version)
        self.quants[version] = quant
        return version


def _quantize_constants(widths: Widths, node: Node, quants: Mapping[str, Quant], constants: _Constants) -> Node:
    """``node`` reading its constants under the Quants that it needs."""
    inputs, op, graph = list(node.inputs), node.op, widths.graph
    weights = (*op.weight_inputs, *op.channel_inputs)
    biases = {index: op.bias_of(index) for index in weights}
    for index, name in enumerate(node.inputs):
        if graph.is_constant(name) and index not in (*weights, *biases.values()):
            quant = quants[node.outputs[0]] if op.same_quant else _heard(widths, node, index, quants)
            inputs[index] = constants.claim(name, quant, node.name)
    for index in weights:
        side, place = op.multiplicand(index)
        source = (quants.get(inputs[place]) or constants.quants[inputs[place]]) if side == "in" else quants[node.outputs[place]]
        input_scale = op.product_scale(source.scale[0])
        bias = biases[index] if (biases[index] or 0) < len(inputs) else None
        if bias is not None and not graph.is_constant(node.inputs[bias]):
            raise UnsupportedError(
                f"the bias of {op.kind} {node.name!r} is computed at run time", hint="only constant biases can be quantized"
            )
        sums = None if bias is None else graph.array(node.inputs[bias])
        usual = constants.edges.get(node.name, constants.dtype)
        usual = usual if usual.bits <= source.dtype.bits else DType.INT8
        dtype = weight_width(graph, node.inputs[index], usual) if index in op.weight_inputs else DType.INT8
        constant = graph.constants[node.inputs[index]]
        clustered = constant.structure is not None and constant.structure.codebook is not None
        method = "minmax" if clustered else constants.method
        scales = weight_scales(scaled_numbers(constant), sums, input_scale, dtype, method, op.weight_groups)
        inputs[index] = constants.claim(node.inputs[index], Quant.per_axis(scales, 0, dtype), node.name)
        if bias is not None:
            inputs[bias] = constants.claim(node.inputs[bias], Quant.per_axis(bias_scales(scales, input_scale), 0, DType.INT32), node.name)
    return dataclasses.replace(node, inputs=tuple(inputs))


def _quantize_state(graph: Graph, state: State, quants: Mapping[str, Quant], constants: _Constants) -> State:
    """``state`` with its constants on the grid of what reads it."""
    initial = constants.claim(state.initial, quants[state.read], state.read)
    write = constants.claim(state.write, quants[state.read], state.read) if graph.is_constant(state.write) else state.write
    return dataclasses.replace(state, initial=initial, write=write)
