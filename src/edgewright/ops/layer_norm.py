"""Layer normalization over the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.errors import ModelError, UnsupportedError
from edgewright.ir.graph import Shape, Value
from edgewright.ir.operator import Operator, expect
from edgewright.ops.requant import Multiplier, activation_range, quantize_multipliers, requantize, tensor_quant

FRACTION_BITS = 16
"""Normalized inputs are held in fixed point with so many bits behind the point."""
MOST_CHANNELS = 1 << 14
"""A normalized input is at most the square root of the channels: above, its product with a weight, and the bias, could leave int32."""
ROOT_BITS = 31
"""Bits of the square root of the variance, which is scaled so that it has all of them."""


@dataclass(frozen=True)
class LayerNorm(Operator):
    """Inputs: x (..., C); scale (C,); offset (C,). Output: (x - mean) / sqrt(variance + epsilon) * scale + offset, over the last axis.

    Source: Ba, Kiros and Hinton 2016 (arXiv:1607.06450).
    """

    epsilon: float = 1e-5

    inputs_range: ClassVar[tuple[int, int]] = (3, 3)
    channel_inputs: ClassVar[tuple[int, ...]] = (1,)
    bias_input: ClassVar[int | None] = 2

    def infer(self, inputs: Sequence[Value]) -> tuple[Shape, ...]:
        x, scale, offset = inputs
        expect(x.rank >= 2 and x.shape[-1:] == scale.shape == offset.shape, self,
               f"input shape {x.shape} does not fit scale {scale.shape} and offset {offset.shape}")
        return (x.shape,)

    def evaluate(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x, scale, offset = inputs
        return (F.layer_norm(x, scale.shape, scale, offset, self.epsilon),)

    def product_scale(self, input_scale: float) -> float:
        return 2.0**-FRACTION_BITS

    def evaluate_integer(self, inputs: Sequence[Tensor], ins: Sequence[Value], outs: Sequence[Value]) -> tuple[Tensor, ...]:
        """Edgewright's own arithmetic: no reference kernel has one for int8. Everything is exact in 64 bits.

        With N channels, sum S and d = N x - S (the zero point falls out), N² times the variance is W = N Σx² - S² in units of the input's
        scale, plus epsilon in the same units; d / sqrt(W) is rounded to FRACTION_BITS and weighted, biased and rescaled as any layer's sum.
        """
        if ins[0].dtype.bits > 8 or int(ins[0].shape[-1] or 1) > MOST_CHANNELS:
            what = f"{ins[0].dtype.value} {ins[0].name!r} with {ins[0].shape[-1]} channels"
            raise UnsupportedError(f"{self.kind} of {what} has no integer form",
                                   hint=f"quantize activations to int8; at most {MOST_CHANNELS} channels")
        x, weight, bias = (tensor.to(torch.int64) for tensor in inputs)
        count = x.shape[-1]
        total = x.sum(-1, keepdim=True)
        spread = count * (x * x).sum(-1, keepdim=True) - total * total + self.integer_epsilon(ins)
        inverse, shift = reciprocal_root(spread)
        normalized = ((count * x - total) * inverse + (torch.ones_like(shift) << (shift - 1))) >> shift
        low, high = activation_range("none", outs[0])
        return (requantize(normalized * weight + bias, self.multipliers(ins, outs), tensor_quant(outs[0])[1], low, high),)

    def integer_epsilon(self, ins: Sequence[Value]) -> int:
        """Epsilon in units of the squared input scale over N², at least 1."""
        units = self.epsilon * float(ins[0].shape[-1] or 1) ** 2 / tensor_quant(ins[0])[0] ** 2
        return max(1, min(1 << 60, round(units)))

    def multipliers(self, ins: Sequence[Value], outs: Sequence[Value]) -> Multiplier:
        """The factor of each channel: weight scale / output scale, of sums with FRACTION_BITS behind the point."""
        if ins[1].quant is None:
            raise ModelError(f"weight {ins[1].name!r} has no quantization")
        return quantize_multipliers(np.asarray(ins[1].quant.scale, np.float64) * 2.0**-FRACTION_BITS / tensor_quant(outs[0])[0])

    def in_place(self, ins: Sequence[Value], outs: Sequence[Value]) -> tuple[int, ...]:
        return (0,) if ins[0].dtype.bits == outs[0].dtype.bits else ()


def reciprocal_root(x: Tensor) -> tuple[Tensor, Tensor]:
    """(raw, shift): raw * 2**(FRACTION_BITS - shift) is 1 / sqrt(x), rounded down, for int64 ``x`` of 1 … 2**61.

    x times a power of 4 has 61 or 62 bits, its square root q all ROOT_BITS of them, and raw = floor(2**61 / q).
    """
    left = (62 - torch.frexp(x.to(torch.float64)).exponent.to(torch.int64)) >> 1
    # The exponent of a number next to a power of two may be one too large after rounding to float64.
    left = torch.where((x << (2 * left)) < (1 << 60), left + 1, left)
    scaled = x << (2 * left)
    root = scaled.to(torch.float64).sqrt().to(torch.int64)
    root = torch.where(root * root > scaled, root - 1, root)
    root = torch.where((root + 1) * (root + 1) <= scaled, root + 1, root)
    return (1 << 61) // root, 61 - left - FRACTION_BITS
