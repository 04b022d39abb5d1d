"""Two views of one tensor: the axes that one side *sees* (channels first, say), and those in which the other *holds* it (channels last).

Both are groups of the same atoms, the factors of the shape that nothing has split yet. A permutation, squeeze or reshape of what is seen
then moves nothing: it regroups atoms, and only an operator that cares about the order asks for the moves that bring it about. Frontends
see the source's axes and hold a graph's; emitters see a graph's axes and hold the file's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgewright.errors import ModelError


@dataclass(frozen=True, eq=False)
class Atom:
    """One factor of a shape, larger than 1 unless it is the batch; two atoms are the same only if they are the same object."""

    size: int
    batch: bool = False


Group = tuple[Atom, ...]
"""The atoms of one axis, slowest first; an axis of size 1 has none."""
Axes = tuple[Group, ...]


class BatchMixedError(ModelError):
    """The batch is not alone on axis 0 all the way through: the network is only right for the batch it was exported with."""

    def __init__(self) -> None:
        super().__init__("the network mixes the batch into other axes", hint="export it with a fixed batch of 1")


@dataclass(frozen=True)
class Move:
    """One step from held axes to others: a reshape to ``shape`` (None: the symbolic batch), or else a transpose by ``permutation``."""

    shape: tuple[int | None, ...] = ()
    permutation: tuple[int, ...] = ()


def flat(axes: Axes) -> Group:
    """All atoms, slowest first."""
    return tuple(atom for group in axes for atom in group)


def shape_of(axes: Axes) -> tuple[int | None, ...]:
    """Sizes of the axes; None for the batch. BatchMixedError where the batch shares an axis or does not stand first."""
    sizes: list[int | None] = []
    for index, group in enumerate(axes):
        batch = any(atom.batch for atom in group)
        if batch and (len(group) > 1 or index > 0):
            raise BatchMixedError
        sizes.append(None if batch else math.prod(atom.size for atom in group))
    return tuple(sizes)


@dataclass(frozen=True)
class Layout:
    """The axes of one tensor as seen and as held: the same atoms, in two orders and groupings."""

    seen: Axes
    held: Axes

    @staticmethod
    def fresh(shape: Sequence[int], *, batch: bool, order: Sequence[int] | None = None) -> Layout:
        """A tensor of seen ``shape`` whose axis 0 is the batch or not; held axis i is seen axis ``order[i]``."""
        seen = tuple((Atom(size, batch and axis == 0),) if size != 1 or (batch and axis == 0) else () for axis, size in enumerate(shape))
        return Layout(seen, tuple(seen[axis] for axis in (order if order is not None else range(len(seen)))))

    @property
    def shape(self) -> tuple[int, ...]:
        """Seen shape in numbers; the symbolic batch counts as what it was exported with."""
        return tuple(math.prod(atom.size for atom in group) for group in self.seen)

    @property
    def rank(self) -> int:
        return len(self.seen)

    @property
    def batch_axis(self) -> int | None:
        """The seen axis of the symbolic batch."""
        return next((axis for axis, group in enumerate(self.seen) if any(atom.batch for atom in group)), None)

    def permuted(self, permutation: Sequence[int]) -> Layout:
        return Layout(tuple(self.seen[axis] for axis in permutation), self.held)

    def squeezed(self, axes: Iterable[int]) -> Layout:
        """Without the seen ``axes``, which must have size 1; BatchMixedError for the batch."""
        gone = set(axes)
        if any(self.seen[axis] for axis in gone):
            raise BatchMixedError
        return Layout(tuple(group for axis, group in enumerate(self.seen) if axis not in gone), self.held)

    def unsqueezed(self, axis: int) -> Layout:
        return Layout((*self.seen[:axis], (), *self.seen[axis:]), self.held)

    def replaced(self, parts: Mapping[Atom, Group]) -> Layout:
        """With some atoms replaced by several, in both views."""
        if not parts:
            return self

        def change(axes: Axes) -> Axes:
            return tuple(tuple(part for atom in group for part in parts.get(atom, (atom,))) for group in axes)

        return Layout(change(self.seen), change(self.held))

    def reshaped(self, shape: Sequence[int]) -> Layout | None:
        """Seen in another ``shape`` of as many elements, or None where the factors do not divide so: see :meth:`fused`."""
        atoms = list(flat(self.seen))
        parts: dict[Atom, list[Atom]] = {}
        owner: dict[Atom, Atom] = {}
        seen: list[Group] = []
        for size in shape:
            group: list[Atom] = []
            if atoms and atoms[0].batch:
                if size == atoms[0].size:
                    group.append(atoms.pop(0))
                elif size != 1:
                    raise BatchMixedError
                size = 1
            while size > 1:
                if not atoms or atoms[0].batch:
                    raise BatchMixedError
                head = atoms.pop(0)
                if size % head.size == 0:
                    group.append(head)
                    size //= head.size
                elif head.size % size == 0:
                    pair = [Atom(size), Atom(head.size // size)]
                    original = owner.get(head, head)
                    known = parts.setdefault(original, [head])
                    known[known.index(head) : known.index(head) + 1] = pair
                    owner.update(dict.fromkeys(pair, original))
                    group.append(pair[0])
                    atoms.insert(0, pair[1])
                    size = 1
                else:
                    return None
            seen.append(tuple(group))
        if atoms:
            raise BatchMixedError
        split = self.replaced({atom: tuple(pieces) for atom, pieces in parts.items()})
        return Layout(tuple(seen), split.held)

    def fused(self, shape: Sequence[int]) -> Layout:
        """New atoms for seen ``shape``, held as seen: what a tensor is after it was brought into the order seen and reshaped."""
        axis = self.batch_axis
        if axis is not None and (axis != 0 or not shape or shape[0] != self.shape[0]):
            raise BatchMixedError
        return Layout.fresh(shape, batch=axis is not None)


def common(layouts: Sequence[Layout]) -> list[Layout] | None:
    """The layouts for numpy broadcasting: ranks made equal, and equal atoms wherever two have more than size 1 on an axis.

    None where two tensors split an axis in ways that have no common refinement. ModelError where sizes clash, BatchMixedError where the
    batch does.
    """
    rank = max(layout.rank for layout in layouts)
    result = [Layout(((),) * (rank - layout.rank) + layout.seen, layout.held) for layout in layouts]
    for axis in range(rank):
        wide = [index for index, layout in enumerate(result) if layout.seen[axis]]
        for position, index in enumerate(wide[1:], 1):
            merged = _merge(result[wide[0]].seen[axis], result[index].seen[axis])
            if merged is None:
                return None
            first_parts, other_parts = merged
            if first_parts:
                for before in wide[:position]:
                    result[before] = result[before].replaced(first_parts)
            result[index] = result[index].replaced(other_parts)
    return result


def _merge(first: Group, other: Group) -> tuple[dict[Atom, Group], dict[Atom, Group]] | None:
    """How to split the atoms of two groups of one size so that they become the same atoms (those of ``first``)."""
    if first == other:
        return {}, {}
    if any(atom.batch for atom in first + other):
        if len(first) == len(other) == 1 and first[0].batch and other[0].batch and first[0].size == other[0].size:
            return {}, {other[0]: first}
        raise BatchMixedError
    sizes = math.prod(atom.size for atom in first), math.prod(atom.size for atom in other)
    if sizes[0] != sizes[1]:
        raise ModelError(f"sizes {sizes[0]} and {sizes[1]} do not broadcast", hint="the model is inconsistent; check how it was exported")
    if [atom.size for atom in first] == [atom.size for atom in other]:
        return {}, {atom: (known,) for atom, known in zip(other, first, strict=True)}
    cuts = _cuts(first) | _cuts(other)
    ordered = sorted(cuts)
    if any(low and high % low for low, high in zip([0, *ordered], ordered, strict=False)):
        return None
    new = {high: Atom(high // low) for low, high in zip([1, *ordered], ordered, strict=False)}

    def pieces(group: Group) -> dict[Atom, Group]:
        parts, position = {}, 1
        for atom in group:
            end = position * atom.size
            parts[atom] = tuple(new[cut] for cut in ordered if position < cut <= end)
            position = end
        return parts

    return pieces(first), pieces(other)


def _cuts(group: Group) -> set[int]:
    """Running products from the slowest atom on."""
    found, product = set(), 1
    for atom in group:
        product *= atom.size
        found.add(product)
    return found


def moves(held: Axes, wanted: Axes) -> tuple[Move, ...]:
    """The fewest reshapes and transposes that bring a tensor from ``held`` axes to ``wanted`` ones (the same atoms)."""
    if held == wanted:
        return ()
    target = shape_of(wanted)
    if flat(held) == flat(wanted):
        return (Move(shape=target),)
    direct = _matching(held, wanted)
    if direct is not None:
        return (Move(permutation=direct),)
    place = {atom: index for index, atom in enumerate(flat(wanted))}
    if _all_contiguous(held, place):
        order = sorted(range(len(held)), key=lambda axis: (place[held[axis][0]] if held[axis] else (-1 if axis == 0 else len(place)), axis))
        turned = tuple(held[axis] for axis in order)
        return (Move(permutation=tuple(order)), *(() if turned == wanted else (Move(shape=target),)))
    place = {atom: index for index, atom in enumerate(flat(held))}
    if _all_contiguous(wanted, place):
        regrouped = tuple(sorted((group for group in wanted if group), key=lambda group: place[group[0]]))
        regrouped += ((),) * (len(wanted) - len(regrouped))
        permutation = _matching(regrouped, wanted)
        assert permutation is not None
        return (Move(shape=shape_of(regrouped)), Move(permutation=permutation))
    runs = _runs(flat(held), flat(wanted))
    ordered = tuple(sorted(runs, key=lambda run: place[run[0]]))
    permutation = _matching(ordered, tuple(runs))
    assert permutation is not None
    return Move(shape=shape_of(ordered)), Move(permutation=permutation), Move(shape=target)


def _matching(held: Axes, wanted: Axes) -> tuple[int, ...] | None:
    """The permutation that makes ``wanted`` of ``held``, or None."""
    if len(held) != len(wanted):
        return None
    left = list(range(len(held)))
    permutation = []
    for group in wanted:
        found = next((axis for axis in left if held[axis] == group), None)
        if found is None:
            return None
        left.remove(found)
        permutation.append(found)
    return tuple(permutation)


def _all_contiguous(axes: Axes, place: Mapping[Atom, int]) -> bool:
    """Whether the atoms of every group stand one after the other at ``place``."""
    return all(place[second] == place[first] + 1 for group in axes for first, second in pairwise(group))


def _runs(held: Group, wanted: Group) -> list[Group]:
    """The longest pieces of ``wanted`` that stand together in ``held`` as well; the batch stays alone."""
    after = dict(pairwise(held))
    runs: list[list[Atom]] = []
    for atom in wanted:
        if runs and not runs[-1][-1].batch and after.get(runs[-1][-1]) is atom:
            runs[-1].append(atom)
        else:
            runs.append([atom])
    return [tuple(run) for run in runs]
