"""Programs within a RAM budget: tiled only where they have to be, and what is said where nothing helps."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.emit.c import emit_c
from edgewright.errors import BudgetError, UnsupportedError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph, Level
from edgewright.lower.fit_program import fit_program
from edgewright.lower.program import make_program, scheduled
from edgewright.lower.schedule import single_sample
from edgewright.lower.search_tiles import Choice, pareto, tile_front
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.evaluate import evaluate
from edgewright.ops.mean import Mean
from edgewright.pipeline import memory_lines, optimize
from edgewright.run.device import run_device
from edgewright.run.host import run_host
from edgewright.targets.target import load_target

HOST = load_target("host")
QUANT = Quant.per_tensor(0.05, -7)


def network() -> Graph:
    """24 x 24 pixels, three convolutions, many channels at the end and their mean."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("net", Level.INTEGER)
    top = b.input("x", (None, 24, 24, 3), DType.INT8, QUANT)
    for outputs, inputs, kernel, stride in ((8, 3, 3, 1), (16, 8, 3, 2), (16, 16, 3, 2), (128, 16, 1, 1)):
        weight = rng.integers(-127, 128, (outputs, kernel, kernel, inputs)).astype(np.int8)
        w = b.constant("w", weight, quant=Quant.per_axis(np.full(outputs, 0.003, np.float32), 0))
        padding = ((kernel // 2, kernel // 2), (kernel // 2, kernel // 2))
        top = b.node(Conv2D((stride, stride), padding), [top, w], dtype=DType.INT8, quants=[QUANT])
    top = b.node(Mean((1, 2)), [top], dtype=DType.INT8, quants=[QUANT])
    w = b.constant("w", rng.integers(-127, 128, (10, 128)).astype(np.int8), quant=Quant.per_axis(np.full(10, 0.003, np.float32), 0))
    return b.finish([b.node(Dense(), [top, w], dtype=DType.INT8, quants=[QUANT])])


def test_what_fits_is_not_tiled() -> None:
    program = fit_program(network(), HOST, 10_000)
    assert program.executed is program.graph and program.plan.arena_bytes <= 10_000


def test_kernels_of_less_working_memory_come_before_tiles() -> None:
    b = GraphBuilder("wide", Level.INTEGER)
    x = b.input("x", (None, 8, 8, 63), DType.INT8, QUANT)
    w = b.constant("w", np.ones((64, 3, 3, 63), np.int8), quant=Quant.per_axis(np.full(64, 0.003, np.float32), 0))
    graph = b.finish([b.node(Conv2D((1, 1), ((1, 1), (1, 1))), [x, w], dtype=DType.INT8, quants=[QUANT])])
    budget = make_program(graph, HOST.sparing).plan.arena_bytes
    quick, program = fit_program(graph, HOST), fit_program(graph, HOST, budget)
    assert quick.target is HOST and quick.plan.arena_bytes > budget == program.plan.arena_bytes
    assert program.executed is program.graph and program.target == HOST.sparing and HOST.sparing.sparing == HOST.sparing
    assert memory_lines(quick, HOST) == [] and "less working memory" in memory_lines(program, HOST)[0].detail


def wide_network() -> Graph:
    """A picture whose matrix products take more working memory than a strip of it takes bytes."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("wide", Level.INTEGER)
    top = b.input("x", (None, 12, 12, 8), DType.INT8, QUANT)
    for outputs, inputs in ((256, 8), (8, 256), (250, 8), (8, 250)):
        weight = rng.integers(-127, 128, (outputs, 1, 1, inputs)).astype(np.int8)
        w = b.constant("w", weight, quant=Quant.per_axis(np.full(outputs, 0.003, np.float32), 0))
        top = b.node(Conv2D(), [top, w], dtype=DType.INT8, quants=[QUANT])
    return b.finish([top])


def test_matrix_products_do_without_working_memory_where_the_budget_asks_for_it(needs_arm: None) -> None:
    graph, target = wide_network(), load_target("cortex-m4")
    plain = tile_front(scheduled(graph), target)[-1].ram_bytes
    least = tile_front(scheduled(graph), target, frugal=True)[-1].ram_bytes
    assert least < plain
    program = fit_program(graph, target, least)
    assert program.plan.arena_bytes <= least and program.frugal
    assert fit_program(graph, target, plain).frugal == frozenset()
    assert any(all(name in line.detail for name in program.frugal) for line in memory_lines(program, target))
    x = np.random.default_rng(1).integers(-128, 128, (2, 12, 12, 8)).astype(np.int8)
    run = run_device(emit_c(program), [x], target, outputs=[(np.dtype(np.int8), (12, 12, 8))], profile=False)
    assert np.array_equal(run.outputs[0], evaluate(graph, [x])[0])
    # As few of them as the budget allows.
    for name in program.frugal:
        kept = program.frugal - {name}
        tilings = [loop.tiling for loop in program.loops]
        assert make_program(graph, target, tilings=tilings, frugal=kept.__contains__).plan.arena_bytes > least


@pytest.mark.parametrize(("budget", "streamed"), [(4000, False), (3000, True)])
def test_a_budget_is_kept_and_the_bytes_stay(budget: int, streamed: bool) -> None:
    graph = network()
    program = fit_program(graph, HOST, budget, stream_input=streamed)
    assert program.loops and program.plan.arena_bytes <= budget and program.streamed is streamed
    x = np.random.default_rng(1).integers(-128, 128, (3, 24, 24, 3)).astype(np.int8)
    files = emit_c(program)
    assert (b"void net_run_from(const void *input);" in files["net.h"]) is streamed
    run = run_host(files, [x], outputs=[(np.dtype(np.int8), (10,))], sanitize=True)
    assert np.array_equal(run.outputs[0], evaluate(graph, [x])[0])


def test_channels_in_parts_are_joined() -> None:
    program = fit_program(network(), HOST, 3000, stream_input=True)
    kinds = [node.op.kind for node in program.executed.nodes]
    assert kinds.count("Mean") > 1 and kinds.count("Concat") >= 1


def test_nothing_helps() -> None:
    with pytest.raises(BudgetError, match="no tiling of 'net' fits in 500 bytes of RAM"):
        fit_program(network(), HOST, 500)
    b = GraphBuilder("flat", Level.INTEGER)
    x = b.input("x", (None, 16), DType.INT8, QUANT)
    w = b.constant("w", np.ones((4, 16), np.int8), quant=Quant.per_axis(np.ones(4, np.float32), 0))
    flat = b.finish([b.node(Dense(), [x, w], dtype=DType.INT8, quants=[QUANT])])
    with pytest.raises(UnsupportedError, match="first layers of 'flat' cannot be tiled"):
        fit_program(flat, HOST, stream_input=True)


def test_a_front_falls_in_ram_and_rises_in_work() -> None:
    front = tile_front(single_sample(network()), HOST)
    assert len(front) > 2 and front == pareto(front)
    assert [c.ram_bytes for c in front] == sorted((c.ram_bytes for c in front), reverse=True)
    assert pareto([Choice(3, 5), Choice(2, 5), Choice(1, 9), Choice(1, 10)]) == [Choice(2, 5), Choice(1, 9)]


def test_the_report_tells_what_was_tiled() -> None:
    result = optimize(network(), target="host", ram_budget=4000)
    lines = [line for line in result.lines if line.technique == "tile_layers"]
    assert lines[0].detail.startswith(("2 layers", "3 layers", "4 layers")) and "at a time" in lines[0].detail
    assert result.program is not None and f"an arena of {result.program.plan.arena_bytes:,} bytes, +" in lines[-1].detail
    assert not [line for line in optimize(network(), target="host").lines if line.technique == "tile_layers"]
