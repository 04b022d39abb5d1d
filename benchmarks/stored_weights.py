"""What weights as tables of values (TensorFlow Lite Micro) and without their zeros (LiteRT) save of a .tflite, for ResNet-8 and DS-CNN.

``differing``: outputs that are not those of the plain file; tables on 8 inputs in TensorFlow Lite Micro, sparse weights in LiteRT with
XNNPACK, where a difference in the last bits of a float counts. ``time``: LiteRT's, one thread, to the plain file's. Sizes do not depend on
what the weights are; what clusters and zeros cost in accuracy, other benchmarks tell.
"""

from __future__ import annotations

import numpy as np

import edgewright
from benchmarks.cases import model_path
from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import quantize_inputs
from edgewright.recipe import CLEAN, Recipe, Step
from edgewright.run.litert import run_litert
from edgewright.run.run import Run
from edgewright.run.tflm import run_tflm

NETWORKS = {"ResNet-8": "mlperf_tiny/ic_float.tflite", "DS-CNN": "mlperf_tiny/kws_float.tflite"}
CLUSTERS = (16, 8, 4, 2)
SPARSITIES = (0.5, 0.8, 0.9, 0.95)
FILE = "network.tflite"
REPEATS = 5


def rows() -> list[dict[str, object]]:
    """A row for each network and structure."""
    found: list[dict[str, object]] = []
    for network, file in NETWORKS.items():
        graph = edgewright.load(model_path(file))
        shape = [int(size or 1) for size in graph.value(graph.inputs[0]).shape[1:]]
        data = Data((np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32),))
        for clusters in CLUSTERS:
            steps = (Step("cluster_weights", {"clusters": clusters}), Step("quantize_static"))
            integers = _optimized(graph, steps, data)
            inputs = quantize_inputs(integers, data.inputs)
            plain, stored = _files(integers, "tables")
            runs = [run_tflm(files, inputs) for files in (plain, stored)]
            found.append({"network": network, "weights": f"int8, {clusters} values"} | _row(plain, stored, *runs))
        for sparsity in SPARSITIES:
            pruned = _optimized(graph, (Step("prune_weights", {"sparsity": sparsity}),), data)
            plain, stored = _files(pruned, "sparse")
            pairs = [(run_litert(plain, data.inputs, kernels="xnnpack"), run_litert(stored, data.inputs, kernels="xnnpack"))
                     for _ in range(REPEATS)]
            best = [min(float(pair[side].seconds_per_inference or 0) for pair in pairs) for side in (0, 1)]
            found.append({"network": network, "weights": f"float, {sparsity:.0%} zeros"} | _row(plain, stored, *pairs[0])
                         | {"time": f"{best[1] / best[0]:.2f}x"})
    return found


def _optimized(graph: Graph, steps: tuple[Step, ...], data: Data) -> Graph:
    recipe = Recipe("weights", (Step("dequantize_weights"), *(Step(name, repeat=True) for name in CLEAN), *steps))
    return edgewright.optimize(graph, recipe=recipe, data=data, formats=["tflite"]).graph


def _files(graph: Graph, weights: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    plain, stored = (next(iter(emit_tflite(graph, weights=form).values())) for form in ("plain", weights))
    return {FILE: plain}, {FILE: stored}


def _row(plain: dict[str, bytes], stored: dict[str, bytes], before: Run, after: Run) -> dict[str, object]:
    differing = sum(int((one != other).sum()) for one, other in zip(before.outputs, after.outputs, strict=True))
    sizes = len(plain[FILE]), len(stored[FILE])
    return {"plain file": sizes[0], "stored file": sizes[1], "ratio": f"{sizes[1] / sizes[0]:.2f}x", "differing": differing}
