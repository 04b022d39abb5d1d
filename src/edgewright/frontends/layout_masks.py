"""Masks in the source's axes: comparisons of whole numbers, and choices by them, as arithmetic on 0 and 1."""

from __future__ import annotations

import numpy as np

from edgewright.errors import UnsupportedError
from edgewright.frontends.layout import Door, Held, Known, Operand
from edgewright.frontends.layout_arithmetic import add, mul, scalar, sub, unary
from edgewright.ops.relu import Relu

FAR = -1e9
"""Stands for minus infinity, and for what is about as low: added to any score it leaves nothing of it, and nothing of its exponential."""
ABOUT_INFINITE = 1e30


def equal(door: Door, x: Held, number: float) -> Held:
    """1 where whole numbers (an input of integers, or a mask) are ``number``, else 0."""
    if is_mask(door, x):
        return x if number == 1.0 else opposite(door, x) if number == 0.0 else _none(door, x)
    if not is_whole(door, x):
        raise UnsupportedError("it compares activations", hint="only integers that come in and masks of them can be compared")
    above, below = (unary(door, side, Relu()) for side in (sub(door, x, scalar(number)), sub(door, scalar(number), x)))
    return _mask(door, unary(door, sub(door, scalar(1.0), add(door, above, below)), Relu()))


def opposite(door: Door, x: Held) -> Held:
    """1 where a mask is 0, else 0."""
    if not is_mask(door, x):
        raise UnsupportedError("it negates what is no mask", hint="only masks, made of integers that come in, can be negated")
    return _mask(door, sub(door, scalar(1.0), x))


def both(door: Door, a: Operand, b: Operand) -> Operand:
    """1 where both masks, one of which may be a constant, are 1."""
    for mask, other in ((a, b), (b, a)):
        if isinstance(mask, Held) and is_mask(door, mask) and isinstance(other, Known):
            return mask if np.all(other.array) else _mask(door, mul(door, mask, Known(other.array.astype(np.float32), other.name)))
    if isinstance(a, Held) and isinstance(b, Held) and is_mask(door, a) and is_mask(door, b):
        return _mask(door, mul(door, a, b))
    raise UnsupportedError("it joins what are no masks", hint="only masks, made of integers that come in, can be joined")


def choose(door: Door, mask: Operand, a: Operand, b: Operand) -> Held:
    """``a`` where ``mask`` is 1, ``b`` where it is 0; one of them at least is a constant number."""
    if isinstance(mask, Known) or not is_mask(door, mask):
        raise UnsupportedError("it chooses by what is no mask of the input", hint="masks are made of integers that come in")
    if isinstance(a, Known) and isinstance(b, Known):
        first, second = _number(a), _number(b)
        if min(first, second) <= -ABOUT_INFINITE:
            first, second = max(first, FAR), max(second, FAR)
        step = mul(door, mask, scalar(first - second)) if second == 0.0 or first != 0.0 else mul(door, opposite(door, mask), scalar(second))
        return step if 0.0 in (first, second) else add(door, step, scalar(second))
    if isinstance(a, Held) and isinstance(b, Held):
        raise UnsupportedError("it chooses between activations", hint="one side must be a constant number")
    there, gone, away = (a, b, opposite(door, mask)) if isinstance(a, Held) else (b, a, mask)
    assert isinstance(there, Held) and isinstance(gone, Known)
    number = _number(gone)
    if number <= -ABOUT_INFINITE:
        return add(door, there, mul(door, away, scalar(FAR)))
    kept = mul(door, there, opposite(door, away))
    return kept if number == 0.0 else add(door, kept, mul(door, away, scalar(number)))


def _number(known: Known) -> float:
    if known.array.size != 1:
        raise UnsupportedError("it chooses among several constants", hint="each side must be an activation or one number")
    return float(known.array.reshape(-1)[0])


def as_mask(door: Door, x: Held) -> Held:
    """1 where whole numbers are not 0."""
    return x if is_mask(door, x) else opposite(door, equal(door, x, 0.0))


def is_mask(door: Door, x: Held) -> bool:
    """Whether ``x`` holds 0 and 1 alone."""
    return _before(door, x).name in door.masks


def is_whole(door: Door, x: Held) -> bool:
    """Whether ``x`` holds integers that came in."""
    return _before(door, x).name in door.whole


def _before(door: Door, x: Held) -> Held:
    return door.expanded.get(x.name, x)


def _mask(door: Door, x: Held) -> Held:
    door.masks.add(_before(door, x).name)
    return x


def _none(door: Door, x: Held) -> Held:
    return _mask(door, mul(door, x, scalar(0.0)))
