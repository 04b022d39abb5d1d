"""Buffers over several memories: against every possible choice, and what the checker refuses."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest

from edgewright.errors import BudgetError, ModelError
from edgewright.lower.allocate import end_of, fit
from edgewright.lower.beam import Answer
from edgewright.lower.check_plan import check_parts, check_plan
from edgewright.lower.fit_program import fit_program
from edgewright.lower.memory import Buffer, Part
from edgewright.lower.plan_memory import plan_memory
from edgewright.lower.program import make_program
from edgewright.lower.regions import VARIABLES_BYTES, Layout, Room, lay_out, place_tables, ram_limits, split_plan
from edgewright.lower.schedule import order_states
from edgewright.lower.traffic import value_traffic
from edgewright.targets.target import Region, Target, load_target
from tests.contract.animals import integer_graph
from tests.lower.graphs import random_graph
from tests.lower.test_check_plan import equal, expected, run_in_arena, samples


def two_memories(ram: int, fast: int, **more: object) -> Target:
    """A board with little RAM, and ``fast`` bytes of quicker memory."""
    tcm = Region.model_validate({"name": "tcm", "size_bytes": fast, "machine_origin": 0x60000000, "source": "a test"} | more)
    sizes = {"ram_bytes": ram + VARIABLES_BYTES + 4096, "stack_bytes": 4096}
    return load_target("cortex-m7").model_copy(update=sizes | {"ram_wait_states": 2.0, "flash_wait_states": 5.0, "regions": (tcm,)})


def least_lost(buffers: list[Buffer], traffic: dict[str, float], rooms: list[Room]) -> float | None:
    """The least traffic outside of the first room, over all choices; None where none fits."""
    best: float | None = None
    for choice in itertools.product((True, False), repeat=len(buffers)):
        sides = [[b for b, first in zip(buffers, choice, strict=True) if first is side] for side in (True, False)]
        lost = sum(traffic[b.name] for b in sides[1])
        if best is not None and lost >= best:
            continue
        if all(not side or fit(side, room.capacity_bytes or 0)[0] is Answer.FOUND for side, room in zip(sides, rooms, strict=True)):
            best = lost
    return best


@pytest.mark.parametrize("seed", range(40))
def test_no_choice_has_more_traffic_in_the_faster_memory(seed: int) -> None:
    pick = random.Random(seed)
    spans = [sorted((pick.randrange(6), pick.randrange(6))) for _ in range(8)]
    buffers = [Buffer(str(index), 4 * pick.randint(1, 12), first, last) for index, (first, last) in enumerate(spans)]
    traffic = {buffer.name: float(pick.randint(0, 200)) for buffer in buffers}
    rooms = [Room("fast", 4 * pick.randint(4, 20), 0), Room("slow", 4 * pick.randint(10, 40), 1)]
    best, found = least_lost(buffers, traffic, rooms), lay_out(buffers, traffic, rooms)
    assert (found is None) == (best is None)
    if found is None:
        return
    for number, room in enumerate(rooms):
        inside = [buffer for buffer in buffers if found.room_of[buffer.name] == number]
        assert end_of(inside, found.offsets) <= (room.capacity_bytes or 0)
        for one, other in itertools.combinations(inside, 2):
            apart = one.last < other.first or other.last < one.first
            start, second = found.offsets[one.name], found.offsets[other.name]
            assert apart or start + one.size_bytes <= second or second + other.size_bytes <= start
    lost = sum(traffic[name] for name, room in found.room_of.items() if room)
    assert found.optimal and lost == best


def test_three_memories_are_filled_from_the_fastest() -> None:
    buffers = [Buffer(name, 100, 0, 0) for name in "abc"]
    rooms = [Room("tcm", 100, 0), Room("sram", 100, 1), Room("external", None, 9)]
    found = lay_out(buffers, {"a": 1, "b": 3, "c": 2}, rooms)
    assert found == Layout({"b": 0, "c": 1, "a": 2}, dict.fromkeys("abc", 0), True)


@pytest.mark.parametrize("seed", range(20))
def test_a_divided_arena_gives_the_same_numbers(seed: int) -> None:
    graph = order_states(random_graph(seed))
    scratch = {graph.nodes[0].name: 24, graph.nodes[-1].name: 40}
    plan = plan_memory(graph, scratch)
    fast = plan.arena_bytes // 16 * 8
    target = two_memories(plan.arena_bytes, fast)
    names = {node: f"{node}/scratch" for node in scratch}
    split = split_plan(plan, target, value_traffic(graph, names))
    assert [part.region for part in split.parts] == ["tcm", "ram"] and split.parts[0].size_bytes <= fast
    assert sum(part.traffic for part in split.parts) == pytest.approx(1)
    spans = {node: (split.offsets[names[node]], size) for node, size in scratch.items()}
    check_plan(graph, split, spans)
    check_parts(split, ram_limits(target))
    inputs = samples(graph, seed)
    assert equal(run_in_arena(graph, split, inputs, spans), expected(graph, inputs))


def test_the_checker_refuses_what_crosses_an_end_or_exceeds_a_memory() -> None:
    graph = order_states(random_graph(1))
    plan = plan_memory(graph)
    target = two_memories(plan.arena_bytes, plan.arena_bytes // 16 * 8)
    split = split_plan(plan, target, value_traffic(graph, {}))
    first, second = split.parts
    limits = ram_limits(target)
    for parts, message in (
        ((first, dataclasses.replace(second, start=second.start - 8)), "begins at"),
        ((first, dataclasses.replace(second, size_bytes=(limits["ram"] or 0) + 4)), "is to hold"),
        ((first, dataclasses.replace(second, region=first.region, size_bytes=8)), "two parts lie in one region"),
        ((first, dataclasses.replace(second, size_bytes=second.size_bytes + 8)), "the parts end at"),
    ):
        with pytest.raises(ModelError, match=message):
            check_parts(dataclasses.replace(split, parts=parts), limits)
    whole = dataclasses.replace(plan, parts=(Part("tcm", 0, 8), Part("ram", 8, plan.arena_bytes - 8)))
    with pytest.raises(ModelError, match="across the end of 'tcm'"):
        check_plan(graph, whole)


def test_what_exceeds_all_memories_names_them_and_what_fits_the_faster_stays_there() -> None:
    graph = integer_graph("conv_same_relu")
    needed = make_program(graph, two_memories(1 << 16, 1 << 16)).plan.arena_bytes
    whole = make_program(graph, two_memories(4096, needed))
    assert [(part.region, part.size_bytes) for part in whole.plan.parts] == [("tcm", needed)]
    wanted = rf"needs {needed:,} bytes, cortex-m7 has 64 \(.* RAM .*\) and 32 in 'tcm': {needed - 96:,} too many"
    with pytest.raises(BudgetError, match=wanted):
        make_program(graph, two_memories(64, 32))
    assert fit_program(graph, two_memories(4096, 32), needed).plan.arena_bytes <= needed + 8


def test_working_memory_leaves_a_stack_that_is_slower() -> None:
    graph = integer_graph("conv_same_relu")
    quick = load_target("cortex-m7")
    target = two_memories(4096, 4096)
    assert quick.stack_is_fast and not target.stack_is_fast
    assert not make_program(graph, quick).scratch
    program = make_program(graph, target)
    assert program.scratch and {program.plan.part(program.plan.offsets[name]).region for name in program.scratch.values()} == {"tcm"}


def test_constants_go_to_the_flash_that_has_room_and_to_faster_memory_that_is_free() -> None:
    graph = integer_graph("conv_same_relu")
    target = two_memories(4096, 4096, constants=True)
    plan = make_program(graph, target).plan
    free = 4096 - plan.parts[0].size_bytes
    sizes = {"hot": free // 2, "large": 4 * free, "cold": free - free // 4}
    reads = {"hot": 50.0 * free, "large": 60.0 * free, "cold": 1.0}
    assert place_tables(target, plan, sizes, reads) == {"hot": "tcm"}
    external = Region(name="qspi", memory="flash", size_bytes=1 << 20, wait_states=30, machine_origin=0x60100000, source="a test")
    small = target.model_copy(update={"flash_bytes": (32 << 10) + 2 * free, "regions": (external,)})
    assert place_tables(small, plan, sizes, reads) == {"large": "qspi"}
    assert place_tables(target.model_copy(update={"regions": ()}), plan, sizes, reads) == {}
