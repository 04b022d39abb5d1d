"""Torch's operators that move or select numbers: aten name → conversion."""

from __future__ import annotations

import math

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Operand
from edgewright.frontends.layout_arithmetic import expand
from edgewright.frontends.layout_shape import (
    concat,
    depth_to_space,
    flatten,
    pad,
    permute,
    reshape,
    reverse,
    select,
    slice_axes,
    split,
    squeeze,
    unsqueeze,
)
from edgewright.frontends.torch_arguments import Arguments, Handler, axis_of

MODES = {"constant": "constant", "reflect": "reflect"}


def _reshape(name: str) -> Handler:
    return lambda door, a: reshape(door, a.held(), a.integers(name))


def _flatten(door: Door, a: Arguments) -> Held:
    x = a.held()
    rank = x.layout.rank
    return flatten(door, x, a.axis("start_dim", rank, 0), a.axis("end_dim", rank, -1))


def _unflatten(door: Door, a: Arguments) -> Held:
    x = a.held()
    axis = a.axis("dim", x.layout.rank)
    shape = x.layout.shape
    sizes = a.integers("sizes")
    known = math.prod(size for size in sizes if size != -1)
    return reshape(door, x, (*shape[:axis], *(shape[axis] // max(known, 1) if size == -1 else size for size in sizes), *shape[axis + 1 :]))


def _permute(door: Door, a: Arguments) -> Held:
    x = a.held()
    return permute(x, [axis_of(axis, x.layout.rank) for axis in a.integers("dims")])


def _transpose(door: Door, a: Arguments) -> Held:
    x = a.held()
    first, second = a.axis("dim0", x.layout.rank), a.axis("dim1", x.layout.rank)
    order = list(range(x.layout.rank))
    order[first], order[second] = second, first
    return permute(x, order)


def _reversed(door: Door, a: Arguments) -> Held:
    x = a.held()
    return permute(x, tuple(range(x.layout.rank))[::-1])


def _movedim(door: Door, a: Arguments) -> Held:
    x = a.held()
    rank = x.layout.rank
    source = [axis_of(axis, rank) for axis in a.integers("source")]
    goal = [axis_of(axis, rank) for axis in a.integers("destination")]
    order = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(goal, source, strict=True)):
        order.insert(place, axis)
    return permute(x, order)


def _squeeze(door: Door, a: Arguments) -> Held:
    x = a.held()
    axes = a.axes("dim", x.layout.rank)
    return squeeze(x, None if axes is None else [axis for axis in axes if x.layout.shape[axis] == 1])


def _unsqueeze(door: Door, a: Arguments) -> Held:
    x = a.held()
    return unsqueeze(x, [a.axis("dim", x.layout.rank + 1)])


def _cat(door: Door, a: Arguments) -> Held:
    tensors = a.operands("tensors")
    rank = max(x.layout.rank if isinstance(x, Held) else x.array.ndim for x in tensors)
    kept = [x for x in tensors if isinstance(x, Held) or x.array.size]
    return concat(door, kept, a.axis("dim", rank, 0))


def _stack(door: Door, a: Arguments) -> Held:
    tensors = a.operands("tensors")
    helds = [x for x in tensors if isinstance(x, Held)]
    if len(helds) != len(tensors):
        raise UnsupportedError("it stacks constants with activations", hint="only activations can be stacked")
    axis = a.axis("dim", helds[0].layout.rank + 1, 0)
    return concat(door, [unsqueeze(x, [axis]) for x in helds], axis)


def _chunk(door: Door, a: Arguments) -> list[Held]:
    x = a.held()
    axis = a.axis("dim", x.layout.rank, 0)
    return _pieces(door, x, axis, -(-x.layout.shape[axis] // max(1, a.integer("chunks"))))


def _split(door: Door, a: Arguments) -> list[Held]:
    x = a.held()
    return _pieces(door, x, a.axis("dim", x.layout.rank, 0), a.integer("split_size"))


def _pieces(door: Door, x: Held, axis: int, size: int) -> list[Held]:
    whole = x.layout.shape[axis]
    return split(door, x, axis, [min(size, whole - start) for start in range(0, whole, max(1, size))])


def _split_sizes(door: Door, a: Arguments) -> list[Held]:
    x = a.held()
    return split(door, x, a.axis("dim", x.layout.rank, 0), a.integers("split_sizes" if "split_sizes" in a.values else "split_size"))


def _unbind(door: Door, a: Arguments) -> list[Held]:
    x = a.held()
    axis = a.axis("dim", x.layout.rank, 0)
    return [select(door, x, axis, index) for index in range(x.layout.shape[axis])]


def _slice(door: Door, a: Arguments) -> Held:
    x = a.held()
    axis = a.axis("dim", x.layout.rank, 0)
    return slice_axes(door, x, {axis: (a.integer("start", 0), a.integer("end", (1 << 63) - 1), a.integer("step", 1))})


def _select(door: Door, a: Arguments) -> Held:
    x = a.held()
    return select(door, x, a.axis("dim", x.layout.rank), a.integer("index"))


def _flip(door: Door, a: Arguments) -> Held:
    x = a.held()
    return reverse(door, x, [axis_of(axis, x.layout.rank) for axis in a.integers("dims")])


def _narrow(door: Door, a: Arguments) -> Held:
    x = a.held()
    start = a.integer("start")
    return slice_axes(door, x, {a.axis("dim", x.layout.rank): (start, start + a.integer("length"), 1)})


def _pad(mode: str | None) -> Handler:
    def handler(door: Door, a: Arguments) -> Held:
        x = a.held()
        chosen = mode or str(a.raw("mode", "constant"))
        if chosen not in MODES:
            raise UnsupportedError(f"padding by mode {chosen!r}", hint="pad with a constant, or reflect")
        amounts = a.integers("pad" if "pad" in a.values else "padding")
        pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
        return pad(door, x, {x.layout.rank - 1 - index: pair for index, pair in enumerate(pairs)}, a.number("value", 0.0), MODES[chosen])

    return handler


def _expand(door: Door, a: Arguments) -> Operand:
    return expand(door, a.operand("self"), a.integers("size"))


def _expand_as(door: Door, a: Arguments) -> Operand:
    like = a.operand("other")
    return expand(door, a.operand("self"), like.layout.shape if isinstance(like, Held) else like.array.shape)


def _pixel_shuffle(door: Door, a: Arguments) -> Held:
    return depth_to_space(door, a.held(), a.integer("upscale_factor"), depth_first=False)


def _channel_shuffle(door: Door, a: Arguments) -> Held:
    x, groups = a.held(), a.integer("groups")
    shape = x.layout.shape
    parts = reshape(door, x, (shape[0], groups, -1, *shape[2:]))
    return reshape(door, permute(parts, (0, 2, 1, *range(3, len(shape) + 1))), shape)


SHAPE: dict[str, Handler] = {
    "aten.view.default": _reshape("size"),
    "aten._unsafe_view.default": _reshape("size"),
    "aten.reshape.default": _reshape("shape"),
    "aten.flatten.using_ints": _flatten,
    "aten.unflatten.int": _unflatten,
    "aten.permute.default": _permute,
    "aten.transpose.int": _transpose,
    "aten.swapaxes.default": _transpose,
    "aten.t.default": _reversed,
    "aten.numpy_T.default": _reversed,
    "aten.movedim.int": _movedim,
    "aten.movedim.intlist": _movedim,
    "aten.squeeze.dim": _squeeze,
    "aten.squeeze.dims": _squeeze,
    "aten.squeeze.default": _squeeze,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.cat.default": _cat,
    "aten.concat.default": _cat,
    "aten.stack.default": _stack,
    "aten.chunk.default": _chunk,
    "aten.split.Tensor": _split,
    "aten.split.sizes": _split_sizes,
    "aten.split_with_sizes.default": _split_sizes,
    "aten.unbind.int": _unbind,
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.flip.default": _flip,
    "aten.narrow.default": _narrow,
    "aten.pad.default": _pad(None),
    "aten.constant_pad_nd.default": _pad("constant"),
    "aten.reflection_pad1d.default": _pad("reflect"),
    "aten.reflection_pad2d.default": _pad("reflect"),
    "aten.expand.default": _expand,
    "aten.expand_as.default": _expand_as,
    "aten.pixel_shuffle.default": _pixel_shuffle,
    "aten.channel_shuffle.default": _channel_shuffle,
}
