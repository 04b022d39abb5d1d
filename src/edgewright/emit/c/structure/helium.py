"""The Helium kernels: four positions and sixteen channels at a time."""

from __future__ import annotations

import math

import numpy as np

from edgewright.emit.c.structure.window import Counts, Fields, add, inside, number, numbers, sign, starts, window_of

LANES = 16


def conv2d(fields: Fields) -> Counts:
    """For each four positions and group: columns in place, copied or gathered, then tiles of sixteen output channels."""
    window, groups = window_of(fields), number(fields, "groups")
    channels = window["input_channels"] // groups
    length = window["kernel_height"] * window["kernel_width"] * channels
    rows = window["output_channels"] // groups
    positions = window["output_height"] * window["output_width"]
    fours = -(-positions // 4)
    counts: Counts = {"call": 1}
    add(counts, "four", fours)
    add(counts, "position", positions)
    add(counts, "row of positions", window["output_height"])
    add(counts, "four and group", fours * groups)
    add(counts, "position missing", -positions % 4 * groups)
    _columns(counts, fields, channels, groups)
    for many, tiles in ((LANES, rows // LANES), (rows % LANES, int(rows % LANES > 0))):
        if tiles:
            _tile(counts, fours * groups * tiles, many, length)
            _rescale(counts, fours * groups * tiles, positions % 4, groups * tiles, many, number(fields, "rounding"))
    return counts


def _tile(counts: Counts, times: int, many: int, length: int) -> None:
    pairs = (many + 1) // 2
    further = (length - 1) // LANES
    first = "whole" if length % LANES == 0 else "few"
    add(counts, f"tile, {first}", times)
    add(counts, f"pair, {first}", times * pairs)
    add(counts, "pair: step", times * pairs * further)
    add(counts, "pair: two steps", times * pairs * ((further + 1) // 2))
    add(counts, "pair: odd steps", times * pairs * (further % 2))
    add(counts, "pair: no steps", times * pairs * (further == 0))


def _rescale(counts: Counts, times: int, left: int, lasts: int, many: int, rounding: int) -> None:
    """``times`` tiles of four positions, of which ``lasts`` have only ``left`` where that is not 0."""
    short = lasts if left else 0
    if many == LANES:
        add(counts, f"rescaled twos: calls, {rounding}", times - short + short * (left > 1))
        add(counts, f"rescaled twos, {rounding}", 2 * (times - short) + short * (left // 2))
        add(counts, f"rescaled one, {rounding}", short * (left % 2))
        return
    quads = -(-many // 4)
    add(counts, f"rescaled quads, {rounding}", times * quads)
    add(counts, f"rescaled quad, {rounding}", quads * (4 * (times - short) + short * left))


def _columns(counts: Counts, fields: Fields, channels: int, groups: int) -> None:
    window = window_of(fields)
    run, kernel = window["kernel_width"] * channels, window["kernel_height"]
    tall = inside(window, "height").sum(1)
    wide = inside(window, "width").sum(1)
    whole = bool(number(fields, "whole"))
    full = int((tall == kernel).sum()) * int((wide == window["kernel_width"]).sum())
    if whole:
        if number(fields, "contiguous"):
            add(counts, "column in place", groups * full)
        else:
            add(counts, "column copied", groups * full)
            add(counts, "copied row", groups * full * kernel)
            add(counts, "copied row: sixteen", groups * full * kernel * -(-run // LANES))
    one_run = window["dilation_width"] == 1 and channels == window["input_channels"]
    dilated = "" if window["dilation_width"] == window["dilation_height"] == 1 else ", dilated"
    for rows, times_y in zip(*np.unique(tall, return_counts=True), strict=True):
        for columns, times_x in zip(*np.unique(wide, return_counts=True), strict=True):
            cut = rows < kernel or columns < window["kernel_width"]
            times = int(times_y) * int(times_x) * groups
            if whole and not cut:
                continue
            add(counts, f"gathered column{dilated}", times)
            if cut:
                add(counts, "filled column", times)
                add(counts, "filled column: sixteen", times * -(-kernel * run // LANES))
                if not rows or not columns:
                    continue
            if one_run:
                add(counts, "copied rows", times)
                add(counts, "copied row", times * int(rows))
                add(counts, "copied row: sixteen", times * int(rows) * -(-int(columns) * channels // LANES))
            else:
                add(counts, "copied rows of taps", times * int(rows))
                add(counts, "copied row", times * int(rows * columns))
                add(counts, "copied row: sixteen", times * int(rows * columns) * -(-channels // LANES))


def dense(fields: Fields) -> Counts:
    """Four rows of weights at a time."""
    inputs, blocks, rounding = number(fields, "inputs"), -(-number(fields, "outputs") // 4), number(fields, "rounding")
    counts: Counts = {"call": 1}
    add(counts, f"block, {rounding}", blocks)
    add(counts, "block: missing rows", -number(fields, "outputs") % 4)
    add(counts, "block: sixteen", blocks * -(-inputs // LANES))
    return counts


def depthwise(fields: Fields) -> Counts:
    """Blocks of sixteen channels, tiles of the picture, a padded plane of each."""
    window = window_of(fields)
    filters = window["output_channels"] // window["input_channels"]
    blocks = -(-window["output_channels"] // LANES)
    rounding, paired = number(fields, "rounding"), bool(number(fields, "pairs"))
    kernel, taps = window["kernel_height"], window["kernel_width"]
    bounded = (number(fields, "output_min"), number(fields, "output_max")) != (-128, 127)
    neighbours = window["dilation_height"] == window["dilation_width"] == 1
    small = paired and kernel == taps == 3 and neighbours and not bounded
    counts: Counts = {"call": 1}
    spread = ", spread" if filters > 1 else ""
    add(counts, f"block{spread}", blocks)
    outputs = blocks * window["output_height"] * window["output_width"]
    tiles_x = -(-window["output_width"] // number(fields, "columns"))
    tiles = _planes(counts, window, number(fields, "rows"), number(fields, "columns"), blocks, spread)
    name = "small" if small and rounding != 2 else "any"
    add(counts, f"tile, {name}", blocks * tiles)
    add(counts, "tile, small in vain", blocks * tiles * (small and rounding == 2))
    add(counts, f"row, {name}", blocks * window["output_height"] * tiles_x)
    if name == "small":
        add(counts, f"output, small, {rounding}", outputs)
        return counts
    add(counts, f"output, {rounding}", outputs)
    add(counts, "output: row of taps", outputs * kernel)
    add(counts, "output: row with two taps", outputs * kernel * bool(paired and taps > 1))
    add(counts, "output: two taps", outputs * kernel * (taps // 2 if paired else 0))
    add(counts, "output: row with a tap", outputs * kernel * bool(taps % 2 or not paired))
    add(counts, "output: tap", outputs * kernel * (taps % 2 if paired else taps))
    return counts


def _planes(counts: Counts, window: dict[str, int], rows: int, columns: int, blocks: int, spread: str) -> int:
    """The planes of all tiles; how many tiles there are."""
    span = [(window[f"kernel_{axis}"] - 1) * window[f"dilation_{axis}"] + 1 for axis in ("height", "width")]
    parts: list[list[tuple[int, int]]] = []
    for axis, step, size in (("height", rows, span[0]), ("width", columns, span[1])):
        at = starts(window, axis)
        parts.append([])
        for first in range(0, len(at), step):
            many = min(step, len(at) - first)
            long = (many - 1) * window[f"stride_{axis}"] + size
            start = int(at[first])
            parts[-1].append((long, max(min(start + long, window[f"input_{axis}"]) - max(start, 0), 0)))
    for tall, rows_in in parts[0]:
        for wide, columns_in in parts[1]:
            within = rows_in if columns_in else 0
            add(counts, "plane", blocks)
            add(counts, "plane: row outside", blocks * (tall - within))
            add(counts, f"plane: row within{spread}", blocks * within)
            add(counts, "plane: fill", blocks * ((tall - within) * wide + within * (wide - columns_in)))
            add(counts, "plane: loops of fill", blocks * within * (columns_in < wide))
            add(counts, "plane: pixel", blocks * within * columns_in)
    return len(parts[0]) * len(parts[1])


def pool2d(fields: Fields) -> Counts:
    """Maximum and average pooling."""
    window = window_of(fields)
    blocks = -(-window["input_channels"] // LANES)
    rows, taps = int(inside(window, "height").sum()), int(inside(window, "width").sum())
    counts: Counts = {"call": 1}
    positions = window["output_height"] * window["output_width"]
    add(counts, "row", window["output_height"])
    add(counts, "position", positions)
    add(counts, "block", positions * blocks)
    add(counts, "block: row of taps", rows * window["output_width"] * blocks)
    add(counts, "block: tap", rows * taps * blocks)
    return counts


def mean(fields: Fields) -> Counts:
    """Sixteen channels at a time where they are kept side by side, else one output after the other."""
    kept, averaged = numbers(fields, "kept"), numbers(fields, "averaged")
    steps, kept_steps = numbers(fields, "averaged_step"), numbers(fields, "kept_step")
    counts: Counts = {"call": 1, "outer": kept[0]}
    if kept_steps[1] == 1:
        blocks = kept[0] * -(-kept[1] // LANES)
        add(counts, "block", blocks)
        add(counts, "block: row", blocks * averaged[0])
        add(counts, "block: run", blocks * averaged[0] * -(-averaged[1] // 255))
        add(counts, "block: tap", blocks * averaged[0] * averaged[1])
        return counts
    outputs = kept[0] * kept[1]
    add(counts, f"output: {sign(number(fields, 'output_shift'))}", outputs)
    name = "sixteen" if steps[1] == 1 else "step"
    add(counts, f"output: row, {name}", outputs * averaged[0])
    add(counts, f"output: {name}", outputs * averaged[0] * (-(-averaged[1] // LANES) if steps[1] == 1 else averaged[1]))
    return counts


def sum_any(fields: Fields) -> Counts:
    """Runs of sixteen; in assembly where the first operand is halved and nothing is bounded."""
    sizes = numbers(fields, "sizes")
    outer = sizes[0] * sizes[1] * sizes[2]
    counts: Counts = {"call": 1}
    add(counts, "outer two", sizes[0] * sizes[1])
    add(counts, "outer", outer)
    flat = number(fields, "halved") and numbers(fields, "first_step")[3] and numbers(fields, "second_step")[3]
    if not flat:
        steps = (numbers(fields, "first_step")[3], numbers(fields, "second_step")[3])
        add(counts, "outer, not halved", outer)
        add(counts, f"sixteen, not halved, {steps[0]} {steps[1]}", outer * -(-sizes[3] // LANES))
        return counts
    bounds = (number(fields, "output_min"), number(fields, "output_max"))
    fast = (
        sizes[3] >= LANES and number(fields, "second_sign") == 1 and number(fields, "second_shift") < 0
        and number(fields, "output_shift") < 0 and bounds == (-128, 127)
    )
    add(counts, "outer, fast", outer * bool(fast))
    add(counts, "sixteen, fast", outer * (sizes[3] // LANES if fast else 0))
    rest = sizes[3] % LANES if fast else sizes[3]
    add(counts, "outer, halved", outer * (rest > 0))
    add(counts, "sixteen, halved", outer * -(-rest // LANES))
    return counts


def mul(fields: Fields) -> Counts:
    """Runs of sixteen."""
    sizes = numbers(fields, "sizes")
    outer = math.prod(sizes[:3])
    counts: Counts = {"call": 1, "outer": outer}
    steps = (numbers(fields, "first_step")[3], numbers(fields, "second_step")[3])
    add(counts, f"sixteen, {steps[0]} {steps[1]}", outer * -(-sizes[3] // LANES))
    return counts


def matmul(fields: Fields) -> Counts:
    """Four columns at a time: each row along the depth, sixteen steps at once, or four rows down it step by step."""
    matrices, shift = math.prod(numbers(fields, "sizes")), number(fields, "output_shift")
    rows, columns, depth = (number(fields, name) for name in ("rows", "columns", "depth"))
    blocks = matrices * -(-columns // 4)
    counts: Counts = {"call": 1, "matrix": matrices}
    way = "halved" if shift < 0 else "any"
    if number(fields, "second_down") == 1:
        add(counts, "block, along", blocks)
        add(counts, "block, along: sixteen", blocks * 4 * -(-depth // LANES))
        add(counts, f"row, along, {way}", blocks * rows)
        add(counts, "row, along: sixteen", blocks * rows * -(-depth // LANES))
        return counts
    add(counts, "block, down", blocks)
    add(counts, "rows, down", blocks * -(-rows // 4))
    add(counts, "rows, down: step", blocks * -(-rows // 4) * depth)
    add(counts, f"put, {way}", blocks * rows)
    return counts


def lookup(fields: Fields) -> Counts:
    """Runs of sixteen."""
    return {"call": 1, "sixteen": -(-number(fields, "count") // LANES)}
