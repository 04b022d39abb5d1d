"""A float network and what a quantizer made of it, brought together: the float graph, with the quantized network's grids and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.diagnosis.survivors import Indices, kept_behind, spread, spread_quant, surviving_rows
from edgewright.errors import ModelError
from edgewright.evaluation.outputs import simulated
from edgewright.ir.dtype import Quant
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph, Level, Node
from edgewright.passes import check_recipe
from edgewright.passes.registry import PASSES, Context
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.steps import run_recipe

PASSED = ("Quantize", "Dequantize", "Requantize", "Reshape", "Transpose", "Relu", "Relu6", "Pad")
"""Operators that one of the two networks may lack: their work is done by a grid, by a neighbour, or by the order of the weights."""
GRIDS_ALONE = ("Quantize", "Dequantize", "Requantize")
CLAMPS = ("Relu", "Relu6")
HINT = "give the float network that was quantized; both are compared after the exact clean-up, and as they came"
INPUT = "(input)"
"""Where the grids of the network's inputs are said to be."""
Reals = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pair:
    """``floating`` at the float level, clean. ``quants``: its values and constants that are on a grid in the quantized network.

    ``constants``: what stands there in the quantized network, as reals in the float network's shape. ``quantized``: that network at the
    quantized level.
    """

    floating: Graph
    quantized: Graph
    quants: Mapping[str, Quant]
    constants: Mapping[str, Reals]

    def layer_of(self, name: str) -> str:
        """The layer to which a grid or a constant belongs: the node that makes the value, or reads the constant."""
        if name in self.floating.constants:
            return self.floating.consumers[name][0].name
        maker = self.floating.producers.get(name)
        return INPUT if maker is None else maker.name

    @property
    def layers(self) -> list[str]:
        """Every layer in which something is quantized, in order."""
        found = {self.layer_of(name) for name in (*self.quants, *self.constants)}
        return [name for name in (INPUT, *(node.name for node in self.floating.nodes)) if name in found]

    def graph(
        self,
        layers: Collection[str] | None = None,
        *,
        quants: Mapping[str, Quant | None] | None = None,
        constants: Mapping[str, Reals] | None = None,
    ) -> Graph:
        """The float network with ``layers`` (all) quantized as in the quantized one; ``quants`` and ``constants`` win over those."""
        grids: dict[str, Quant | None] = {}
        for name, quant in self.quants.items():
            if name not in self.floating.constants and (layers is None or self.layer_of(name) in layers):
                grids[name] = quant
        grids |= {name: quant for name, quant in (quants or {}).items() if name not in self.floating.constants}
        numbers = {name: array for name, array in self.constants.items() if layers is None or self.layer_of(name) in layers}
        numbers |= constants or {}
        values = [dataclasses.replace(self.floating.value(name), quant=quant) for name, quant in grids.items()]
        held = {name: Constant(array) for name, array in numbers.items()}
        return rebuild(self.floating, values=values, constants=held, level=Level.QUANTIZED)


def pair(floating: Graph, quantized: Graph) -> Pair:
    """``floating`` beside ``quantized``, which may be the work of another tool. ModelError where they are not the same network.

    Weights that the float network holds quantized, its activations being real, count as the reals that they stand for.
    """
    floating = run_recipe(floating, Recipe("reals", (Step("dequantize_weights"),)), Context())
    if floating.level is not Level.FLOAT:
        raise ModelError(f"{floating.name!r} is at the {floating.level.value} level, not in float", hint=HINT)
    if not any(value.quant is not None for value in quantized.values.values()):
        raise ModelError(f"{quantized.name!r} is not quantized", hint="give the float network first, then the quantized one")
    found: list[tuple[float, Pair]] = []
    problem = ModelError("nothing was compared")
    forms = (_clean(floating), _clean(floating, dead_channels=False), floating)
    for against in (simulated(quantized), simulated(_clean(quantized))):
        for form in forms:
            try:
                matcher = _Matcher(form, against)
                found.append((matcher.match(), matcher.pair()))
            except ModelError as error:
                problem = error if form is forms[0] else problem
    if not found:
        raise problem
    return max(found, key=lambda entry: round(entry[0], 2))[1]


def _clean(graph: Graph, dead_channels: bool = True) -> Graph:
    check_recipe(RECIPES["clean"])
    steps = [step for step in RECIPES["clean"].steps if PASSES[step.name].takes(graph.level)]
    steps = [step for step in steps if step.name not in ("share_constants", *(() if dead_channels else ("remove_dead_channels",)))]
    return run_recipe(graph, Recipe("clean", tuple(steps)), Context())


class _Matcher:
    """Walks the quantized network in order and finds the float node that each of its nodes stands for."""

    def __init__(self, floating: Graph, quantized: Graph) -> None:
        self.floating, self.quantized = floating, quantized
        self.of: dict[str, str] = dict(zip(quantized.inputs, floating.inputs, strict=False))
        self.of |= dict(zip((s.read for s in quantized.states), (s.read for s in floating.states), strict=False))
        self.used: set[str] = set()
        self.quants: dict[str, Quant] = {}
        self.constants: dict[str, Reals] = {}
        self.kept: dict[str, Indices] = {}
        self.likenesses: list[float] = []

    def match(self) -> float:
        """Find every partner; gives the mean likeness of weights. ModelError where a node has none."""
        if len(self.quantized.inputs) != len(self.floating.inputs) or len(self.quantized.states) != len(self.floating.states):
            raise ModelError(f"{self.quantized.name!r} has other inputs or states than {self.floating.name!r}", hint=HINT)
        for node in self.quantized.nodes:
            self._match(node)
        missing = [node.name for node in self.floating.nodes if node.op.weight_inputs and node.name not in self.used]
        if missing:
            raise ModelError(f"{self.quantized.name!r} has no layer like {missing[0]!r} of {self.floating.name!r}", hint=HINT)
        for name, value in self.quantized.values.items():
            if value.quant is not None and name in self.of and name not in self.quantized.constants:
                self.quants.setdefault(self._behind_clamp(self.of[name]), value.quant)
        return float(np.mean(self.likenesses)) if self.likenesses else 1.0

    def pair(self) -> Pair:
        """What was found."""
        return Pair(self.floating, self.quantized, self.quants, self.constants)

    def _behind_clamp(self, name: str) -> str:
        """The value after a rectifier of the float network that the quantized one leaves to its grid."""
        reader = self.floating.sole_consumer(name)
        while reader is not None and reader.op.kind in CLAMPS and reader.name not in self.used:
            name = reader.outputs[0]
            reader = self.floating.sole_consumer(name)
        return name

    def _match(self, node: Node) -> None:
        data = [self.of[name] for name in node.inputs if name in self.of]
        if not data:
            return
        found = None if node.op.kind in GRIDS_ALONE else self._partner(node, data)
        if found is None:
            if node.op.kind in PASSED:
                self.of.update(dict.fromkeys(node.outputs, data[0]))
                return
            raise ModelError(f"{node.op.kind} {node.name!r} of the quantized network has no partner in {self.floating.name!r}", hint=HINT)
        self.used.add(found.name)
        self.of |= dict(zip(node.outputs, found.outputs, strict=False))
        self._take_constants(node, found)

    def _partner(self, node: Node, data: list[str]) -> Node | None:
        """Of the float nodes that read (perhaps through what is passed over) the same data, the one that ``node`` resembles most."""
        candidates = [other for other in self._readers(data[0]) if other.name not in self.used and self._alike(node, other)]
        if len(data) > 1:
            joined = [other for other in candidates if all(self._comes_from(other, name) for name in data[1:])]
            candidates = joined or candidates
        if not candidates or not node.op.weight_inputs:
            return candidates[0] if candidates else None
        return max(candidates, key=lambda other: self._likeness(node, other))

    def _readers(self, name: str) -> list[Node]:
        found: dict[str, Node] = {}
        pending = [name]
        while pending:
            for node in self.floating.consumers.get(pending.pop(), ()):
                if node.name not in found:
                    found[node.name] = node
                    pending += node.outputs if node.op.kind in PASSED else ()
        return [node for node in self.floating.nodes if node.name in found]

    def _comes_from(self, node: Node, name: str) -> bool:
        pending, seen = list(node.inputs), set[str]()
        while pending:
            current = pending.pop()
            if current == name:
                return True
            maker = self.floating.producers.get(current)
            if current not in seen and maker is not None and maker.op.kind in PASSED:
                pending += maker.inputs
            seen.add(current)
        return False

    def _alike(self, node: Node, other: Node) -> bool:
        if bool(node.op.weight_inputs) != bool(other.op.weight_inputs):
            return False
        if not node.op.weight_inputs:
            return node.op.kind == other.op.kind
        mine, theirs = (graph.value(which.inputs[1]) for graph, which in ((self.quantized, node), (self.floating, other)))
        if mine.elements == theirs.elements:
            return mine.shape[:1] == theirs.shape[:1]
        fewer = 0 < mine.sample_shape[0] <= theirs.sample_shape[0] and mine.rank == theirs.rank
        return fewer and mine.shape[1:-1] == theirs.shape[1:-1] and mine.shape[-1] == len(self._columns(other))

    def _columns(self, node: Node) -> Indices:
        """The indices along the last axis of the weight of float ``node`` that meet channels which the quantized network still has."""
        size = int(self.floating.value(node.inputs[1]).shape[-1] or 1)
        kept = self.kept.get(node.inputs[0])
        meets = size == self.floating.value(node.inputs[0]).shape[-1]
        return np.arange(size, dtype=np.int64) if kept is None or not meets else kept

    def _rows(self, node: Node, other: Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weights of both as rows, of the float ones only what meets channels that are left."""
        mine = self.quantized.array(node.inputs[1]).astype(np.float64)
        theirs = self.floating.array(other.inputs[1]).astype(np.float64)
        if mine.size != theirs.size:
            theirs = theirs[..., self._columns(other)]
        return mine.reshape(len(mine), -1), theirs.reshape(len(theirs), -1)

    def _likeness(self, node: Node, other: Node) -> float:
        """The mean over rows of the correlation of weights, which a factor for each row does not change."""
        mine, theirs = self._rows(node, other)
        if len(mine) != len(theirs):
            theirs = theirs[surviving_rows(mine, theirs)]
        sizes = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
        alive = sizes > 0
        return float(np.mean((mine * theirs).sum(1)[alive] / sizes[alive])) if alive.any() else 0.0

    def _take_constants(self, node: Node, found: Node) -> None:
        rows: Indices | None = None
        columns: Indices | None = None
        if found.op.weight_inputs:
            self.likenesses.append(self._likeness(node, found))
            mine, theirs = self._rows(node, found)
            columns = self._columns(found)
            if len(mine) < len(theirs):
                rows = surviving_rows(mine, theirs)
                self.kept[found.outputs[0]] = rows
        elif (kept := kept_behind(self.floating, found, self.kept)) is not None:
            self.kept[found.outputs[0]] = columns = kept
        self._copy(node, found, rows, columns)

    def _copy(self, node: Node, found: Node, rows: Indices | None, columns: Indices | None) -> None:
        operands = [name for name in node.inputs if self.quantized.is_constant(name)]
        theirs = [name for name in found.inputs if self.floating.is_constant(name)]
        for mine, other in zip(operands, theirs, strict=False):
            array, shape = self.quantized.array(mine), self.floating.array(other).shape
            quant = self.quantized.value(mine).quant
            real = np.asarray(array if quant is None else quant.to_real(quant.to_integer(array.astype(np.float32))), np.float32)
            whole = real.reshape(shape) if real.size == int(np.prod(shape)) else spread(real, shape, rows, columns)
            if whole is None or other in self.constants:
                continue
            self.constants[other] = whole
            if quant is not None:
                self.quants[other] = spread_quant(quant, rows, shape[0] if shape else 1)
        if len(theirs) > len(operands) and found.op.bias_input is not None:
            self.constants[theirs[-1]] = np.zeros(self.floating.array(theirs[-1]).shape, np.float32)
