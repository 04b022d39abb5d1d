"""Random small networks computed strip by strip: layers of tiled loops to fit costs to, and to hold predictions against."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.program import Program, make_program
from edgewright.lower.schedule import single_sample
from edgewright.lower.tile import region_windows, tile_region
from edgewright.lower.tile_shape import Region, Tiling, cuts
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.targets.target import Target

KINDS = ("TakeTile", "PutTile", "FillBorder")
"""What stands in tiled loops alone."""


def random_tilings(seed: int, count: int, target: Target) -> Iterator[Program]:
    """``count`` programs with one loop each; the input of every other one lies outside of the arena."""
    pick = np.random.default_rng(seed)
    while count:
        graph = single_sample(_network(pick))
        places = cuts(graph)
        last = int(pick.integers(2, len(graph.nodes) + 1))
        region = Region(0, last, places[0], places[last])
        names = [node.outputs[0] for node in graph.nodes[:last]]
        kept = frozenset(name for name in names if pick.random() < 0.5)
        staying = frozenset(name for name in sorted(kept) if pick.random() < 0.3)
        tiling = Tiling(region, int(pick.integers(1, 5)), int(pick.choice([1, 1, 2, 3])), kept, staying)
        windows = region_windows(graph, region)
        if windows is not None and tile_region(graph, tiling, windows) is not None:
            yield make_program(graph, target, tilings=[tiling], stream_input=count % 2 == 0)
            count -= 1


def _network(pick: np.random.Generator) -> Graph:
    """Convolutions and depthwise ones on a picture of 12 to 48 pixels a side."""
    builder = GraphBuilder("tiled", Level.INTEGER)
    quant = Quant.per_tensor(0.05, -5)
    channels = int(pick.choice([1, 3, 4, 8]))
    top = builder.input("x", (None, int(pick.integers(12, 49)), int(pick.integers(12, 49)), channels), DType.INT8, quant)
    for _ in range(int(pick.integers(2, 5))):
        kernel = int(pick.choice([1, 3, 3, 5]))
        stride = int(pick.choice([1, 1, 2]))
        padding = ((kernel // 2, kernel // 2),) * 2
        depthwise = channels > 1 and pick.random() < 0.4
        outputs = channels if depthwise else int(pick.choice([4, 6, 8, 15, 16, 24]))
        shape = (outputs, kernel, kernel, 1 if depthwise else channels)
        scale = np.full(outputs, 0.02 / np.sqrt(np.prod(shape[1:])), np.float32)
        weight = builder.constant("w", pick.integers(-127, 128, shape).astype(np.int8), quant=Quant.per_axis(scale, 0))
        op = DepthwiseConv2D((stride, stride), padding) if depthwise else Conv2D((stride, stride), padding)
        top = builder.node(op, [top, weight], dtype=DType.INT8, quants=[quant])
        channels = outputs
    return builder.finish([top])
