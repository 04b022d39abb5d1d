"""Instructions, RAM and flash on Cortex-M against TFLM with CMSIS-NN, the same networks under the same QEMU.

The peer's figures were counted once (tflite-micro 90b983c2 with CMSIS-NN 4ab83cc3, arm-none-eabi-gcc 12.2, upstream's release flags);
ours are measured now.
"""

from __future__ import annotations

import edgewright
from benchmarks.cases import CASES, Case
from edgewright.lower.program import make_program

INSTRUCTIONS = {
    "ic_int8": {
        "cortex-m3": 41_847_462,
        "cortex-m4": 29_863_175,
        "cortex-m7": 30_025_869,
        "cortex-m33": 29_962_218,
        "cortex-m55": 4_911_696,
    },
    "kws_int8": {"cortex-m3": 10_531_275, "cortex-m4": 7_696_428, "cortex-m7": 7_642_175, "cortex-m33": 7_678_720, "cortex-m55": 1_812_130},
    "micro_speech_int8": {
        "cortex-m3": 1_512_007,
        "cortex-m4": 1_494_879,
        "cortex-m7": 1_488_940,
        "cortex-m33": 1_481_028,
        "cortex-m55": 1_007_689,
    },
}
CYCLES_M4 = {"ic_int8": 35.9e6, "kws_int8": 8.88e6, "micro_speech_int8": 2.02e6}
ARENA = {"ic_int8": 54_996, "kws_int8": 22_820, "micro_speech_int8": 6_836}
LAYER_BOUND = {"ic_int8": 49_152, "kws_int8": 16_000}
CODE = {"ic_int8": 80_348, "kws_int8": 85_488, "micro_speech_int8": 58_916}
OTHERS = ("cortex-m0plus", "rv32imac")


def rows() -> list[dict[str, object]]:
    """One row a network and core; ``ratio`` is ours over the peer's (below 1 is better)."""
    return [_row(CASES[name](), core, peers.get(core)) for name, peers in INSTRUCTIONS.items() for core in (*peers, *OTHERS)]


def _row(case: Case, core: str, peer: int | None) -> dict[str, object]:
    program = case.program(core)
    run = edgewright.measure(program, case.inputs(2))
    weights = sum(program.graph.value(name).bytes for name in program.graph.constants)
    row: dict[str, object] = {
        "network": case.name,
        "core": core,
        "instructions": run.instructions_per_inference,
        "peer": peer,
        "ratio": _ratio(run.instructions_per_inference, peer),
        "arena": program.plan.arena_bytes,
        "bound": program.plan.lower_bound_bytes,
        "stack": run.peak_stack_bytes,
        "code + tables": None if run.flash_bytes is None else run.flash_bytes - weights,
        "weights": weights,
    }
    if core == "cortex-m4":
        small = edgewright.measure(make_program(program.graph, program.target.preferring("size")), case.inputs(1))
        row |= {
            "code + tables, size first": None if small.flash_bytes is None else small.flash_bytes - weights,
            "instructions, size first": small.instructions_per_inference,
            "cycles, modelled": run.cycles_modelled,
            "cycle ratio": _ratio(run.cycles_modelled, CYCLES_M4[case.name]),
            "arena of the peer": ARENA[case.name],
            "layer-wise bound": LAYER_BOUND.get(case.name),
            "code of the peer": CODE[case.name],
        }
    return row


def _ratio(ours: int | None, peer: float | None) -> float | None:
    return None if ours is None or peer is None else round(ours / peer, 3)
