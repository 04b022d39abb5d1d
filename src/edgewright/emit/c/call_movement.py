"""Operators that only move elements as calls of kernels: concatenation, slices, look-ups, transposition, padding, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgewright.emit.c.layer import Call, Layer, Parameter, Place, Table, known, steps_of
from edgewright.errors import UnsupportedError
from edgewright.ops.concat import Concat
from edgewright.ops.pad import Pad
from edgewright.ops.resize import Resize
from edgewright.ops.slice import Slice
from edgewright.ops.transpose import Transpose

MOST_AXES = 4


def call_concat(layer: Layer) -> list[Call]:
    """One copy for each input."""
    op = layer.node.op
    assert isinstance(op, Concat)
    steps = steps_of(known(layer.outs[0].shape))
    calls: list[Call] = []
    start = 0
    for index, value in enumerate(layer.ins):
        shape = known(value.shape)
        calls += _copy(layer, layer.input(index), layer.output(), shape, steps_of(shape), steps, to_start=start * steps[op.axis])
        start += shape[op.axis]
    return calls


def call_slice(layer: Layer) -> list[Call]:
    """One copy."""
    op = layer.node.op
    assert isinstance(op, Slice)
    steps = steps_of(known(layer.ins[0].shape))
    start = sum(begin * step for begin, step in zip(op.begin, steps, strict=True))
    strided = [stride * step for stride, step in zip(op.stride, steps, strict=True)]
    shape = known(layer.outs[0].shape)
    return _copy(layer, layer.input(), layer.output(), shape, strided, steps_of(shape), from_start=start)


def call_transpose(layer: Layer) -> list[Call]:
    """One copy."""
    op = layer.node.op
    assert isinstance(op, Transpose)
    steps, shape = steps_of(known(layer.ins[0].shape)), known(layer.outs[0].shape)
    return _copy(layer, layer.input(), layer.output(), shape, [steps[axis] for axis in op.permutation], steps_of(shape))


def call_embedding(layer: Layer) -> list[Call]:
    """One copy for each index."""
    rows, channels = known(layer.ins[0].shape)
    fields: dict[str, Parameter] = {"count": layer.ins[1].elements, "rows": rows, "bytes": layer.outs[0].dtype.bytes_of(channels)}
    return [Call("choose_rows", fields, [layer.input(0), layer.input(1), layer.output()])]


def call_pad(layer: Layer) -> list[Call]:
    """Constant: fill, then copy the picture in. Mirrored: copy the picture in, then its edges, axis by axis."""
    op = layer.node.op
    assert isinstance(op, Pad)
    inner, outer = known(layer.ins[0].shape), known(layer.outs[0].shape)
    steps = steps_of(outer)
    start = sum(before * step for (before, _), step in zip(op.padding, steps, strict=True))
    picture = _copy(layer, layer.input(), layer.output(), inner, steps_of(inner), steps, to_start=start)
    if op.mode == "constant":
        return [*_fill(layer, op.fill_integer(layer.outs)), *picture]
    for axis, (before, after) in enumerate(op.padding):
        # Axes before this one are whole already; along those after it the picture stands alone so far.
        sizes = [outer[at] if at < axis else inner[at] for at in range(len(inner))]
        corner = sum(op.padding[at][0] * steps[at] for at in range(axis + 1, len(inner)))
        edge, last = op.padding[axis][0] * steps[axis], (op.padding[axis][0] + inner[axis] - 1) * steps[axis]
        backwards = [-step if at == axis else step for at, step in enumerate(steps)]
        for count, source, target in (
            (before, corner + edge + before * steps[axis], corner),
            (after, corner + last - steps[axis], corner + last + steps[axis]),
        ):
            if count:
                part = [count if at == axis else size for at, size in enumerate(sizes)]
                picture += _copy(layer, layer.output(), layer.output(), part, backwards, steps, from_start=source, to_start=target)
    return picture


def call_resize_nearest(layer: Layer) -> list[Call]:
    """Every output pixel is a copy of one of the input."""
    op = layer.node.op
    assert isinstance(op, Resize)
    inner, outer = known(layer.ins[0].shape), known(layer.outs[0].shape)
    rows, columns = (op.nearest(inner[axis], outer[axis]).astype(np.uint16) for axis in (1, 2))
    parameters: dict[str, Parameter] = {
        "input_width": inner[2],
        "output_height": outer[1],
        "output_width": outer[2],
        "pixel": layer.ins[0].dtype.bytes_of(inner[3]),
        "rows": Table("rows", rows),
        "columns": Table("columns", columns),
    }
    return [Call("resize_nearest", parameters, [layer.input(), layer.output()])]


def _fill(layer: Layer, integer: int) -> list[Call]:
    """The whole output set to one integer."""
    value = layer.outs[0]
    pattern = np.array([integer], value.dtype.numpy)
    octets = set(pattern.tobytes())
    if len(octets) == 1:
        return [Call("fill", {"bytes": value.bytes, "value": octets.pop()}, [layer.output()])]
    size = value.dtype.bytes_of(1)
    parameters = _copy_parameters([[value.elements, 0, size]], size)
    return [Call("copy", parameters, [Table("fill", pattern), layer.output()])]


def _copy(
    layer: Layer,
    source: Place,
    target: Place,
    shape: Sequence[int],
    from_steps: Sequence[int],
    to_steps: Sequence[int],
    *,
    from_start: int = 0,
    to_start: int = 0,
) -> list[Call]:
    """A copy of ``shape`` elements from ``source`` to ``target``; steps and starts are in elements."""
    if 0 in shape:
        return []
    size = layer.outs[0].dtype.bytes_of(1)
    run, axes = size, list[list[int]]()
    for count, step, to_step in zip(shape, from_steps, to_steps, strict=True):
        step, to_step = step * size, to_step * size
        if count == 1:
            continue
        # An axis joins the one before it where both sides walk them in one stride.
        if axes and axes[-1][1:] == [step * count, to_step * count]:
            axes[-1] = [axes[-1][0] * count, step, to_step]
        else:
            axes.append([count, step, to_step])
    if axes and axes[-1][1:] == [size, size]:
        run = axes.pop()[0] * size
    if len(axes) > MOST_AXES:
        raise UnsupportedError(
            f"{layer.node.op.kind} {layer.node.name!r} moves elements along {len(axes)} separate axes",
            hint=f"the C kernels take {MOST_AXES}",
        )
    places = Place(source.name, source.offset_bytes + from_start * size), Place(target.name, target.offset_bytes + to_start * size)
    return [Call("copy", _copy_parameters(axes, run), list(places))]


def _copy_parameters(axes: Sequence[Sequence[int]], run: int) -> dict[str, Parameter]:
    padded = [[1, 0, 0]] * (MOST_AXES - len(axes)) + [list(axis) for axis in axes]
    sizes, from_step, to_step = (list(row) for row in zip(*padded, strict=True))
    return {"sizes": sizes, "from_step": from_step, "to_step": to_step, "run": run}
