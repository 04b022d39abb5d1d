"""Depthwise convolutions with portable and with DSP kernels: one channel after the other, through a padded plane."""

from __future__ import annotations

import numpy as np

from edgewright.emit.c.structure.window import Counts, Fields, add, add_run, add_strided, number, shift_classes, window_of


def depthwise_3x3(fields: Fields) -> Counts:
    """The plane in bytes; pairs of outputs, and an odd last one in each row."""
    counts = _planes(fields, dsp=False)
    window = window_of(fields)
    stride = f"stride {window['stride_width']}"
    for name, many in shift_classes(fields, -2).items():
        times = many * window["output_height"]
        add(counts, f"row, {stride}", times)
        add(counts, f"pair, {stride}", times * (window["output_width"] // 2))
        add(counts, f"odd, {stride}", times * (window["output_width"] % 2))
        add(counts, f"pair rescaled: {name}", times * (window["output_width"] // 2))
        add(counts, f"odd rescaled: {name}", times * (window["output_width"] % 2))
    return counts


def depthwise_3x3_dsp(fields: Fields) -> Counts:
    """The plane in halves; pairs of outputs where all is simple, else one after the other."""
    counts = _planes(fields, dsp=True)
    window = window_of(fields)
    for name, many in shift_classes(fields, -1).items():
        times = many * window["output_height"]
        add(counts, f"row, {'simple' if name == 'simple' else 'other'}", times)
        if name == "simple":
            add(counts, f"pair, stride {window['stride_width']}", times * -(-window["output_width"] // 2))
        else:
            add(counts, f"output: {name}", times * window["output_width"])
    return counts


def depthwise_5x5_dsp(fields: Fields) -> Counts:
    """The plane in halves; fours of outputs where all is simple, what is left of a row likewise, else one after the other."""
    counts = _planes(fields, dsp=True)
    window = window_of(fields)
    stride, width = f"stride {window['stride_width']}", window["output_width"]
    for name, many in shift_classes(fields, -1).items():
        times = many * window["output_height"]
        add(counts, f"row, {'simple' if name == 'simple' else 'other'}", times)
        if name == "simple":
            add(counts, f"four, {stride}", times * (width // 4))
            add(counts, f"rest, {stride}", times * (width % 4 > 0))
            add(counts, "rest: output", times * (width % 4))
            add(counts, "row, of fours", times * (width >= 4))
        else:
            add(counts, f"output: {name}", times * width)
    return counts


def depthwise(fields: Fields) -> Counts:
    """Any window: pairs of outputs, tap by tap."""
    counts = _planes(fields, dsp=False)
    window = window_of(fields)
    channels, width = window["output_channels"], window["output_width"]
    pairs = channels * window["output_height"] * -(-width // 2)
    add(counts, "row", channels * window["output_height"])
    add(counts, "pair", pairs)
    add(counts, "pair: row of taps", pairs * window["kernel_height"])
    add(counts, "pair: tap", pairs * window["kernel_height"] * window["kernel_width"])
    for name, many in shift_classes(fields, -2).items():
        _rescaled(counts, name, many * window["output_height"], width)
    return counts


def depthwise_dsp(fields: Fields) -> Counts:
    """Any window: the weights of a channel as halves, then pairs of outputs by two taps at a time, or by one where they lie apart."""
    counts = _planes(fields, dsp=True)
    window = window_of(fields)
    channels, width = window["output_channels"], window["output_width"]
    kernel, taps = window["kernel_height"], window["kernel_width"]
    strips = -(-window["output_height"] // number(fields, "strip"))
    add(counts, "weights: row", channels * strips * kernel)
    add(counts, "weights: odd row", channels * strips * kernel * (taps % 2))
    add(counts, "weights: tap", channels * strips * kernel * taps)
    pairs = channels * window["output_height"] * -(-width // 2)
    add(counts, "row", channels * window["output_height"])
    add(counts, "pair", pairs)
    if window["dilation_width"] == 1:
        add(counts, "pair: row of taps", pairs * kernel)
        add(counts, "pair: two taps", pairs * kernel * -(-taps // 2))
    else:
        add(counts, "pair: row of taps apart", pairs * kernel)
        add(counts, "pair: tap apart", pairs * kernel * taps)
    for name, many in shift_classes(fields, -1).items():
        _rescaled(counts, name, many * window["output_height"], width)
    return counts


def _rescaled(counts: Counts, name: str, rows: int, width: int) -> None:
    add(counts, f"first rescaled: {name}", rows * -(-width // 2))
    add(counts, f"second rescaled: {name}", rows * (width // 2))


def _planes(fields: Fields, *, dsp: bool) -> Counts:
    """Strips of output rows, each channel's part of the picture copied to the plane."""
    window, strip = window_of(fields), number(fields, "strip")
    height = window["output_height"]
    span = (window["kernel_height"] - 1) * window["dilation_height"] + 1
    width = (window["output_width"] - 1) * window["stride_width"] + (window["kernel_width"] - 1) * window["dilation_width"] + 1
    width += width % 2 if dsp else 0
    counts: Counts = {"call": 1}
    wanted = max(min(width - window["padding_left"], window["input_width"]), 0)
    for first in range(0, height, strip):
        rows = min(strip, height - first)
        tall = (rows - 1) * window["stride_height"] + span
        top = first * window["stride_height"] - window["padding_top"]
        copied = max(min(top + tall, window["input_height"]) - max(top, 0), 0)
        add(counts, "strip", 1)
        if dsp:
            add(counts, "plane: word", tall * width // 2)
        else:
            add_run(counts, "plane", np.array([tall * width]))
        add(counts, "channel", window["output_channels"])
        add(counts, "copied channel", window["input_channels"])
        add_strided(counts, "copied row", wanted, copied * window["input_channels"])
    return counts
