"""The ledger: predicted before the build, equal to what the linker and the painted stack say after."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgewright
from benchmarks.random_tilings import random_tilings
from edgewright import pipeline
from edgewright.emit.c import emit_c
from edgewright.emit.c.declared import read_declared
from edgewright.errors import BudgetError
from edgewright.ir.graph import Graph
from edgewright.lower.program import make_program
from edgewright.report.figures import ledger_rows
from edgewright.report.ledger import NO_COMPILER, Ledger, check_ledger, make_ledger
from edgewright.run.footprint import Footprint
from edgewright.run.stack import Frame
from edgewright.targets.target import Reserved, Target, load_target
from edgewright.verbs.proof import random_inputs
from tests.contract.animals import integer_graph

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imac")
STACK_TOLERANCE = 64


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Target:
    request.getfixturevalue("needs_riscv" if request.param == "rv32imac" else "needs_arm")
    return load_target(request.param)


def measured(graph: Graph, target: Target) -> Ledger:
    program = make_program(graph, target)
    return pipeline.ledger(program, edgewright.measure(program, random_inputs(program.graph, 2), profile=False))


def check(ledger: Ledger) -> None:
    for entry in ledger.entries:
        assert entry.predicted is not None and entry.found is not None, entry
        tolerance = STACK_TOLERANCE if entry.name == "stack" else 0
        assert abs(entry.found - entry.predicted) <= tolerance, f"{ledger.network} on {ledger.target}: {entry}, path {ledger.stack_path}"


@pytest.mark.parametrize("device", CORES, indirect=True)
def test_the_prediction_is_what_was_built(device: Target) -> None:
    check(measured(integer_graph("separable_keyword_spotter"), device))


SLOWER = [pytest.param(core, marks=pytest.mark.slow) for core in CORES if core != "cortex-m4"]


@pytest.mark.parametrize("device", ["cortex-m4", *SLOWER], indirect=True)
def test_the_prediction_is_what_was_built_of_tiled_programs(device: Target) -> None:
    for program in random_tilings(5, 2, device):
        check(pipeline.ledger(program, edgewright.measure(program, random_inputs(program.graph, 2), profile=False)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["streaming", "residual_batch_norm", "unet", "log_softmax_head", "temporal_convolution"])
@pytest.mark.parametrize("device", CORES, indirect=True)
def test_the_prediction_is_what_was_built_of_more_graphs(device: Target, name: str) -> None:
    check(measured(integer_graph(name), device))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["mlperf_tiny/kws_int8.tflite", "mlperf_tiny/ic_int8.tflite", "tflm/micro_speech_int8.tflite"])
@pytest.mark.parametrize("device", CORES, indirect=True)
def test_the_prediction_is_what_was_built_of_real_networks(device: Target, file: str, shared_models: Path) -> None:
    check(measured(edgewright.load(shared_models / file), device))


def test_the_program_alone_tells_what_needs_no_compiler() -> None:
    program = make_program(integer_graph("streaming"), load_target("cortex-m4"))
    files = emit_c(program)
    ledger = make_ledger(program, files)
    known = {entry.name: entry.predicted for entry in ledger.entries}
    assert known["arena"] == -(-program.plan.arena_bytes // 8) * 8 and known[".data"] == 0 and (known["weights"] or 0) > 0
    for name in ("stack", "code", "library", "layer parameters"):
        assert known[name] is None and ledger.entry(name).basis == NO_COMPILER
    assert ledger.predicted_bytes("ram") is None and ledger.predicted_bytes("flash") is None
    assert ("RAM", "in all", "?", "", "", "of 4,194,304") in ledger_rows(ledger)
    declared = read_declared(files)
    assert sum(declared.constants.values()) == (known["weights"] or 0) + (known["tables"] or 0)
    assert {part.name.split()[0] for part in ledger.parts} == {"input", "output", "state", "scratch"}


def footprint(code: int, stack: int) -> Footprint:
    sections = {"code": code, "library": 0, "rodata": 8000, "data": 0, "bss": 1024}
    return Footprint("tiny", sections, {}, (Frame("net_run", stack),))


def test_what_does_not_fit_says_by_how_much_and_what_holds_the_peak() -> None:
    graph = integer_graph("conv_same_relu")
    program = make_program(graph, load_target("cortex-m4"))
    files, arena = emit_c(program), -(-program.plan.arena_bytes // 8) * 8
    radio = Reserved(name="radio stack", size_bytes=1000)

    def ledger(ram: int, flash: int, stack: int = 100) -> Ledger:
        target = program.target.model_copy(
            update={"name": "tiny", "ram_bytes": ram, "flash_bytes": flash, "stack_bytes": 512, "reserved": (radio,)}
        )
        placed = make_program(graph, target.model_copy(update={"ram_bytes": None, "flash_bytes": None}))
        return make_ledger(placed, files, footprint=footprint(2000, stack)).model_copy(update={"ram_bytes": ram, "flash_bytes": flash})

    needed = arena + 512 + 1000
    check_ledger(ledger(needed, 10000))
    with pytest.raises(BudgetError, match=rf"RAM of {needed - 1:,} bytes is exceeded by 1 \(.*radio stack 1,000.*stack 512") as caught:
        check_ledger(ledger(needed - 1, 10000))
    first, second = make_ledger(program, files).peak
    assert f"held by {first.name!r} ({first.size_bytes:,} B) and {second.name!r}" in caught.value.hint
    with pytest.raises(BudgetError, match=r"FLASH of 9,990 bytes is exceeded by 10 \(.*code 2,000"):
        check_ledger(ledger(needed, 9990))
    with pytest.raises(BudgetError, match="its stack needs 600 bytes, 512 are kept for it: 88 too few"):
        check_ledger(ledger(needed + 600, 10000, stack=600))


def test_code_that_does_not_fit_is_refused_before_anything_runs(needs_arm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = integer_graph("conv_same_relu")
    board = load_target("nucleo-l412kb").reserving(["boot loader=130000@flash"])
    program = make_program(graph, board)
    monkeypatch.setattr("edgewright.pipeline.run_device", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(BudgetError, match=r"does not fit in nucleo-l412kb: FLASH of 131,072 bytes is exceeded by .*boot loader 130,000"):
        edgewright.measure(program, random_inputs(program.graph, 1))
