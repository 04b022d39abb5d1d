"""Run a pass and hold it to what every exact pass promises; small integer networks to run them on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.ir.verify import verify
from edgewright.ops import Conv2D, Dense, DepthwiseConv2D
from edgewright.ops.evaluate import evaluate
from edgewright.passes import find_pass
from edgewright.passes.registry import Context

Array = NDArray[np.generic]


def random_inputs(graph: Graph, samples: int = 6, seed: int = 1) -> list[Array]:
    """Random samples; at the integer level also samples of nothing but extremes, of one extreme, and of the zero point."""
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for name in graph.inputs:
        value = graph.value(name)
        shape = (samples if value.shape[0] is None else int(value.shape[0]), *[int(size or 1) for size in value.shape[1:]])
        if not value.dtype.is_integer:
            arrays.append(rng.normal(size=shape).astype(np.float32) * 2)
            continue
        low, high = value.dtype.minimum, value.dtype.maximum
        array = rng.integers(low, high + 1, shape)
        if samples >= 5 and value.shape[0] is None:
            array[0], array[1], array[2] = low, high, np.where(rng.random(shape[1:]) < 0.5, low, high)
            array[3] = value.quant.zero_point[0] if value.quant is not None else 0
        arrays.append(array.astype(value.dtype.numpy))
    return arrays


def same_outputs(before: Graph, after: Graph, calls: int = 1) -> None:
    """Same inputs and outputs, and the same numbers: to the byte for integers, to 1e-5 for floats. States run for ``calls`` calls."""
    assert before.inputs == after.inputs and before.outputs == after.outputs
    for name in (*before.inputs, *before.outputs):
        assert before.value(name) == after.value(name)
    states: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]] = ({}, {})
    for call in range(calls):
        inputs = random_inputs(before, seed=call + 1)
        results = [evaluate(graph, inputs, states=state) if before.states else evaluate(graph, inputs)
                   for graph, state in zip((before, after), states, strict=True)]
        for first, second in zip(*results, strict=True):
            if before.level is Level.INTEGER:
                np.testing.assert_array_equal(first, second)
            else:
                np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(first).max(initial=0.0))))


def apply(name: str, graph: Graph, calls: int = 1, **options: object) -> tuple[Graph, Context]:
    """The graph after pass ``name``: its argument is untouched, its outputs are the same, and a second run finds nothing to do."""
    digest = verify(graph).digest
    entry = find_pass(name)
    ctx = Context()
    result = entry.function(graph, ctx, **options)
    assert graph.digest == digest
    same_outputs(graph, result, calls)
    if result is graph:
        assert not [line for line in ctx.lines if line.action == "did"]
    else:
        assert [line for line in ctx.lines if line.action == "did"]
        assert entry.function(result, Context(), **options) is result
    return result, ctx


def unchanged(name: str, graph: Graph, **options: object) -> Context:
    """Pass ``name`` leaves ``graph`` alone: the same object comes back. Returns what it said."""
    result, ctx = apply(name, graph, **options)
    assert result is graph
    return ctx


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def shape(graph: Graph, name: str) -> tuple[int | None, ...]:
    return graph.value(name).shape


class Net(GraphBuilder):
    """A GraphBuilder with random weights, at the float or the integer level."""

    def __init__(self, level: Level = Level.FLOAT, seed: int = 0) -> None:
        super().__init__("net", level)
        self.rng = np.random.default_rng(seed)

    @property
    def integer(self) -> bool:
        return self.level is Level.INTEGER

    def quant(self, scale: float = 0.05, zero_point: int = 3) -> Quant | None:
        return Quant.per_tensor(scale, zero_point) if self.integer else None

    def enter(self, name: str, shape: Sequence[int | None], quant: Quant | None = None) -> str:
        return self.input(name, shape, DType.INT8, quant or self.quant()) if self.integer else self.input(name, shape)

    def apply(self, op: Operator, inputs: Sequence[str], name: str, quant: Quant | None = None) -> str:
        """A node without constants of its own."""
        quant = quant or (self.value(inputs[0]).quant if op.same_quant else self.quant())
        return self.node(op, inputs, name=name, quants=[quant if self.integer else None])

    def weight(self, name: str, array: Array) -> str:
        if not self.integer:
            return self.constant(name, array)
        return self.constant(name, array, quant=Quant.per_axis(self.rng.uniform(0.005, 0.02, array.shape[0]).astype(np.float32), 0))

    def numbers(self, *size: int) -> Array:
        """Random weights: int8, or float32."""
        if self.integer:
            return self.rng.integers(-127, 128, size).astype(np.int8)
        return self.rng.normal(size=size).astype(np.float32)

    def bias(self, name: str, source: str, weight: str, array: Array) -> str:
        if not self.integer:
            return self.constant(name, array)
        data, rows = self.value(source).quant, self.value(weight).quant
        assert data is not None and rows is not None
        scales = np.float32(data.scale[0]) * np.asarray(rows.scale, np.float32)
        return self.constant(name, array, quant=Quant.per_axis(scales, 0, DType.INT32))

    def biases(self, count: int) -> Array:
        return self.rng.integers(-3000, 3000, count).astype(np.int32) if self.integer else self.rng.normal(size=count).astype(np.float32)

    def layer(self, op: Operator, source: str, name: str, weight: Array, bias: Array | None = None, quant: Quant | None = None) -> str:
        """A layer with constants ``name``/weight and ``name``/bias (None: without)."""
        inputs = [source, self.weight(f"{name}/weight", weight)]
        if bias is not None:
            inputs.append(self.bias(f"{name}/bias", source, inputs[1], bias))
        return self.apply(op, inputs, name, quant)

    def conv(self, source: str, outputs: int, name: str, kernel: int = 1, padding: int = 0, activation: str = "none",
             dead: Sequence[int] = (), unread: Sequence[int] = ()) -> str:
        """A convolution of which output channels ``dead`` have no weights, and which does not read input channels ``unread``."""
        weight = self.numbers(outputs, kernel, kernel, int(self.value(source).shape[3] or 0))
        weight[list(dead)] = 0
        weight[..., list(unread)] = 0
        pair = (padding, padding)
        return self.layer(Conv2D(padding=(pair, pair), activation=activation), source, name, weight, self.biases(outputs))

    def depthwise(self, source: str, name: str, kernel: int = 3, padding: int = 0, multiplier: int = 1, activation: str = "none",
                  dead: Sequence[int] = ()) -> str:
        channels = int(self.value(source).shape[3] or 0) * multiplier
        weight = self.numbers(channels, kernel, kernel, 1)
        weight[list(dead)] = 0
        pair = (padding, padding)
        op = DepthwiseConv2D(padding=(pair, pair), multiplier=multiplier, activation=activation)
        return self.layer(op, source, name, weight, self.biases(channels))

    def dense(self, source: str, outputs: int, name: str, activation: str = "none") -> str:
        weight = self.numbers(outputs, int(self.value(source).shape[-1] or 0))
        return self.layer(Dense(activation), source, name, weight, self.biases(outputs))
