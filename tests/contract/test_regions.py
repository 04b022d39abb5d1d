"""Programs over several memories on emulated boards: the bytes of the evaluation, and a ledger line a memory that equals the linker."""

from __future__ import annotations

import numpy as np
import pytest

import edgewright
from edgewright import pipeline
from edgewright.emit.c import emit_c
from edgewright.errors import BudgetError
from edgewright.ir.graph import Graph
from edgewright.lower.program import make_program
from edgewright.ops.evaluate import evaluate, evaluate_in_order
from edgewright.report.figures import ledger_rows
from edgewright.report.ledger import Ledger
from edgewright.run.device import run_device
from edgewright.run.unicorn import run_unicorn
from edgewright.targets.target import Region, Target, load_target
from edgewright.verbs.proof import random_inputs
from tests.contract.animals import integer_graph

STACK_TOLERANCE = 64
BOARDS = ("stm32f405", "stm32f746g-disco", "mps3-an547")
ANIMALS = ("conv_same_relu", "streaming", "inverted_bottleneck")


def small(board: str, graph: Graph, share: float = 0.5, **more: object) -> Target:
    """``board`` with its faster memory cut to ``share`` of what the arena of ``graph`` needs."""
    target = load_target(board)
    needed = make_program(graph, target).plan.arena_bytes
    faster = int(share * needed) // 8 * 8
    region = target.regions[0]
    if region.wait_states >= target.ram_wait_states:  # The main RAM comes first.
        return target.model_copy(update={"ram_bytes": faster + target.stack_bytes, **more})
    return target.model_copy(update={"regions": (region.model_copy(update={"size_bytes": faster}), *target.regions[1:]), **more})


def check(graph: Graph, target: Target) -> Ledger:
    program = make_program(graph, target)
    inputs = random_inputs(program.graph, 2)
    run = edgewright.measure(program, inputs, profile=False)
    for wanted, got in zip(evaluate_in_order(program.graph, inputs), run.outputs, strict=True):
        np.testing.assert_array_equal(got, wanted, strict=True)
    ledger = pipeline.ledger(program, run)
    for entry in ledger.entries:
        assert entry.predicted is not None and entry.found is not None, entry
        tolerance = STACK_TOLERANCE if entry.name == "stack" else 0
        assert abs(entry.found - entry.predicted) <= tolerance, entry
    assert sum(entry.predicted or 0 for entry in ledger.entries if entry.name == "arena") >= program.plan.arena_bytes
    return ledger


@pytest.mark.parametrize("board", BOARDS)
def test_an_arena_over_two_memories(board: str, needs_arm: None) -> None:
    graph = integer_graph("unet", True)
    target = small(board, graph)
    ledger = check(graph, target)
    sizes = {memory: sum(e.predicted or 0 for e in ledger.entries if (e.name, e.memory) == ("arena", memory)) for memory in ledger.limits}
    assert all(sizes[memory] for memory in ("ram", target.regions[0].name))
    assert (target.regions[0].name, "in all") in {row[:2] for row in ledger_rows(ledger)}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize("name", ANIMALS)
@pytest.mark.parametrize("board", BOARDS)
def test_more_graphs_over_two_memories(board: str, name: str, share: float, needs_arm: None) -> None:
    graph = integer_graph(name, True)
    check(graph, small(board, graph, share))


def test_constants_in_faster_memory_and_in_a_second_flash(needs_arm: None) -> None:
    graph = integer_graph("unet", True)
    base = load_target("stm32f746g-disco")
    copied = base.model_copy(update={"regions": (base.regions[0].model_copy(update={"constants": True}),)})
    lines = {(entry.memory, entry.name): entry.predicted or 0 for entry in check(graph, copied).entries}
    assert lines["dtcm", "constants"] > 0 and lines["flash", "constants copied to dtcm"] >= lines["dtcm", "constants"]
    assert lines["flash", "weights"] == 0
    external = Region(name="qspi", memory="flash", size_bytes=1 << 20, wait_states=30, machine_origin=0x60100000, source="a test")
    apart = base.model_copy(update={"flash_bytes": 33 << 10, "regions": (external,)})
    lines = {(entry.memory, entry.name): entry.predicted or 0 for entry in check(graph, apart).entries}
    assert lines["qspi", "constants"] > 0


@pytest.mark.slow
def test_the_other_compiler_and_emulator_know_the_memories(needs_arm: None, needs_pip_toolchain: None) -> None:
    graph = integer_graph("unet", True)
    region = load_target("stm32f746g-disco").regions[0].model_copy(update={"constants": True, "size_bytes": 65536})
    target = small("stm32f746g-disco", graph)
    for board in (target, target.model_copy(update={"regions": (region,)})):
        program = make_program(graph, board)
        inputs = random_inputs(program.graph, 2)
        wanted = evaluate(program.graph, inputs)[0]
        for runner in (run_unicorn, run_device):
            run = runner(emit_c(program), inputs, board, profile=False, toolchain="zig")
            assert run.outputs[0].tobytes() == wanted.tobytes()


def test_what_exceeds_a_memory_is_refused_by_its_name(needs_arm: None) -> None:
    graph = integer_graph("unet", True)
    target = small("stm32f746g-disco", graph)
    program = make_program(graph, target)
    region = target.regions[0]
    size = next(part.size_bytes for part in program.plan.parts if part.region == region.name) - 16
    less = target.model_copy(update={"regions": (region.model_copy(update={"size_bytes": size}),)})
    with pytest.raises(BudgetError, match=rf"DTCM of {size} bytes is exceeded by \d+"):
        run_device(emit_c(program), random_inputs(program.graph, 1), less, profile=False)
