"""Convolutions and dense layers with portable and with DSP kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from edgewright.emit.c.structure.window import (
    Counts,
    Fields,
    Integers,
    add,
    add_copies,
    add_run,
    add_shifts,
    inside,
    number,
    shift_classes,
    starts,
    table,
    window_of,
)

DENSE_RUN = 127
"""Words of input that the dense layer with DSP instructions takes between two divisions of its sums."""


def conv2d(fields: Fields) -> Counts:
    """Pairs of positions; for each group their columns, then blocks of four rows of weights and the rows left over."""
    window, groups = window_of(fields), number(fields, "groups")
    channels = window["input_channels"] // groups
    length = window["kernel_height"] * window["kernel_width"] * channels
    rows = window["output_channels"] // groups
    positions = window["output_height"] * window["output_width"]
    pairs = -(-positions // 2)
    counts: Counts = {"call": 1}
    add(counts, "pair", pairs)
    add(counts, "last position alone", positions % 2)
    add(counts, "pair and group", pairs * groups)
    direct = number(fields, "direct")
    add(counts, "direct", pairs * groups * direct)
    if not direct:
        gather(counts, window, channels, groups)
    times = pairs * groups * (rows // 4)
    add(counts, "block", times)
    add(counts, "block: step", times * length)
    add(counts, "block: eight steps", times * -(-length // 8))
    add(counts, "block: four whole steps", times * (length // 4))
    add(counts, "block: step left over", times * (length % 4))
    add(counts, "row", pairs * groups * (rows % 4))
    add(counts, "row: step", pairs * groups * (rows % 4) * length)
    alone = np.arange(len(table(fields, "shift"))) % rows >= rows // 4 * 4
    simple = (table(fields, "shift") < -1) & bool(number(fields, "simple"))
    add(counts, "two rescaled: simple", pairs * int((simple & ~alone).sum()))
    add(counts, "two rescaled: simple, alone", pairs * int((simple & alone).sum()))
    for name, many in shift_classes(fields, -2).items():
        if name != "simple":
            add(counts, f"two rescaled: {name}", pairs * many)
    return counts


def gather(counts: Counts, window: dict[str, int], channels: int, groups: int, *, alternate: bool = True) -> None:
    """The columns of all positions and groups, byte for byte; to one place, or by turns (``alternate``) to two that follow each other."""
    rows = inside(window, "height")
    within, without = int(rows.sum()), int((~rows).sum())
    columns, taps = window["output_width"], window["kernel_width"]
    run = taps * channels
    add(counts, "column", window["output_height"] * columns * groups)
    if window["dilation_width"] == 1 and channels == window["input_channels"]:
        left = starts(window, "width")
        first = np.minimum(np.maximum(-left, 0), taps) * channels
        end = np.where(left + taps <= window["input_width"], run, np.maximum((window["input_width"] - left) * channels, first))
        add_run(counts, "row of fill", run, without * columns)
        add(counts, "row within", within * columns)
        add(counts, "fill: loops", within * float((first > 0).sum() + (end < run).sum()))
        add(counts, "fill: step", within * float(first.sum() + (run - end).sum()))
        y, ky = np.nonzero(rows)
        source = (starts(window, "height")[y] + ky * window["dilation_height"])[:, None] * window["input_width"] + left[None, :]
        parity = (y[:, None] * columns + np.arange(columns)) % 2 * alternate
        target = parity * (window["kernel_height"] * run) + ky[:, None] * run + first
        add_copies(counts, "copy", source * channels + first, target, end - first)
        return
    at = inside(window, "width")
    add(counts, "row of taps", window["output_height"] * columns * window["kernel_height"] * groups)
    add_run(counts, "tap of fill", channels, (without * at.size + within * float((~at).sum())) * groups)
    add_run(counts, "tap", channels, within * float(at.sum()) * groups)


def conv2d_size(fields: Fields) -> Counts:
    """One position after the other; a row of weights at a time."""
    window, groups = window_of(fields), number(fields, "groups")
    channels = window["input_channels"] // groups
    length = window["kernel_height"] * window["kernel_width"] * channels
    positions = window["output_height"] * window["output_width"]
    times = positions * window["output_channels"]
    counts: Counts = {"call": 1}
    add(counts, "position", positions)
    add(counts, f"row, {'direct' if number(fields, 'direct') else 'gathered'}", times)
    add(counts, "row: four steps", times * (length // 4))
    add(counts, "row: with single steps", times * (length % 4 > 0))
    add(counts, "row: single step", times * (length % 4))
    if not number(fields, "direct"):
        taps = positions * groups * window["kernel_height"] * window["kernel_width"]
        within = int(inside(window, "height").sum()) * int(inside(window, "width").sum()) * groups
        add(counts, "column", positions * groups)
        add(counts, "column: row", positions * groups * window["kernel_height"])
        add(counts, "tap within", within)
        add(counts, "tap outside", taps - within)
        add(counts, "tap: byte", taps * channels)
    add_shifts(counts, fields, positions)
    return counts


def dense(fields: Fields) -> Counts:
    """Four rows at a time, then one by one."""
    inputs, outputs = number(fields, "inputs"), number(fields, "outputs")
    counts: Counts = {"call": 1}
    add(counts, "block", outputs // 4)
    add(counts, "block: step", outputs // 4 * inputs)
    add(counts, "row", outputs % 4)
    add(counts, "row: step", outputs % 4 * inputs)
    for name, many in shift_classes(fields, -2).items():
        add(counts, f"rescaled: {name}", many)
    return counts


def dense_dsp(fields: Fields) -> Counts:
    """For each vector the sum of its inputs; four rows at a time, in runs of inputs and pairs of words; then rows one by one."""
    inputs, outputs, vectors = (number(fields, name) for name in ("inputs", "outputs", "vectors"))
    words, blocks, rows = inputs // 4, vectors * (outputs // 4), vectors * (outputs % 4)
    runs = [min(words - first, DENSE_RUN) for first in range(0, words, DENSE_RUN)]
    counts: Counts = {"call": 1, "vector": vectors}
    add(counts, "offset: four words", vectors * (words // 4) * (blocks > 0))
    add(counts, "offset: word", vectors * (words % 4) * (blocks > 0))
    add(counts, "block", blocks)
    add(counts, "block: run", blocks * len(runs))
    add(counts, "block: pass", blocks * sum(-(-run // 2) for run in runs))
    add(counts, "block: word", blocks * words)
    add(counts, "block: byte", blocks * (inputs % 4))
    add(counts, "row", rows)
    add(counts, "row: word", rows * words)
    add(counts, "row: byte", rows * (inputs % 4))
    for name, many in shift_classes(fields, -1).items():
        add(counts, f"rescaled: {name}", vectors * many)
    return counts


def conv2d_dsp(fields: Fields) -> Counts:
    """Four positions at a time; for each group their columns as halves, then pairs of rows of weights and an odd last one."""
    window, groups = window_of(fields), number(fields, "groups")
    channels = window["input_channels"] // groups
    run = window["kernel_width"] * channels
    quads = -(-window["kernel_height"] * run // 4)
    rows = window["output_channels"] // groups
    positions = window["output_height"] * window["output_width"]
    fours = -(-positions // 4)
    counts: Counts = {"call": 1}
    if not (number(fields, "direct") and run % 4 == 0):
        add(counts, "bytes of fill", run if run % 4 == 0 else 16 * quads)
    add(counts, "position", positions)
    add(counts, "row of positions", window["output_height"])
    add(counts, "position missing", -positions % 4)
    add(counts, "four", fours)
    add(counts, "four and group", fours * groups)
    add(counts, "four and group: direct", fours * groups * number(fields, "direct"))
    _fill_columns(counts, window, channels, groups)
    pairs = rows // 2
    add(counts, "pairs", fours * groups * (pairs > 0))
    add(counts, "pair", fours * groups * pairs)
    add(counts, "pair: four steps", fours * groups * pairs * quads)
    add(counts, "pair: sixteen steps", fours * groups * pairs * -(-quads // 4))
    add(counts, "odd row", fours * groups * (rows % 2))
    add(counts, "odd row: four steps", fours * groups * (rows % 2) * quads)
    if not number(fields, "simple"):
        paired = np.arange(len(table(fields, "shift"))) % rows < rows // 2 * 2
        shift = table(fields, "shift")
        add(counts, "pair, rescaled anyhow", fours * groups * pairs)
        for name, which in (("right", shift < 0), ("none", shift == 0), ("left", shift > 0)):
            add(counts, f"rescaled: {name}", 4 * fours * int((which & paired).sum()))
    return counts


def _fill_columns(counts: Counts, window: dict[str, int], channels: int, groups: int) -> None:
    """Columns of four windows: read in place where they lie within the picture, gathered else."""
    run, kernel = window["kernel_width"] * channels, window["kernel_height"]
    together = window["dilation_width"] == 1 and channels == window["input_channels"]
    last_left = window["input_width"] - window["kernel_width"] if together else -1
    last_top = window["input_height"] - 1 - (kernel - 1) * window["dilation_height"]
    top, left = starts(window, "height"), starts(window, "width")
    across = (left >= 0) & (left <= last_left)
    fits = ((top >= 0) & (top <= last_top))[:, None] & across[None, :]
    flat = fits.reshape(-1)
    whole = np.logical_and.reduceat(flat, np.arange(0, len(flat), 4))
    many = int(whole.sum()) if run % 4 == 0 else 0
    add(counts, "whole", many * groups)
    add(counts, "whole: row", many * groups * kernel)
    add(counts, "whole: word", many * groups * kernel * (run // 4))
    rest = len(whole) - many
    if not rest:
        return
    # Each window in a four that is not whole, the last ones repeated where positions are missing.
    places = np.minimum(np.arange(4 * len(whole)), len(flat) - 1).reshape(-1, 4)
    index: Integers = (places if run % 4 else places[~whole]).reshape(-1)
    row, column = index // len(left), index % len(left)
    rows_in = inside(window, "height").sum(1)[row]
    if run % 4:
        add(counts, "gathered", rest * groups)
        add(counts, "gathered: word", rest * groups * (-(-kernel * run // 4)))
        taken = flat[index] & (run > 1)
        add(counts, "taken", groups * float(taken.sum()))
        add(counts, "taken: row", groups * float(taken.sum()) * kernel)
        add(counts, "taken: word", groups * float(taken.sum()) * ((kernel - 1) * -(-run // 4) + run // 4))
        add(counts, "taken: byte", groups * float(taken.sum()) * (run % 4))
        _gather_rows(counts, window, channels, groups, rows_in[~taken], column[~taken], kernel * int((~taken).sum()))
        return
    add(counts, "mixed", rest * groups)
    add(counts, "mixed: row", rest * groups * kernel)
    add(counts, "mixed: word", rest * groups * kernel * (run // 4))
    add(counts, "mixed: row outside", groups * float((kernel - rows_in).sum()))
    add(counts, "mixed: row in place", groups * float(rows_in[across[column]].sum()))
    torn = ~across[column]
    add(counts, "gather", groups * float(rows_in[torn].sum()))
    _gather_rows(counts, window, channels, groups, rows_in[torn], column[torn], int(rows_in[torn].sum()))


def _gather_rows(
    counts: Counts, window: dict[str, int], channels: int, groups: int, rows_in: Integers, column: Integers, rows: int
) -> None:
    """``rows`` rows of windows at ``column``, of each ``rows_in`` within the picture."""
    taps = window["kernel_width"]
    out = rows - int(rows_in.sum())
    left = starts(window, "width")[column]
    add(counts, "gathered row", rows * groups)
    if window["dilation_width"] == 1 and channels == window["input_channels"]:
        before = np.minimum(np.maximum(-left, 0), taps)
        within = np.maximum(np.minimum(window["input_width"] - left, taps) - before, 0)
        after = taps - before - within
        add(counts, "put", groups * float(out + (rows_in * ((before > 0) * 1 + (after > 0))).sum()))
        add(counts, "put: byte", groups * channels * float(out * taps + (rows_in * (before + after)).sum()))
        add(counts, "take", groups * float((rows_in * (within > 0)).sum()))
        add(counts, "take: word", groups * float((rows_in * (within * channels // 4)).sum()))
        add(counts, "take: byte", groups * float((rows_in * (within * channels % 4)).sum()))
        return
    hits = inside(window, "width").sum(1)[column]
    taken = float((rows_in * hits).sum())
    add(counts, "gathered tap", groups * rows * taps)
    add(counts, "put", groups * (rows * taps - taken))
    add(counts, "put: byte", groups * (rows * taps - taken) * channels)
    add(counts, "take", groups * taken)
    add(counts, "take: word", groups * taken * (channels // 4))
    add(counts, "take: byte", groups * taken * (channels % 4))


def transpose_conv2d(fields: Fields) -> Counts:
    """Every output position and channel, through the taps that reach it."""
    window, counts = window_of(fields), reached(fields)
    add_shifts(counts, fields, window["output_height"] * window["output_width"])
    return counts


def transpose_rows(row: Callable[[Fields], Counts], fields: Fields) -> Counts:
    """A convolution of one ``row`` after the other."""
    conv = cast(Fields, fields["row"])
    window, counts = window_of(conv), dict[str, float]()
    for y in range(number(fields, "rows")):
        for name, times in row({**conv, "window": {**window, "padding_top": window["padding_top"] - y * number(fields, "lower")}}).items():
            add(counts, "row of output" if name == "call" else name, times)
    return {"call": 1, **counts}


def reached(fields: Fields) -> Counts:
    """How often a transposed convolution tries each tap, and hits."""
    window = window_of(fields)
    reached, tried = [], []
    for axis, padding in (("height", "padding_top"), ("width", "padding_left")):
        at = np.arange(window[f"output_{axis}"])[:, None] + window[padding]
        stride = window[f"stride_{axis}"]
        tap = at % stride + stride * np.arange(window[f"kernel_{axis}"])[None, :]
        source = at // stride - np.arange(window[f"kernel_{axis}"])[None, :]
        there = tap < window[f"kernel_{axis}"]
        tried.append(int(there.sum()))
        reached.append(int((there & (source >= 0) & (source < window[f"input_{axis}"])).sum()))
    outputs, positions = window["output_channels"], window["output_height"] * window["output_width"]
    hit = reached[0] * reached[1] * outputs
    counts: Counts = {"call": 1}
    add(counts, "row", window["output_height"])
    add(counts, "position", positions)
    add(counts, "output", positions * outputs)
    add(counts, "row of taps", tried[0] * window["output_width"] * outputs)
    add(counts, "tap", tried[0] * tried[1] * outputs)
    add(counts, "tap in a row within", reached[0] * tried[1] * outputs)
    add(counts, "tap within", hit)
    add(counts, "tap within: step", hit * window["input_channels"])
    return counts
