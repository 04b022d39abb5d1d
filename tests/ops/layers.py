"""Random weights, biases and paddings for the tests of the convolutions and Dense."""

from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import DType, Quant
from tests.ops.tflm import Array, Operand, random_int8


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], *, per_channel: bool = True) -> tuple[Array, Quant]:
    """int8 weights (-128 among them, as old files have it) and scales, one of which may be far from the others."""
    channels = shape[0] if per_channel else 1
    scale = (np.exp(rng.uniform(np.log(1e-4), np.log(3e-2))) * rng.uniform(0.2, 2.0, channels)).astype(np.float32)
    if per_channel and rng.random() < 0.2:
        scale[rng.integers(channels)] = rng.choice([1e-9, 1e-7, 1.0, 300.0])
    weight = random_int8(rng, shape)
    return weight, Quant.per_axis(scale, 0) if per_channel else Quant.per_tensor(float(scale[0]))


def random_bias(rng: np.random.Generator, weight: Quant, input_scale: float, outputs: int) -> Operand:
    """int32 biases, large ones among them."""
    reach = int(rng.choice([100, 10_000, 1 << 24, 1 << 29], p=[0.5, 0.4, 0.05, 0.05]))
    scales = np.asarray(weight.scale, np.float32) * np.float32(input_scale)
    quant = Quant.per_axis(scales, 0, DType.INT32) if weight.axis is not None else Quant.per_tensor(float(scales[0]), 0, DType.INT32)
    return Operand(rng.integers(-reach, reach, outputs).astype(np.int32), quant, fixed=True)


def output_quant(rng: np.random.Generator, weight: Operand, input_scale: float) -> Quant:
    """A grid that results of typical size fill, or that is far too coarse or too fine for them."""
    assert weight.quant is not None
    taps = weight.array.size // weight.array.shape[0]
    spread = 70 * 70 * np.sqrt(taps) * input_scale * float(np.median(weight.quant.scale))
    zero_point = int(rng.choice([-128, 127, int(rng.integers(-128, 128))], p=[0.2, 0.1, 0.7]))
    return Quant.per_tensor(float(spread / rng.choice([0.5, 40.0, 60.0, 80.0, 20_000.0], p=[0.05, 0.3, 0.3, 0.3, 0.05])), zero_point)
