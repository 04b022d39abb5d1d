"""The door between channels-first sources (torch, ONNX) and the channels-last Graph, shared by both frontends.

An activation of the source is a graph value plus a :class:`~edgewright.ir.layout.Layout`: what the source sees, and how the graph holds it.
Permutations, squeezes and reshapes of the source only change what is seen; a Transpose or Reshape node appears where an operator needs one.

Rules that a user meets: graph inputs and outputs of rank 3 and more are channels-last, (N, C, H, W) becomes (N, H, W, C) and (N, C, L)
becomes (N, L, C), unless the network itself starts by treating the input otherwise (an input that is permuted from NHWC first, or a
sequence (N, T, F) for a dense layer, is held as it is). The batch, axis 0, is symbolic unless the network mixes it into other axes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.audit import Finding, raise_unsupported
from edgewright.frontends.fuse import drop_unit_axes, fuse_activations, fuse_biases
from edgewright.ir.dtype import INDEX_QUANT, Quant
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Graph, Level, Node
from edgewright.ir.layout import Axes, BatchMixedError, Layout, flat, moves, shape_of
from edgewright.ir.layout_plan import channels_last
from edgewright.ir.operator import Operator
from edgewright.ir.verify import MAX_ELEMENTS, verify
from edgewright.numerics.scales import bias_quant
from edgewright.ops.reshape import Reshape
from edgewright.ops.transpose import Transpose

Array = NDArray[np.generic]

INCONSISTENT = "the model is inconsistent; check how it was exported"
"""The hint where sizes do not fit each other."""


@dataclass(frozen=True)
class Held:
    """An activation: the graph value that holds it, and how the source sees it."""

    name: str
    layout: Layout


@dataclass(frozen=True, eq=False)
class Known:
    """A constant in the source's axes: numbers (reals, or integers of shape computations), the name in the model, and its integer grid."""

    array: Array
    name: str = "constant"
    quant: Quant | None = None

    def transposed(self, permutation: Sequence[int]) -> Known:
        quant = self.quant
        if quant is not None and quant.axis is not None:
            quant = dataclasses.replace(quant, axis=tuple(permutation).index(quant.axis))
        return Known(self.array.transpose(permutation), self.name, quant)

    def without_first(self, index: int) -> Known:
        """``index`` of axis 0, which goes; in reals where scales run along that axis."""
        quant = self.quant
        if quant is not None and quant.axis is not None:
            quant = dataclasses.replace(quant, axis=quant.axis - 1) if quant.axis else None
        return Known(self.array[index], self.name, quant)

    def per_output(self) -> Known:
        """With one scale for each index of axis 0; UnsupportedError where scales run along another axis, or integers are not centred."""
        quant = self.quant
        if quant is None or quant.axis == 0:
            return self
        if quant.axis is not None and len(quant.scale) > 1:
            raise UnsupportedError(
                f"weight {self.name!r} has scales along its input axis", hint="quantize weights per output channel or per tensor"
            )
        if any(quant.zero_point):
            raise UnsupportedError(
                f"weight {self.name!r} is quantized asymmetrically", hint="quantize weights symmetrically (zero point 0, or 128 for uint8)"
            )
        count = int(self.array.shape[0])
        return Known(self.array, self.name, Quant(quant.dtype, quant.scale * count, quant.zero_point * count, 0))


Operand = Held | Known


class Door:
    """Builds a channels-last Graph from operators that think in the source's axes.

    ``orders``: name of an input or output → the seen axes in the order in which the graph holds them; without it see above.
    """

    def __init__(self, name: str, *, symbolic_batch: bool = True, orders: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self.builder = GraphBuilder(name)
        self.symbolic_batch = symbolic_batch
        self.where = ""
        self.made: dict[str, tuple[Operator, tuple[str, ...]]] = {}
        self.quants: dict[str, Quant] = {}
        self.numbers: dict[str, Array] = {}
        self.waiting: dict[str, tuple[str, str, str]] = {}
        self.whole: set[str] = set()
        """Inputs that hold integers in the source."""
        self.masks: set[str] = set()
        """Values of 0 and 1 alone, made of such inputs."""
        self.positive: set[str] = set()
        """Values that are clipped to numbers above 0."""
        self.expanded: dict[str, Held] = {}
        """What was repeated along axes of size 1 → what it was before, with as many axes."""
        self.transposes = 0
        self.wishes: dict[str, tuple[int, ...]] = {}
        self._orders = dict(orders or {})
        self._inputs: dict[str, Layout] = {}
        self._uses: dict[str, int] = {}
        self._constants: dict[tuple[int, tuple[int, ...]], str] = {}
        self._kept_alive: list[Array] = []

    def input(self, name: str, shape: Sequence[int], *, whole: bool = False) -> Held:
        """A float32 graph input of seen ``shape``, integers in the source where ``whole``; ModelError for a shape that no network has."""
        if any(size < 1 for size in shape) or int(np.prod(shape, dtype=object)) > MAX_ELEMENTS:
            raise ModelError(f"input {name!r} has shape {list(shape)}", hint="export the model with the shape of its real inputs")
        order = self._orders.get(name, ())
        order = order if len(order) == len(shape) else channels_last(len(shape))
        layout = Layout.fresh(shape, batch=self.symbolic_batch and len(shape) > 0, order=order)
        self._inputs[name] = layout
        if whole:
            self.whole.add(name)
        return Held(self.builder.input(name, shape_of(layout.held)), layout)

    def emit(self, op: Operator, inputs: Sequence[str], quants: Sequence[Quant | None] = (), *, name: str = "") -> str:
        """Append a node, called after where we are unless ``name`` is given; the name of its output."""
        name = self.builder.node(op, inputs, name=self._numbered(name or self.where))
        self.made[name] = (op, tuple(inputs))
        for quant in quants:
            if quant is not None:
                self.quants[name] = quant
        return name

    def pending(self, kind: str, name: str) -> str:
        """A stand-in for a function of value ``name`` that no operator computes: fine as long as an idiom takes it up before the end."""
        stand_in = self.builder.input(self.builder.fresh(kind), self.builder.value(name).shape)
        self.waiting[stand_in] = (kind, name, self.where)
        return stand_in

    def expression(self, name: str) -> tuple[Operator, tuple[str, ...]] | None:
        """The operator and inputs behind value ``name``, or None where there is none or the value is rounded to integers."""
        return None if name in self.quants else self.made.get(name)

    def constant(self, known: Known, array: Array | None = None, key: tuple[int, ...] = ()) -> str:
        """The graph constant for ``known``, or for ``array``, a float form of it that ``key`` tells from other forms; made once each."""
        numbers = np.asarray(known.array if array is None else array)
        if numbers.dtype.kind not in "fiub":
            raise UnsupportedError(f"constant {known.name!r} holds {numbers.dtype}", hint="only real numbers can be computed with")
        identity = (id(known.array), (*key, -1, *numbers.shape))
        if identity not in self._constants:
            self._kept_alive.append(known.array)
            reals = np.ascontiguousarray(numbers, dtype=np.float32).reshape(numbers.shape)
            name = self.builder.constant(self._numbered(known.name), reals)
            self.numbers[name] = reals
            if known.quant is not None:
                self.quants[name] = known.quant
            self._constants[identity] = name
        return self._constants[identity]

    def _numbered(self, stem: str) -> str:
        """``stem``, with a number from its second use on: looking for a free name takes long where thousands want the same."""
        uses = self._uses[stem] = self._uses.get(stem, -1) + 1
        return f"{stem}_{uses}" if uses else stem

    def bring(self, x: Held, wanted: Axes) -> Held:
        """``x`` held in ``wanted`` axes: by nothing, a Reshape, a Transpose, or both."""
        name = x.name
        for move in moves(x.layout.held, wanted):
            if move.permutation:
                self.transposes += 1
                self._wish(wanted)
            op: Operator = Transpose(move.permutation) if move.permutation else Reshape(move.shape)
            name = self.emit(op, [name], [self.quants.get(name)], name=f"{x.name}.{op.kind.lower()}")
        return Held(name, Layout(x.layout.seen, wanted))

    def _wish(self, wanted: Axes) -> None:
        """Note in which order an input had better been held, had it been known that ``wanted`` would be asked for."""
        place = {atom: index for index, atom in enumerate(flat(wanted))}
        for name, layout in self._inputs.items():
            if name in self.wishes or any(atom not in place for atom in flat(layout.seen)):
                continue
            units = [axis for axis, group in enumerate(layout.seen) if not group]
            order = []
            for group in wanted if len(wanted) == layout.rank else tuple(group for group in wanted if group):
                if group:
                    order += [axis for axis, own in enumerate(layout.seen) if own and own[0] in group]
                elif units:
                    order.append(units.pop(0))
            order += [axis for axis in range(layout.rank) if axis not in order]
            self.wishes[name] = (0, *(axis for axis in order if axis))

    def finish(self, outputs: Sequence[tuple[str, Operand]]) -> Graph:
        """The verified graph. ``outputs``: the source's names, and what they are. Level quantized where any value has an integer grid."""
        names = []
        for wanted, operand in outputs:
            if isinstance(operand, Known):
                raise UnsupportedError(f"output {wanted!r} does not depend on any input", hint="leave it out of the exported model")
            names.append(self.bring(operand, outward(operand.layout, self._orders.get(wanted, ()))).name)
        graph = self.builder.finish(names)
        alone = [self.waiting[name] for name in graph.inputs if name in self.waiting and (name in graph.consumers or name in graph.outputs)]
        raise_unsupported(
            [
                Finding(kind, where, "it stands outside of a formula that is known",
                        "GELU is known, and a square root that divides; replace the function before export")
                for kind, _, where in alone
            ]
        )
        graph = rebuild(graph, inputs=[name for name in graph.inputs if name not in self.waiting])
        return verify(
            _rename_outputs(fuse_activations(fuse_biases(drop_unit_axes(self._with_quants(graph)))), [name for name, _ in outputs])
        )

    def _with_quants(self, graph: Graph) -> Graph:
        """Enter the quantizations."""
        quants = {name: quant for name, quant in self.quants.items() if name in graph.values}
        for node in graph.nodes:
            quants |= _recurrent_biases(graph, node, quants)
        level = Level.QUANTIZED if quants else Level.FLOAT
        quants |= dict.fromkeys(graph.indices if quants else (), INDEX_QUANT)
        return rebuild(graph, level=level, values=[dataclasses.replace(graph.value(name), quant=quant) for name, quant in quants.items()])


def _recurrent_biases(graph: Graph, node: Node, quants: Mapping[str, Quant]) -> dict[str, Quant]:
    """The grids of a quantized recurrent layer's biases: a file joins them and loses theirs, which follow from what they are added to."""
    found: dict[str, Quant] = {}
    for index in node.op.weight_inputs if len(node.op.weight_inputs) > 1 else ():
        side, place = node.op.multiplicand(index)
        source, weight = quants.get((node.inputs if side == "in" else node.outputs)[place]), quants.get(node.inputs[index])
        bias = node.op.bias_of(index)
        if bias is not None and source is not None and weight is not None and node.inputs[bias] not in quants:
            found[node.inputs[bias]] = bias_quant(weight, source.scale[0])
    return found


def _rename_outputs(graph: Graph, wanted: Sequence[str]) -> Graph:
    """Give outputs the names that the source gives them, where no input has that name and no output stands twice."""
    if len(set(wanted)) != len(wanted):
        return graph
    rename: dict[str, str] = {}
    for old, new in zip(graph.outputs, wanted, strict=True):
        if old != new and old not in graph.inputs and old not in rename and new not in graph.inputs:
            rename[old] = new
    taken = set(graph.values)
    for new in list(rename.values()):
        if new in graph.values and new not in rename:
            number = 1
            while f"{new}_{number}" in taken:
                number += 1
            rename[new] = f"{new}_{number}"
            taken.add(rename[new])
    if not rename:
        return graph

    def to(name: str) -> str:
        return rename.get(name, name)

    return Graph(
        graph.name,
        graph.level,
        graph.inputs,
        tuple(to(name) for name in graph.outputs),
        tuple(Node(node.name, node.op, tuple(map(to, node.inputs)), tuple(map(to, node.outputs))) for node in graph.nodes),
        {to(name): dataclasses.replace(value, name=to(name)) for name, value in graph.values.items()},
        {to(name): constant for name, constant in graph.constants.items()},
        graph.states,
    )


def convert(read: Callable[[bool, Mapping[str, tuple[int, ...]]], tuple[Door, Sequence[tuple[str, Operand]]]]) -> Graph:
    """Run a frontend's ``read(symbolic_batch, orders)`` until the door stands right, and finish the graph.

    The batch is symbolic unless that fails; inputs are held channels-last unless another order needs fewer transposes.
    """
    symbolic = True
    try:
        door, outputs = read(symbolic, {})
        graph = door.finish(outputs)
    except BatchMixedError:
        symbolic = False
        door, outputs = read(symbolic, {})
        graph = door.finish(outputs)
    if door.transposes and door.wishes:
        other, others = read(symbolic, door.wishes)
        turned = other.finish(others)
        if _transposes(turned) < _transposes(graph):
            return turned
    return graph


def _transposes(graph: Graph) -> int:
    return sum(isinstance(node.op, Transpose) for node in graph.nodes)


def outward(layout: Layout, order: Sequence[int] = ()) -> Axes:
    """How a graph output is held: in the given ``order`` of seen axes; without one as the source sees it or channels-last, whichever it
    already is up to axes of size 1, else as seen."""
    seen = layout.seen
    if len(order) == layout.rank > 0:
        return tuple(seen[axis] for axis in order)
    last = tuple(seen[axis] for axis in channels_last(layout.rank))
    for candidate in (last, seen):
        if layout.held == candidate:
            return candidate
    for candidate in (last, seen):
        if flat(layout.held) == flat(candidate):
            return candidate
    return seen


def as_reals(known: Known) -> NDArray[np.float32]:
    """The numbers of a constant as float32."""
    return np.asarray(known.array, dtype=np.float32)
