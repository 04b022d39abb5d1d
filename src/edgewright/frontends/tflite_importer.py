"""What every .tflite operator's importer works with: tensors by index on one side, a graph that grows on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.frontends.audit import Finding, raise_unsupported
from edgewright.frontends.tflite_file import Operation, Subgraph, TensorRecord, damaged
from edgewright.frontends.tflite_names import Names
from edgewright.frontends.tflite_quants import along, product_quant, stored_structure
from edgewright.ir.dtype import INDEX_QUANT, DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level, Shape, Value
from edgewright.ir.layout import BatchMixedError
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify

_DTYPES = {"FLOAT32": DType.FLOAT32, "INT8": DType.INT8, "UINT8": DType.INT8, "INT4": DType.INT4, "INT16": DType.INT16,
           "INT32": DType.INT32}
_ARITHMETIC = ("FLOAT32", "INT8", "UINT8", "INT16")
"""Types of tensors that a network computes on; the others carry shapes, indices and handles."""
_EDGES = ("QUANTIZE", "DEQUANTIZE", "CUSTOM TFLM_DECODE")
"""What may read, or make, numbers that an integer network does not compute on."""
REPLACE = "replace it in the network, or cut the network before it"

Arrange = Callable[[NDArray[Any]], NDArray[Any]]


class InexpressibleError(Exception):
    """An operator's importer cannot express it; becomes a Finding."""

    def __init__(self, problem: str, hint: str = REPLACE) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True, eq=False)
class Folded:
    """Numbers that are known although an operator computes them; floats may be on the grid ``quant``. ``sparse``, ``table``: stored so."""

    array: NDArray[Any]
    quant: Quant | None = None
    sparse: bool = False
    table: bool = False


_PLAIN = Folded(np.zeros(0))
Importing = Callable[["Importer", Operation], None]
Folding = Callable[["Importer", Operation, list[NDArray[Any]]], Sequence[NDArray[Any]] | None]


class Importer:
    """One reading of a subgraph, with the batch symbolic or as declared.

    ``values`` maps tensors to the names of the graph's values, ``folded`` those that are known numbers. ``room_bytes`` bounds what
    constants may take in memory: shared buffers let a small file ask for a lot.
    """

    def __init__(self, subgraphs: Sequence[Subgraph], name: str, level: Level, symbolic: bool, room_bytes: int) -> None:
        self.subgraphs = subgraphs
        self.main = subgraphs[0]
        self.level = level
        self.symbolic = symbolic
        self.builder = GraphBuilder(name, level)
        self.names = Names([record.name for record in self.main.tensors])
        self.values: dict[int, str] = {}
        self.folded: dict[int, Folded] = {}
        self.handles: dict[int, str] = {}
        self.findings: list[Finding] = []
        self._constants: dict[tuple[int, str], str] = {}
        self._named: set[int] = set()
        self._room = room_bytes
        self.batch = next((size for index in self.main.inputs[:1] for size in self.main.tensors[index].shape[:1]), 1)

    def run(self, operators: Mapping[str, Importing], folds: Mapping[str, Folding], hints: Mapping[str, str],
            finish: Callable[[Importer, list[str]], Graph]) -> Graph:
        """The graph, which ``finish`` makes of the builder and the outputs' names. ``hints`` tells what to do about unknown operators.

        UnsupportedError lists everything that cannot be expressed, ModelError says what is broken.
        """
        self._declare_inputs()
        for operation in self.main.operations:
            self._check_order(operation)
            try:
                if not self._fold(operation, folds):
                    self._check_types(operation)
                    if operation.kind not in operators:
                        raise InexpressibleError("this operator is not known here", hints.get(operation.kind, REPLACE))
                    operators[operation.kind](self, operation)
            except InexpressibleError as problem:
                self._find(operation, problem)
        raise_unsupported(self.findings, f"{self.builder.name!r}")
        outputs = [self._output(index) for index in self.main.outputs]
        if not outputs:
            raise damaged("the network has no outputs")
        return verify(finish(self, outputs))

    # --- what the file says -------------------------------------------------------------------------------------------------------

    def record(self, operation: Operation, position: int) -> TensorRecord:
        """The tensor at input ``position``; ModelError where the operator lacks it."""
        if not self.present(operation, position):
            raise operation.broken(f"lacks its input {position}")
        return self.main.tensors[operation.inputs[position]]

    def output_record(self, operation: Operation, position: int = 0) -> TensorRecord:
        if not 0 <= position < len(operation.outputs) or operation.outputs[position] < 0:
            raise operation.broken(f"lacks its output {position}")
        return self.main.tensors[operation.outputs[position]]

    def present(self, operation: Operation, position: int) -> bool:
        return position < len(operation.inputs) and operation.inputs[position] >= 0

    def dtype(self, record: TensorRecord) -> DType:
        if record.type not in _DTYPES:
            raise InexpressibleError(f"tensor {record.name!r} has type {record.type}", "convert the network in float32, int8 or int16")
        return _DTYPES[record.type]

    def quant(self, record: TensorRecord, axis: int | None = None) -> Quant | None:
        """The tensor's quantization, None where it has none. Per-channel scales run along ``axis`` of our layout; activations have one."""
        if record.exotic:
            raise InexpressibleError(f"tensor {record.name!r} has {record.exotic}",
                                     "export the network with plain per-channel quantization")
        count = len(record.scale)
        if count == 0 or record.type not in _DTYPES or record.type == "FLOAT32":
            return None
        self.charge(record.scale.nbytes)
        if count > 1 and axis is None:
            raise InexpressibleError(f"tensor {record.name!r} has {count} scales", "activations need one scale for the whole tensor")
        zero_point = record.zero_point - 128 if record.type == "UINT8" else record.zero_point
        try:
            return Quant(self.dtype(record), tuple(record.scale.tolist()), tuple(zero_point.tolist()), axis if count > 1 else None)
        except ModelError as error:
            raise damaged(f"tensor {record.name!r}: {error.message}") from error

    def constant_array(self, operation: Operation, position: int) -> NDArray[Any]:
        """The numbers of an input that must be known now: a shape, axes, paddings."""
        array = self.known(operation.inputs[position]) if self.present(operation, position) else None
        if array is None:
            raise InexpressibleError(f"its input {self.record(operation, position).name!r} is computed at run time",
                                     "shapes, axes and paddings must be constants: fix the input shape and export again")
        return array

    def constant_ints(self, operation: Operation, position: int) -> tuple[int, ...]:
        """The same as a flat tuple of integers."""
        array = self.constant_array(operation, position)
        if array.dtype.kind not in "iu":
            raise operation.broken(f"has {array.dtype} numbers where integers belong")
        return tuple(int(item) for item in array.reshape(-1))

    def known(self, index: int) -> NDArray[Any] | None:
        """The numbers of tensor ``index`` where they are known already, as the file stores them."""
        if index in self.folded:
            return self.folded[index].array
        record = self.main.tensors[index]
        return record.array() if record.data is not None and index not in self.main.inputs else None

    # --- what the graph gets ------------------------------------------------------------------------------------------------------

    def value(self, name: str) -> Value:
        return self.builder.value(name)

    def operand(self, operation: Operation, position: int) -> str:
        """The value at input ``position``, an activation or a constant that stands where one could."""
        record = self.record(operation, position)
        if record.index not in self.values:
            self.values[record.index] = self.constant(record, "operand", None)
        return self.values[record.index]

    def weight(self, operation: Operation, position: int, axis: int, arrange: Arrange | None = None) -> str:
        """A constant weight, its output channel moved from ``axis`` to axis 0 by ``arrange``."""
        record = self.record(operation, position)
        if self.known(record.index) is None:
            raise InexpressibleError(f"its weight {record.name!r} is computed at run time", "only constant weights can be read")
        count, shape = len(record.scale), list(record.shape)
        if count > 1 and not 0 <= record.axis < len(shape):
            raise damaged(f"weight {record.name!r} is quantized along axis {record.axis} of shape {shape}")
        if count > 1 and count != shape[axis]:
            raise damaged(f"weight {record.name!r} of shape {shape} has {count} scales, expected {shape[axis]}")
        known = self.folded.get(record.index)
        if known is not None and known.quant is not None and known.quant.axis not in (None, axis):
            self.folded[record.index] = Folded(known.array, sparse=known.sparse)
        name = self.constant(record, f"weight {axis}", 0, arrange)
        if self.level is Level.INTEGER and np.any(record.zero_point):
            raise InexpressibleError("asymmetric weights", "quantize the network again: the specification has weights with zero point 0")
        return name

    def bias(self, operation: Operation, position: int, x: str, weight: str) -> tuple[str, ...]:
        """The constant bias at ``position`` as a tuple of one name; empty where there is none.

        Its scale is that of ``x`` times that of ``weight``, where the file tells none.
        """
        if not self.present(operation, position):
            return ()
        record = self.record(operation, position)
        if self.known(record.index) is None:
            raise InexpressibleError(f"its bias {record.name!r} is computed at run time", "only constant biases can be read")
        wide = self.value(x).dtype is DType.INT16
        expected = "INT64" if wide else "INT32" if self.level is Level.INTEGER else "FLOAT32"
        if record.type != expected:
            raise InexpressibleError(f"its bias {record.name!r} has type {record.type}, expected {expected}",
                                     "convert the network with int8 activations, with int16 ones and biases of 64 bits, or in float32")
        if any(record.zero_point):
            raise damaged(f"bias {record.name!r} has a zero point that is not 0")
        if len(record.scale) > 1 and (len(record.shape) != 1 or len(record.scale) != record.shape[0]):
            raise damaged(f"bias {record.name!r} of shape {list(record.shape)} has {len(record.scale)} scales")
        quant = product_quant(self.value(x).quant, self.value(weight).quant)
        return (self.constant(record, "bias", 0, lambda array: array.reshape(-1), quant),)

    def constant(self, record: TensorRecord, role: str, axis: int | None, arrange: Arrange | None = None,
                 default: Quant | None = None) -> str:
        """A constant tensor as a value: its numbers after ``arrange``, per-channel scales along ``axis`` of what that gives.

        There is one value for each ``role``; ``default`` is the quantization where the file tells none.
        """
        key = (record.index, role)
        if key not in self._constants:
            known = self.folded.get(record.index)
            array, quant = (known.array, along(known.quant, axis)) if known is not None else (record.array(), self.quant(record, axis))
            if record.type == "UINT8":
                array = (array.astype(np.int16) - 128).astype(np.int8)
            if record.type == "INT64" and self.level is Level.INTEGER:
                array = _of_32_bits(record, array)
            array, quant = np.ascontiguousarray(array if arrange is None else arrange(array)), quant or default
            if self.level is not Level.INTEGER:
                array, quant = self._real(array, quant)
            elif array.dtype.kind == "f" or quant is None:
                raise InexpressibleError(f"its constant {record.name!r} ({record.type}) is not quantized", "quantize the whole network")
            self.charge(array.nbytes)
            dtype = quant.dtype if quant is not None and self.level is Level.INTEGER else None
            name = self.names[record.index]
            name = self.names.unused(name) if record.index in self._named else name
            self._named.add(record.index)
            told = known or Folded(array, sparse=record.sparse, table=record.unpack is not None)
            structure = stored_structure(array, sparse=told.sparse, table=told.table)
            self._constants[key] = self.builder.constant(name, array, dtype=dtype, quant=quant, structure=structure)
        return self._constants[key]

    def number(self, operation: Operation, number: float | NDArray[Any]) -> str:
        """A float constant of our own making; float graphs only."""
        if self.level is Level.INTEGER:
            raise InexpressibleError("its int8 form cannot be expressed exactly", "replace it in the network before quantization")
        return self.builder.constant(self.derived(operation, "constant"), np.asarray(number, np.float32))

    def derived(self, operation: Operation, what: str) -> str:
        """A name that nothing has, after the operator's output."""
        return self.names.unused(f"{self.names[self.output_record(operation).index]}_{what}")

    def step(self, operation: Operation, op: Operator, inputs: Sequence[str]) -> str:
        """A value on the way to the operator's output, of the type and quantization of the first input."""
        like = self.value(inputs[0])
        name = self.derived(operation, op.kind.lower())
        return self.builder.node(op, inputs, name=name, outputs=(name,), dtype=like.dtype, quants=(like.quant,))

    def finish(self, operation: Operation, op: Operator, inputs: Sequence[str], position: int = 0) -> None:
        """The node that makes output ``position``; the shape it gives must be the one that the file declares."""
        record = self.output_record(operation, position)
        name, dtype, quant = self.names[record.index], self.dtype(record), self.quant(record)
        if dtype.is_integer:
            self._check_quant(record, quant, op, inputs)
        self.builder.node(op, inputs, name=name, outputs=(name,), dtype=dtype, quants=(quant,))
        self.alias(operation, name, position)

    def alias(self, operation: Operation, name: str, position: int = 0) -> None:
        """Output ``position`` is the existing value ``name``."""
        record = self.output_record(operation, position)
        self._check_shape(operation, record, self.value(name).shape)
        self.values[record.index] = name

    def require_same_quant(self, operation: Operation, *positions: int) -> None:
        """Integers pass through unchanged here, so that these inputs and all outputs must share scale and zero point."""
        wanted = self.quant(self.output_record(operation))
        others = [self.output_record(operation, position) for position in range(1, len(operation.outputs))]
        for record in (*(self.record(operation, position) for position in positions), *others):
            if self.quant(record) != wanted:
                raise InexpressibleError(f"{record.name!r} and output differ in scale or zero point, which no kernel rescales here",
                                         "quantize the network again with a current converter")

    def full_shape(self, record: TensorRecord) -> Shape:
        """The declared shape as the graph has it: axis 0 symbolic where the batch is."""
        return (None, *record.shape[1:]) if self.symbolic and record.shape else record.shape

    def charge(self, size: int) -> None:
        """Count ``size`` bytes of constants; ModelError where they outgrow any honest file."""
        self._room -= size
        if self._room < 0:
            raise damaged("the constants of this .tflite file take far more memory than the file is long")

    # --- inside -------------------------------------------------------------------------------------------------------------------

    def _real(self, array: NDArray[Any], quant: Quant | None) -> tuple[NDArray[np.float32], Quant | None]:
        """Float numbers of a constant; symmetric integers keep their grid, which makes the graph a quantized one."""
        if quant is not None and array.dtype.kind != "f":
            array = quant.to_real(array)
        if array.dtype.kind != "f":
            raise InexpressibleError(f"a constant has {array.dtype} numbers without a scale", "export the network again")
        symmetric = quant is not None and not any(quant.zero_point)
        if symmetric:
            self.builder.level = Level.QUANTIZED
        return array.astype(np.float32, copy=False), quant if symmetric else None

    def _check_quant(self, record: TensorRecord, quant: Quant | None, op: Operator, inputs: Sequence[str]) -> None:
        """Activations of an integer network have a scale, and the one that the arithmetic fixes where it does."""
        if quant is None:
            raise damaged(f"tensor {record.name!r} is {record.type} and has no scale")
        fixed = op.output_quant([self.value(name) for name in inputs], 0, quant.dtype)
        if fixed is not None and fixed != (quant.scale[0], quant.zero_point[0]):
            raise InexpressibleError(f"its output has scale {quant.scale[0]:g} and zero point {quant.zero_point[0]}, "
                                     f"the arithmetic needs {fixed[0]:g} and {fixed[1]}",
                                     "quantize the network again; every TensorFlow Lite converter fixes these numbers")

    def _declare_inputs(self) -> None:
        if len(set(self.main.inputs)) != len(self.main.inputs):
            raise damaged("the network lists one tensor twice among its inputs")
        for index in self.main.inputs:
            record = self.main.tensors[index]
            if self.symbolic and record.shape[:1] != (self.batch,):
                raise BatchMixedError()
            dynamic = [axis for axis, size in enumerate(record.signature) if size < 0 and axis > 0]
            try:
                chooses = self.main.chooses(index)
                if record.type not in _ARITHMETIC and not chooses:
                    raise InexpressibleError(f"type {record.type}", "convert the network with float32 or int8 inputs")
                if dynamic:
                    raise InexpressibleError(f"axes {dynamic} have no fixed size",
                                             "only axis 0, the batch, may be dynamic: fix the others and export again")
                whole = (DType.INT32, INDEX_QUANT) if self.level is Level.INTEGER else (DType.FLOAT32, None)
                dtype, quant = whole if chooses else (self.dtype(record), self.quant(record))
                if dtype.is_integer and quant is None:
                    raise InexpressibleError(f"type {record.type} without a scale",
                                             "convert the network with float32 or quantized int8 inputs")
                self.values[index] = self.builder.input(self.names[index], self.full_shape(record), dtype, quant)
            except InexpressibleError as problem:
                self.findings.append(Finding("INPUT", record.name, problem.problem, problem.hint))
                self.values[index] = self.builder.input(self.names[index], self.full_shape(record))

    def _check_order(self, operation: Operation) -> None:
        def defined(index: int) -> bool:
            record = self.main.tensors[index]
            return index in self.values or index in self.folded or index in self.handles or record.data is not None or record.variable

        for index in operation.inputs:
            if index >= 0 and not defined(index):
                raise operation.broken(f"reads {self.names[index]!r} before anything computes it")
        for index in operation.outputs:
            if index >= 0 and defined(index):
                raise operation.broken(f"writes {self.names[index]!r}, which has a value already")

    def _check_types(self, operation: Operation) -> None:
        """Refuse what an integer network must not have inside: floats, and unsigned bytes (a legacy form) anywhere but at its edges."""
        if self.level is not Level.INTEGER or operation.kind in _EDGES:
            return
        for record in (self.main.tensors[index] for index in (*operation.inputs, *operation.outputs) if index >= 0):
            if record.type == "FLOAT32" and record.index not in self.folded and record.data is None:
                raise InexpressibleError(f"tensor {record.name!r} is float inside an integer network",
                                         "quantize the whole network, or none of it")
            if record.type == "UINT8":
                raise InexpressibleError(f"tensor {record.name!r} is uint8, the legacy quantization",
                                         "quantize the network again: current converters write int8")

    def _check_shape(self, operation: Operation, record: TensorRecord, shape: Shape) -> None:
        given = tuple(self.batch if size is None else size for size in shape)
        fits = len(given) == len(record.shape)
        fits = fits and all(a == b or sign < 0 for a, b, sign in zip(given, record.shape, record.signature, strict=True))
        if record.shape and not fits:
            raise operation.broken(f"gives {record.name!r} the shape {list(given)}, declared is {list(record.shape)}")

    def _fold(self, operation: Operation, folds: Mapping[str, Folding]) -> bool:
        """Compute now what depends on known numbers alone (and what asks for a shape)."""
        fold = folds.get(operation.kind)
        if fold is None or not operation.outputs or -1 in operation.outputs:
            return False
        present = [index for index in operation.inputs if index >= 0]
        arrays = [self.known(index) for index in present]
        quantized = any(len(self.main.tensors[index].scale) or self.folded.get(index, _PLAIN).quant is not None for index in present)
        if operation.kind != "SHAPE" and (quantized or not arrays or any(array is None for array in arrays)):
            return False
        results = fold(self, operation, [array for array in arrays if array is not None])
        if results is None or len(results) != len(operation.outputs):
            return False
        for index, array in zip(operation.outputs, results):
            self.charge(array.nbytes)
            self.folded[index] = Folded(array)
        return True

    def _find(self, operation: Operation, problem: InexpressibleError) -> None:
        """Note a finding, and let the operator's outputs stand in so that the rest can be looked at too."""
        where = self.names[operation.outputs[0]] if operation.outputs and operation.outputs[0] >= 0 else f"operator {operation.index}"
        self.findings.append(Finding(operation.kind, where, problem.problem, problem.hint))
        for index in operation.outputs:
            if index >= 0 and index not in self.values:
                record = self.main.tensors[index]
                name = self.names.unused(f"{self.names[index]}_missing")
                self.values[index] = self.builder.input(name, self.full_shape(record), _DTYPES.get(record.type, DType.FLOAT32))

    def _output(self, index: int) -> str:
        record = self.main.tensors[index]
        if index in self.values:
            return self.values[index]
        if index in self.folded or record.data is not None:
            try:
                return self.constant(record, "operand", None)
            except InexpressibleError as problem:
                raise_unsupported([Finding("OUTPUT", record.name, problem.problem, problem.hint)], f"{self.builder.name!r}")
        raise damaged(f"output {self.names[index]!r} is never computed")


def _of_32_bits(record: TensorRecord, array: NDArray[Any]) -> NDArray[np.int32]:
    """A bias of 64 bits in the 32 that its numbers need in all but name."""
    if array.min(initial=0) < DType.INT32.minimum or array.max(initial=0) > DType.INT32.maximum:
        raise InexpressibleError(f"its constant {record.name!r} does not fit into 32 bits", "quantize the network again")
    return array.astype(np.int32)
