"""Outputs over the input that is read meanwhile: distances, the checker of them, and plans that use them."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.graph import Graph
from edgewright.ir.operator import Window
from edgewright.lower.allocate import _allowed, allocate, end_of, first_fit, lower_bound, overlaps
from edgewright.lower.beam import Answer
from edgewright.lower.below import search_below
from edgewright.lower.check_plan import check_plan
from edgewright.lower.memory import Buffer, Slide
from edgewright.lower.overlap import all_slides, is_safe, least_slide, reading_orders
from edgewright.lower.plan_memory import plan_memory
from edgewright.lower.program import make_program
from edgewright.ops.convolution import window_size
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.targets.overlap import Order
from edgewright.targets.target import load_target
from tests.lower.graphs import IntegerBuilder
from tests.zoo import ZOO, quantize_zoo


def random_order(pick: random.Random) -> tuple[Order, int, int]:
    """An order of stages, and input and output channels."""
    kernel = pick.randint(1, 4), pick.randint(1, 4)
    stride, dilation = (pick.randint(1, 3), pick.randint(1, 3)), (pick.randint(1, 2), pick.randint(1, 2))
    padding = tuple((pick.randint(0, 2), pick.randint(0, 2)) for _ in range(2))
    inner = tuple(max((kernel[a] - 1) * dilation[a] + 1 - sum(padding[a]), 1) + pick.randint(0, 8) for a in range(2))
    outer = tuple(window_size(inner[a], kernel[a], stride[a], dilation[a], padding[a]) for a in range(2))
    channels = pick.randint(1, 7)
    by_channel = pick.random() < 0.3
    many = outer[1] * pick.randint(1, 4) if by_channel else pick.choice([1, 2, 4, outer[1]])
    window = Window(kernel, stride, dilation, (padding[0], padding[1]))
    order = Order(many, pick.random() < 0.6, by_channel, window, (inner[0], inner[1]), (outer[0], outer[1]))
    return order, channels, channels if by_channel else pick.randint(1, 7)


def single(order: Order, channels: int, outputs: int) -> Graph:
    """A node with an input and an output of the sizes of ``order``: which operator does not matter to those who have the order."""
    b = IntegerBuilder()
    x = b.input("x", *order.inner, channels)
    graph = b.finish([b.node(MaxPool2D((1, 1), (1, 1)), x, name="y")])
    y = dataclasses.replace(graph.value("y"), shape=(1, *order.outer, outputs))
    return dataclasses.replace(graph, values={**graph.values, "y": y})


def simulate(order: Order, channels: int, outputs: int, distance: int) -> bool:
    """Whether every stage reads what was there at first, byte after byte, with the output ``distance`` before the input."""
    pixels, positions = order.inner[0] * order.inner[1], order.outer[0] * order.outer[1]
    origin = max(distance, 0)
    memory = np.full(max(origin + pixels * channels, positions * outputs) + abs(distance), -1)
    memory[origin : origin + pixels * channels] = np.arange(pixels * channels)
    stages = [range(start, min(start + order.positions, positions)) for start in range(0, positions, order.positions)]
    lanes = [range(channel, channel + 1) for channel in range(channels)] if order.by_channel else [range(outputs)]
    for lane, stage in itertools.product(lanes, stages):
        seen = range(lane[0], lane[0] + 1) if order.by_channel else range(channels)
        reads = [pixel * channels + channel for at in stage for pixel in taps(order, at) for channel in seen]
        writes = [origin - distance + at * outputs + channel for at in stage for channel in lane]
        if not order.reads_first:
            memory[writes] = -2
        if any(memory[origin + read] != read for read in reads):
            return False
        memory[writes] = -2
    return True


def taps(order: Order, at: int) -> list[int]:
    """The pixels that output position ``at`` sees."""
    window = order.window
    y = [at // order.outer[1] * window.stride[0] - window.padding[0][0] + k * window.dilation[0] for k in range(window.kernel[0])]
    x = [at % order.outer[1] * window.stride[1] - window.padding[1][0] + k * window.dilation[1] for k in range(window.kernel[1])]
    return [i * order.inner[1] + j for i in y for j in x if 0 <= i < order.inner[0] and 0 <= j < order.inner[1]]


def test_distances_are_safe_and_the_checker_knows_what_a_simulation_knows() -> None:
    pick = random.Random(0)
    slides = tight = 0
    for _ in range(400):
        order, channels, outputs = random_order(pick)
        graph = single(order, channels, outputs)
        node = graph.nodes[0]
        slide = least_slide(graph, node, order, 1)
        distances = [pick.randint(0, graph.value("y").bytes) for _ in range(3)]
        if slide is not None:
            slides += 1
            assert is_safe(graph, node, order, slide.least) and is_safe(graph, node, order, slide.least + slide.step)
            tight += slide.least == 0 or not is_safe(graph, node, order, slide.least - slide.step)
            distances += [slide.least, slide.least - slide.step]
        for distance in distances:
            if is_safe(graph, node, order, distance):
                assert simulate(order, channels, outputs, distance), (order, channels, outputs, distance)
            elif not order.by_channel:
                assert not simulate(order, channels, outputs, distance), (order, channels, outputs, distance)
    assert slides > 200 and tight > 0.7 * slides


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m3", "cortex-m55"])
@pytest.mark.parametrize("name", ["inverted_bottleneck", "separable_keyword_spotter"])
def test_programs_are_checked_with_their_orders_and_fail_without(core: str, name: str) -> None:
    target = load_target(core)
    program = make_program(quantize_zoo(ZOO[name](), clean=True), target)
    orders = reading_orders(program.executed, target)
    check_plan(program.executed, program.plan, orders=orders)
    slid = [buffer for buffer in program.plan.buffers if buffer.slide is not None]
    place = program.plan.offsets
    over = [buffer for buffer in slid if buffer.slide and 0 <= place[buffer.slide.over] - place[buffer.name] < buffer.size_bytes]
    assert over
    with pytest.raises(ModelError, match="over its input"):
        check_plan(program.executed, program.plan)


def test_a_chain_of_pools_lies_in_little_more_than_its_largest_values() -> None:
    b = IntegerBuilder()
    name = b.input("x", 16, 16, 4)
    for _ in range(5):
        name = b.node(MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1))), name)
    graph = b.finish([name])
    orders = reading_orders(graph, load_target("cortex-m4"))
    slides = all_slides(graph, orders, 4)
    plan = plan_memory(graph, slides=slides)
    # A row and a pixel before each: what the next window still reads.
    assert {slide.least for slide in slides.values()} == {4 * (16 + 2)}
    assert plan.arena_bytes == plan.lower_bound_bytes == 1024 + 5 * 72
    check_plan(graph, plan, orders=orders)
    with pytest.raises(ModelError, match="over its input"):
        check_plan(graph, plan)


def sliding_instance(seed: int) -> list[Buffer]:
    """A chain in which most slide over the one before, and a few others."""
    pick = random.Random(seed)
    buffers: list[Buffer] = []
    for step in range(4):
        size = 4 * pick.randint(1, 8)
        slide = Slide(f"v{step - 1}", 4 * pick.randint(0, 3), pick.choice([4, 8, 12])) if step and pick.random() < 0.8 else None
        buffers.append(Buffer(f"v{step}", size, step, step + 1, slide))
    for index in range(2):
        first = pick.randrange(5)
        buffers.append(Buffer(f"w{index}", 4 * pick.randint(1, 8), first, min(4, first + pick.randrange(4))))
    return buffers


@pytest.mark.parametrize("seed", range(20))
def test_small_sliding_instances_against_every_order(seed: int) -> None:
    buffers = sliding_instance(seed)
    offsets = allocate(buffers).offsets
    for a, b in itertools.combinations(buffers, 2):
        if a.first <= b.last and b.first <= a.last:
            assert _allowed(a, offsets[a.name], b, offsets[b.name]) == offsets[a.name]
            assert _allowed(b, offsets[b.name], a, offsets[a.name]) == offsets[b.name]
    height = max(offsets[buffer.name] + buffer.size_bytes for buffer in buffers)
    least = min(
        max(found[buffer.name] + buffer.size_bytes for buffer in buffers)
        for found in (first_fit(order) for order in itertools.permutations(buffers))
    )
    assert lower_bound(buffers) <= least == height


def least_height(buffers: list[Buffer]) -> int:
    """By trying every offset of every buffer."""
    for height in itertools.count(max(buffer.size_bytes for buffer in buffers), 4):
        if placeable(buffers, {}, height):
            return height
    raise AssertionError


def placeable(buffers: list[Buffer], offsets: dict[str, int], height: int) -> bool:
    if len(offsets) == len(buffers):
        return True
    buffer = buffers[len(offsets)]
    others = [other for other in buffers[: len(offsets)] if overlaps(other, buffer)]
    return any(
        all(_allowed(buffer, offset, other, offsets[other.name]) == offset for other in others)
        and placeable(buffers, {**offsets, buffer.name: offset}, height)
        for offset in range(0, height - buffer.size_bytes + 4, 4)
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_search_for_sliding_buffers_proves_the_least_height(seed: int) -> None:
    buffers = sliding_instance(seed)
    least = least_height(buffers)
    for capacity in range(least - 8, least + 8, 4):
        answer, offsets = search_below(buffers, capacity)
        assert answer is (Answer.FOUND if capacity >= least else Answer.NONE)
        if offsets:
            assert end_of(buffers, offsets) <= capacity
            for a, b in itertools.permutations(buffers, 2):
                assert not overlaps(a, b) or _allowed(a, offsets[a.name], b, offsets[b.name]) == offsets[a.name]
    found = allocate(buffers)
    assert end_of(buffers, found.offsets) == found.bound_bytes == least and "optimal" in found.strategy
