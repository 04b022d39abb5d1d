"""`edgewright measure`: the C of a network on a device: instructions, memory and bytes, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright import pipeline
from edgewright.data import load_data
from edgewright.errors import RecipeError
from edgewright.ops.evaluate import evaluate_in_order, quantize_inputs
from edgewright.report.peer import compare_peer, load_peer
from edgewright.report.report import make_report
from edgewright.report.text import measured_text
from edgewright.targets.target import load_target
from edgewright.verbs.proof import Proof, random_inputs, same_bytes
from edgewright.verbs.result import Result


def measure(
    model: str,
    *,
    target: str,
    prefer: str = "speed",
    data: str | None,
    samples: int,
    reserve: Sequence[str] = (),
    peer: str | None = None,
) -> Result:
    """Build, run and count ``samples`` inferences of a quantized ``model``; instruction counts hardly depend on the numbers."""
    if samples < 1:
        raise RecipeError(f"--samples must be at least 1, got {samples}", hint="two show whether the counts repeat")
    board = load_target(target).preferring(prefer).reserving(reserve)
    table = None if peer is None else load_peer(peer)
    graph = pipeline.load(model)
    if board.compiler is not None:
        verdict = pipeline.compile_npu(graph, board)
        report = make_report(graph, graph, board, npu=verdict)
        return Result(report.model_dump(mode="json"), measured_text(report))
    given = None if data is None else load_data(data, graph)
    program = pipeline.lower(graph, board)
    inputs = random_inputs(graph, samples) if given is None else quantize_inputs(graph, given.take(slice(0, samples)).inputs)
    run = pipeline.measure(program, inputs)
    equal = same_bytes(evaluate_in_order(program.graph, inputs), run.outputs)
    ledger = pipeline.ledger(program, run)
    report = make_report(graph, program.graph, board, calibration=None, program=program, run=run, equal=equal, ledger=ledger)
    if table is not None:
        report = report.model_copy(update={"peer": compare_peer(report, table, core=board.core)})
    return Result(report.model_dump(mode="json"), measured_text(report), Proof(run, equal).failed)
