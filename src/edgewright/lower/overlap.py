"""How far an output may be written over the input that is read meanwhile: diagonal memory.

An output that begins below its input grows towards what is still to be read; the least distance at which it never gets there follows from
the order in which the kernel goes. Offline planning of such overlaps: Blacker, Bastani and Tsai, "Diagonal Memory Optimisation for Machine
Learning on Micro-controllers" (2020, arXiv:2010.01668); channel by channel in place: Lin et al., MCUNetV2 (2021, arXiv:2110.15352).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Mapping

import numpy as np
from numpy.typing import NDArray

from edgewright.ir.graph import Graph, Node
from edgewright.lower.memory import Slide
from edgewright.targets.overlap import Order, reading_order
from edgewright.targets.target import Target


def least_slide(graph: Graph, node: Node, order: Order, alignment: int) -> Slide | None:
    """How far before its input 0 the output of ``node`` has to begin at least; None where that is no nearer than beside it."""
    before, after = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    into, out = _channels(before.elements, order.inner), _channels(after.elements, order.outer)
    step = math.lcm(alignment, into) if order.by_channel else alignment
    least = -(-_least_distance(order, into, out) // step) * step
    return Slide(node.inputs[0], least, step) if least < after.bytes else None


@functools.lru_cache(maxsize=4096)
def _least_distance(order: Order, into: int, out: int) -> int:
    """In bytes, for ``into`` and ``out`` channels: what a stage has written must lie below what the next one reads, or this one where it
    reads as it writes."""
    positions = order.outer[0] * order.outer[1]
    starts = np.arange(0, positions, order.positions)
    ends = np.minimum(starts + order.positions, positions)
    still = np.append(_first_read(order), order.inner[0] * order.inner[1])
    needed = out * ends - into * still[ends if order.reads_first else starts]
    if order.reads_first:
        needed = needed[:-1]
    return max(int(needed.max(initial=0)), 0)


def _first_read(order: Order) -> NDArray[np.int64]:
    """For each output position, the first pixel of the input that it or a later one reads."""
    axes = []
    for axis in (0, 1):
        corner = np.arange(order.outer[axis]) * order.window.stride[axis] - order.window.padding[axis][0]
        axes.append(np.clip(corner, 0, order.inner[axis] - 1))
    first = (axes[0][:, None] * order.inner[1] + axes[1]).ravel()
    return np.minimum.accumulate(first[::-1])[::-1]


def _channels(elements: int, grid: tuple[int, int]) -> int:
    return elements // (grid[0] * grid[1])


def is_safe(graph: Graph, node: Node, order: Order, distance: int) -> bool:
    """The obvious check: with the output ``distance`` bytes before input 0, no byte is written before the last stage that reads it.

    Pixel by pixel, from the windows themselves; nothing of :func:`least_slide` is used.
    """
    before, after = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    (height, width), (rows, columns) = order.inner, order.outer
    into, out = _channels(before.elements, order.inner), _channels(after.elements, order.outer)
    stage = np.arange(rows * columns) // order.positions
    last = np.full(height * width, -1, np.int64)
    window = order.window
    for ky in range(window.kernel[0]):
        for kx in range(window.kernel[1]):
            y = np.arange(rows) * window.stride[0] - window.padding[0][0] + ky * window.dilation[0]
            x = np.arange(columns) * window.stride[1] - window.padding[1][0] + kx * window.dilation[1]
            inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
            pixels = (y[:, None] * width + x)[inside]
            np.maximum.at(last, pixels, stage.reshape(rows, columns)[inside])
    if order.by_channel:
        if into != out or distance % into:
            return False
        read, written, distance = last, stage, distance // into
    else:
        read, written = np.repeat(last, into), np.repeat(stage, out)
    # Byte (pixel) i of the input is byte i + distance of the output.
    start, stop = max(0, -distance), min(len(read), len(written) - distance)
    if stop <= start:
        return True
    read, written = read[start:stop], written[start + distance : stop + distance]
    return bool(np.all(written >= read if order.reads_first else written > read))


def reading_orders(graph: Graph, target: Target, frugal: Container[str] = ()) -> dict[str, Order]:
    """Node name → in which order its kernel goes, for the nodes whose kernel keeps to one. ``frugal``: see Program."""
    found = {}
    for node in graph.nodes:
        order = reading_order(graph, node, target.kernels, target.sparse_share, frugal=node.name in frugal)
        if order is not None:
            found[node.name] = order
    return found


def all_slides(graph: Graph, orders: Mapping[str, Order], alignment: int) -> dict[str, Slide]:
    """Node name → slide, for the nodes that have ``orders`` and gain by them."""
    nodes = [node for node in graph.nodes if node.name in orders]
    found = {node.name: least_slide(graph, node, orders[node.name], alignment) for node in nodes}
    return {name: slide for name, slide in found.items() if slide is not None}
