"""The order of operators: against all topological orders, and never worse than the given one."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from edgewright.emit.c import emit_c
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph
from edgewright.lower.allocate import lower_bound
from edgewright.lower.check_plan import check_plan
from edgewright.lower.order import best_order, plan_in_best_order
from edgewright.lower.plan_memory import plan_memory
from edgewright.lower.program import make_program
from edgewright.lower.schedule import order_states
from edgewright.ops.add import Add
from edgewright.ops.concat import Concat
from edgewright.ops.evaluate import evaluate
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.pad import Pad
from edgewright.ops.relu import Relu
from edgewright.ops.slice import Slice
from edgewright.run.host import run_host
from edgewright.targets.target import load_target
from tests.lower.graphs import IntegerBuilder, random_graph

POOL = MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1)))


def topological_orders(graph: Graph, done: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    if len(done) == len(graph.nodes):
        yield done
    made = {name for index in done for name in graph.nodes[index].outputs}
    for index, node in enumerate(graph.nodes):
        if index not in done and all(name in made or name not in graph.producers for name in node.inputs):
            yield from topological_orders(graph, (*done, index))


def branches(seed: int) -> Graph:
    """A random graph of up to nine nodes without states: branches that widen and narrow, joined at random."""
    pick = random.Random(seed)
    b = IntegerBuilder(f"branches{seed}")
    live = [b.input("x", 4, 4, 2)]
    for _ in range(9):
        x = pick.choice(live[-4:])
        channels = b.shape(x)[-1] or 0
        same = [name for name in live if b.shape(name) == b.shape(x)]
        choice = pick.choice(("relu", "pool", "pad", "slice", "add", "concat"))
        if choice == "slice" and channels > 1:
            live.append(b.node(Slice((0, 0, 0, 0), (1, 4, 4, channels // 2), (1, 1, 1, 1)), x))
        elif choice == "pad":
            live.append(b.node(Pad(((0, 0), (0, 0), (0, 0), (1, 2))), x))
        elif choice in ("add", "concat"):
            live.append(b.node(Add() if choice == "add" else Concat(3), x, pick.choice(same)))
        else:
            live.append(b.node(Relu() if choice == "relu" else POOL, x))
    return b.finish([live[-1]])


@pytest.mark.parametrize("seed", range(40))
def test_the_peak_is_the_least_of_all_orders(seed: int) -> None:
    graph = branches(seed)
    scratch = {graph.nodes[seed % len(graph.nodes)].name: 4 * (seed % 30)}
    peaks = []
    for order in topological_orders(graph):
        reordered = rebuild(graph, nodes=[graph.nodes[index] for index in order])
        peaks.append(plan_memory(reordered, scratch).lower_bound_bytes)
        if len(peaks) == 400:
            break
    order = best_order(graph, scratch)
    chosen = graph if order is None else rebuild(graph, nodes=[graph.nodes[index] for index in order])
    assert lower_bound(plan_memory(chosen, scratch).buffers) <= min(peaks)
    if len(peaks) < 400:
        assert plan_memory(chosen, scratch).lower_bound_bytes == min(peaks)


def wide_and_narrow() -> Graph:
    """Two branches that widen at once and narrow later; given breadth first, both stand wide together."""
    b = IntegerBuilder("wide_and_narrow")
    x = b.input("x", 4, 4, 2)
    wide = [b.node(Pad(((0, 0), (0, 0), (0, 0), (0, 30))), x, name=f"wide{index}") for index in range(3)]
    pooled = [b.node(POOL, name, name=f"pooled{index}") for index, name in enumerate(wide)]
    narrow = [b.node(Slice((0, 0, 0, 0), (1, 4, 4, 2), (1, 1, 1, 1)), name, name=f"narrow{index}") for index, name in enumerate(pooled)]
    return b.finish([b.node(Add(), b.node(Add(), narrow[0], narrow[1], name="half"), narrow[2], name="sum")])


def test_branches_are_run_one_after_the_other() -> None:
    graph = wide_and_narrow()
    reordered, plan = plan_in_best_order(graph)
    assert plan.arena_bytes < 0.7 * plan_memory(graph).arena_bytes
    assert sorted(node.name for node in reordered.nodes) == sorted(node.name for node in graph.nodes)
    check_plan(reordered, plan)
    assert plan_in_best_order(graph) == (reordered, plan)


def test_an_optimal_order_stays_as_it_was_given() -> None:
    reordered, _ = plan_in_best_order(wide_and_narrow())
    assert plan_in_best_order(reordered)[0] is reordered


@pytest.mark.parametrize("seed", range(60))
def test_states_views_and_several_outputs_never_get_worse(seed: int) -> None:
    graph = order_states(random_graph(seed))
    reordered, plan = plan_in_best_order(graph)
    check_plan(reordered, plan)
    assert plan.arena_bytes <= plan_memory(graph).arena_bytes


def test_a_reordered_program_gives_the_same_bytes(needs_cc: None) -> None:
    graph = wide_and_narrow()
    program = make_program(graph, load_target("host"))
    assert [node.name for node in program.graph.nodes] != [node.name for node in graph.nodes]
    x = np.random.default_rng(0).integers(-128, 128, (1, 4, 4, 2)).astype(np.int8)
    run = run_host(emit_c(program), [x], outputs=[(np.dtype(np.int8), (4, 4, 2))], sanitize=True)
    assert run.outputs[0].tobytes() == evaluate(graph, [x])[0].tobytes()
