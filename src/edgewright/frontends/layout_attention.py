"""What attention is made of, in the source's axes: products of two activations, layer normalization, scaled dot products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand, as_reals
from edgewright.frontends.layout_arithmetic import mul, scalar
from edgewright.frontends.layout_compute import softmax
from edgewright.ir.layout import Atom, Axes, Group, Layout, flat
from edgewright.ir.layout_plan import reordered, trailing
from edgewright.ops.layer_norm import LayerNorm
from edgewright.ops.matmul import MatMul
from edgewright.ops.mul import Mul


def matmul(door: Door, first: Operand, second: Operand) -> Held:
    """first @ second over the last two seen axes; the leading ones broadcast. A constant is held as it is seen."""
    a, factor = _without_factor(door, _held(door, first))
    b, other = _without_factor(door, _held(door, second))
    product = _matmul(door, a, b)
    return product if factor * other == 1.0 else mul(door, product, scalar(factor * other))


def _without_factor(door: Door, x: Held) -> tuple[Held, float]:
    """``x`` and the number it is multiplied by: exporters share the factor of attention out to query and key."""
    made = door.expression(x.name)
    if made is not None and made[0] == Mul():
        for value, other in (made[1], made[1][::-1]):
            number = door.numbers.get(other)
            if number is not None and number.size == 1 and door.builder.value(value).shape == door.builder.value(x.name).shape:
                return Held(value, x.layout), float(number.reshape(-1)[0])
    return x, 1.0


def _matmul(door: Door, a: Held, b: Held) -> Held:
    if min(a.layout.rank, b.layout.rank) < 2:
        raise UnsupportedError("a product of a matrix and a vector, both computed at run time", hint="give the vector a second axis")
    rank = max(a.layout.rank, b.layout.rank)
    a, b = (_with_rank(x, rank) for x in (a, b))
    if a.layout.shape[-1] != b.layout.shape[-2]:
        raise ModelError(f"factors of shapes {list(a.layout.shape)} and {list(b.layout.shape)} do not fit each other", hint=INCONSISTENT)
    transposed = _is_turned(b.layout)
    seen = b.layout.seen
    a = door.bring(a, a.layout.seen)
    b = door.bring(b, (*seen[:-2], seen[-1], seen[-2]) if transposed else seen)
    name = door.emit(MatMul(transposed), [a.name, b.name])
    leading = tuple(first or second for first, second in zip(a.layout.seen[:-2], seen[:-2], strict=True))
    # Rows and columns may be one and the same axis of the source, and are two of the product.
    columns: Group = (Atom(b.layout.shape[-1]),) if seen[-1] else ()
    axes: Axes = (*leading, a.layout.seen[-2], columns)
    return Held(name, Layout(axes, axes))


def _held(door: Door, x: Operand) -> Held:
    return x if isinstance(x, Held) else Held(door.constant(x), Layout.fresh(x.array.shape, batch=False))


def _with_rank(x: Held, rank: int) -> Held:
    layout = x.layout
    for _ in range(rank - layout.rank):
        layout = layout.unsqueezed(0)
    return Held(x.name, layout)


def _is_turned(layout: Layout) -> bool:
    """Whether the last seen axis is held before the one in front of it."""
    last, inner = layout.seen[-1], layout.seen[-2]
    if not last or not inner:
        return False
    order = flat(layout.held)
    return order.index(last[0]) < order.index(inner[0])


def layer_norm(door: Door, x: Held, sizes: Sequence[int], scale: Known | None, offset: Known | None, epsilon: float) -> Held:
    """Normalization over the last seen axis, of ``sizes`` (one number)."""
    axis = x.layout.rank - 1
    if len(sizes) != 1 or axis < 1:
        raise UnsupportedError(f"layer normalization over the axes {list(sizes)}", hint="only the last axis is supported")
    parameters = [scale or Known(np.ones(sizes[0], np.float32), "scale"), offset or Known(np.zeros(sizes[0], np.float32), "offset")]
    if x.layout.shape[axis] != sizes[0] or any(known.array.shape != (sizes[0],) for known in parameters):
        raise ModelError(f"{sizes[0]} parameters do not fit an input of shape {list(x.layout.shape)}", hint=INCONSISTENT)
    x = door.bring(x, trailing(x.layout, axis, compact=False))
    seen, held = x.layout.seen[axis], x.layout.held[-1]
    key = tuple(seen.index(atom) for atom in held)
    names = [door.constant(known, reordered(as_reals(known), seen, held), key=key) for known in parameters]
    return Held(door.emit(LayerNorm(epsilon), [x.name, *names]), x.layout)


def scaled_dot_product(door: Door, query: Held, key: Held, value: Held, scale: float | None) -> Held:
    """softmax(query @ key.T * scale) @ value over the last two seen axes; ``scale`` is 1 / sqrt(depth) where none is given.

    Source: Vaswani et al. 2017 (arXiv:1706.03762).
    """
    factor = 1.0 / math.sqrt(query.layout.shape[-1]) if scale is None else scale
    rank = key.layout.rank
    turned = Held(key.name, key.layout.permuted((*range(rank - 2), rank - 1, rank - 2)))
    scores = mul(door, matmul(door, query, turned), scalar(factor))
    if not isinstance(scores, Held):
        raise ModelError("attention whose scores depend on no input", hint=INCONSISTENT)
    return matmul(door, softmax(door, scores, scores.layout.rank - 1, log=False), value)
