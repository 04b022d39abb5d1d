"""Programs over two RAMs, the faster too small for the arena: how it is divided, the bytes that come out, the ledger against the linker.

One row a network, board and size of the faster memory; a board that is too small for a network says so. ``off``: the entries of the ledger,
but for the stack, whose bytes were not those predicted (none is the claim). ``counted``: the share of the bytes moved in RAM that the
emulator counted in the faster memory.
"""

from __future__ import annotations

import numpy as np

import edgewright
from benchmarks.cases import CASES
from edgewright import pipeline
from edgewright.errors import BudgetError
from edgewright.lower.program import make_program
from edgewright.ops.evaluate import evaluate
from edgewright.targets.target import Target, load_target

BOARDS = ("stm32f405", "stm32f746g-disco", "mps3-an547")
NETWORKS = ("ic_int8", "kws_int8", "mobilenet_v2_96")
SHARES = (0.4, 0.7)
"""Of the arena: the size of the faster memory."""


def rows() -> list[dict[str, object]]:
    """Each network on each board, one sample."""
    return [_row(name, board, share) for name in NETWORKS for board in BOARDS for share in SHARES]


def _row(name: str, board: str, share: float) -> dict[str, object]:
    case = CASES[name]()
    target = load_target(board)
    graph = case.program(target.core).graph
    try:
        needed = make_program(graph, target).plan.arena_bytes
        program = make_program(graph, smaller(target, int(share * needed) // 8 * 8))
    except BudgetError as error:
        return {"network": name, "board": board, "how": error.message}
    inputs = case.inputs(1)
    run = edgewright.measure(program, inputs)
    ledger = pipeline.ledger(program, run)
    equal = all(np.array_equal(got, want) for got, want in zip(run.outputs, evaluate(graph, inputs), strict=True))
    off = [f"{entry.memory} {entry.name} {entry.difference:+}" for entry in ledger.entries if entry.name != "stack" and entry.difference]
    moved = {memory: sum(map(sum, layers)) for memory, layers in (run.moved_per_layer or {}).items() if memory != "flash"}
    fast = program.plan.parts[0]
    return {
        "network": name,
        "board": board,
        "arena, one RAM": needed,
        "parts": ", ".join(f"{part.region} {part.size_bytes:,}" for part in program.plan.parts),
        "how": program.plan.strategy,
        "traffic in the faster": f"{100 * fast.traffic:.1f} %",
        "counted": f"{100 * moved[fast.region] / max(sum(moved.values()), 1):.1f} %",
        "equal": equal,
        "off": ", ".join(off) or "none",
    }


def smaller(target: Target, size: int) -> Target:
    """``target`` with a faster memory of ``size`` bytes for the arena."""
    region = target.regions[0]
    if region.wait_states >= target.ram_wait_states:  # The main RAM comes first.
        return target.model_copy(update={"ram_bytes": size + 16 + target.stack_bytes})
    return target.model_copy(update={"regions": (region.model_copy(update={"size_bytes": size}), *target.regions[1:])})
