"""Convolutions and dense layers whose weights are indices of a few bits, or entries that pass over zeros."""

from __future__ import annotations

import numpy as np

from edgewright.emit.c.structure import matrix
from edgewright.emit.c.structure.window import Counts, Fields, Integers, add, add_shifts, inside, number, table, window_of
from edgewright.targets.stored import WORD_BITS

DENSE_UNPACKED = 128
"""Weights that the packed dense layer unpacks at once."""


def conv2d_packed(fields: Fields) -> Counts:
    """The convolution, and for each pair of positions and group its rows unpacked by fours, then one by one."""
    counts = matrix.conv2d(fields)
    _add_units(counts, fields, positions=2, rows=4, whole=1)
    return counts


def conv2d_packed_dsp(fields: Fields) -> Counts:
    """The convolution, and for each four positions and group its rows, filled up to fours, unpacked by twos, then an odd last one."""
    counts = matrix.conv2d_dsp(fields)
    _add_units(counts, fields, positions=4, rows=2, whole=4)
    return counts


def conv2d_packed_size(fields: Fields) -> Counts:
    """The convolution, each row of weights unpacked for each position."""
    counts = matrix.conv2d_size(fields)
    _add_units(counts, fields, positions=1, rows=1, whole=1)
    return counts


def dense_packed(fields: Fields) -> Counts:
    """Row by row, so many weights at a time as there is room for on the stack."""
    inputs, outputs = number(fields, "inputs"), number(fields, "outputs")
    counts: Counts = {"call": 1, "row": outputs}
    runs = [min(inputs - first, DENSE_UNPACKED) for first in range(0, inputs, DENSE_UNPACKED)]
    add(counts, "run: four", outputs * sum(run // 4 for run in runs))
    add(counts, "run: with ones", outputs * sum(run % 4 > 0 for run in runs))
    add(counts, "run: one", outputs * sum(run % 4 for run in runs))
    for run in runs:
        _unpack(counts, fields, run, outputs)
    add_shifts(counts, fields, 1)
    return counts


def _add_units(counts: Counts, fields: Fields, *, positions: int, rows: int, whole: int) -> None:
    """Weights are unpacked for each ``positions`` positions, ``rows`` rows at a time, each row filled up to a multiple of ``whole``."""
    window, groups = window_of(fields), number(fields, "groups")
    length = window["kernel_height"] * window["kernel_width"] * window["input_channels"] // groups
    times = -(-window["output_height"] * window["output_width"] // positions) * groups
    each = window["output_channels"] // groups
    for many, units in ((rows, each // rows), (1, each % rows)):
        _unpack(counts, fields, many * (-(-length // whole) * whole), times * units)


def _unpack(counts: Counts, fields: Fields, weights: int, times: int) -> None:
    """``times`` calls that unpack ``weights`` each: a word of indices after the other, four values at a time."""
    bits, step = number(fields, "bits"), number(fields, "step")
    way = "table" if step == 0 else "halves" if (bits, step) == (4, 1) else "steps"
    words = -(-weights * bits // WORD_BITS)
    add(counts, f"unpack, {way}", times)
    add(counts, f"unpack, {way}: word", times * words)
    add(counts, f"unpack, {way}: four", times * words * (8 // bits))


def conv2d_sparse(fields: Fields) -> Counts:
    """Four positions at a time, their columns spread byte by byte; then every entry of every row."""
    window, entries = window_of(fields), int(table(fields, "counts").sum())
    channels, outputs = window["input_channels"], window["output_channels"]
    positions = window["output_height"] * window["output_width"]
    fours = -(-positions // 4)
    counts: Counts = {"call": 1}
    add(counts, "four", fours)
    # Positions that are missing in the last four are the last one again.
    at: Integers = np.minimum(np.arange(4 * fours), positions - 1)
    row, column = at // window["output_width"], at % window["output_width"]
    add(counts, "column", len(at))
    add(counts, "column: bits", float(np.log2(np.maximum(row, 1)).sum() + (row > 0).sum()))
    taps = len(at) * window["kernel_height"] * window["kernel_width"]
    tall, wide = inside(window, "height").sum(1)[row], inside(window, "width").sum(1)[column]
    within = int((tall * wide).sum())
    add(counts, "column: row", len(at) * window["kernel_height"])
    add(counts, "tap within", within)
    add(counts, "tap within: byte", within * channels)
    add(counts, "tap outside", taps - within)
    add(counts, "tap outside: byte", (taps - within) * channels)
    add(counts, "row", fours * outputs)
    add(counts, "row: entry", fours * entries)
    add_shifts(counts, fields, positions)
    return counts


def dense_sparse(fields: Fields) -> Counts:
    """Every entry of every row."""
    counts: Counts = {"call": 1}
    add(counts, "row", number(fields, "outputs"))
    add(counts, "entry", int(table(fields, "counts").sum()))
    add_shifts(counts, fields, 1)
    return counts
