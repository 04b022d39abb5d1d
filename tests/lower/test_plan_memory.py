"""Lifetimes and shared buffers."""

from __future__ import annotations

import time

import pytest

from edgewright.lower.allocate import allocate
from edgewright.lower.memory import Buffer
from edgewright.lower.plan_memory import lifetimes, peak_step, plan_memory
from edgewright.ops.add import Add
from edgewright.ops.concat import Concat
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
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


def test_outputs_and_states_keep_their_bytes() -> None:
    b = IntegerBuilder()
    x, state = b.input("x", 8), b.state("s", 8)
    kept = b.node(Relu(), x, name="kept")
    after = b.node(Relu(), kept, name="after")
    new = b.node(Relu(), state, name="new")
    b.write(state, new)
    last = b.node(Relu(), new, name="last")
    plan = plan_memory(b.finish([kept, after, last]))
    assert {name: plan.buffer_of[name] for name in ("after", "new", "last")} == {"after": "after", "new": "new", "last": "last"}


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
