"""Random windows for the tests of pooling."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.padding import same_padding
from tests.ops.tflm import ACTIVATIONS, random_activation

Pair = tuple[int, int]


def random_pool(rng: np.random.Generator) -> tuple[tuple[Pair, Pair, tuple[Pair, Pair], str], Pair, bool]:
    """(kernel, stride, padding, activation), the size of the input, and whether the padding is SAME."""
    kernel, stride = ((int(a), int(b)) for a, b in rng.integers(1, 5, (2, 2)))
    size = (kernel[0] + int(rng.integers(0, 6)), kernel[1] + int(rng.integers(0, 6)))
    same = bool(rng.random() < 0.5)
    padding = tuple(same_padding(size[axis], kernel[axis], stride[axis]) if same else (0, 0) for axis in (0, 1))
    return (kernel, stride, (padding[0], padding[1]), random_activation(rng)), size, same


def pool_options(op: MaxPool2D | AveragePool2D, *, same: bool) -> schema.Pool2DOptionsT:
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.strideH, options.strideW = op.stride
    options.filterHeight, options.filterWidth = op.kernel
    options.fusedActivationFunction = ACTIVATIONS[op.activation]
    return options
