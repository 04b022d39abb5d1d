"""Lifetimes and shared buffers."""

from __future__ import annotations

import time

import pytest

from edgewright.lower.allocate import allocate
from edgewright.lower.check_plan import check_plan
from edgewright.lower.memory import Buffer
from edgewright.lower.plan_memory import lifetimes, peak_step, plan_memory
from edgewright.ops.add import Add
from edgewright.ops.concat import Concat
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.pad import Pad
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
from edgewright.ops.slice import Slice
from tests.lower.graphs import IntegerBuilder
from tests.lower.test_allocate import instance


def test_lifetimes_of_inputs_outputs_states_and_the_unread() -> None:
    b = IntegerBuilder()
    x, unused, state = b.input("x", 8), b.input("unused", 8), b.state("s", 8)
    first = b.node(Relu(), x, name="first")
    second = b.node(Add(), first, state, name="second")
    third = b.node(Relu(), second, name="third")
    b.write(state, second)
    graph = b.finish([third, first])
    assert lifetimes(graph) == {x: (0, 0), unused: (0, 0), state: (0, 2), first: (0, 2), second: (1, 2), third: (2, 2)}


def test_a_chain_of_pointwise_operators_and_views_takes_one_buffer() -> None:
    b = IntegerBuilder()
    name = b.input("x", 4, 4, 2)
    for op in (Relu(), Reshape((1, 32)), Relu(), Reshape((1, 8, 4)), Relu()):
        name = b.node(op, name)
    plan = plan_memory(b.finish([name]))
    assert set(plan.buffer_of.values()) == {"x"}
    assert plan.arena_bytes == plan.lower_bound_bytes == 32


def test_a_value_that_is_read_later_is_not_overwritten() -> None:
    b = IntegerBuilder()
    x = b.input("x", 8)
    flat = b.node(Reshape((1, 4, 2)), x, name="flat")
    first = b.node(Relu(), x, name="first")
    second = b.node(Relu(), flat, name="second")
    graph = b.finish([b.node(Add(), first, b.node(Reshape((1, 8)), second, name="back"), name="sum")])
    plan = plan_memory(graph)
    assert plan.buffer_of["flat"] == "x"
    assert plan.buffer_of["first"] == "first"  # x is still needed through its view
    assert plan.buffer_of["second"] == "x"
    assert plan.arena_bytes == 16


def test_outputs_keep_their_bytes() -> None:
    b = IntegerBuilder()
    kept = b.node(Relu(), b.input("x", 8), name="kept")
    plan = plan_memory(b.finish([kept, b.node(Relu(), kept, name="after")]))
    assert plan.buffer_of["after"] == "after"


def test_a_state_is_written_in_its_place_when_its_old_content_is_dead() -> None:
    b = IntegerBuilder()
    x, past = b.input("x", 1, 2), b.state("past", 3, 2)
    window = b.node(Concat(1), past, x, name="window")
    b.write(past, b.node(Slice((0, 1, 0), (1, 3, 2), (1, 1, 1)), window, name="kept"))
    plan = plan_memory(b.finish([b.node(Relu(), window, name="y")]))
    assert plan.buffer_of["kept"] == "past"
    assert plan.arena_bytes == 8 + 8 + 4  # window, state, input


def test_a_state_that_is_still_read_is_not_overwritten() -> None:
    b = IntegerBuilder()
    x, state = b.input("x", 8), b.state("s", 8)
    new = b.node(Pad(((0, 0), (0, 0))), x, name="new")
    b.write(state, new)
    late = b.node(Add(), new, b.node(Relu(), state, name="old"), name="late")
    plan = plan_memory(b.finish([late]))
    assert plan.buffer_of["new"] == "new" and plan.buffer_of["old"] == "old"


def test_a_state_is_updated_in_place() -> None:
    b = IntegerBuilder()
    x, state = b.input("x", 8), b.state("s", 8)
    b.write(state, b.node(Add(), x, state, name="sum"))
    graph = b.finish([b.node(Relu(), "sum", name="y")])
    assert plan_memory(graph).buffer_of["sum"] == "s"
    b = IntegerBuilder()
    pooled = b.node(MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1))), b.state("s", 4, 4, 1), name="pooled")
    b.write("s", b.node(Add(), pooled, b.input("x", 4, 4, 1), name="sum"))
    plan = plan_memory(b.finish([pooled]))
    assert plan.buffer_of["pooled"] == "pooled" and plan.buffer_of["sum"] == "s"


def test_two_states_that_hold_the_same_have_two_places() -> None:
    b = IntegerBuilder()
    x, first, second = b.input("x", 8), b.state("a", 8), b.state("b", 8)
    total = b.node(Add(), b.node(Add(), x, first), second, name="total")
    b.write(first, total)
    b.write(second, total)
    graph = b.finish([b.node(Relu(), total)])
    plan = plan_memory(graph)
    assert plan.buffer_of["total"] == "a" and plan.buffer_of["b"] == "b"
    check_plan(graph, plan)


def test_both_operands_the_same_value() -> None:
    b = IntegerBuilder()
    graph = b.finish([b.node(Add(), b.input("x", 8), "x", name="twice")])
    assert plan_memory(graph).buffer_of["twice"] == "twice"


def test_sizes_are_aligned_and_scratch_has_its_place() -> None:
    b = IntegerBuilder()
    x = b.input("x", 3, 3, 1)
    graph = b.finish([b.node(Concat(3), x, b.node(MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1))), x, name="pool"), name="y")])
    plan = plan_memory(graph, {"pool": 5, "y": 0}, alignment=8)
    assert all(offset % 8 == 0 for offset in plan.offsets.values())
    assert {buffer.name: buffer.size_bytes for buffer in plan.buffers} == {"x": 16, "pool": 16, "y": 24, "pool/scratch": 8}
    assert "y/scratch" not in plan.offsets
    step, holders = peak_step(plan)
    assert (step, [buffer.name for buffer in holders]) == (1, ["y", "x", "pool"])


def test_a_network_without_nodes() -> None:
    b = IntegerBuilder()
    plan = plan_memory(b.finish([b.input("x", 5)]))
    assert (plan.arena_bytes, plan.lower_bound_bytes) == (8, 8)


@pytest.mark.parametrize(("count", "seconds"), [(48, 8.0), (1000, 8.0)])
def test_placing_is_quick(count: int, seconds: float) -> None:
    buffers: list[Buffer] = instance(1, count, count)
    started = time.perf_counter()
    allocate(buffers)
    assert time.perf_counter() - started < seconds
