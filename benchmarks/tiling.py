"""Tiling across layers: RAM against multiply-accumulates, beside msf-CNN's and MCUNetV2's points; bytes equal to the untiled network's.

Peers count activations but not the input image, which lies elsewhere; so does ``stream_input``. Our figure is the whole arena of the
program, working memory of its kernels and output included; the portable kernels need least of that, those of the Cortex-M4 more.
MobileNetV2 has random weights here: bytes and multiply-accumulates do not depend on them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

import edgewright
from benchmarks.cases import ic_int8
from benchmarks.networks import MobileNetV2
from edgewright.emit.c import emit_c
from edgewright.errors import BudgetError
from edgewright.ir.graph import Graph
from edgewright.lower.fit_program import fit_program
from edgewright.ops.evaluate import evaluate
from edgewright.run.device import run_device
from edgewright.run.host import run_host
from edgewright.targets.target import load_target

MSF_CNN = ((67_996, 1.1), (21_389, 1.3), (15_199, 1.38), (8_560, 1.68))
MCUNET_V2 = ((172_000, 1.1),)


@cache
def mobilenet(width: float, size: int, divisor: int) -> Graph:
    """MobileNetV2 with random weights, w8a8; ``divisor`` 1 gives the channels of msf-CNN's network, with its peak of 194,400 bytes."""
    torch.manual_seed(0)
    module = MobileNetV2(width, 1000, divisor).eval()
    samples = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    example = (torch.from_numpy(np.ascontiguousarray(samples[:1].transpose(0, 3, 1, 2))),)
    return edgewright.optimize(module, example_inputs=example, data=samples).graph


def rows() -> list[dict[str, object]]:
    """One row a network, kernels and budget; ``equal``: the outputs are the bytes of the untiled network's evaluation."""
    found = [_row("ic_int8", ic_int8().graph, "cortex-m4", budget, None, streamed=False) for budget in (1 << 30, 30_000, 22_000)]
    for core in ("host", "cortex-m4"):
        found += [_row("mobilenet_v2 w0.35 r144", mobilenet(0.35, 144, 1), core, *peer, streamed=True) for peer in MSF_CNN]
    return [*found, *(_row("mobilenet_v2 1.0 r224", mobilenet(1.0, 224, 8), "host", *peer, streamed=True) for peer in MCUNET_V2)]


def _row(name: str, graph: Graph, core: str, budget: int, peer: float | None, *, streamed: bool) -> dict[str, object]:
    target = load_target(core)
    row: dict[str, object] = {"network": name, "kernels": core, "budget": budget if budget < 1 << 30 else None, "peer's MACs": peer}
    try:
        program = fit_program(graph, target, budget, stream_input=streamed)
    except BudgetError:
        return row
    plain = sum(node.op.macs(program.graph.ins(node), program.graph.outs(node)) for node in program.graph.nodes)
    value = graph.value(graph.inputs[0])
    sample = np.random.default_rng(0).integers(-128, 128, (1, *(size or 1 for size in value.shape[1:]))).astype(np.int8)
    outputs = [(np.dtype(np.int8), tuple(size or 1 for size in graph.value(out).shape[1:])) for out in graph.outputs]
    files = emit_c(program)
    run = run_host(files, [sample], outputs=outputs) if target.qemu is None else run_device(files, [sample], target, outputs=outputs)
    return row | {
        "arena": program.plan.arena_bytes,
        "MACs": round(program.macs() / plain, 3),
        "loops": len(program.loops),
        "instructions": run.instructions_per_inference,
        "equal": bool(np.array_equal(run.outputs[0], evaluate(graph, [sample])[0])),
    }
