"""The kernels of sums, products, tables, slopes and the edges to float against the integer evaluation."""

from __future__ import annotations

import numpy as np

from edgewright.ir.dtype import DType, Quant
from edgewright.ops.add import Add
from edgewright.ops.dequantize import Dequantize
from edgewright.ops.gelu import GELU
from edgewright.ops.hard_sigmoid import HardSigmoid
from edgewright.ops.hard_swish import HardSwish
from edgewright.ops.leaky_relu import LeakyRelu
from edgewright.ops.mul import Mul
from edgewright.ops.prelu import PRelu
from edgewright.ops.quantize import Quantize
from edgewright.ops.relu import Relu
from edgewright.ops.relu6 import Relu6
from edgewright.ops.requantize import Requantize
from edgewright.ops.sigmoid import Sigmoid
from edgewright.ops.silu import SiLU
from edgewright.ops.sub import Sub
from edgewright.ops.tanh import Tanh
from tests.kernels.harness import Batch

ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")


def shapes(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast: equal, a vector against a picture, or axes of size 1 anywhere."""
    full = tuple(int(n) for n in rng.integers(1, 6, rng.integers(1, 4)))
    kind = rng.integers(3)
    if kind == 0:
        return full, full
    if kind == 1:
        return full, (full[-1],)
    return full, tuple(1 if rng.integers(2) else n for n in full)


def test_add_sub_mul(target: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(150):
        first, second = shapes(rng)
        op = rng.choice([Add, Sub, Mul])(str(rng.choice(ACTIVATIONS)))  # type: ignore[operator]
        if rng.integers(3) == 0:
            other = batch.builder.constant("c", batch.integers((1, *second) if rng.integers(2) else second), quant=batch.quant())
        else:
            other = batch.input(second if len(second) == len(first) else (1,) * (len(first) - len(second)) + second)
        same = batch.builder.value(other).quant if rng.integers(4) == 0 else None
        operands = [batch.input(first, same), other]
        quant = batch.quant(0.001, 0.01) if isinstance(op, Mul) else batch.quant(0.005, 0.5)
        batch.add(op, operands if rng.integers(2) else operands[::-1], quant)
    batch.check(target)


def test_tables(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(4):
        for op in (Relu(), Relu6(), LeakyRelu(0.3), LeakyRelu(-0.2), HardSwish(), HardSigmoid(), SiLU(), GELU(), Requantize()):
            batch.add(op, [batch.input((int(rng.integers(1, 300)),))], batch.quant())
        batch.add(Sigmoid(), [batch.input((256,))], Quant.per_tensor(1 / 256, -128))
        batch.add(Tanh(), [batch.input((256,))], Quant.per_tensor(1 / 128, 0))
    batch.check(target)


def test_prelu(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(20):
        channels = int(rng.integers(1, 9))
        slopes = batch.builder.constant("alpha", batch.integers((channels,)), quant=batch.quant(0.001, 0.05))
        batch.add(PRelu(), [batch.input((3, 2, channels)), slopes], batch.quant())
    batch.check(target)


def test_edges_to_float(needs_cc: None, seed: int = 0, target: str = "host") -> None:
    rng = np.random.default_rng(seed)
    batch = Batch(rng)
    for _ in range(10):
        x = batch.builder.input(batch.builder.fresh("x"), (None, 300), DType.FLOAT32)
        batch.add(Quantize(), [x], batch.quant())
        batch.add(Dequantize(), [batch.input((300,))], None, DType.FLOAT32)
    batch.check(target)
