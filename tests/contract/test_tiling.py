"""Random networks in every tiling give the bytes of the untiled network: by the schedule on arena bytes, as C on the host, emulated."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.emit.c import emit_c
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.ir.operator import Operator
from edgewright.lower.check_tiles import run_tiled
from edgewright.lower.program import Program, make_program
from edgewright.lower.schedule import single_sample
from edgewright.lower.tile import region_windows, tile_region
from edgewright.lower.tile_shape import Region, Tiling, cuts
from edgewright.ops.add import Add
from edgewright.ops.average_pool2d import AveragePool2D
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.evaluate import evaluate
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.padding import same_padding
from edgewright.ops.relu import Relu
from edgewright.run.device import run_device
from edgewright.run.host import run_host
from edgewright.targets.target import load_target


class Network:
    """A random convolutional network of one input, grown layer by layer."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.builder = GraphBuilder(f"tiled{seed}", Level.INTEGER)
        height, width, channels = self.pick.randint(5, 19), self.pick.randint(4, 17), self.pick.choice((1, 3, 4))
        self.top = self.builder.input("x", (None, height, width, channels), DType.INT8, self.quant())

    def quant(self) -> Quant:
        return Quant.per_tensor(0.05, self.pick.randint(-128, 60))

    def add(self, op: Operator, *inputs: str, quant: Quant | None = None) -> str:
        return self.builder.node(op, inputs, name=op.kind.lower(), dtype=DType.INT8, quants=[quant or self.quant()])

    def weights(self, *shape: int) -> list[str]:
        scales = np.full(shape[0], 0.4 / np.sqrt(np.prod(shape[1:])) / 20, np.float32)
        weight = self.numbers.integers(-127, 128, shape).astype(np.int8)
        bias = self.numbers.integers(-500, 500, shape[0]).astype(np.int32)
        return [
            self.builder.constant("w", weight, quant=Quant.per_axis(scales, 0)),
            self.builder.constant("b", bias, quant=Quant.per_axis(scales * np.float32(0.05), 0, DType.INT32)),
        ]

    def windowed(self, kind: str) -> str | None:
        """Any window that fits the picture: kernels 1 … 7, strides 1 … 3, dilated, SAME, VALID or odd padding."""
        _, height, width, channels = (int(size or 1) for size in self.builder.value(self.top).shape)
        kernel = self.pick.randint(1, 7), self.pick.randint(1, 5)
        stride = self.pick.choice((1, 1, 2, 3)), self.pick.choice((1, 1, 2))
        dilation = (1, 1) if "Pool" in kind or self.pick.random() < 0.7 else (2, self.pick.randint(1, 2))
        scheme = self.pick.choice(("same", "same", "valid", "odd"))
        padding = [(0, 0), (0, 0)]
        for axis, size in enumerate((height, width)):
            if scheme == "same":
                padding[axis] = same_padding(size, kernel[axis], stride[axis], dilation[axis])
            elif scheme == "odd" and kernel[axis] > 1:
                padding[axis] = self.pick.randint(0, kernel[axis] - 1), self.pick.randint(0, kernel[axis] - 1)
            if size + sum(padding[axis]) < (kernel[axis] - 1) * dilation[axis] + 1:
                return None
        same = self.builder.value(self.top).quant
        both = padding[0], padding[1]
        if kind == "MaxPool2D":
            return self.add(MaxPool2D(kernel, stride, both), self.top, quant=same)
        if kind == "AveragePool2D":
            return self.add(AveragePool2D(kernel, stride, both), self.top, quant=same)
        if kind == "DepthwiseConv2D":
            factor = self.pick.choice((1, 1, 2)) if channels <= 4 else 1
            op = DepthwiseConv2D(stride, both, dilation, factor)
            return self.add(op, self.top, *self.weights(channels * factor, *kernel, 1))
        outputs = self.pick.choice((3, 4, 8))
        return self.add(Conv2D(stride, both, dilation, 1, "relu"), self.top, *self.weights(outputs, *kernel, channels))

    def residual(self) -> str:
        """Two layers of the same size added to what came in."""
        start = self.top
        channels = int(self.builder.value(start).shape[3] or 1)
        op = Conv2D((1, 1), ((1, 1), (1, 1)))
        inner = self.add(Relu(), self.add(op, start, *self.weights(6, 3, 3, channels)))
        back = self.add(Conv2D(), inner, *self.weights(channels, 1, 1, 6))
        return self.add(Add(), *((start, back) if self.pick.random() < 0.5 else (back, start)))

    def grow(self, layers: int) -> Graph:
        kinds = ("Conv2D", "Conv2D", "DepthwiseConv2D", "DepthwiseConv2D", "MaxPool2D", "AveragePool2D")
        while layers:
            made = self.residual() if self.pick.random() < 0.3 else self.windowed(self.pick.choice(kinds))
            if made is not None:
                self.top = made
                layers -= 1
        return self.builder.finish([self.top])


def tilings(graph: Graph, seed: int) -> list[Tiling]:
    """One to two disjoint regions at random, with rows, bands and kept values at random."""
    pick = random.Random(seed)
    single = single_sample(graph)
    found = cuts(single)
    edges = sorted(found)
    chosen: list[Tiling] = []
    position = 0
    for _ in range(20):
        first, last = sorted(pick.sample(edges, 2))
        first = 0 if not chosen and pick.random() < 0.6 else first
        names = [node.outputs[0] for node in single.nodes[first:last]]
        kept = frozenset(name for name in names if pick.random() < pick.choice((0.0, 0.5, 1.0)))
        staying = frozenset(name for name in sorted(kept) if pick.random() < 0.5)
        tiling = Tiling(Region(first, last, found[first], found[last]), pick.randint(1, 3), pick.randint(1, 3), kept, staying)
        windows = region_windows(single, tiling.region)
        if first >= position and windows is not None and tile_region(single, tiling, windows) is not None:
            chosen.append(tiling)
            position = last
    return chosen


def tiled(seed: int, target: str) -> tuple[Graph, Program, NDArray[np.int8]]:
    graph = Network(seed).grow(random.Random(seed).randint(2, 5))
    chosen = tilings(graph, seed)
    stream = bool(chosen) and chosen[0].region.first == 0 and seed % 2 == 0
    program = make_program(graph, load_target(target), tilings=chosen, stream_input=stream)
    shape = tuple(size or 1 for size in graph.value("x").shape[1:])
    return graph, program, np.random.default_rng(seed).integers(-128, 128, (2, *shape)).astype(np.int8)


def outputs_of(graph: Graph) -> list[tuple[np.dtype[np.int8], tuple[int, ...]]]:
    return [(np.dtype(np.int8), tuple(size or 1 for size in graph.value(name).shape[1:])) for name in graph.outputs]


def test_the_schedule_on_arena_bytes() -> None:
    loops = 0
    for seed in range(60):
        graph, program, x = tiled(seed, "cortex-m4")
        (want,) = evaluate(graph, [x[:1]])
        (got,) = run_tiled(program, x[:1])
        assert np.array_equal(got, want), f"seed {seed}: {program.loops}"
        loops += len(program.loops)
    assert loops > 60


def compare(seed: int, target: str) -> None:
    graph, program, x = tiled(seed, target)
    (want,) = evaluate(graph, [x])
    board = load_target(target)
    files = emit_c(program)
    if board.qemu is None:
        run = run_host(files, [x], outputs=outputs_of(graph), sanitize=True)
    else:
        run = run_device(files, [x], board, outputs=outputs_of(graph))
    assert np.array_equal(run.outputs[0], want), f"seed {seed}: {program.loops}"


@pytest.mark.parametrize("seed", range(100, 105))
def test_c_on_the_host(seed: int) -> None:
    compare(seed, "host")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(105, 117))
def test_more_c_on_the_host(seed: int) -> None:
    compare(seed, "host")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 204))
@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m55"])
def test_c_on_emulated_cores(target: str, seed: int) -> None:
    compare(seed, target)
