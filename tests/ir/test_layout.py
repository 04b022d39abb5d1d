"""Layouts against numpy: whatever is permuted, reshaped and squeezed, what is seen is what numpy gives."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.errors import ModelError
from edgewright.ir.layout import Axes, BatchMixedError, Layout, common, flat, moves, shape_of
from edgewright.ir.layout_plan import broadcast, locate, rearranged, reduced, restricted, second, separate, trailing

SIZES = st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)


def shuffled(data: st.DataObject, layout: Layout) -> Axes:
    """Some other way to hold the same atoms."""
    atoms = list(flat(layout.held))
    order = data.draw(st.permutations(atoms)) if atoms else []
    cuts = sorted(data.draw(st.sets(st.integers(0, len(order)), max_size=3)) | {0, len(order)})
    return tuple(tuple(order[low:high]) for low, high in pairwise(cuts)) or ((),)


def seen_array(array: np.ndarray, layout: Layout) -> np.ndarray:
    """What a held array looks like to the side that sees."""
    return np.asarray(rearranged(array.reshape([size or 1 for size in shape_of(layout.held)]), layout.held, layout.seen))


@settings(max_examples=150)
@given(shape=SIZES, data=st.data())
def test_moves_bring_any_order_about(shape: list[int], data: st.DataObject) -> None:
    layout = Layout.fresh(shape, batch=False)
    array = np.arange(math.prod(shape)).reshape(shape)
    wanted = shuffled(data, layout)
    moved = rearranged(array, layout.held, wanted)
    assert moved.shape == shape_of(wanted)
    assert np.array_equal(seen_array(moved, Layout(layout.seen, wanted)), array)
    assert sum(bool(move.permutation) for move in moves(layout.held, wanted)) <= 1


@settings(max_examples=150)
@given(shape=SIZES, data=st.data())
def test_seeing_follows_numpy(shape: list[int], data: st.DataObject) -> None:
    held = Layout.fresh(shape, batch=False)
    layout = Layout(held.seen, shuffled(data, held))
    expected = np.arange(math.prod(shape)).reshape(shape)
    stored = np.asarray(rearranged(expected, held.held, layout.held))
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["permute", "reshape", "unsqueeze", "squeeze"]))
        if kind == "permute":
            order = data.draw(st.permutations(range(expected.ndim)))
            layout, expected = layout.permuted(order), expected.transpose(order)
        elif kind == "unsqueeze":
            axis = data.draw(st.integers(0, expected.ndim))
            layout, expected = layout.unsqueezed(axis), np.expand_dims(expected, axis)
        elif kind == "squeeze":
            units = [axis for axis, size in enumerate(expected.shape) if size == 1]
            layout, expected = layout.squeezed(units), expected.squeeze()
        else:
            total = expected.size
            first = data.draw(st.sampled_from([size for size in range(1, total + 1) if total % size == 0]))
            changed = layout.reshaped((first, total // first))
            if changed is None:
                continue
            stored = stored.reshape([size or 1 for size in shape_of(changed.held)])
            layout, expected = changed, expected.reshape(first, total // first)
        assert layout.shape == expected.shape
        assert np.array_equal(seen_array(stored, layout), expected)


@settings(max_examples=100)
@given(shape=st.lists(st.sampled_from([2, 3, 4, 6]), min_size=2, max_size=4), data=st.data())
def test_plans_have_what_they_promise(shape: list[int], data: st.DataObject) -> None:
    base = Layout.fresh(shape, batch=False)
    layout = Layout(base.seen, shuffled(data, base))
    axis = data.draw(st.integers(0, len(shape) - 1))
    assert trailing(layout, axis, compact=True)[-1] in (
        group for group in [trailing(layout, axis, compact=True)[-1]] if set(group) == set(layout.seen[axis])
    )
    assert set(second(layout, axis)[1]) == set(layout.seen[axis])
    assert layout.seen[axis] in separate(layout, [axis])
    wanted, places = locate(layout, [axis], range(len(shape)))
    assert wanted[places[axis]] == layout.seen[axis]
    assert sorted(map(id, flat(wanted))) == sorted(map(id, flat(layout.held)))
    before, gone, after = reduced(layout, [axis])
    assert {atom for place in gone for atom in before[place]} == set(layout.seen[axis])
    assert after.shape == tuple(1 if index == axis else size for index, size in enumerate(shape))


@settings(max_examples=100)
@given(shape=st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=4), data=st.data())
def test_broadcasting_follows_numpy(shape: list[int], data: st.DataObject) -> None:
    masks = [data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape))) for _ in range(2)]
    arrays, layouts = [], []
    for index, mask in enumerate(masks):
        own = [size if kept or index == 0 else 1 for size, kept in zip(shape, mask, strict=True)]
        plain = Layout.fresh(own, batch=False)
        layouts.append(Layout(plain.seen, shuffled(data, plain)))
        arrays.append((np.arange(math.prod(own)).reshape(own) + 1, plain))
    aligned = common(layouts)
    assert aligned is not None
    result = broadcast(aligned, aligned[:1], range(len(shape)))
    total = 0
    for (array, plain), layout, whole in zip(arrays, layouts, aligned, strict=True):
        stored = rearranged(array, plain.held, layout.held).reshape([size or 1 for size in shape_of(whole.held)])
        total = total + rearranged(stored, whole.held, restricted(result.held, whole))
    assert np.array_equal(seen_array(np.asarray(total), result), arrays[0][0] + arrays[1][0])


def test_the_batch_stays_alone() -> None:
    layout = Layout.fresh((2, 3, 4), batch=True)
    assert shape_of(layout.held) == (None, 3, 4)
    assert layout.reshaped((2, 12)) is not None
    assert layout.reshaped((1, 2, 12)).shape == (1, 2, 12)  # type: ignore[union-attr]
    for shape in ((6, 4), (24,), (1, 24), (4, 6)):
        with pytest.raises(BatchMixedError):
            layout.reshaped(shape)
    with pytest.raises(BatchMixedError):
        shape_of((layout.seen[1], layout.seen[0]))
    with pytest.raises(BatchMixedError):
        layout.squeezed([0])


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match="do not broadcast"):
        common([Layout.fresh((3,), batch=False), Layout.fresh((4,), batch=False)])
    assert Layout.fresh((4, 6), batch=False).reshaped((8, 3)) is not None
    assert Layout.fresh((6, 4), batch=False).reshaped((4, 6)) is None


def test_images_need_one_transpose_and_flattening_none() -> None:
    held = Layout.fresh((2, 3, 4, 5), batch=True, order=(0, 2, 3, 1))
    assert [bool(move.permutation) for move in moves(held.held, held.seen)] == [True]
    flattened = held.reshaped((2, 60))
    assert flattened is not None
    assert [bool(move.permutation) for move in moves(flattened.held, trailing(flattened, 1, compact=True))] == [False]
