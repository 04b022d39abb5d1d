"""Transposed convolutions as convolutions: the same sums, whatever the window, the stride and what is cut off."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ops.transpose_conv2d import TransposeConv2D
from edgewright.targets.transposed import phases
from edgewright.targets.workspace import workspace_bytes

DSP = ("dsp", "portable")
PLAIN = Quant.per_tensor(1.0, 0)


def values(op: TransposeConv2D, shape: tuple[int, ...], weight: tuple[int, ...]) -> tuple[list[Value], list[Value]]:
    ins = [Value("x", shape, DType.INT8, PLAIN), Value("w", weight, DType.INT8, PLAIN)]
    return ins, [Value("y", op.infer(ins)[0], DType.INT8, PLAIN)]


@pytest.mark.parametrize("seed", range(60))
def test_rows_of_all_phases_are_the_transposed_convolution(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride = [int(n) for n in rng.integers(1, 6, 2)], [int(n) for n in rng.integers(1, 4, 2)]
    height, width, channels, outputs = (int(n) for n in rng.integers(1, 6, 4))
    padding = tuple((int(rng.integers(0, 2)), int(rng.integers(0, 2))) for _ in range(2))
    sizes = [(n - 1) * stride[axis] + kernel[axis] - sum(padding[axis]) for axis, n in enumerate((height, width))]
    extra = (int(rng.integers(0, 2)), -sizes[1] % stride[1])
    if min(sizes[0] + extra[0], sizes[1] + extra[1]) < 1:
        padding, extra = ((0, 0), (0, 0)), (0, -((width - 1) * stride[1] + kernel[1]) % stride[1])
    op = TransposeConv2D((stride[0], stride[1]), (padding[0], padding[1]), extra)
    ins, outs = values(op, (1, height, width, channels), (outputs, *kernel, channels))
    x, w = rng.integers(-128, 128, ins[0].shape), rng.integers(-128, 128, ins[1].shape)
    wanted = op.evaluate([torch.tensor(x, dtype=torch.float64), torch.tensor(w, dtype=torch.float64)])[0].numpy()
    found = phases(op, ins, outs, DSP)
    if not found:
        pytest.skip("too many zeros")
    got = np.full(wanted.shape, np.nan)
    for phase in found:
        conv, (_, weight), (after,) = phase.convolution(op, ins, outs)
        rows = phase.weight(w)
        assert rows.shape == weight.shape
        (top, left), (_, tall, wide, _) = phase.padding, rows.shape
        padded = np.pad(x, ((0, 0), (top, phase.rows + tall), (left, after.shape[2] + wide), (0, 0)))
        for r in range(phase.rows):
            for c in range(after.shape[2]):
                sums = np.tensordot(rows, padded[0, r : r + tall, c : c + wide], 3)
                got[0, phase.first + r * stride[0], c * stride[1] : (c + 1) * stride[1]] = sums.reshape(stride[1], outputs)
        assert conv.padding == ((top, 0), (left, 0))
    np.testing.assert_array_equal(got, wanted)


def test_a_window_as_large_as_the_stride_has_no_zeros_and_needs_no_column() -> None:
    op = TransposeConv2D((2, 2))
    ins, outs = values(op, (1, 8, 8, 24), (16, 2, 2, 24))
    found = phases(op, ins, outs, DSP)
    assert [(phase.first, phase.rows, phase.taps.tolist()) for phase in found] == [(0, 8, [[[0]], [[1]]]), (1, 8, [[[2]], [[3]]])]
    assert workspace_bytes(op, ins, outs, ("portable",)) == 0
    assert workspace_bytes(op, ins, outs, DSP) > 0


def test_what_is_computed_output_by_output() -> None:
    op = TransposeConv2D((2, 2), output_padding=(0, 1))
    ins, outs = values(op, (1, 8, 8, 24), (16, 2, 2, 24))
    assert phases(op, ins, outs, DSP) == []
    op = TransposeConv2D((3, 3), output_padding=(2, 2))
    ins, outs = values(op, (1, 8, 8, 24), (16, 1, 1, 24))
    assert phases(op, ins, outs, DSP) == [], "two zeros to a tap"
    op = TransposeConv2D((2, 2))
    ins, outs = values(op, (1, 8, 8, 24), (16, 2, 2, 24))
    assert phases(op, ins, outs, ("size", "portable")) == [] and phases(op, ins, outs, ("cpu", "portable")) == []
    wide = [dataclasses.replace(ins[0], dtype=DType.INT16), ins[1]]
    assert phases(op, wide, outs, DSP) == []
    assert workspace_bytes(op, ins, outs, ("size", "portable")) == 0
