"""Importers of the .tflite operators that move elements and compute nothing: reshaping, slicing, joining, padding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from edgewright.frontends.tflite_file import MOST_AXES, Operation
from edgewright.frontends.tflite_importer import Folded, Importer, InexpressibleError
from edgewright.frontends.tflite_tables import unpack_decode
from edgewright.ir.graph import Level, Shape
from edgewright.ir.layout import BatchMixedError
from edgewright.ops.concat import Concat
from edgewright.ops.embedding import Embedding
from edgewright.ops.pad import Pad
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice
from edgewright.ops.transpose import Transpose


def reshaped(importer: Importer, operation: Operation, name: str, target: Shape) -> str:
    """Value ``name`` with shape ``target``; itself where it has that shape already."""
    return name if importer.value(name).shape == target else importer.step(operation, Reshape(target), (name,))


def _finish_reshape(importer: Importer, operation: Operation, name: str, sizes: Sequence[int]) -> None:
    """Make the output by giving ``name`` the shape ``sizes`` (with the batch as declared)."""
    elements = math.prod(importer.batch if size is None else size for size in importer.value(name).shape)
    if len(sizes) > MOST_AXES or any(size < 0 for size in sizes) or math.prod(sizes) != elements:
        raise operation.broken(f"asks for shape {list(sizes)} of {elements} elements")
    symbolic = importer.value(name).shape[:1] == (None,)
    if symbolic and tuple(sizes[:1]) != (importer.batch,):
        raise BatchMixedError()
    importer.finish(operation, Reshape((None, *sizes[1:]) if symbolic else tuple(sizes)), (name,))


def _axis(operation: Operation, axis: int, rank: int) -> int:
    """``axis`` counted from 0."""
    if not -rank <= axis < rank:
        raise operation.broken(f"names axis {axis} of {rank}")
    return axis % rank


def reshape(importer: Importer, operation: Operation) -> None:
    """RESHAPE; the target comes from its second input, else from its options."""
    name = importer.operand(operation, 0)
    if importer.present(operation, 1):
        target = list(importer.constant_ints(operation, 1))
    else:
        new_shape = operation.options(schema.ReshapeOptionsT).newShape
        target = [int(size) for size in (() if new_shape is None else new_shape)]
    if -1 in target:
        elements = math.prod(importer.batch if size is None else size for size in importer.value(name).shape)
        rest = math.prod(size for size in target if size != -1)
        if target.count(-1) > 1 or rest <= 0 or elements % rest:
            raise operation.broken(f"asks for shape {target} of {elements} elements")
        target[target.index(-1)] = elements // rest
    importer.require_same_quant(operation, 0)
    _finish_reshape(importer, operation, name, target)


def reshape_as_declared(importer: Importer, operation: Operation) -> None:
    """EXPAND_DIMS and SQUEEZE: the shape that the file declares for the output says all."""
    importer.require_same_quant(operation, 0)
    _finish_reshape(importer, operation, importer.operand(operation, 0), importer.output_record(operation).shape)


def gather(importer: Importer, operation: Operation) -> None:
    """GATHER of the rows of a constant."""
    options = operation.options(schema.GatherOptionsT)
    _look_up(importer, operation, 0, 1, options.axis, options.batchDims)


def embedding_lookup(importer: Importer, operation: Operation) -> None:
    """EMBEDDING_LOOKUP."""
    _look_up(importer, operation, 1, 0, 0, 0)


def _look_up(importer: Importer, operation: Operation, table: int, indices: int, axis: int, batch_axes: int) -> None:
    record = importer.record(operation, table)
    if importer.known(record.index) is None or len(record.shape) != 2 or axis not in (0, -2) or batch_axes:
        raise InexpressibleError("it chooses from other than the rows of a constant table", "slice activations, or transpose the table")
    chosen = importer.operand(operation, indices)
    if importer.level is Level.INTEGER:
        importer.require_same_quant(operation, table)
    importer.finish(operation, Embedding(), (importer.operand(operation, table), chosen))


def transpose(importer: Importer, operation: Operation) -> None:
    """TRANSPOSE."""
    name = importer.operand(operation, 0)
    rank = len(importer.value(name).shape)
    permutation = tuple(_axis(operation, axis, rank) for axis in importer.constant_ints(operation, 1))
    if importer.symbolic and permutation[:1] != (0,):
        raise BatchMixedError()
    importer.require_same_quant(operation, 0)
    importer.finish(operation, Transpose(permutation), (name,))


def concatenation(importer: Importer, operation: Operation) -> None:
    """CONCATENATION."""
    options = operation.options(schema.ConcatenationOptionsT)
    if options.fusedActivationFunction != 0:
        raise InexpressibleError("a fused activation", "put the activation after the operator, as one of its own")
    if not operation.inputs:
        raise operation.broken("has no inputs")
    names = [importer.operand(operation, position) for position in range(len(operation.inputs))]
    axis = _axis(operation, options.axis, len(importer.value(names[0]).shape))
    importer.require_same_quant(operation, *range(len(names)))
    importer.finish(operation, Concat(axis), names)


def pack(importer: Importer, operation: Operation) -> None:
    """PACK: every input gets an axis of size 1, and they are joined along it."""
    options = operation.options(schema.PackOptionsT)
    names = [importer.operand(operation, position) for position in range(len(operation.inputs))]
    if not names:
        raise operation.broken("has no inputs")
    shape = importer.value(names[0]).shape
    axis = _axis(operation, options.axis, len(shape) + 1)
    if importer.symbolic and axis == 0:
        raise BatchMixedError()
    importer.require_same_quant(operation, *range(len(names)))
    wider = [reshaped(importer, operation, name, (*shape[:axis], 1, *shape[axis:])) for name in names]
    importer.finish(operation, Concat(axis), wider)


@dataclass(frozen=True)
class Part:
    """What a slice takes along one axis: ``size`` elements from ``begin`` on, ``stride`` apart."""

    begin: int
    size: int
    stride: int = 1


def _slice(importer: Importer, operation: Operation, name: str, parts: Sequence[Part]) -> Slice:
    """The operator that takes ``parts`` of ``name``; a symbolic batch has to be taken whole."""
    shape = importer.value(name).shape
    if len(parts) != len(shape) or any(part.size < 1 for part in parts):
        raise operation.broken(f"takes nothing, or too many axes, of shape {list(shape)}")
    sizes: list[int | None] = [part.size for part in parts]
    if shape[:1] == (None,):
        if parts[0] != Part(0, importer.batch):
            raise BatchMixedError()
        sizes[0] = None
    return Slice(tuple(part.begin for part in parts), tuple(sizes), tuple(part.stride for part in parts))


def _whole(importer: Importer, name: str) -> list[Part]:
    return [Part(0, importer.batch if size is None else size) for size in importer.value(name).shape]


def slice_(importer: Importer, operation: Operation) -> None:
    """SLICE; a size of -1 reaches to the end."""
    name = importer.operand(operation, 0)
    whole = _whole(importer, name)
    begin, size = importer.constant_ints(operation, 1), importer.constant_ints(operation, 2)
    if not len(begin) == len(size) == len(whole):
        raise operation.broken(f"names {len(begin)} axes of {len(whole)}")
    parts = [Part(b, full.size - b if s == -1 else s) for b, s, full in zip(begin, size, whole)]
    importer.require_same_quant(operation, 0)
    importer.finish(operation, _slice(importer, operation, name, parts), (name,))


def strided_parts(operation: Operation, shape: Sequence[int], begin: Sequence[int], end: Sequence[int],
                  stride: Sequence[int]) -> tuple[list[Part], list[int]]:
    """What STRIDED_SLICE takes of ``shape``, and the shape of its output (numpy's indexing, with bit masks)."""
    options = operation.options(schema.StridedSliceOptionsT)
    if not len(begin) == len(end) == len(stride) <= 2 * MOST_AXES:
        raise operation.broken("has begin, end and stride of different lengths")
    if bin(options.ellipsisMask).count("1") > 1 or options.offset:
        raise InexpressibleError("several ellipses, or an offset as its end", "write the slice with one begin and end for each axis")
    parts: list[Part] = []
    output: list[int] = []
    new_axes = sum(1 for entry in range(len(begin)) if options.newAxisMask >> entry & 1)
    for entry in range(len(begin)):
        bit = 1 << entry
        if options.ellipsisMask & bit:
            later = sum(1 for other in range(entry + 1, len(begin)) if not options.newAxisMask >> other & 1)
            rest = len(shape) - len(parts) - later
            for size in shape[len(parts) : len(parts) + max(rest, 0)]:
                parts.append(Part(0, size))
                output.append(size)
        elif options.newAxisMask & bit:
            output.append(1)
        elif len(parts) < len(shape):
            part, kept = _strided_part(operation, options, entry, shape[len(parts)], begin[entry], end[entry], stride[entry])
            parts.append(part)
            output += [part.size] if kept else []
        else:
            raise operation.broken(f"names {len(begin) - new_axes} axes of {len(shape)}")
    for size in shape[len(parts) :]:
        parts.append(Part(0, size))
        output.append(size)
    return parts, output


def _strided_part(operation: Operation, options: schema.StridedSliceOptionsT, entry: int, size: int, begin: int, end: int,
                  stride: int) -> tuple[Part, bool]:
    """What one entry takes of an axis, and whether the axis stays."""
    bit = 1 << entry
    if options.shrinkAxisMask & bit:
        if not -size <= begin < size:
            raise operation.broken(f"takes element {begin} of {size}")
        return Part(begin % size, 1), False
    if stride == 0:
        raise operation.broken("has a stride of 0")
    taken = range(*slice(None if options.beginMask & bit else begin, None if options.endMask & bit else end, stride).indices(size))
    return Part(taken.start, len(taken), stride if len(taken) > 1 else 1), True


def strided_slice(importer: Importer, operation: Operation) -> None:
    """STRIDED_SLICE with masks."""
    name = importer.operand(operation, 0)
    shape = [part.size for part in _whole(importer, name)]
    parts, output = strided_parts(operation, shape, *(importer.constant_ints(operation, position) for position in (1, 2, 3)))
    op = _slice(importer, operation, name, parts)
    importer.require_same_quant(operation, 0)
    if len(output) == len(parts) and output == [part.size for part in parts]:
        importer.finish(operation, op, (name,))
    else:
        _finish_reshape(importer, operation, importer.step(operation, op, (name,)), output)


def _split(importer: Importer, operation: Operation, name: str, axis: int, sizes: Sequence[int]) -> None:
    if len(sizes) != len(operation.outputs):
        raise operation.broken(f"has {len(operation.outputs)} outputs for {len(sizes)} parts")
    importer.require_same_quant(operation, 1 if operation.kind == "SPLIT" else 0)
    parts, begin = _whole(importer, name), 0
    for position, size in enumerate(sizes):
        parts[axis] = Part(begin, size)
        importer.finish(operation, _slice(importer, operation, name, parts), (name,), position)
        begin += size


def split(importer: Importer, operation: Operation) -> None:
    """SPLIT into equal parts: one slice each."""
    name = importer.operand(operation, 1)
    whole = _whole(importer, name)
    axis = _axis(operation, _single(operation, importer.constant_ints(operation, 0)), len(whole))
    count = len(operation.outputs)
    if count == 0 or operation.options(schema.SplitOptionsT).numSplits != count or whole[axis].size % count:
        raise operation.broken(f"cannot make {count} equal parts of {whole[axis].size}")
    _split(importer, operation, name, axis, [whole[axis].size // count] * count)


def split_v(importer: Importer, operation: Operation) -> None:
    """SPLIT_V into parts of given sizes, one of which may be -1."""
    name = importer.operand(operation, 0)
    whole = _whole(importer, name)
    sizes = list(importer.constant_ints(operation, 1))
    axis = _axis(operation, _single(operation, importer.constant_ints(operation, 2)), len(whole))
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = whole[axis].size - sum(size for size in sizes if size != -1)
    if sum(sizes) != whole[axis].size:
        raise operation.broken(f"makes parts {sizes} of {whole[axis].size}")
    _split(importer, operation, name, axis, sizes)


def unpack(importer: Importer, operation: Operation) -> None:
    """UNPACK: a slice of size 1 for each output, without that axis."""
    name = importer.operand(operation, 0)
    parts = _whole(importer, name)
    axis = _axis(operation, operation.options(schema.UnpackOptionsT).axis, len(parts))
    if len(operation.outputs) != parts[axis].size:
        raise operation.broken(f"has {len(operation.outputs)} outputs for {parts[axis].size} parts")
    if importer.symbolic and axis == 0:
        raise BatchMixedError()
    importer.require_same_quant(operation, 0)
    shape = importer.value(name).shape
    for position in range(len(operation.outputs)):
        parts[axis] = Part(position, 1)
        taken = importer.step(operation, _slice(importer, operation, name, parts), (name,))
        importer.finish(operation, Reshape((*shape[:axis], *shape[axis + 1 :])), (taken,), position)


def _single(operation: Operation, numbers: Sequence[int]) -> int:
    if len(numbers) != 1:
        raise operation.broken(f"has {len(numbers)} axes, expected one")
    return numbers[0]


def _pad(importer: Importer, operation: Operation, make: Callable[[tuple[tuple[int, int], ...]], Pad]) -> None:
    name = importer.operand(operation, 0)
    rank = len(importer.value(name).shape)
    flat = importer.constant_ints(operation, 1)
    if len(flat) != 2 * rank or any(not 0 <= amount < 1 << 24 for amount in flat):
        raise operation.broken(f"has paddings {list(flat)} for {rank} axes")
    pairs = tuple((flat[2 * axis], flat[2 * axis + 1]) for axis in range(rank))
    if importer.symbolic and pairs and pairs[0] != (0, 0):
        raise BatchMixedError()
    importer.require_same_quant(operation, 0)
    importer.finish(operation, make(pairs), (name,))


def pad(importer: Importer, operation: Operation) -> None:
    """PAD, and PADV2 with its constant."""
    value = 0.0
    if importer.present(operation, 2):
        number = importer.constant_array(operation, 2)
        quant = importer.quant(importer.record(operation, 2))
        if number.size != 1:
            raise operation.broken(f"fills with {number.size} numbers, expected one")
        if number.dtype.kind != "f" and quant is None:
            raise InexpressibleError("a constant without a scale to fill with", "export the network again")
        value = float((number if quant is None else quant.to_real(number)).reshape(-1)[0])
    _pad(importer, operation, lambda pairs: Pad(pairs, value))


def mirror_pad(importer: Importer, operation: Operation) -> None:
    """MIRROR_PAD in mode REFLECT."""
    if operation.options(schema.MirrorPadOptionsT).mode != schema.MirrorPadMode.REFLECT:
        raise InexpressibleError("mode SYMMETRIC", "use reflection without the edge element, or constant padding")
    _pad(importer, operation, lambda pairs: Pad(pairs, mode="reflect"))


def decode(importer: Importer, operation: Operation) -> None:
    """TFLM_DECODE of TensorFlow Lite Micro: constants from tables of values."""
    if len(operation.inputs) != 2 * len(operation.outputs):
        raise operation.broken(f"has {len(operation.inputs)} inputs for {len(operation.outputs)} outputs")
    for position in range(len(operation.outputs)):
        record = importer.output_record(operation, position)
        indices, table = (importer.constant_array(operation, 2 * position + place) for place in (0, 1))
        if table[:1].tolist() != [0]:
            raise InexpressibleError(f"it decodes {record.name!r} by method {table[:1].tolist()}", "only tables (method 0) are known")
        importer.charge(record.elements)
        try:
            array = unpack_decode(indices, table, record.type, record.shape, record.axis if len(record.scale) > 1 else None)
        except (ValueError, IndexError) as error:
            raise operation.broken(str(error)) from error
        importer.folded[record.index] = Folded(array, importer.quant(record, record.axis), table=True)


def densify(importer: Importer, operation: Operation) -> None:
    """DENSIFY: of a sparse constant, whose numbers are known as they are read."""
    record = importer.record(operation, 0)
    array = importer.known(record.index)
    if array is None:
        raise InexpressibleError(f"its input {record.name!r} is computed at run time", "only constants can be sparse")
    importer.folded[importer.output_record(operation).index] = Folded(array, importer.quant(record, record.axis), sparse=True)
