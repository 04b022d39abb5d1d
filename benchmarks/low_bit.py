"""Weights of few bits on Cortex-M4: flash as counted in the ELF, RAM and instructions, against int8, for ResNet-8 and DS-CNN.

Sizes and speeds do not depend on what the weights are; what they cost in accuracy, quantization and training tell.
"""

from __future__ import annotations

import numpy as np

import edgewright
from benchmarks.cases import model_path
from edgewright.data import Data
from edgewright.lower.program import make_program
from edgewright.recipe import CLEAN, Recipe, Step
from edgewright.targets.target import load_target

TARGET = "cortex-m4"
NETWORKS = {"ResNet-8": "mlperf_tiny/ic_float.tflite", "DS-CNN": "mlperf_tiny/kws_float.tflite"}
WEIGHTS = {
    "int8": (Step("quantize_static"),),
    "int4": (Step("quantize_static", {"weight_bits": 4}),),
    "16 values": (Step("cluster_weights", {"clusters": 16}), Step("quantize_static")),
    "int2": (Step("quantize_static", {"weight_bits": 2}),),
    "4 values": (Step("cluster_weights", {"clusters": 4}), Step("quantize_static")),
    "2 values": (Step("cluster_weights", {"clusters": 2}), Step("quantize_static")),
}


def rows() -> list[dict[str, object]]:
    """A row for each network, kind of weights, and what the kernels prefer."""
    found: list[dict[str, object]] = []
    for network, file in NETWORKS.items():
        graph = edgewright.load(model_path(file))
        shape = graph.value(graph.inputs[0]).shape[1:]
        inputs = np.random.default_rng(0).normal(size=(8, *[int(size or 1) for size in shape])).astype(np.float32)
        first: dict[str, dict[str, object]] = {}
        for weights, steps in WEIGHTS.items():
            recipe = Recipe("weights", (Step("dequantize_weights"), *(Step(name, repeat=True) for name in CLEAN), *steps))
            result = edgewright.optimize(graph, recipe=recipe, target=TARGET, data=Data((inputs,)), formats=["c"])
            assert result.program is not None
            for prefer in ("speed", "size"):
                program = make_program(result.program.graph, load_target(TARGET).preferring(prefer))
                run = edgewright.measure(program, Data((inputs[:1],)))
                row: dict[str, object] = {"network": network, "weights": weights, "prefer": prefer, "flash": run.flash_bytes,
                                          "arena": program.plan.arena_bytes, "stack": run.peak_stack_bytes,
                                          "instructions": run.instructions_per_inference}
                base = first.setdefault(prefer, row)
                for name in ("flash", "instructions"):
                    row[f"{name} of int8"] = f"{int(str(row[name])) / int(str(base[name])):.2f}x"
                found.append(row)
    return found
