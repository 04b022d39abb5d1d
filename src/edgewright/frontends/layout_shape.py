"""Operators that move or select numbers, in the source's axes: reshape, permute, slice, split, concatenate, pad."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from edgewright.errors import ModelError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Operand
from edgewright.ir.layout import Axes, BatchMixedError, Layout, common, shape_of
from edgewright.ir.layout_plan import channels_last, locate, rearranged, resized
from edgewright.ops.concat import Concat
from edgewright.ops.pad import Pad
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice


def resolve_shape(shape: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """``wanted`` with its one -1 worked out; ModelError where it does not hold the elements of ``shape``."""
    total = math.prod(shape)
    known = math.prod(size for size in wanted if size != -1)
    sizes = tuple(total // known if size == -1 and known else size for size in wanted)
    if list(wanted).count(-1) > 1 or any(size < 0 for size in sizes) or math.prod(sizes) != total:
        raise ModelError(f"shape {list(shape)} cannot be reshaped to {list(wanted)}", hint=INCONSISTENT)
    return sizes


def reshape(door: Door, x: Held, wanted: Sequence[int]) -> Held:
    """``x`` seen in another shape (one -1 is worked out)."""
    shape = resolve_shape(x.layout.shape, wanted)
    layout = x.layout.reshaped(shape)
    if layout is not None:
        return Held(x.name, layout)
    solid = door.bring(x, x.layout.seen)
    layout = x.layout.fused(shape)
    return Held(door.emit(Reshape(shape_of(layout.held)), [solid.name], [door.quants.get(solid.name)]), layout)


def flatten(door: Door, x: Held, start: int, end: int) -> Held:
    """Seen axes ``start`` … ``end`` made one."""
    shape = x.layout.shape
    if not shape:
        return reshape(door, x, (1,))
    return reshape(door, x, (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]))


def permute(x: Held, permutation: Sequence[int]) -> Held:
    """Seen axes in another order."""
    if sorted(permutation) != list(range(x.layout.rank)):
        raise ModelError(f"{list(permutation)} does not permute {x.layout.rank} axes", hint=INCONSISTENT)
    return Held(x.name, x.layout.permuted(permutation))


def squeeze(x: Held, axes: Sequence[int] | None) -> Held:
    """Without the seen ``axes`` of size 1 (None: all of them but the batch)."""
    chosen = [axis for axis, group in enumerate(x.layout.seen) if not group] if axes is None else axes
    return Held(x.name, x.layout.squeezed(chosen))


def unsqueeze(x: Held, axes: Sequence[int]) -> Held:
    """With seen axes of size 1 at ``axes`` (counted in the result)."""
    layout = x.layout
    for axis in sorted(axes):
        layout = layout.unsqueezed(axis)
    return Held(x.name, layout)


def slice_axes(door: Door, x: Held, cuts: Mapping[int, tuple[int, int, int]]) -> Held:
    """Seen axis → (begin, end, step), as Python slices; what changes nothing costs nothing."""
    shape = x.layout.shape
    ranges = {}
    for axis, (begin, end, step) in cuts.items():
        if step == 0:
            raise ModelError(f"a slice with step 0 along axis {axis}", hint=INCONSISTENT)
        chosen = range(*slice(begin, end, step).indices(shape[axis]))
        if len(chosen) == 0:
            raise ModelError(f"nothing is left of axis {axis} of shape {list(shape)}", hint=INCONSISTENT)
        if len(chosen) != shape[axis] or (step < 0 and len(chosen) > 1):
            ranges[axis] = chosen
    if not ranges:
        return x
    if x.layout.batch_axis in ranges:
        raise BatchMixedError
    wanted, places = locate(x.layout, list(ranges), channels_last(x.layout.rank))
    x = door.bring(x, wanted)
    sizes = list(shape_of(wanted))
    begins, strides = [0] * len(sizes), [1] * len(sizes)
    for axis, chosen in ranges.items():
        place = places[axis]
        begins[place], sizes[place], strides[place] = chosen.start, len(chosen), chosen.step
    name = door.emit(Slice(tuple(begins), tuple(sizes), tuple(strides)), [x.name], [door.quants.get(x.name)])
    return Held(name, resized(x.layout, wanted, places, {axis: len(chosen) for axis, chosen in ranges.items()}))


def reverse(door: Door, x: Held, axes: Sequence[int]) -> Held:
    """Seen ``axes`` from behind."""
    # As an end, what lies before the first element: any number below minus the size.
    return slice_axes(door, x, {axis: (x.layout.shape[axis] - 1, -x.layout.shape[axis] - 1, -1) for axis in axes})


def select(door: Door, x: Held, axis: int, index: int) -> Held:
    """One index of a seen axis, which goes."""
    size = x.layout.shape[axis]
    if not -size <= index < size:
        raise ModelError(f"index {index} lies outside of axis {axis} of size {size}", hint=INCONSISTENT)
    start = index % size
    return squeeze(slice_axes(door, x, {axis: (start, start + 1, 1)}), [axis])


def split(door: Door, x: Held, axis: int, sizes: Sequence[int]) -> list[Held]:
    """Consecutive pieces of a seen axis."""
    if sum(sizes) != x.layout.shape[axis] or any(size < 1 for size in sizes):
        raise ModelError(f"axis {axis} of shape {list(x.layout.shape)} does not split into {list(sizes)}", hint=INCONSISTENT)
    ends = np.cumsum(sizes).tolist()
    return [slice_axes(door, x, {axis: (end - size, end, 1)}) for end, size in zip(ends, sizes, strict=True)]


def concat(door: Door, operands: Sequence[Operand], axis: int) -> Held:
    """Activations, and constants where the batch is fixed, one after the other along a seen axis."""
    first = next(operand for operand in operands if isinstance(operand, Held))
    if axis == first.layout.batch_axis:
        raise BatchMixedError
    layouts = [_layout(operand, first) for operand in operands]
    shapes = [(*layout.shape[:axis], 0, *layout.shape[axis + 1 :]) for layout in layouts]
    if len(set(shapes)) > 1:
        raise ModelError(f"shapes {[list(layout.shape) for layout in layouts]} cannot be concatenated along axis {axis}", hint=INCONSISTENT)
    stripped = [Layout((*layout.seen[:axis], (), *layout.seen[axis + 1 :]), layout.held) for layout in layouts]
    aligned = common(stripped)
    if aligned is None:
        return concat(door, [fuse(door, operand) if isinstance(operand, Held) else operand for operand in operands], axis)
    base = operands.index(first)
    along = [layout.seen[axis] for layout in layouts]
    full = Layout((*aligned[base].seen[:axis], along[base], *aligned[base].seen[axis + 1 :]), aligned[base].held)
    wanted, places = locate(full, [axis], channels_last(full.rank))
    names = []
    for operand, layout, group in zip(operands, aligned, along, strict=True):
        own = (*wanted[: places[axis]], group, *wanted[places[axis] + 1 :])
        names.append(_bring(door, operand, layout, own))
    name = door.emit(Concat(places[axis]), names)
    return Held(name, resized(full, wanted, places, {axis: sum(layout.shape[axis] for layout in layouts)}))


def _layout(operand: Operand, like: Held) -> Layout:
    if isinstance(operand, Held):
        return operand.layout
    if like.layout.batch_axis is not None:
        raise BatchMixedError
    return Layout.fresh(operand.array.shape, batch=False)


def _bring(door: Door, operand: Operand, layout: Layout, wanted: Axes) -> str:
    if isinstance(operand, Held):
        return door.bring(Held(operand.name, layout), wanted).name
    return door.constant(
        operand, rearranged(operand.array.reshape([int(size or 1) for size in shape_of(layout.held)]), layout.held, wanted)
    )


def fuse(door: Door, x: Held) -> Held:
    """``x`` held as it is seen, one atom an axis."""
    return Held(door.bring(x, x.layout.seen).name, x.layout.fused(x.layout.shape))


def pad(door: Door, x: Held, amounts: Mapping[int, tuple[int, int]], value: float = 0.0, mode: str = "constant") -> Held:
    """Seen axis → (before, after); negative amounts cut off."""
    cuts = {axis: (max(0, -low), x.layout.shape[axis] - max(0, -high), 1) for axis, (low, high) in amounts.items() if low < 0 or high < 0}
    x = slice_axes(door, x, cuts)
    grown = {axis: (max(0, low), max(0, high)) for axis, (low, high) in amounts.items() if low > 0 or high > 0}
    if not grown:
        return x
    if x.layout.batch_axis in grown:
        raise BatchMixedError
    wanted, places = locate(x.layout, list(grown), channels_last(x.layout.rank))
    x = door.bring(x, wanted)
    padding = [(0, 0)] * len(wanted)
    for axis, amount in grown.items():
        padding[places[axis]] = amount
    name = door.emit(Pad(tuple(padding), value=value, mode=mode), [x.name], [door.quants.get(x.name)])
    return Held(name, resized(x.layout, wanted, places, {axis: x.layout.shape[axis] + sum(amount) for axis, amount in grown.items()}))


def depth_to_space(door: Door, x: Held, block: int, *, depth_first: bool) -> Held:
    """Blocks of channels to pixels; ``depth_first``: ONNX's DCR, else CRD, which is torch's pixel_shuffle."""
    if x.layout.rank != 4 or block < 1 or x.layout.shape[1] % (block * block):
        raise ModelError(f"shape {list(x.layout.shape)} has no blocks of {block} x {block} channels", hint=INCONSISTENT)
    batch, channels, height, width = x.layout.shape
    deep = channels // (block * block)
    parts = (batch, block, block, deep, height, width) if depth_first else (batch, deep, block, block, height, width)
    order = (0, 3, 4, 1, 5, 2) if depth_first else (0, 1, 4, 2, 5, 3)
    return reshape(door, permute(reshape(door, x, parts), order), (batch, deep, height * block, width * block))
