"""What transformers are made of, in the source's axes: embeddings, products of two activations, scaled dot products."""

from __future__ import annotations

import math

from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.layout import INCONSISTENT, Door, Held, Known, Operand
from edgewright.frontends.layout_arithmetic import mul, scalar
from edgewright.frontends.layout_compute import softmax
from edgewright.ir.layout import Atom, Axes, Group, Layout, flat
from edgewright.ops.embedding import Embedding
from edgewright.ops.matmul import MatMul
from edgewright.ops.mul import Mul


def embedding(door: Door, table: Known, indices: Held) -> Held:
    """Rows of ``table`` (V, C) for every number of ``indices``, which count from 0."""
    if table.array.ndim != 2 or not table.array.size:
        raise UnsupportedError(f"a look-up in a table of shape {list(table.array.shape)}", hint="a table has two axes, rows and channels")
    if table.quant is not None and table.quant.axis is not None:
        raise UnsupportedError("a look-up in a table that is quantized per channel", hint="quantize the table per tensor")
    x = door.bring(indices, indices.layout.seen)
    group: Group = (Atom(table.array.shape[1]),) if table.array.shape[1] != 1 else ()
    axes: Axes = (*x.layout.seen, group)
    return Held(door.emit(Embedding(), [door.constant(table), x.name], [table.quant]), Layout(axes, axes))


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
