"""Instructions, RAM and flash on Cortex-M against TFLM with CMSIS-NN, the same networks under the same QEMU.

The peer's figures were counted once (benchmarks/peers/tflm.toml says how); ours are measured now.
"""

from __future__ import annotations

from pathlib import Path

import edgewright
from benchmarks.cases import CASES, Case
from edgewright.lower.program import make_program
from edgewright.report.peer import PeerFigures, load_peer

PEER = Path(__file__).parent / "peers" / "tflm.toml"
LAYER_BOUND = {"ic_int8": 49_152, "kws_int8": 16_000}
OTHERS = ("cortex-m0plus", "rv32imac")


def rows() -> list[dict[str, object]]:
    """One row a network and core; ``ratio`` is ours over the peer's (below 1 is better)."""
    peer = load_peer(PEER)
    networks = list(dict.fromkeys(figures.network for figures in peer.figures))
    cores = [*dict.fromkeys(figures.core for figures in peer.figures), *OTHERS]
    return [_row(CASES[network](), core, peer.find(network, core)) for network in networks for core in cores]


def _row(case: Case, core: str, peer: PeerFigures | None) -> dict[str, object]:
    program = case.program(core)
    run = edgewright.measure(program, case.inputs(2))
    weights = sum(program.graph.value(name).bytes for name in program.graph.constants)
    row: dict[str, object] = {
        "network": case.name,
        "core": core,
        "instructions": run.instructions_per_inference,
        "peer": None if peer is None else peer.instructions,
        "ratio": _ratio(run.instructions_per_inference, None if peer is None else peer.instructions),
        "arena": program.plan.arena_bytes,
        "bound": program.plan.lower_bound_bytes,
        "placed by": program.plan.strategy,
        "stack": run.peak_stack_bytes,
        "code + tables": None if run.flash_bytes is None else run.flash_bytes - weights,
        "weights": weights,
        "RAM": run.ram_bytes,
        "RAM of the peer": None if peer is None else peer.ram,
        "RAM ratio": _ratio(run.ram_bytes, None if peer is None else peer.ram),
    }
    if core == "cortex-m4" and peer is not None:
        small = edgewright.measure(make_program(program.graph, program.target.preferring("size")), case.inputs(1))
        row |= {
            "code + tables, size first": None if small.flash_bytes is None else small.flash_bytes - weights,
            "instructions, size first": small.instructions_per_inference,
            "cycles, modelled": run.cycles_modelled,
            "cycle ratio": _ratio(run.cycles_modelled, peer.cycles),
            "arena of the peer": peer.arena,
            "layer-wise bound": LAYER_BOUND.get(case.name),
            "code of the peer": peer.code,
        }
    return row


def _ratio(ours: int | None, peer: float | None) -> float | None:
    return None if ours is None or peer is None else round(ours / peer, 3)
