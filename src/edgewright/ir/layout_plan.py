"""Which held axes an operator should be given, so that little has to move; and what its result is then held in.

``prefer`` is an order of seen axes (channels last, channels first) that breaks ties where axes of size 1 could stand anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.layout import Atom, Axes, BatchMixedError, Group, Layout, flat, moves

Array = NDArray[np.generic]


def channels_last(rank: int) -> tuple[int, ...]:
    """Axes (N, C, ...) in the order (N, ..., C)."""
    return (0, *range(2, rank), 1) if rank > 2 else tuple(range(rank))


def channels_first(rank: int) -> tuple[int, ...]:
    """Axes (N, ..., C) in the order (N, C, ...)."""
    return (0, rank - 1, *range(1, rank - 1)) if rank > 2 else tuple(range(rank))


def rearranged(array: Array, held: Axes, wanted: Axes) -> Array:
    """The numbers of a constant held in ``held`` axes, in ``wanted`` axes."""
    for move in moves(held, wanted):
        array = array.transpose(move.permutation) if move.permutation else array.reshape([int(size or 1) for size in move.shape])
    return array


def reordered(vector: Array, seen: Group, held: Group) -> Array:
    """Numbers along a seen axis (the last axis of ``vector``) in the order in which the axis is held."""
    if seen == held:
        return vector
    lead = vector.shape[:-1]
    split = vector.reshape(*lead, *(atom.size for atom in seen))
    order = [len(lead) + seen.index(atom) for atom in held]
    return split.transpose(*range(len(lead)), *order).reshape(vector.shape)


def separate(layout: Layout, axes: Sequence[int]) -> Axes:
    """Held axes in which each seen axis of ``axes`` is one axis of its own, its atoms in order; the others keep their order."""
    groups = {axis: layout.seen[axis] for axis in axes if layout.seen[axis]}
    owner: dict[Atom, int] = {atom: axis for axis, group in groups.items() for atom in group}
    result: list[Group] = []
    done: set[int] = set()
    for held in layout.held:
        for part in _parts(held, set(owner)) or [()]:
            if not part or part[0] not in owner:
                result.append(part)
                continue
            for axis in dict.fromkeys(owner[atom] for atom in part):
                if axis not in done:
                    result.append(groups[axis])
                    done.add(axis)
    return tuple(result)


def locate(layout: Layout, axes: Sequence[int], prefer: Sequence[int]) -> tuple[Axes, dict[int, int]]:
    """Held axes in which each seen axis of ``axes`` stands alone, and where: near to what they are."""
    if all(layout.seen[axis] for axis in axes):
        wanted = separate(layout, axes)
        return wanted, {axis: wanted.index(layout.seen[axis]) for axis in axes}
    order = one_to_one(layout, prefer)
    return tuple(layout.seen[axis] for axis in order), {axis: order.index(axis) for axis in axes}


def one_to_one(layout: Layout, prefer: Sequence[int]) -> tuple[int, ...]:
    """The order of seen axes, each held as one axis, that is nearest to how they are held; a symbolic batch stands first."""
    place = {atom: index for index, atom in enumerate(flat(layout.held))}
    wide = sorted((axis for axis, group in enumerate(layout.seen) if group), key=lambda axis: place[layout.seen[axis][0]])
    for candidate in (tuple(prefer), tuple(range(layout.rank))):
        if [axis for axis in candidate if layout.seen[axis]] == wide and layout.batch_axis in (None, candidate[0]):
            return candidate
    return (*wide, *(axis for axis, group in enumerate(layout.seen) if not group))


def resized(layout: Layout, wanted: Axes, places: Mapping[int, int], sizes: Mapping[int, int]) -> Layout:
    """The layout, held as :func:`locate` ``wanted`` it, after seen axes got new ``sizes``."""
    seen, held = list(layout.seen), list(wanted)
    for axis, place in places.items():
        seen[axis] = held[place] = (Atom(sizes[axis]),) if sizes[axis] != 1 else ()
    return Layout(tuple(seen), tuple(held))


def trailing(layout: Layout, axis: int, *, compact: bool) -> Axes:
    """Held axes that end with the seen ``axis``, its atoms in the order that costs least. ``compact``: without more axes of size 1."""
    last, rest = _apart(layout, axis)
    if layout.held and layout.held[-1] == last and (not compact or len(layout.held) == layout.rank):
        return layout.held
    return (*(rest or [()]), last)


def second(layout: Layout, axis: int) -> Axes:
    """Held axes with the seen ``axis`` right behind the batch, its atoms in the order that costs least."""
    own, rest = _apart(layout, axis)
    if len(layout.held) > 1 and layout.held[1] == own:
        return layout.held
    return (rest[0] if rest else (), own, *rest[1:])


def _apart(layout: Layout, axis: int) -> tuple[Group, list[Group]]:
    """The atoms of a seen axis in their held order, and the held axes without them and without those of size 1."""
    own = set(layout.seen[axis])
    if layout.batch_axis == axis:
        raise BatchMixedError
    group = tuple(atom for atom in flat(layout.held) if atom in own)
    rest = [tuple(atom for atom in held if atom not in own) for held in layout.held]
    return group, [held for held in rest if held]


def reduced(layout: Layout, axes: Sequence[int]) -> tuple[Axes, tuple[int, ...], Layout]:
    """To reduce over seen ``axes``: held axes to have, which of them to reduce (none: nothing to do), and the result with sizes 1 there."""
    if layout.batch_axis in axes:
        raise BatchMixedError
    gone = {atom for axis in axes for atom in layout.seen[axis]}
    wanted = tuple(part for group in layout.held for part in (_parts(group, gone) or [()])) if gone else layout.held
    places = tuple(index for index, group in enumerate(wanted) if group and group[0] in gone)
    seen = tuple(() if axis in axes else group for axis, group in enumerate(layout.seen))
    return wanted, places, Layout(seen, tuple(() if index in places else group for index, group in enumerate(wanted)))


def broadcast(aligned: Sequence[Layout], activations: Sequence[Layout], prefer: Sequence[int]) -> Layout:
    """The result of an elementwise operator on ``aligned`` operands (:func:`edgewright.ir.layout.common`), ``activations`` among them.

    It is held as the largest activation is, split where another operand has only a part of an axis; an operand then is to be held in
    :func:`restricted` axes.
    """
    rank = aligned[0].rank
    seen = tuple(next((layout.seen[axis] for layout in aligned if layout.seen[axis]), ()) for axis in range(rank))
    widest = max(activations, key=lambda layout: len(flat(layout.held)))
    target = widest.held if len(flat(widest.held)) == len(flat(seen)) else tuple(seen[axis] for axis in prefer)
    for layout in aligned:
        own = set(flat(layout.held))
        target = tuple(part for group in target for part in (_parts(group, own) or [()]))
    return Layout(seen, target)


def restricted(target: Axes, layout: Layout) -> Axes:
    """``target`` with size 1 wherever an operand of ``layout`` is broadcast."""
    own = set(flat(layout.held))
    return tuple(group if group and group[0] in own else () for group in target)


def _parts(group: Group, own: set[Atom]) -> list[Group]:
    """``group`` cut into pieces that lie wholly inside or outside of ``own``."""
    pieces: list[list[Atom]] = []
    for atom in group:
        if pieces and (pieces[-1][-1] in own) == (atom in own):
            pieces[-1].append(atom)
        else:
            pieces.append([atom])
    return [tuple(piece) for piece in pieces]
