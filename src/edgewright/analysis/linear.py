"""Nodes that multiply data by a constant weight and add a constant bias, whatever their operator, and changes to those constants."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import fresh_name, rebuild
from edgewright.ir.graph import Constant, Graph, Level, Node, Structure, Value
from edgewright.ir.operator import Axis, Operator
from edgewright.ops.requant import INT32_MAX, INT32_MIN

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """A node that multiplies (convolves) ``data`` by constant ``weight``, adds constant ``bias`` (or none), and applies its activation."""

    node: Node
    data: str
    weight: str
    bias: str | None

    @property
    def activation(self) -> str:
        return str(getattr(self.node.op, "activation", "none"))


def linear(graph: Graph, node: Node | None) -> Linear | None:
    """``node`` as a Linear, or None where it is not one: no weight, or weight or bias not constant."""
    if node is None or node.op.weight_inputs != (1,) or node.op.bias_input not in (None, 2):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if not graph.is_constant(node.inputs[1]) or graph.is_constant(node.inputs[0]) or (bias is not None and not graph.is_constant(bias)):
        return None
    return Linear(node, node.inputs[0], node.inputs[1], bias)


def without_activation(op: Operator) -> Operator:
    """``op`` with its fused activation off; ``op`` where it has none."""
    return with_activation(op, "none") if hasattr(op, "activation") else op


def with_activation(op: Operator, activation: str) -> Operator:
    """``op``, which has an ``activation`` attribute, with another one."""
    return dataclasses.replace(op, activation=activation)  # type: ignore[call-arg]


def bias_array(graph: Graph, part: Linear) -> FloatArray:
    """The bias in float64, zeros where there is none: (O,)."""
    if part.bias is None:
        return np.zeros(graph.array(part.weight).shape[0])
    return graph.array(part.bias).astype(np.float64)


def contribution(graph: Graph, part: Linear, data: FloatArray, weight: FloatArray) -> FloatArray | None:
    """What constant ``data`` (N, …, C), centred on its zero point, adds to the sums before the activation: (O,).

    None where that depends on the position. ``weight`` may be a part of the weight, cut along its input axis like ``data``. Computed by the
    operator itself in float64, exact for integers.
    """
    inputs = [torch.from_numpy(np.array(array)) for array in (data, weight)]
    with torch.inference_mode():
        (sums,) = without_activation(part.node.op).evaluate(inputs)
    rows: FloatArray = sums.reshape(-1, sums.shape[-1]).numpy()
    if rows.size == 0 or not np.isfinite(rows).all():
        return None
    spread = rows.max(0) - rows.min(0)
    tolerance = 0.0 if graph.level is Level.INTEGER else 1e-12 * np.abs(rows).max(0, initial=0.0)
    return rows[0] if bool((spread <= tolerance).all()) else None


def input_channels(graph: Graph, part: Linear) -> tuple[int, NDArray[np.int64]] | None:
    """How channels of the data (its last axis) meet the weight: one of its axes, and pairs (channel, index along that axis), (n, 2).

    None where some index of that axis meets several channels (grouped convolutions), or the operator does not say.
    """
    last = Axis("in", 0, graph.value(part.data).rank - 1)
    for coupling in part.node.op.couplings(graph.ins(part.node), graph.outs(part.node)) or ():
        if coupling.first != last or (coupling.second.side, coupling.second.index) != ("in", 1):
            continue
        pairs = coupling.pairs
        if pairs is None:
            pairs = np.repeat(np.arange(int(graph.value(part.data).shape[-1] or 0), dtype=np.int64)[:, None], 2, axis=1)
        return (coupling.second.axis, pairs) if len(np.unique(pairs[:, 1])) == len(pairs) else None
    return None


def rows_are_channels(graph: Graph, part: Linear) -> bool:
    """Whether axis 0 of the weight runs along the last axis of the output."""
    last = Axis("out", 0, graph.value(part.node.outputs[0]).rank - 1)
    couplings = part.node.op.couplings(graph.ins(part.node), graph.outs(part.node)) or ()
    return any(coupling.first == Axis("in", 1, 0) and coupling.second == last and coupling.pairs is None for coupling in couplings)


def scale_structure(structure: Structure | None, rows: FloatArray) -> Structure | None:
    """``structure`` of a weight whose output channels (axis 0) were multiplied by ``rows``: zeros stay, a codebook is scaled by channel."""
    if structure is None or structure.codebook is None:
        return structure
    codebook = structure.codebook if structure.codebook.ndim > 1 else structure.codebook[None]
    scaled = (np.broadcast_to(codebook, (len(rows), codebook.shape[-1])) * rows[:, None]).astype(codebook.dtype)
    return dataclasses.replace(structure, codebook=scaled)


@dataclass
class Edits:
    """Values, constants and nodes that a pass is about to put into ``graph``."""

    graph: Graph

    def __post_init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.constants: dict[str, Constant] = {}
        self.nodes: dict[str, list[Node]] = {}

    def fresh(self, stem: str) -> str:
        """A value name that neither the graph nor these edits have."""
        return fresh_name(self.graph.values.keys() | self.values.keys(), stem)

    def fresh_node(self, stem: str) -> str:
        """A node name that neither the graph nor these edits have."""
        return fresh_name({node.name for node in self.graph.nodes} | {new.name for nodes in self.nodes.values() for new in nodes}, stem)

    def like(self, name: str, stem: str) -> str:
        """Enter a new value that is like value ``name``; returns its name."""
        fresh = self.fresh(stem)
        self.values[fresh] = dataclasses.replace(self.graph.value(name), name=fresh)
        return fresh

    def apply(self) -> Graph:
        """The graph with these edits: nodes named in ``nodes`` replaced, in their place, by those that stand there."""
        nodes = [new for node in self.graph.nodes for new in self.nodes.get(node.name, [node])]
        return rebuild(self.graph, nodes=nodes, values=self.values.values(), constants=self.constants)

    def replacing(self, name: str) -> str:
        """``name`` itself where one node alone reads that constant, so that a new one may take its place; else a fresh name near it."""
        shared = name in self.graph.kept or any(state.initial == name for state in self.graph.states)
        return name if len(self.graph.consumers.get(name, ())) == 1 and not shared and name not in self.values else self.fresh(name)

    def constant(self, name: str, array: NDArray[np.generic], *, quant: Quant | None = None, structure: Structure | None = None,
                 dtype: DType | None = None) -> str:
        """Enter a constant under ``name``; returns the name."""
        self.values[name] = Value(name, array.shape, dtype or DType(array.dtype.name), quant)
        self.constants[name] = Constant(array, structure)
        return name

    def weight(self, part: Linear, array: FloatArray, structure: Structure | None) -> str:
        """A new weight for ``part``: as quantized as the old one; float ones as float32."""
        old = self.graph.value(part.weight)
        dtype = old.dtype if old.dtype.is_integer else DType.FLOAT32
        return self.constant(self.replacing(part.weight), array.astype(dtype.numpy), quant=old.quant, structure=structure, dtype=dtype)

    def bias(self, part: Linear, array: FloatArray) -> str | None:
        """A new bias for ``part``; None where integers do not fit into int32."""
        name = self.fresh(f"{part.node.name}_bias") if part.bias is None else self.replacing(part.bias)
        if self.graph.level is not Level.INTEGER:
            return self.constant(name, array.astype(np.float32))
        if array.min(initial=0) < INT32_MIN or array.max(initial=0) > INT32_MAX:
            return None
        return self.constant(name, array.astype(np.int32), quant=self._bias_quant(part))

    def _bias_quant(self, part: Linear) -> Quant | None:
        if part.bias is not None:
            return self.graph.value(part.bias).quant
        data, weight = self.graph.value(part.data).quant, self.graph.value(part.weight).quant
        if data is None or weight is None:
            return None
        scales = np.float32(data.scale[0]) * np.asarray(weight.scale, np.float32)
        return Quant.per_tensor(float(scales[0]), 0, DType.INT32) if weight.axis is None else Quant.per_axis(scales, 0, DType.INT32)
