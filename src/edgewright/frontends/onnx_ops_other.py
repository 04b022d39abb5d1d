"""ONNX's elementwise operators, and those that move or select numbers: operator name → conversion."""

from __future__ import annotations

import math

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand
from edgewright.frontends.layout_arithmetic import add, clip, div, erf, expand, mul, power, scalar, sqrt, sub, unary
from edgewright.frontends.layout_attention import embedding
from edgewright.frontends.layout_masks import as_mask, both, choose, equal, is_mask, is_whole, opposite
from edgewright.frontends.layout_shape import (
    concat,
    depth_to_space,
    pad,
    permute,
    reshape,
    select,
    slice_axes,
    split,
    squeeze,
    unsqueeze,
)
from edgewright.frontends.onnx_arguments import Arguments, Handler, Pieces, axis_of
from edgewright.frontends.onnx_fold import TYPES, equal_parts
from edgewright.ir.operator import Operator
from edgewright.ops.abs import Abs
from edgewright.ops.elu import ELU, SELU_ALPHA, SELU_SCALE
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.mish import Mish
from edgewright.ops.relu import Relu
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.softplus import Softplus
from edgewright.ops.tanh import Tanh


def _unary(op: Operator) -> Handler:
    return lambda door, a: unary(door, a.held(0), op)


def _clip(door: Door, a: Arguments) -> Held:
    return clip(door, a.held(0), a.number(1, -math.inf), a.number(2, math.inf))


def _extreme(upper: bool) -> Handler:
    """Max(x, number) and Min(x, number)."""

    def handler(door: Door, a: Arguments) -> Held:
        helds = [item for item in a.inputs if isinstance(item, Held)]
        bounds = [float(item.array.reshape(-1)[0]) for item in a.inputs if isinstance(item, Known) and item.array.size == 1]
        if len(helds) != 1 or len(bounds) + 1 != len(a.inputs):
            raise UnsupportedError("the larger or smaller of two activations", hint="only a constant number can be the other side")
        x = helds[0]
        for bound in bounds:
            x = clip(door, x, bound, math.inf) if upper else clip(door, x, -math.inf, bound)
        return x

    return handler


def _sum(door: Door, a: Arguments) -> Operand:
    result = a.operand(0)
    for index in range(1, len(a.inputs)):
        result = add(door, result, a.operand(index))
    return result


def _hard_sigmoid(door: Door, a: Arguments) -> Held:
    alpha, beta = a.real("alpha", 0.2), a.real("beta", 0.5)
    # Files hold attributes in float32; torch's 1/6 comes back as 0.16666667.
    return unary(door, a.held(0), HardSigmoid(1 / 6 if math.isclose(alpha, 1 / 6, rel_tol=1e-6) else alpha, beta))


def _gelu(door: Door, a: Arguments) -> Held:
    return unary(door, a.held(0), GELU(approximate=a.text("approximate", "none") == "tanh"))


def _selu(door: Door, a: Arguments) -> Held:
    """gamma ELU(x), where ELU has alpha."""
    return mul(door, unary(door, a.held(0), ELU(a.real("alpha", SELU_ALPHA))), scalar(a.real("gamma", SELU_SCALE)))


def _leaky_relu(door: Door, a: Arguments) -> Held:
    return unary(door, a.held(0), LeakyRelu(a.real("alpha", 0.01)))


def _cast(door: Door, a: Arguments) -> Operand:
    x, kind = a.operand(0), TYPES.get(a.integer("to", 1))
    if kind is np.bool_ and isinstance(x, Held) and (is_whole(door, x) or is_mask(door, x)):
        return as_mask(door, x)
    if kind is not np.float32 and not (isinstance(x, Held) and (is_whole(door, x) or is_mask(door, x))):
        raise UnsupportedError(
            "it turns an activation into integers", hint="activations are real numbers; leave integer work outside of the network"
        )
    return x


def _equal(door: Door, a: Arguments) -> Held:
    first, second = a.operand(0), a.operand(1)
    x, index = (first, 1) if isinstance(first, Held) else (second, 0)
    if not isinstance(x, Held):
        raise UnsupportedError("it compares constants", hint=INCONSISTENT)
    return equal(door, x, a.number(index, 0.0))


def _dropout(door: Door, a: Arguments) -> list[Operand | None]:
    if a.number(2, 0.0):
        raise UnsupportedError("dropout in training mode", hint="call .eval() before exporting")
    return [a.operand(0), None]


def _reshape(door: Door, a: Arguments) -> Held:
    x, wanted = a.held(0), a.constants(1)
    shape = x.layout.shape
    if not a.integer("allowzero", 0):
        if any(size == 0 and axis >= len(shape) for axis, size in enumerate(wanted)):
            raise UnsupportedError(f"shape {list(shape)} reshaped to {wanted}", hint=INCONSISTENT)
        wanted = [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return reshape(door, x, wanted)


def _flatten(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    shape = x.layout.shape
    axis = a.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise UnsupportedError(f"axis {axis} of a tensor with {len(shape)} axes", hint=INCONSISTENT)
    axis = axis + len(shape) if axis < 0 else axis
    return reshape(door, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _transpose(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    rank = x.layout.rank
    return permute(x, [axis_of(axis, rank) for axis in a.integers("perm", list(range(rank))[::-1], count=rank)])


def _squeeze(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    return squeeze(x, a.axes(x.layout.rank, 1))


def _unsqueeze(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    count = len(a.constants(1)) if a.has(1) else len(a.integers("axes"))
    return unsqueeze(x, a.axes(x.layout.rank + count, 1) or [])


def _concat(door: Door, a: Arguments) -> Held:
    kept = [item for item in a.inputs if isinstance(item, Held) or (isinstance(item, Known) and item.array.size)]
    rank = max(item.layout.rank if isinstance(item, Held) else item.array.ndim for item in kept)
    return concat(door, kept, a.axis(rank, 0))


def _slice(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    starts, ends = a.constants(1), a.constants(2)
    axes = a.axes(x.layout.rank, 3, "") if a.has(3) else list(range(len(starts)))
    steps = a.constants(4) if a.has(4) else [1] * len(starts)
    if axes is None or not len(starts) == len(ends) == len(axes) == len(steps):
        raise UnsupportedError("starts, ends, axes and steps differ in number", hint=INCONSISTENT)
    return slice_axes(door, x, {axis: (start, end, step) for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)})


def _split(door: Door, a: Arguments) -> list[Held]:
    x = a.held(0)
    axis = a.axis(x.layout.rank, 0)
    if a.has(1):
        sizes = a.constants(1)
    elif "split" in a.node.attributes:
        sizes = a.integers("split")
    else:
        sizes = equal_parts(x.layout.shape[axis], a.integer("num_outputs", len(a.node.outputs)))
    return split(door, x, axis, sizes)


def _split_to_sequence(door: Door, a: Arguments) -> Pieces:
    x = a.held(0)
    axis = a.axis(x.layout.rank, 0)
    whole = x.layout.shape[axis]
    if a.has(1) and a.known(1).array.ndim == 1:
        # An exporter's chunk of an axis that is too short ends with empty pieces; nothing reads them.
        sizes = [size for size in a.constants(1) if size]
    else:
        size = int(a.number(1, 1.0))
        if size < 1:
            raise UnsupportedError(f"pieces of size {size}", hint=INCONSISTENT)
        sizes = [min(size, whole - start) for start in range(0, whole, size)]
    pieces = split(door, x, axis, sizes)
    return Pieces(pieces if a.has(1) or a.integer("keepdims", 1) else [squeeze(piece, [axis]) for piece in pieces])


def _sequence_at(door: Door, a: Arguments) -> Operand:
    pieces = a.inputs[0]
    index = int(a.number(1, 0.0))
    if not isinstance(pieces, Pieces) or not -len(pieces.items) <= index < len(pieces.items):
        raise UnsupportedError(f"entry {index} of a sequence that is not known", hint=INCONSISTENT)
    return pieces.items[index]


def _gather(door: Door, a: Arguments) -> Held:
    table, wanted_rows = a.operand(0), a.operand(1)
    if isinstance(table, Known) and isinstance(wanted_rows, Held):
        if a.axis(table.array.ndim, 0):
            raise UnsupportedError("it looks up columns of a constant", hint="transpose the constant and look up its rows")
        return embedding(door, table, wanted_rows)
    x, indices = a.held(0), a.known(1).array
    axis = a.axis(x.layout.rank, 0)
    if indices.ndim == 0:
        return select(door, x, axis, int(indices))
    size = x.layout.shape[axis]
    wanted = [int(index) % size if -size <= int(index) < size else size for index in indices.reshape(-1)]
    step = wanted[1] - wanted[0] if len(wanted) > 1 else 1
    if indices.ndim != 1 or step < 1 or wanted != list(range(wanted[0], wanted[0] + step * len(wanted), step)) or wanted[-1] >= size:
        raise UnsupportedError("it gathers indices that are not evenly spaced", hint="reorder the weights around it instead")
    return slice_axes(door, x, {axis: (wanted[0], wanted[-1] + 1, step)})


def _pad(door: Door, a: Arguments) -> Held:
    x = a.held(0)
    mode = a.text("mode", "constant")
    if mode not in ("constant", "reflect"):
        raise UnsupportedError(f"padding by mode {mode!r}", hint="pad with a constant, or reflect")
    amounts = a.constants(1)
    axes = a.axes(x.layout.rank, 3, "") if a.has(3) else list(range(x.layout.rank))
    if axes is None or len(amounts) != 2 * len(axes):
        raise UnsupportedError(f"{len(amounts)} amounts of padding for a tensor with {x.layout.rank} axes", hint=INCONSISTENT)
    pairs = zip(amounts[: len(axes)], amounts[len(axes) :], strict=True)
    return pad(door, x, dict(zip(axes, pairs, strict=True)), a.number(2, 0.0), mode)


def _expand(door: Door, a: Arguments) -> Operand:
    x = a.held(0)
    wanted = a.constants(1)
    shape = x.layout.shape
    padded = [1] * (len(shape) - len(wanted)) + wanted
    offset = len(padded) - len(shape)
    return expand(door, x, [shape[axis - offset] if size == 1 and axis >= offset else size for axis, size in enumerate(padded)])


def _tile(door: Door, a: Arguments) -> Operand:
    if any(count != 1 for count in a.constants(1)):
        raise UnsupportedError("it repeats an activation", hint="let broadcasting in the operator behind it do this")
    return a.operand(0)


def _depth_to_space(door: Door, a: Arguments) -> Held:
    return depth_to_space(door, a.held(0), a.integer("blocksize", 0), depth_first=a.text("mode", "DCR") == "DCR")


def _same(door: Door, a: Arguments) -> Operand:
    return a.operand(0)


OTHER: dict[str, Handler] = {
    "Relu": _unary(Relu()),
    "Sigmoid": _unary(Sigmoid()),
    "Tanh": _unary(Tanh()),
    "HardSwish": _unary(HardSwish()),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "com.microsoft.Gelu": _gelu,
    "Abs": _unary(Abs()),
    "Elu": lambda door, a: unary(door, a.held(0), ELU(a.real("alpha", 1.0))),
    "Selu": _selu,
    "Mish": _unary(Mish()),
    "Softplus": _unary(Softplus()),
    "LeakyRelu": _leaky_relu,
    "Clip": _clip,
    "Sqrt": lambda door, a: sqrt(door, a.held(0)),
    "Reciprocal": lambda door, a: div(door, scalar(1.0), a.held(0)),
    "Erf": lambda door, a: erf(door, a.held(0)),
    "Add": lambda door, a: add(door, a.operand(0), a.operand(1)),
    "Sub": lambda door, a: sub(door, a.operand(0), a.operand(1)),
    "Mul": lambda door, a: mul(door, a.operand(0), a.operand(1)),
    "Div": lambda door, a: div(door, a.operand(0), a.operand(1)),
    "Pow": lambda door, a: power(door, a.held(0), a.number(1, math.nan)),
    "Neg": lambda door, a: mul(door, a.held(0), scalar(-1.0)),
    "Max": _extreme(upper=True),
    "Min": _extreme(upper=False),
    "Sum": _sum,
    "Identity": _same,
    "Cast": _cast,
    "CastLike": _same,
    "Dropout": _dropout,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "SplitToSequence": _split_to_sequence,
    "SequenceAt": _sequence_at,
    "Gather": _gather,
    "Pad": _pad,
    "Equal": _equal,
    "Not": lambda door, a: opposite(door, a.held(0)),
    "And": lambda door, a: both(door, a.operand(0), a.operand(1)),
    "Where": lambda door, a: choose(door, a.operand(0), a.operand(1), a.operand(2)),
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
}
