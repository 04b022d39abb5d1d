"""The ledger against the linker and the painted stack: predicted before the build, found after it, on every core.

One row a network and core. ``off``: the entries, but for the stack, whose bytes were not those predicted (none is the claim).
"""

from __future__ import annotations

import edgewright
from benchmarks.cases import CASES
from edgewright import pipeline

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imac")
NETWORKS = ("ic_int8", "kws_int8", "micro_speech_int8", "mobilenet_v2_96")


def rows() -> list[dict[str, object]]:
    """Each network on each core, two samples, nothing counted."""
    return [_row(name, core) for name in NETWORKS for core in CORES]


def _row(name: str, core: str) -> dict[str, object]:
    case = CASES[name]()
    program = case.program(core)
    ledger = pipeline.ledger(program, edgewright.measure(program, case.inputs(2), profile=False))
    stack = ledger.entry("stack")
    row: dict[str, object] = {"network": name, "core": core}
    row |= {entry.name: entry.predicted for entry in ledger.entries}
    off = [f"{entry.name} {entry.difference:+}" for entry in ledger.entries if entry is not stack and entry.difference]
    row |= {
        "painted stack": stack.found,
        "stack off by": stack.difference,
        "RAM": ledger.predicted_bytes("ram"),
        "flash": ledger.predicted_bytes("flash"),
        "off": ", ".join(off) or "none",
    }
    return row
