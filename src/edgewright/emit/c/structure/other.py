"""Pooling, sums, tables, movement and the rest of the portable kernels."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from edgewright.emit.c.structure.window import (
    Counts,
    Fields,
    add,
    add_copies,
    add_run,
    add_strided,
    bits,
    inside,
    number,
    numbers,
    sign,
    table,
    window_of,
)


def max_pool2d(fields: Fields) -> Counts:
    """Every output of every channel, tap by tap."""
    window = window_of(fields)
    channels, columns = window["input_channels"], window["output_width"]
    rows, taps = int(inside(window, "height").sum()), int(inside(window, "width").sum())
    counts: Counts = {"call": 1}
    add(counts, "row", window["output_height"])
    add(counts, "position", window["output_height"] * columns)
    add(counts, "output", window["output_height"] * columns * channels)
    add(counts, "row of taps", rows * columns * channels)
    add(counts, "tap", rows * taps * channels)
    return counts


def average_pool2d(fields: Fields) -> Counts:
    """Rows of a window that it sees whole are summed as one."""
    window = window_of(fields)
    channels = window["input_channels"]
    heights, widths = inside(window, "height").sum(1), inside(window, "width").sum(1)
    counts: Counts = {"call": 1}
    add(counts, "row", len(heights))
    add(counts, "position", len(heights) * len(widths))
    add(counts, "output", len(heights) * len(widths) * channels)
    for tall, rows in zip(*np.unique(heights, return_counts=True), strict=True):
        for wide, columns in zip(*np.unique(widths, return_counts=True), strict=True):
            times = int(rows) * int(columns) * channels
            runs, length = (int(tall), int(wide)) if wide < window["input_width"] else (1, int(tall * wide))
            add_strided(counts, "run", length, times * runs)
            add(counts, "divided: bits", times * bits(int(tall * wide)))
    return counts


def average_pixels(fields: Fields) -> Counts:
    """Every channel, through all pixels."""
    rows, columns, channels = (number(fields, name) for name in ("rows", "columns", "channels"))
    counts: Counts = {"call": 1}
    add(counts, "output", channels)
    add_strided(counts, "run", columns, channels * rows)
    add(counts, "divided: bits", channels * bits(rows * columns))
    return counts


def mean(fields: Fields) -> Counts:
    """Every output, through both averaged axes."""
    kept, averaged = numbers(fields, "kept"), numbers(fields, "averaged")
    outputs = kept[0] * kept[1]
    counts: Counts = {"call": 1}
    add(counts, "outer", kept[0])
    add(counts, f"output: {sign(number(fields, 'output_shift'))}", outputs)
    add_strided(counts, "run", averaged[1], outputs * averaged[0])
    return counts


def sum_flat(fields: Fields) -> Counts:
    """Four elements at a time."""
    count = number(fields, "count")
    counts: Counts = {"call": 1}
    add(counts, "four", count // 4)
    add(counts, "one", count % 4)
    return counts


def sum_any(fields: Fields) -> Counts:
    """Sums of tensors of any shape, element by element."""
    counts = _walk(numbers(fields, "sizes"))
    total = math.prod(numbers(fields, "sizes"))
    signs = ", ".join(sign(number(fields, f"{name}_shift")) for name in ("first", "second", "output"))
    add(counts, f"element: {signs}", total)
    return counts


def mul(fields: Fields) -> Counts:
    """Products, element by element."""
    counts = _walk(numbers(fields, "sizes"))
    add(counts, f"element: {sign(number(fields, 'output_shift'))}", math.prod(numbers(fields, "sizes")))
    return counts


def _walk(sizes: list[int]) -> Counts:
    """Three outer axes, whose places are found by divisions."""
    outer = sizes[0] * sizes[1] * sizes[2]
    counts: Counts = {"call": 1}
    add(counts, "outer", outer)
    add(counts, "outer: bits", outer * (bits(outer / (sizes[1] * sizes[2]) / 2) + 2 * bits(outer / sizes[2] / 2) if outer > 1 else 0))
    return counts


def copy(fields: Fields) -> Counts:
    """Runs of bytes from place to place."""
    sizes, run = numbers(fields, "sizes"), number(fields, "run")
    counts = _walk(sizes)
    times = math.prod(sizes)
    if run == 1:
        add(counts, "byte", times)
        return counts
    places = []
    for side in ("from", "to"):
        steps = numbers(fields, f"{side}_step")
        at = np.array(int(cast(int, fields.get("offset_0" if side == "from" else "offset_1", 0))))
        for size, step in zip(sizes, steps, strict=True):
            at = (at[..., None] + np.arange(size) * step) % 4
        places.append(at)
    add_copies(counts, "run", places[0], places[1], run)
    return counts


def fill(fields: Fields) -> Counts:
    """One run of bytes."""
    counts: Counts = {"call": 1}
    add_run(counts, "run", number(fields, "bytes"))
    return counts


def choose_rows(fields: Fields) -> Counts:
    """One run of bytes for each index; which row it is depends on the data."""
    count, size = number(fields, "count"), number(fields, "bytes")
    counts: Counts = {"call": 1}
    add_copies(counts, "run", np.zeros(count, np.int64), np.arange(count) * size % 4, size)
    return counts


def lookup(fields: Fields) -> Counts:
    """Element by element."""
    return {"call": 1, "element": number(fields, "count")}


def edge(fields: Fields) -> Counts:
    """Quantization and dequantization, element by element."""
    return {"call": 1, "element": number(fields, "count")}


def matmul(fields: Fields) -> Counts:
    """Blocks of two rows by two columns; odd ones at the edges."""
    matrices = int(np.prod(numbers(fields, "sizes")))
    rows, columns, depth = (number(fields, name) for name in ("rows", "columns", "depth"))
    counts: Counts = {"call": 1, "matrix": matrices}
    for many, times in ((2, rows // 2), (1, rows % 2)):
        add(counts, f"{many} rows", matrices * times)
        for wide, across in ((2, columns // 2), (1, columns % 2)):
            add(counts, f"{many} x {wide}", matrices * times * across)
            add(counts, f"{many} x {wide}: product", matrices * times * across * depth)
    add(counts, f"element: {sign(number(fields, 'output_shift'))}", matrices * rows * columns)
    return counts


def matmul_dsp(fields: Fields) -> Counts:
    """Blocks of two rows by two columns along the depth, or by four columns down it; what is left over of columns or depth step by step."""
    matrices = int(np.prod(numbers(fields, "sizes")))
    rows, columns, depth = (number(fields, name) for name in ("rows", "columns", "depth"))
    counts: Counts = {"call": 1, "matrix": matrices}
    along = number(fields, "second_down") == 1
    wide, twos = (2 if along else 4), matrices * -(-rows // 2)
    whole = -(-columns // 2) if along else columns // 4
    name = "along" if along else "down"
    add(counts, f"rows, {name}", twos)
    add(counts, f"block, {name}", twos * whole)
    add(counts, f"block, {name}: four", twos * whole * (depth // 4))
    add(counts, "block of columns left over", twos * (not along and columns % 4 > 0))
    left = columns % 4 if not along else 0
    for steps, outputs in ((depth % 4, columns - left), (depth, left)):
        times = matrices * rows * outputs
        add(counts, "rest", matrices * rows * -(-outputs // wide) * (steps > 0))
        add(counts, "rest: output", times * (steps > 0))
        add(counts, "rest: step", times * steps)
    simple = number(fields, "output_shift") < 0 and (number(fields, "output_min"), number(fields, "output_max")) == (-128, 127)
    way = "simple" if simple else sign(number(fields, "output_shift"))
    add(counts, f"put, {'simple' if simple else 'other'}", matrices * rows * -(-columns // wide))
    add(counts, f"element: {way}", matrices * rows * columns)
    return counts


def layer_norm(fields: Fields) -> Counts:
    """Two passes over each row; how far the variance is shifted depends on the data."""
    rows, channels = number(fields, "rows"), number(fields, "channels")
    counts: Counts = {"call": 1, "row": rows, "element": rows * channels}
    add(counts, "element: up", rows * int((table(fields, "shift") > 0).sum()))
    return counts


def recurrent(fields: Fields) -> Counts:
    """The gates of every unit in every step; the first step has no state to multiply."""
    steps, inputs, units = (number(fields, name) for name in ("steps", "inputs", "units"))
    gates = len(numbers(fields, "multiplier"))
    counts: Counts = {"call": 1, "step": steps, "unit": steps * units}
    add(counts, "unit with a state", (steps - 1) * units)
    add(counts, "product", gates * units * (steps * inputs + (steps - 1) * units))
    return counts


def prelu(fields: Fields) -> Counts:
    """Half of the numbers are taken for negative."""
    positions, channels = number(fields, "positions"), number(fields, "channels")
    counts: Counts = {"call": 1, "position": positions}
    signs = f"{sign(number(fields, 'identity_shift'))}, {sign(number(fields, 'slope_shift'))}"
    add(counts, f"element: {signs}", positions * channels)
    return counts


def softmax(fields: Fields) -> Counts:
    """Numbers that are far below the largest take a shorter way; how many they are depends on the data."""
    rows, depth, counted = (number(fields, name) for name in ("rows", "depth", "counted"))
    # Numbers that spread as activations do, and the expected distance of the largest from their middle.
    spread = 45.0
    largest = spread * math.sqrt(2 * math.log(max(depth, 2))) * 0.8
    share = 0.5 + 0.5 * math.erf((counted - largest) / (spread * math.sqrt(2)))
    counts: Counts = {"call": 1, "row": rows, "element": rows * depth}
    add(counts, "element heard", rows * (1 + (depth - 1) * share))
    return counts


def resize_bilinear(fields: Fields) -> Counts:
    """Every output element, from four."""
    rows, columns, channels = (number(fields, name) for name in ("output_height", "output_width", "channels"))
    return {"call": 1, "row": rows, "pixel": rows * columns, "element": rows * columns * channels}


def resize_nearest(fields: Fields) -> Counts:
    """Every output pixel, a copy."""
    rows, columns, pixel = (number(fields, name) for name in ("output_height", "output_width", "pixel"))
    counts: Counts = {"call": 1, "row": rows, "pixel": rows * columns}
    columns_from = table(fields, "columns") * pixel
    rows_from = table(fields, "rows") * number(fields, "input_width") * pixel
    add_copies(counts, "run", rows_from[:, None] + columns_from, np.arange(rows * columns).reshape(rows, columns) * pixel, pixel)
    return counts
