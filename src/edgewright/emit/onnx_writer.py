"""Collects an ONNX graph: tensors held channels-first while the Graph sees them channels-last, quantization, constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewright.errors import UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Graph, Level, Node, Value
from edgewright.ir.layout import Axes, Layout, flat, moves, shape_of
from edgewright.ir.layout_plan import channels_first, rearranged
from edgewright.ops.levels import group_factors

Array = NDArray[np.generic]
BASE_OPSET, WIDE_OPSET, AXES_OPSET = 17, 21, 18
"""WIDE_OPSET brings int4 and int16 to QuantizeLinear; files that need neither stay with the opset that every runtime reads.
AXES_OPSET is the first in which ReduceMean takes its axes as an input."""
BATCH = "batch"
NARROW = {DType.INT2: TensorProto.INT4, DType.INT3: TensorProto.INT4, DType.INT4: TensorProto.INT4}
TYPES = {**NARROW, DType.INT8: TensorProto.INT8, DType.INT16: TensorProto.INT16, DType.INT32: TensorProto.INT32}
"""ONNX has no integers narrower than int4 up to opset 24: those are written as int4, the same numbers."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file that holds a value of the graph: its name, and how the graph's axes lie in it."""

    name: str
    layout: Layout


class Writer:
    """Nodes and initializers so far. ``unsigned``: activations of 8 bits are uint8, their zero points higher by 128.

    ``orders``: graph input of rank 3 → the order of its axes in the file; without it they stand as in the graph.
    """

    def __init__(self, graph: Graph, *, unsigned: bool, orders: Mapping[str, tuple[int, ...]]) -> None:
        self.graph = graph
        self.unsigned = unsigned
        self.opset = WIDE_OPSET if any(map(_is_unusual, graph.values.values())) else BASE_OPSET
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.tensors: dict[str, Tensor] = {}
        self.wishes: dict[str, tuple[int, ...]] = {}
        self.transposes = 0
        self.where = ""
        self._orders = orders
        self._inputs: dict[str, Layout] = {}
        self._grids: dict[str, Quant] = {}
        self._taken: set[str] = {*graph.inputs, *graph.outputs}
        self._moved: dict[tuple[str, Axes], str] = {}
        self._constants: dict[tuple[object, ...], str] = {}

    def fresh(self, stem: str) -> str:
        """A tensor name that is not taken yet."""
        name, number = stem, 1
        while name in self._taken:
            name, number = f"{stem}_{number}", number + 1
        self._taken.add(name)
        return name

    def node(self, op: str, inputs: Sequence[str], *, output: str = "", **attributes: Any) -> str:
        """Append a node named after where we are; the name of its output."""
        names = self.nodes_of(op, inputs, 1, output=output, **attributes)
        return names[0]

    def nodes_of(self, op: str, inputs: Sequence[str], count: int, *, output: str = "", **attributes: Any) -> list[str]:
        """Append a node with ``count`` outputs."""
        outputs = [output] if output else [self.fresh(f"{self.where}/{op}") for _ in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=f"{self.where}/{op}_{len(self.nodes)}", **attributes))
        return outputs

    def rename(self, names: Mapping[str, str]) -> None:
        """Give tensors that nodes compute other names."""
        for node in self.nodes:
            for field in (node.input, node.output):
                for index, name in enumerate(field):
                    if name in names:
                        field[index] = names[name]

    def input(self, value: Value) -> Layout:
        """Declare a graph input or state; how it is held: (N, C, H, W) for four axes."""
        rank = value.rank
        order = (0, 3, 1, 2) if rank == 4 else self._orders.get(value.name, tuple(range(rank)))
        layout = layout_of(value, order)
        self._inputs[value.name] = layout
        self.define(value, Tensor(value.name, layout))
        return layout

    def edge_type(self, value: Value) -> int:
        """The element type, as ONNX numbers them, of ``value`` where it enters or leaves the file."""
        return TensorProto.INT64 if value.name in self.graph.indices else TensorProto.FLOAT

    def edge_axes(self, layout: Layout) -> Axes:
        """The axes in which a value leaves the file: channels first for four, and for three that are held so."""
        planes = tuple(layout.seen[axis] for axis in channels_first(layout.rank))
        return planes if layout.rank == 4 or (layout.rank == 3 and layout.held == planes) else layout.seen

    def edge_array(self, value: Value, array: Array) -> Array:
        """Numbers of ``value`` as they enter the file, in the graph's axes."""
        if value.quant is None:
            return array.astype(np.float32)
        return value.quant.to_real(self.steps_of(value.name, array, value.quant))

    def leave(self, name: str, wanted: Axes) -> str:
        """The tensor with value ``name`` as it leaves the file."""
        return self.fetch(name, wanted)

    def define(self, value: Value, raw: Tensor) -> None:
        """``value`` is what ``raw`` computes, rounded to its grid where it has one."""
        on_grid = value.quant is None or value.name in self.graph.indices or self._grids.get(raw.name) == value.quant
        name = raw.name if on_grid or value.quant is None else self.rounded(raw.name, value.quant, value.name)
        self.tensors[value.name] = Tensor(name, raw.layout)

    def rounded(self, name: str, quant: Quant, stem: str) -> str:
        """QuantizeLinear and DequantizeLinear behind tensor ``name``."""
        scale, zero_point = self.grid(quant)
        steps = self.node("QuantizeLinear", [name, scale, zero_point], output=self.fresh(f"{stem}/quantized"))
        result = self.node("DequantizeLinear", [steps, scale, zero_point], output=self.fresh(f"{stem}/dequantized"))
        self._grids[result] = quant
        return result

    def grid(self, quant: Quant) -> tuple[str, str]:
        """Initializers for scale and zero point of an activation."""
        shift, dtype = self.integer_type(quant.dtype)
        scale = self.constant("scale", np.asarray(quant.scale[0], np.float32))
        return scale, self.constant("zero_point", np.asarray(quant.zero_point[0] + shift, dtype))

    def integer_type(self, dtype: DType) -> tuple[int, np.dtype[np.generic]]:
        """How far activations of ``dtype`` are moved in the file, and the type that they have there."""
        if dtype is DType.INT16:
            self.opset = WIDE_OPSET
        elif dtype is not DType.INT8:
            raise UnsupportedError(f"activations of type {dtype.value} in ONNX", hint="ONNX takes int8, uint8 and int16 activations")
        return (128, np.dtype(np.uint8)) if self.unsigned and dtype is DType.INT8 else (0, dtype.numpy)

    def fetch(self, name: str, wanted: Axes) -> str:
        """The tensor that holds value ``name`` in ``wanted`` axes (of the layout that :meth:`layout` tells)."""
        return self.bring(self.tensor(name), wanted, None if name in self.graph.indices else self.graph.value(name).quant, name)

    def tensor(self, name: str) -> Tensor:
        """The tensor that holds value ``name``; a constant is made one, held as it is seen."""
        if name not in self.tensors and self.graph.is_constant(name):
            layout = self.layout(name)
            self.tensors[name] = Tensor(self.operand(name, layout, layout.seen), layout)
        return self.tensors[name]

    def fuse(self, names: Sequence[str]) -> None:
        """Hold values as they are seen, one atom an axis: what they are then combined with need not be split as they were."""
        for name in names:
            if not self.graph.is_constant(name):
                layout = self.layout(name)
                self.tensors[name] = Tensor(self.fetch(name, layout.seen), layout.fused(layout.shape))

    def bring(self, tensor: Tensor, wanted: Axes, quant: Quant | None, stem: str) -> str:
        """``tensor`` in other axes: by nothing, Reshape, Transpose, or both."""
        key = (tensor.name, wanted)
        if key in self._moved:
            return self._moved[key]
        name = tensor.name
        for move in moves(tensor.layout.held, wanted):
            if move.permutation:
                self.transposes += 1
                self._wish(wanted)
                name = self.node("Transpose", [name], output=self.fresh(f"{stem}/transposed"), perm=list(move.permutation))
            else:
                shape = self.constant("shape", np.asarray([0 if size is None else size for size in move.shape], np.int64))
                name = self.node("Reshape", [name, shape], output=self.fresh(f"{stem}/reshaped"))
            name = name if quant is None else self.rounded(name, quant, stem)
        self._moved[key] = name
        return name

    def _wish(self, wanted: Axes) -> None:
        """Note in which order an input of rank 3 had better been held."""
        place = {atom: index for index, atom in enumerate(flat(wanted))}
        for name, layout in self._inputs.items():
            if layout.rank == 3 and name not in self.wishes and all(atom in place for atom in flat(layout.seen)):
                order = sorted((1, 2), key=lambda axis: place[layout.seen[axis][0]] if layout.seen[axis] else axis)
                self.wishes[name] = (0, *order)

    def layout(self, name: str) -> Layout:
        """How value ``name`` is held; constants are held as they are seen."""
        if self.graph.is_constant(name):
            return Layout.fresh([int(size or 1) for size in self.graph.value(name).shape], batch=False)
        return self.tensors[name].layout

    def steps_of(self, name: str, array: Array, quant: Quant) -> Array:
        """The integers of constant ``name``, whose numbers are ``array`` in some order of axes that ``quant`` follows."""
        return array if self.graph.level is Level.INTEGER else quant.to_integer(np.asarray(array, np.float32))

    def weight(self, name: str, permutation: Sequence[int], form: Array | None = None, *, units: int = 0, rows: Sequence[int] = ()) -> str:
        """A constant with its axes permuted, then ``units`` axes of size 1: integers with a DequantizeLinear, half precision with a Cast.

        ``form``: its numbers in another order, in its own axes. ``rows``: the order of equal blocks along axis 0, with their scales.
        """
        value = self.graph.value(name)
        array = np.asarray(self.graph.array(name) if form is None else form).transpose(permutation)
        places = np.arange(len(array)).reshape(len(rows), -1)[list(rows)].reshape(-1) if rows else np.arange(len(array))
        array = array[places] if rows else array
        array = array.reshape(array.shape + (1,) * units)
        key = ("weight", name, array.shape, array.tobytes())
        structure = self.graph.constants[name].structure
        group = None if structure is None or form is not None or rows else structure.group
        if key not in self._constants and group is not None and value.quant is not None:
            self._constants[key] = self._blocks(name, array, value.quant, group, permutation)
        if key not in self._constants:
            quant = None if value.quant is None else _permuted(value.quant, permutation)
            if rows and quant is not None and quant.axis == 0:
                quant = Quant.per_axis(np.asarray(quant.scale, np.float32)[places], 0, quant.dtype)
            self._constants[key] = (
                self._floats(name, array) if quant is None else self._dequantized(name, self.steps_of(name, array, quant), quant)
            )
        return self._constants[key]

    def operand(self, name: str, layout: Layout, wanted: Axes) -> str:
        """A constant that stands where an activation could, in ``wanted`` axes."""
        quant = self.graph.value(name).quant
        array = rearranged(
            np.asarray(self.graph.array(name)).reshape([int(size or 1) for size in shape_of(layout.held)]), layout.held, wanted
        )
        key = ("operand", name, array.shape, array.tobytes())
        if key not in self._constants:
            if quant is None:
                self._constants[key] = self._floats(name, array)
            elif quant.axis is not None:
                raise UnsupportedError(
                    f"constant {name!r} is quantized per channel", hint="quantize constants that are added or multiplied per tensor"
                )
            else:
                shift, dtype = self.integer_type(quant.dtype)
                steps = self.constant(name, (self.steps_of(name, array, quant).astype(np.int32) + shift).astype(dtype))
                self._constants[key] = self.node("DequantizeLinear", [steps, *self.grid(quant)], output=self.fresh(f"{name}/dequantized"))
        return self._constants[key]

    def _floats(self, name: str, array: Array) -> str:
        """Reals: as float32, or as float16 with a Cast behind them."""
        if self.graph.value(name).dtype is not DType.FLOAT16:
            return self.constant(name, array.astype(np.float32))
        return self.node(
            "Cast", [self.constant(name, array.astype(np.float16))], output=self.fresh(f"{name}/float32"), to=TensorProto.FLOAT
        )

    def _dequantized(self, name: str, integers: Array, quant: Quant) -> str:
        """Weights or a bias: integers as they are, zero point 0."""
        if any(quant.zero_point):
            raise UnsupportedError(f"weight {name!r} has zero points other than 0", hint="weights are quantized symmetrically")
        scales = np.asarray(quant.scale, np.float32)
        scale = self.constant(f"{name}/scale", scales if quant.axis is not None else scales[0])
        steps = self.integers(name, integers, quant.dtype)
        zeros = self.integers(f"{name}/zero_point", np.zeros(scales.shape if quant.axis is not None else (), np.int32), quant.dtype)
        attributes = {} if quant.axis is None else {"axis": quant.axis}
        return self.node("DequantizeLinear", [steps, scale, zeros], output=self.fresh(f"{name}/dequantized"), **attributes)

    def _blocks(self, name: str, array: Array, quant: Quant, size: int, permutation: Sequence[int]) -> str:
        """Weights of four bits, a scale for each ``size`` neighbours along the graph's last axis: a blocked DequantizeLinear (opset 21)."""
        order, axis = _permuted(quant, permutation), list(permutation).index(len(permutation) - 1)
        integers = np.moveaxis(self.steps_of(name, array, order), axis, -1).astype(np.int64)
        factors = group_factors(integers, size)
        steps = np.moveaxis(integers // factors, -1, axis)
        scales = np.moveaxis(factors[..., ::size], -1, axis) * order.scales(array.ndim)
        scale = self.constant(f"{name}/scale", scales.astype(np.float32))
        zeros = self.integers(f"{name}/zero_point", np.zeros(scales.shape, np.int32), DType.INT4)
        inputs = [self.integers(name, steps, DType.INT4), scale, zeros]
        return self.node("DequantizeLinear", inputs, output=self.fresh(f"{name}/dequantized"), axis=axis, block_size=size)

    def integers(self, name: str, array: Array, dtype: DType) -> str:
        """An initializer of integers, packed where they have 4 bits."""
        if dtype.bits < 8 or dtype is DType.INT16:
            self.opset = WIDE_OPSET
        if dtype.bits >= 8:
            return self.constant(name, array.astype(dtype.numpy))
        key = (name, array.tobytes(), "int4")
        if key not in self._constants:
            fresh = self.fresh(name)
            self.initializers.append(helper.make_tensor(fresh, TensorProto.INT4, list(array.shape), array.reshape(-1).tolist()))
            self._constants[key] = fresh
        return self._constants[key]

    def number(self, value: float) -> str:
        """An initializer of one number."""
        return self.constant("number", np.asarray(value, np.float32))

    def constant(self, name: str, array: Array) -> str:
        """An initializer; equal numbers under equal names are written once."""
        key = (name, array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            fresh = self.fresh(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), fresh))
            self._constants[key] = fresh
        return self._constants[key]


def _is_unusual(value: Value) -> bool:
    return value.quant is not None and (value.quant.dtype.bits < 8 or value.quant.dtype is DType.INT16)


Emit = Callable[[Writer, Node], Tensor]
"""Writes a node; the tensor of its output, before it is rounded."""


def layout_of(value: Value, order: Sequence[int]) -> Layout:
    """The layout of a graph value held in the order ``order`` of its axes."""
    symbolic = value.shape[:1] == (None,)
    return Layout.fresh([1 if size is None else size for size in value.shape], batch=symbolic, order=order)


def _permuted(quant: Quant, permutation: Sequence[int]) -> Quant:
    """``quant`` of a constant whose axes were permuted."""
    return quant if quant.axis is None else Quant(quant.dtype, quant.scale, quant.zero_point, list(permutation).index(quant.axis))
