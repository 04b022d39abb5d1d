"""The kernels of int16 activations: portable ones, one output after the other, and those with the DSP instructions."""

from __future__ import annotations

import numpy as np

from edgewright.emit.c.structure import matrix
from edgewright.emit.c.structure.window import Counts, Fields, add, bits, inside, number, numbers, sign, window_of

BLOCK = 256
"""Products of int16 and int8 that are summed in 32 bits before they go to 64."""


def conv2d(fields: Fields, *, words: bool = False) -> Counts:
    """One position after the other; a row of weights at a time."""
    window, groups = dict(window_of(fields)), number(fields, "groups")
    channels = window["input_channels"] // groups
    length = window["kernel_height"] * window["kernel_width"] * channels
    positions = window["output_height"] * window["output_width"]
    direct, rows = number(fields, "direct"), positions * window["output_channels"]
    name = "words" if words else "narrow" if number(fields, "narrow") else "blocks"
    counts: Counts = {"call": 1}
    add(counts, "row of positions", window["output_height"])
    add(counts, "position", positions)
    add(counts, f"position and group, {'direct' if direct else 'gathered'}", positions * groups)
    if not direct:
        window["input_channels"] *= 2
        matrix.gather(counts, window, 2 * channels, groups, alternate=False)
    add(counts, f"row, {name}", rows)
    add(counts, f"row, {name}: step", rows * length)
    add(counts, "row: block", rows * -(-length // BLOCK) * (name == "blocks"))
    _add_rescaled(counts, fields, rows)
    return counts


def conv2d_words(fields: Fields) -> Counts:
    """With weights of 16 bits."""
    return conv2d(fields, words=True)


def conv2d_dsp(fields: Fields) -> Counts:
    """Two positions at a time; pairs of rows of weights, filled up to fours, and an odd last one."""
    window, groups = dict(window_of(fields)), number(fields, "groups")
    channels, rows = window["input_channels"] // groups, window["output_channels"] // groups
    length = window["kernel_height"] * window["kernel_width"] * channels
    padded = -(-length // 4) * 4
    positions = window["output_height"] * window["output_width"]
    twos = -(-positions // 2)
    in_place, narrow = bool(number(fields, "direct")) and length == padded, bool(number(fields, "narrow"))
    counts: Counts = {"call": 1}
    add(counts, "pair", twos)
    add(counts, f"pair and group, {'direct' if in_place else 'gathered'}", twos * groups)
    if not in_place:
        window["input_channels"] *= 2
        columns: Counts = {}
        matrix.gather(columns, window, 2 * channels, groups, alternate=False)
        for name, times in columns.items():
            add(counts, name, times * 2 * twos / positions)  # Where the last pair is short, its first column stands twice.
        add(counts, "column: filled up", 2 * twos * groups * (padded - length))
    for name, many in (("two rows", rows // 2), ("row alone", rows % 2)):
        add(counts, name, twos * groups * many)
        add(counts, f"{name}: block", twos * groups * many * (1 if narrow else -(-padded // BLOCK)))
        add(counts, f"{name}: four", twos * groups * many * (padded // 4))
    _add_rescaled(counts, fields, 2 * twos * window["output_channels"])
    return counts


def _add_rescaled(counts: Counts, fields: Fields, outputs: int) -> None:
    add(counts, f"rescaled, {'narrow' if number(fields, 'narrow') else 'wide'}", outputs)


def depthwise(fields: Fields) -> Counts:
    """One position after the other, all its channels, tap by tap."""
    window = window_of(fields)
    positions = window["output_height"] * window["output_width"]
    counts: Counts = {"call": 1}
    add(counts, "row of positions", window["output_height"])
    add(counts, "position", positions)
    _channels(counts, window, window["output_channels"])
    _add_rescaled(counts, fields, positions * window["output_channels"])
    return counts


def _channels(counts: Counts, window: dict[str, int], channels: int) -> None:
    """``channels`` of every position one by one, through all taps."""
    times = window["output_height"] * window["output_width"] * channels
    rows, taps = int(inside(window, "height").sum()), int(inside(window, "width").sum())
    add(counts, "output", times)
    add(counts, "row of taps", times * window["kernel_height"])
    add(counts, "tap", times * window["kernel_height"] * window["kernel_width"])
    add(counts, "tap in a row within", rows * window["output_width"] * window["kernel_width"] * channels)
    add(counts, "tap within", rows * taps * channels)


def depthwise_dsp(fields: Fields) -> Counts:
    """Four channels at a time through the taps that lie within, where each has one output; the others one by one."""
    window = window_of(fields)
    channels = window["output_channels"]
    fours = channels // 4 if channels == window["input_channels"] else 0
    positions = window["output_height"] * window["output_width"]
    rows, taps = int(inside(window, "height").sum()), int(inside(window, "width").sum())
    counts: Counts = {"call": 1}
    add(counts, "row of positions", window["output_height"])
    add(counts, "position", positions)
    add(counts, "four", positions * fours)
    add(counts, "four: row of taps", rows * window["output_width"] * fours)
    add(counts, "four: tap", rows * taps * fours)
    _channels(counts, window, channels - 4 * fours)
    _add_rescaled(counts, fields, positions * channels)
    return counts


def transpose_conv2d(fields: Fields) -> Counts:
    """Every output position and channel, through the taps that reach it."""
    counts = matrix.reached(fields)
    window = window_of(fields)
    add(counts, "tap within: block", counts.get("tap within", 0) * -(-window["input_channels"] // BLOCK))
    _add_rescaled(counts, fields, window["output_height"] * window["output_width"] * window["output_channels"])
    return counts


def average_pool2d(fields: Fields) -> Counts:
    """Every output of every channel, tap by tap, and a division."""
    window = window_of(fields)
    heights, widths = inside(window, "height").sum(1), inside(window, "width").sum(1)
    channels = window["input_channels"]
    counts: Counts = {"call": 1}
    add(counts, "row", len(heights))
    add(counts, "position", len(heights) * len(widths))
    add(counts, "output", len(heights) * len(widths) * channels)
    add(counts, "row of taps", int(heights.sum()) * len(widths) * channels)
    add(counts, "tap", int(heights.sum()) * int(widths.sum()) * channels)
    sizes = np.outer(heights, widths)
    add(counts, "divided: bits", channels * sum(bits(int(size)) for size in sizes.reshape(-1)))
    return counts


def mean(fields: Fields) -> Counts:
    """Every output, through both averaged axes."""
    kept, averaged = numbers(fields, "kept"), numbers(fields, "averaged")
    outputs = kept[0] * kept[1]
    counts: Counts = {"call": 1}
    add(counts, "outer", kept[0])
    add(counts, f"output: {sign(number(fields, 'output_shift'))}", outputs)
    add(counts, "row", outputs * averaged[0])
    add(counts, "tap", outputs * averaged[0] * averaged[1])
    return counts


def matmul(fields: Fields) -> Counts:
    """Every output, step by step along the depth."""
    matrices = int(np.prod(numbers(fields, "sizes")))
    rows, columns, depth = (number(fields, name) for name in ("rows", "columns", "depth"))
    counts: Counts = {"call": 1, "matrix": matrices}
    add(counts, "row", matrices * rows)
    add(counts, "output", matrices * rows * columns)
    add(counts, "step", matrices * rows * columns * depth)
    return counts


def softmax(fields: Fields) -> Counts:
    """Three passes over each row."""
    rows, depth = number(fields, "rows"), number(fields, "depth")
    return {"call": 1, "row": rows, f"element: {sign(number(fields, 'shift'))}": rows * depth}


def requantize(fields: Fields) -> Counts:
    """Half of the numbers are taken for negative."""
    signs = f"{sign(number(fields, 'identity_shift'))}, {sign(number(fields, 'slope_shift'))}"
    return {"call": 1, f"element: {signs}": number(fields, "count")}
