"""Random operands for the tests of Add, Sub and Mul."""

from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import Quant
from tests.ops.tflm import Operand, random_int8, random_quant


def random_pair(rng: np.random.Generator) -> tuple[list[Operand], Quant]:
    """Two int8 operands that broadcast, of scales up to six orders of magnitude apart, and an output grid; one may be a constant."""
    shape = rng.integers(1, 6, int(rng.integers(1, 5))).tolist()
    shapes = [[1 if rng.random() < 0.25 else size for size in shape] for _ in range(2)]
    if rng.random() < 0.5:
        shapes = [shape, shape]
    short = int(rng.integers(0, 2))
    if rng.random() < 0.3:
        shapes[short] = shapes[short][int(rng.integers(0, len(shape))):]
    fixed = int(rng.integers(0, 4))
    operands = [Operand(random_int8(rng, sizes), random_quant(rng, low=1e-4), fixed=fixed == index) for index, sizes in enumerate(shapes)]
    if rng.random() < 0.2:
        operands[0].quant = Quant.per_tensor(rng.choice([1e-6, 50.0]), 3)
    return operands, output_for(rng, operands)


def every_pair(rng: np.random.Generator) -> tuple[list[Operand], Quant]:
    """All pairs of int8 numbers, and an output grid."""
    first, second = np.meshgrid(np.arange(-128, 128, dtype=np.int8), np.arange(-128, 128, dtype=np.int8))
    operands = [Operand(first[None].copy(), random_quant(rng)), Operand(second[None].copy(), random_quant(rng))]
    return operands, output_for(rng, operands)


def output_for(rng: np.random.Generator, operands: list[Operand]) -> Quant:
    """A grid about as wide as the operands', seldom far off (TFLM refuses output scales below 2**-19 of the larger input scale)."""
    largest = max(operand.quant.scale[0] for operand in operands if operand.quant is not None)
    factor = rng.choice([1e-4, float(np.exp(rng.uniform(-1.5, 1.0))), 1.0, 1e3], p=[0.05, 0.7, 0.2, 0.05])
    return Quant.per_tensor(largest * factor, int(rng.choice([-128, 127, int(rng.integers(-128, 128))], p=[0.2, 0.1, 0.7])))
