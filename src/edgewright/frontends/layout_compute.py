"""Operators that compute over channels or windows, in the source's axes: convolution, dense, pooling, mean, resize, softmax, batch norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand, as_reals
from edgewright.frontends.layout_arithmetic import add, expand, mul, scalar, sqrt
from edgewright.frontends.layout_shape import pad, permute, reshape
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.layout import Atom, Axes, Group, Layout
from edgewright.ir.layout_plan import reduced, reordered, trailing
from edgewright.ir.operator import Operator
from edgewright.ir.verify import MAX_ELEMENTS as MOST_ELEMENTS
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.log_softmax import LogSoftmax
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.mean import Mean
from edgewright.ops.mul import Mul
from edgewright.ops.prelu import PRelu
from edgewright.ops.resize import Resize
from edgewright.ops.softmax import Softmax
from edgewright.ops.transpose_conv2d import TransposeConv2D

Pair = tuple[int, int]
Pads = Sequence[Pair]
"""(before, after) for each spatial axis."""


def plane(x: Held) -> Axes:
    """Held axes (N, H, W, C) for seen (N, C, H, W), and (N, 1, L, C) for (N, C, L)."""
    seen = x.layout.seen
    if len(seen) not in (3, 4):
        raise UnsupportedError(f"its input has {len(seen)} axes", hint="one- and two-dimensional networks with a batch axis are supported")
    return (seen[0], *(((),) if len(seen) == 3 else ()), *seen[2:], seen[1])


def two(values: Sequence[int], fill: int) -> Pair:
    """Attributes of one or two spatial axes as (height, width)."""
    if max(values) > MOST_ELEMENTS:
        raise ModelError(f"a window with a size, stride or dilation of {max(values)}", hint=INCONSISTENT)
    return (values[0], values[1]) if len(values) == 2 else (fill, values[0])


def _two_pads(padding: Pads) -> tuple[Pair, Pair]:
    pairs = [(int(low), int(high)) for low, high in padding]
    if any(max(pair) > MOST_ELEMENTS for pair in pairs):
        raise ModelError(f"a window with padding {pairs}", hint=INCONSISTENT)
    return (pairs[0], pairs[1]) if len(pairs) == 2 else ((0, 0), pairs[0])


def _from_plane(door: Door, x: Held, name: str) -> Held:
    """The output of a window operator on ``x``, as the source sees it."""
    _, height, width, channels = door.builder.value(name).shape
    batch = x.layout.seen[0]
    sizes = [int(size or 1) for size in (channels, height, width)]
    groups: list[Group] = [(Atom(size),) if size != 1 else () for size in sizes]
    if x.layout.rank == 3:
        return Held(name, Layout((batch, groups[0], groups[2]), (batch, (), groups[2], groups[0])))
    return Held(name, Layout((batch, *groups), (batch, groups[1], groups[2], groups[0])))


def convolution(
    door: Door, x: Held, weight: Known, bias: Known | None, *, stride: Sequence[int], padding: Pads, dilation: Sequence[int], groups: int
) -> Held:
    """Convolution over one or two axes; ``weight`` (O, I / groups, kh, kw) or (O, I / groups, k)."""
    weight = _spatial(weight, x)
    x = door.bring(x, plane(x))
    channels = int(door.builder.value(x.name).shape[3] or 1)
    outputs = int(weight.array.shape[0])
    op: Operator
    if groups == channels > 1 and weight.array.shape[1] == 1 and outputs % channels == 0:
        op = DepthwiseConv2D(two(stride, 1), _two_pads(padding), two(dilation, 1), outputs // channels)
    else:
        op = Conv2D(two(stride, 1), _two_pads(padding), two(dilation, 1), groups)
    return _from_plane(door, x, _weighted(door, op, x, weight.transposed((0, 2, 3, 1)).per_output(), bias, (0, 2, 3, 1)))


def transposed_convolution(
    door: Door,
    x: Held,
    weight: Known,
    bias: Known | None,
    *,
    stride: Sequence[int],
    padding: Pads,
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Held:
    """Transposed convolution over one or two axes; ``weight`` (I, O, kh, kw) or (I, O, k)."""
    if groups != 1 or any(step != 1 for step in dilation):
        raise UnsupportedError(
            f"a transposed convolution with {groups} groups and dilation {tuple(dilation)}", hint="use 1 group and no dilation"
        )
    weight = _spatial(weight, x)
    x = door.bring(x, plane(x))
    op = TransposeConv2D(two(stride, 1), _two_pads(padding), two(output_padding, 0))
    return _from_plane(door, x, _weighted(door, op, x, weight.transposed((1, 2, 3, 0)).per_output(), bias, (1, 2, 3, 0)))


def _spatial(weight: Known, x: Held) -> Known:
    """``weight`` with two spatial axes."""
    if weight.array.ndim == 3 and x.layout.rank == 3:
        return Known(weight.array[:, :, None, :], weight.name, weight.quant)
    if weight.array.ndim != 4 or x.layout.rank != 4:
        raise UnsupportedError(
            f"a convolution of an input with {x.layout.rank} axes by a weight with {weight.array.ndim}",
            hint="one- and two-dimensional convolutions of inputs with a batch axis are supported",
        )
    return weight


def _weighted(door: Door, op: Operator, x: Held, weight: Known, bias: Known | None, key: tuple[int, ...]) -> str:
    inputs = [x.name, door.constant(weight, key=key)]
    if bias is not None:
        vector = Known(as_reals(bias).reshape(-1), bias.name, bias.quant) if bias.array.ndim != 1 else bias
        known = door.quants.get(x.name)
        if vector.quant is None and known is not None and weight.quant is not None:
            # Runtimes hold the bias on the grid of the sums even where the file leaves it in float.
            vector = Known(
                vector.array,
                vector.name,
                Quant.per_axis(np.asarray(weight.quant.scale, np.float32) * np.float32(known.scale[0]), 0, DType.INT32),
            )
        inputs.append(door.constant(vector if vector.quant is None else vector.per_output()))
    return door.emit(op, inputs)


def dense(door: Door, x: Held, weight: Known, bias: Known | None) -> Held:
    """x @ weight.T + bias over the last seen axis; ``weight`` (O, I). Its columns follow the order in which a flattened image is held."""
    axis = x.layout.rank - 1
    if weight.array.ndim != 2 or axis < 0 or x.layout.shape[axis] != weight.array.shape[1]:
        raise ModelError(
            f"a dense weight of shape {list(weight.array.shape)} does not fit an input of shape {list(x.layout.shape)}", hint=INCONSISTENT
        )
    wide = bias is not None and bias.array.size != weight.array.shape[0]
    x = door.bring(x, trailing(x.layout, axis, compact=True))
    weight = weight.per_output()
    seen, held = x.layout.seen[axis], x.layout.held[-1]
    turned = Known(reordered(weight.array, seen, held), weight.name, weight.quant) if seen != held else weight
    name = _weighted(door, Dense(), x, turned, None if wide else bias, ())
    outputs: Group = (Atom(int(weight.array.shape[0])),) if weight.array.shape[0] != 1 else ()
    result = Held(name, Layout((*x.layout.seen[:axis], outputs), (*x.layout.held[:-1], outputs)))
    return add(door, result, bias) if wide and bias is not None else result


def batch_norm(door: Door, x: Held, parameters: Sequence[Known], epsilon: float) -> Held:
    """Normalization of seen axis 1; ``parameters``: scale, offset, mean, variance."""
    x, names = _per_channel(door, x, parameters)
    return Held(door.emit(BatchNorm(epsilon), [x.name, *names]), x.layout)


def prelu(door: Door, x: Held, slope: Known, axis: int = 1) -> Held:
    """One slope for everything, or one for each index of a seen axis."""
    if slope.array.size == 1:
        return Held(door.emit(LeakyRelu(float(slope.array.reshape(-1)[0])), [x.name]), x.layout)
    x, names = _per_channel(door, x, [slope], axis)
    return Held(door.emit(PRelu(), [x.name, *names]), x.layout)


def _per_channel(door: Door, x: Held, parameters: Sequence[Known], axis: int = 1) -> tuple[Held, list[str]]:
    """``x`` with seen ``axis`` held last, and parameters in the order in which it is held."""
    if x.layout.rank <= axis or any(known.array.size != x.layout.shape[axis] for known in parameters):
        sizes = [known.array.size for known in parameters]
        raise ModelError(f"{sizes} parameters do not fit axis {axis} of an input of shape {list(x.layout.shape)}", hint=INCONSISTENT)
    x = door.bring(x, trailing(x.layout, axis, compact=False))
    seen, held = x.layout.seen[axis], x.layout.held[-1]
    key = tuple(seen.index(atom) for atom in held)
    return x, [door.constant(known, reordered(known.array.reshape(-1), seen, held), key=key) for known in parameters]


def softmax(door: Door, x: Held, axis: int, *, log: bool) -> Held:
    """Softmax, or its logarithm, over a seen axis. A factor in front of it, a temperature, becomes its ``beta``."""
    beta, made = 1.0, door.expression(x.name)
    if not log and made is not None and made[0] == Mul():
        factors = [(door.numbers.get(other), value) for value, other in (made[1], made[1][::-1])]
        array, value = next(((array, value) for array, value in factors if array is not None and array.size == 1), (None, ""))
        if array is not None and float(array.reshape(-1)[0]) > 0:
            beta, x = float(array.reshape(-1)[0]), Held(value, x.layout)
    x = door.bring(x, trailing(x.layout, axis, compact=False))
    return Held(door.emit(LogSoftmax() if log else Softmax(beta), [x.name]), x.layout)


def mean(door: Door, x: Held, axes: Sequence[int], *, keep_dims: bool) -> Held:
    """The mean over seen axes."""
    inner = door.expanded.get(x.name)
    if inner is not None:
        sizes = [1 if axis in axes else size for axis, size in enumerate(x.layout.shape) if keep_dims or axis not in axes]
        result = expand(door, mean(door, inner, axes, keep_dims=keep_dims), sizes)
        assert isinstance(result, Held)
        return result
    wanted, places, layout = reduced(x.layout, axes)
    name = door.emit(Mean(places, keep_dims=True), [door.bring(x, wanted).name]) if places else x.name
    kept = layout.seen if keep_dims else tuple(group for axis, group in enumerate(layout.seen) if axis not in axes)
    return Held(name, Layout(kept, layout.held))


def largest(door: Door, x: Held, axes: Sequence[int], *, keep_dims: bool) -> Held:
    """The maximum over seen axes, the batch not among them: as a pooling over all of them."""
    shape = x.layout.shape
    if 0 in axes or len(shape) < 2:
        raise UnsupportedError(f"a maximum over the axes {sorted(axes)} of {len(shape)}", hint="leave the batch axis out of it")
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    if len(shape) in (3, 4) and kept == [0, 1]:
        pooled = adaptive_pool(door, x, "max", [1] * (len(shape) - 2))
    else:
        moved = permute(x, (*kept, *axes))
        flat = reshape(door, moved, (shape[0], math.prod(shape[axis] for axis in kept[1:]), math.prod(shape[axis] for axis in axes)))
        pooled = adaptive_pool(door, flat, "max", [1])
    return reshape(door, pooled, [1 if axis in axes else size for axis, size in enumerate(shape) if keep_dims or axis not in axes])


def length(door: Door, x: Held, axes: Sequence[int], *, keep_dims: bool) -> Held:
    """The Euclidean norm over seen axes: only as a divisor."""
    count = math.prod(x.layout.shape[axis] for axis in axes)
    return sqrt(door, mul(door, mean(door, mul(door, x, x), axes, keep_dims=keep_dims), scalar(float(count))))


def pool(
    door: Door,
    x: Held,
    kind: Literal["max", "average"],
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Pads,
    ceil: bool,
    count_padding: bool = False,
    past_end: bool = True,
) -> Held:
    """Max or average pooling over one or two axes. ``count_padding``: padding counts in the average. ``past_end``: with ``ceil``, windows
    that would start behind the input and its leading padding are left out (torch, and ONNX from opset 19 on)."""
    sizes = x.layout.shape[2:]
    axes = range(len(sizes))
    extra = [_ceil_extra(sizes[axis], kernel[axis], stride[axis], padding[axis], past_end) if ceil else 0 for axis in axes]
    if kind == "average" and count_padding and any(sum(pair) for pair in padding):
        x = pad(door, x, {axis + 2: padding[axis] for axis in axes})
        padding = [(0, 0)] * len(sizes)
    whole = _two_pads([(low, high + more) for (low, high), more in zip(padding, extra, strict=True)])
    x = door.bring(x, plane(x))
    op: Operator
    if kind == "max":
        op = MaxPool2D(two(kernel, 1), two(stride, 1), whole)
    else:
        op = AveragePool2D(two(kernel, 1), two(stride, 1), whole)
    return _from_plane(door, x, door.emit(op, [x.name], [door.quants.get(x.name)]))


def _ceil_extra(size: int, kernel: int, stride: int, padding: Pair, past_end: bool) -> int:
    """Padding to add behind the end so that the last, partial window fits."""
    count = -(-(size + sum(padding) - kernel) // stride) + 1
    if past_end and (count - 1) * stride >= size + padding[0]:
        count -= 1
    return max(0, (count - 1) * stride + kernel - size - sum(padding))


def adaptive_pool(door: Door, x: Held, kind: Literal["max", "average"], sizes: Sequence[int | None]) -> Held:
    """Pooling to ``sizes`` (None: as it is) where they divide the input's."""
    own = x.layout.shape[2:]
    wanted = [size if goal is None else goal for size, goal in zip(own, sizes, strict=True)]
    if list(own) == wanted:
        return x
    if kind == "average" and all(goal == 1 for goal in wanted):
        return mean(door, x, range(2, x.layout.rank), keep_dims=True)
    if any(goal < 1 or size % goal for size, goal in zip(own, wanted, strict=True)):
        raise UnsupportedError(
            f"it pools {tuple(own)} to {tuple(wanted)}, windows of unequal sizes", hint="pool to sizes that divide the input's"
        )
    kernel = [size // goal for size, goal in zip(own, wanted, strict=True)]
    return pool(door, x, kind, kernel=kernel, stride=kernel, padding=[(0, 0)] * len(own), ceil=False)


def resize(
    door: Door, x: Held, sizes: Sequence[int], coordinates: Sequence[NDArray[np.float64]], mode: Literal["nearest", "bilinear"]
) -> Held:
    """Nearest or bilinear resizing of the spatial axes to ``sizes``. ``coordinates``: for each axis, where in the input each output
    lies as the source defines it (whole indices for nearest); the operator's convention that gives the same is taken."""
    own = x.layout.shape[2:]
    if min(sizes, default=0) < 1:
        raise ModelError(f"it resizes to {list(sizes)}", hint=INCONSISTENT)
    x = door.bring(x, plane(x))
    for align, half in ((False, False), (False, True), (True, False)):
        op = Resize(two(sizes, 1), mode=mode, align_corners=align, half_pixel_centers=half)
        ours = [_places(op, size, goal) for size, goal in zip(own, sizes, strict=True)]
        if all(np.allclose(a, b, atol=1e-4) for a, b in zip(ours, coordinates, strict=True)):
            return _from_plane(door, x, door.emit(op, [x.name], [door.quants.get(x.name) if mode == "nearest" else None]))
    raise UnsupportedError(
        f"{mode} resizing of {tuple(own)} to {tuple(sizes)} with coordinates that no convention of ours gives",
        hint="resize by whole factors, or to given sizes instead of by fractional scales",
    )


def _places(op: Resize, size: int, goal: int) -> NDArray[np.float64]:
    """Where the outputs of ``op`` lie in an input axis of ``size``."""
    if op.mode == "nearest":
        return np.asarray(op.nearest(size, goal), np.float64)
    lower, upper, fraction = op.between(size, goal)
    return lower + (upper - lower) * np.asarray(fraction, np.float64)


def tensor_of(operand: Operand | None, what: str) -> Held:
    """``operand`` as an activation; UnsupportedError where it is a constant."""
    if isinstance(operand, Held):
        return operand
    raise UnsupportedError(f"its {what} does not depend on any input", hint="fold constants when exporting the model")


def known_of(operand: Operand | None, what: str) -> Known:
    """``operand`` as a constant; UnsupportedError where it is computed at run time."""
    if isinstance(operand, Known):
        return operand
    raise UnsupportedError(f"its {what} is computed at run time", hint="only a constant will do there")


def same_padding(size: int, kernel: int, stride: int, dilation: int, *, upper: bool) -> Pair:
    """Padding that makes ceil(size / stride) outputs; the odd one behind (``upper``) or in front."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)
