"""The table: kernel → the function that says how often its parts run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from edgewright.emit.c.layer import Argument, Call, Counter, Place
from edgewright.emit.c.structure import depthwise, helium, matrix, other, stored, tile, wide
from edgewright.emit.c.structure.window import Counts, Fields
from edgewright.lower.program import Program

Structure = Callable[[Fields], Counts]

PORTABLE: Mapping[str, Structure] = {
    "average_pixels_s8": other.average_pixels,
    "average_pool2d_s16": wide.average_pool2d,
    "average_pool2d_s8": other.average_pool2d,
    "conv2d_packed_s8": stored.conv2d_packed,
    "conv2d_s16": wide.conv2d,
    "conv2d_s16_w16": wide.conv2d_words,
    "conv2d_s8": matrix.conv2d,
    "conv2d_sparse_s8": stored.conv2d_sparse,
    "copy": other.copy,
    "dense_packed_s8": stored.dense_packed,
    "dense_s8": matrix.dense,
    "dense_sparse_s8": stored.dense_sparse,
    "depthwise_3x3_s8": depthwise.depthwise_3x3,
    "depthwise_conv2d_s16": wide.depthwise,
    "depthwise_conv2d_s16_w16": wide.depthwise,
    "depthwise_conv2d_s8": depthwise.depthwise,
    "dequantize_s16_f32": other.edge,
    "dequantize_s8_f32": other.edge,
    "fill": other.fill,
    "fill_border": tile.fill_border,
    "choose_rows": other.choose_rows,
    "gru_s8": other.recurrent,
    "layer_norm_s8": other.layer_norm,
    "log_softmax_s8": other.softmax,
    "logistic_s16": other.edge,
    "lookup_s8": other.lookup,
    "lstm_s8": other.recurrent,
    "matmul_s16": wide.matmul,
    "matmul_s8": other.matmul,
    "max_pool2d_s16": other.max_pool2d,
    "max_pool2d_s8": other.max_pool2d,
    "mean_s16": wide.mean,
    "mean_s8": other.mean,
    "mul_s16": other.mul,
    "mul_s8": other.mul,
    "prelu_s16": other.prelu,
    "prelu_s8": other.prelu,
    "put_tile": tile.put_tile,
    "quantize_f32_s16": other.edge,
    "quantize_f32_s8": other.edge,
    "requantize_s16_s16": wide.requantize,
    "requantize_s16_s8": wide.requantize,
    "requantize_s8_s16": wide.requantize,
    "resize_bilinear_s16": other.resize_bilinear,
    "resize_bilinear_s8": other.resize_bilinear,
    "resize_nearest": other.resize_nearest,
    "softmax_s16": wide.softmax,
    "softmax_s8": other.softmax,
    "sum_flat_s8": other.sum_flat,
    "sum_s16": other.sum_any,
    "sum_s8": other.sum_any,
    "take_tile": tile.take_tile,
    "tanh_s16": other.edge,
    "transpose_conv2d_s16": wide.transpose_conv2d,
    "transpose_conv2d_s16_w16": wide.transpose_conv2d,
    "transpose_conv2d_s8": matrix.transpose_conv2d,
    "transpose_rows_s8": functools.partial(matrix.transpose_rows, matrix.conv2d),
}
DSP: Mapping[str, Structure] = {
    "conv2d_packed_s8": stored.conv2d_packed_dsp,
    "conv2d_s16": wide.conv2d_dsp,
    "conv2d_s8": matrix.conv2d_dsp,
    "dense_s8": matrix.dense_dsp,
    "depthwise_conv2d_s16": wide.depthwise_dsp,
    "depthwise_3x3_s8": depthwise.depthwise_3x3_dsp,
    "depthwise_5x5_s8": depthwise.depthwise_5x5_dsp,
    "depthwise_conv2d_s8": depthwise.depthwise_dsp,
    "matmul_s8": other.matmul_dsp,
    "sum_flat_s8": other.sum_flat,
    "transpose_rows_s8": functools.partial(matrix.transpose_rows, matrix.conv2d_dsp),
}
HELIUM: Mapping[str, Structure] = {
    "average_pool2d_s8": helium.pool2d,
    "conv2d_s8": helium.conv2d,
    "dense_s8": helium.dense,
    "depthwise_conv2d_s8": helium.depthwise,
    "lookup_s8": helium.lookup,
    "matmul_s8": helium.matmul,
    "max_pool2d_s8": helium.pool2d,
    "mean_s8": helium.mean,
    "mul_s8": helium.mul,
    "sum_s8": helium.sum_any,
    "transpose_rows_s8": functools.partial(matrix.transpose_rows, helium.conv2d),
}
SIZE: Mapping[str, Structure] = {"conv2d_packed_s8": stored.conv2d_packed_size, "conv2d_s8": matrix.conv2d_size}
STRUCTURES: Mapping[str, Mapping[str, Structure]] = {"size": SIZE, "helium": HELIUM, "dsp": DSP, "portable": PORTABLE}
"""Folder of kernels → kernel → its structure. A folder that only replaces parts of portable kernels has no entry: its loops are theirs."""


def structure_of(kernel: str, folders: Sequence[str]) -> Structure | None:
    """The structure of ``kernel`` as the first of ``folders`` has it; None where nobody has described it."""
    return next((STRUCTURES[folder][kernel] for folder in folders if kernel in STRUCTURES.get(folder, {})), None)


def parts_of(call: Call, structure: Structure) -> Counts:
    """How often each part of the kernel runs in ``call``.

    Structures find the offsets of its arguments as ``offset_0`` and so on, and loop counters that are known by their names.
    """
    places = {f"offset_{index}": argument.offset_bytes for index, argument in enumerate(call.arguments) if isinstance(argument, Place)}
    counters = {argument.name: argument.at for argument in call.arguments if isinstance(argument, Counter)}
    return structure({**call.parameters, **places, **counters})


def iterations(call: Call, program: Program, node: str) -> list[tuple[Call, int]]:
    """``call`` of ``node`` as often as one inference runs it: once with its number, or one for each value of the loop counters it takes."""
    if not any(isinstance(argument, Counter) for argument in call.arguments):
        return [(call, program.runs(node))]
    return [
        (replace(call, arguments=[_counted(argument, strip, band) for argument in call.arguments]), 1)
        for strip, band in program.iterations(node)
    ]


def _counted(argument: Argument, strip: int, band: int) -> Argument:
    return replace(argument, at=strip if argument.name == "strip" else band) if isinstance(argument, Counter) else argument


def count_parts(calls: Iterable[tuple[Call, int]], folders: Sequence[str]) -> Counts | None:
    """"kernel: part" → how often it runs in all of ``calls``, each as often as its number; None where a kernel has no structure."""
    counts: Counts = {}
    for call, number in calls:
        structure = structure_of(call.kernel, folders)
        if structure is None:
            return None
        for part, times in parts_of(call, structure).items():
            key = f"{call.kernel}: {part}"
            counts[key] = counts.get(key, 0.0) + number * times
    return counts
