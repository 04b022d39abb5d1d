"""The checker of memory plans: good plans pass, and every plan that would spoil a result is caught."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewright.errors import ModelError
from edgewright.ir.graph import Graph
from edgewright.lower.check_plan import check_plan
from edgewright.lower.memory import MemoryPlan
from edgewright.lower.plan_memory import plan_memory
from edgewright.lower.schedule import order_states
from edgewright.ops.evaluate import constant_tensors, evaluate_in_order
from edgewright.ops.max_pool2d import MaxPool2D
from edgewright.ops.pad import Pad
from edgewright.ops.relu import Relu
from edgewright.ops.reshape import Reshape
from tests.lower.graphs import IntegerBuilder, random_graph

CALLS = 3


def run_in_arena(
    graph: Graph, plan: MemoryPlan, inputs: list[NDArray[np.int8]], scratch: Mapping[str, tuple[int, int]]
) -> list[NDArray[np.int8]]:
    """CALLS calls with every value in one block of bytes, as a device has it."""
    constants = constant_tensors(graph)
    arena = np.full(plan.arena_bytes + 64, 77, np.int8)

    def place(name: str) -> NDArray[np.int8]:
        start = plan.offset(name)
        return arena[start : start + graph.value(name).bytes]

    for state in graph.states:
        place(state.read)[:] = graph.array(state.initial).reshape(-1)
    results: list[list[NDArray[np.int8]]] = []
    for call in range(CALLS):
        for name, array in zip(graph.inputs, inputs, strict=True):
            place(name)[:] = array[call].reshape(-1)
        for node in graph.nodes:
            shapes = [tuple(int(size or 1) for size in value.shape) for value in graph.ins(node)]
            tensors = [
                constants[name] if name in constants else torch.from_numpy(place(name).copy().reshape(shape)).to(torch.int32)
                for name, shape in zip(node.inputs, shapes, strict=True)
            ]
            if node.name in scratch:
                offset, size = scratch[node.name]
                arena[offset : offset + size] = -77
            outputs = node.op.evaluate_integer(tensors, graph.ins(node), graph.outs(node))
            for name, output in zip(node.outputs, outputs, strict=True):
                place(name)[:] = output.numpy().astype(np.int8).reshape(-1)
        for state in graph.states:
            place(state.read)[:] = graph.array(state.write).reshape(-1) if graph.is_constant(state.write) else place(state.write)
        results.append([place(name).copy() for name in graph.outputs])
    return [np.stack([result[index] for result in results]) for index in range(len(graph.outputs))]


def samples(graph: Graph, seed: int) -> list[NDArray[np.int8]]:
    pick = np.random.default_rng(seed)
    return [pick.integers(-128, 128, (CALLS, *graph.value(name).shape[1:])).astype(np.int8) for name in graph.inputs]


def expected(graph: Graph, inputs: list[NDArray[np.int8]]) -> list[NDArray[np.int8]]:
    return [np.asarray(array, np.int8).reshape(CALLS, -1) for array in evaluate_in_order(graph, inputs)]


def equal(first: list[NDArray[np.int8]], second: list[NDArray[np.int8]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_plans_pass_and_give_the_evaluation_s_bytes(seed: int) -> None:
    graph = order_states(random_graph(seed))
    scratch = {graph.nodes[len(graph.nodes) // 2].name: 24}
    plan = plan_memory(graph, scratch)
    spans = {name: (plan.offsets[f"{name}/scratch"], size) for name, size in scratch.items()}
    check_plan(graph, plan, spans)
    inputs = samples(graph, seed)
    assert equal(run_in_arena(graph, plan, inputs, spans), expected(graph, inputs))
    assert plan.arena_bytes >= plan.lower_bound_bytes


def test_every_plan_that_spoils_a_result_is_caught() -> None:
    spoiled = 0
    for seed in range(25):
        graph = order_states(random_graph(seed))
        plan = plan_memory(graph)
        inputs = samples(graph, seed)
        want = expected(graph, inputs)
        pick = random.Random(seed)
        for name in plan.offsets:
            moved = dataclasses.replace(plan, offsets={**plan.offsets, name: 4 * pick.randrange(plan.arena_bytes // 4)})
            other = pick.choice(list(plan.offsets))
            merged = dataclasses.replace(
                plan, buffer_of={key: other if buffer == name else buffer for key, buffer in plan.buffer_of.items()}
            )
            for sabotaged in (moved, merged):
                if any(sabotaged.offset(value) + graph.value(value).bytes > plan.arena_bytes for value in plan.buffer_of):
                    with pytest.raises(ModelError, match="outside of the arena"):
                        check_plan(graph, sabotaged)
                elif not equal(run_in_arena(graph, sabotaged, inputs, {}), want):
                    spoiled += 1
                    with pytest.raises(ModelError, match="memory plan"):
                        check_plan(graph, sabotaged)
    assert spoiled > 100


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_arena_a_crooked_offset_and_a_missing_value_are_caught(seed: int) -> None:
    graph = order_states(random_graph(seed))
    plan = plan_memory(graph)
    with pytest.raises(ModelError, match="outside of the arena"):
        check_plan(graph, dataclasses.replace(plan, arena_bytes=plan.arena_bytes - 4))
    first = next(iter(plan.offsets))
    with pytest.raises(ModelError, match="which 4 does not divide|outside"):
        check_plan(graph, dataclasses.replace(plan, offsets={**plan.offsets, first: plan.offsets[first] + 1}))
    with pytest.raises(ModelError, match="outside of the arena"):
        check_plan(graph, dataclasses.replace(plan, offsets={**plan.offsets, first: -4}))
    output = graph.outputs[0]
    with pytest.raises(ModelError, match=f"'{output}' has no place"):
        check_plan(graph, dataclasses.replace(plan, buffer_of={key: value for key, value in plan.buffer_of.items() if key != output}))


def one_node(op: Pad | MaxPool2D | Relu | Reshape) -> tuple[Graph, MemoryPlan]:
    b = IntegerBuilder()
    graph = b.finish([b.node(op, b.input("x", 4, 4, 2), name="y")])
    return graph, plan_memory(graph)


def test_in_place_only_where_the_operator_allows_it() -> None:
    graph, plan = one_node(Relu())
    assert plan.buffer_of["y"] == "x"
    graph, plan = one_node(MaxPool2D((3, 3), (1, 1), ((1, 1), (1, 1))))
    assert plan.buffer_of["y"] == "y"
    with pytest.raises(ModelError, match="'y' writes 'y' over its input 'x'"):
        check_plan(graph, dataclasses.replace(plan, buffer_of={"x": "x", "y": "x"}))


def test_in_place_with_a_shift_is_caught() -> None:
    graph, plan = one_node(Relu())
    shifted = dataclasses.replace(plan, arena_bytes=64, buffer_of={"x": "x", "y": "y"}, offsets={"x": 0, "y": 4})
    with pytest.raises(ModelError, match="over its input"):
        check_plan(graph, shifted)


def test_scratch_must_touch_neither_inputs_nor_outputs_nor_values_in_waiting() -> None:
    graph, plan = one_node(Pad(((0, 0), (1, 1), (0, 0), (0, 0))))
    free = plan.arena_bytes
    larger = dataclasses.replace(plan, arena_bytes=free + 16)
    check_plan(graph, larger, {"y": (free, 16)})
    for name, message in (("x", "by its scratch"), ("y", "lies over its output")):
        with pytest.raises(ModelError, match=message):
            check_plan(graph, larger, {"y": (plan.offset(name), 16)})
    with pytest.raises(ModelError, match="outside of the arena"):
        check_plan(graph, larger, {"y": (free + 4, 16)})


def test_inputs_must_not_overlap_even_if_one_is_never_read() -> None:
    b = IntegerBuilder()
    unused = b.input("unused", 8)
    graph = b.finish([b.node(Pad(((0, 0), (1, 1))), b.input("x", 8), name="y")])
    plan = plan_memory(graph)
    check_plan(graph, plan)
    with pytest.raises(ModelError, match="'unused' and 'x' overlap"):
        check_plan(graph, dataclasses.replace(plan, offsets={**plan.offsets, unused: plan.offset("x")}))


def test_an_output_in_the_way_of_a_state_is_caught() -> None:
    b = IntegerBuilder()
    x, state = b.input("x", 8), b.state("s", 8)
    new = b.node(Relu(), x, name="new")
    late = b.node(Pad(((0, 0), (0, 0))), state, name="late")
    b.write(state, new)
    graph = b.finish([late])
    plan = plan_memory(graph)
    check_plan(graph, plan)
    with pytest.raises(ModelError):
        check_plan(graph, dataclasses.replace(plan, offsets={**plan.offsets, "late": plan.offset("s")}))
