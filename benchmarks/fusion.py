"""What fusion saves: convolution, batch normalization and rectifier in one layer, against each in a layer of its own, on emulated cores.

Both networks come from the same module by the same passes but for those that fold. Published for Cortex-M4 and M7: up to 1.53 times for a
network, 2.95 for a layer. Weights are random: instruction counts hardly depend on them.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import nn

import edgewright
from benchmarks.networks import MobileNetV2, ResNet8
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.lower.integer import lower_integer
from edgewright.lower.program import Program, make_program
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.passes.registry import Context
from edgewright.pipeline import run_recipe
from edgewright.recipe import Recipe, Step, load_recipe
from edgewright.run.run import Run
from edgewright.targets.target import load_target

CORES = ("cortex-m4", "cortex-m7", "cortex-m55")
APART = ("remove_identities", "specialize_convolutions", "cancel_transposes", "merge_reshapes", "fold_transposes", "replace_batchnorm")
"""The clean-up without what folds layers into each other."""
LARGEST_LAYERS = 4


def rows() -> list[dict[str, object]]:
    """For each network and core: the whole, and the layers that cost most when they are apart."""
    found: list[dict[str, object]] = []
    for name, module, size in (("ResNet-8, 32x32", ResNet8(), 32), ("MobileNetV2 0.35, 96x96", MobileNetV2(0.35), 96)):
        graph, data = _network(name, module, size)
        fused = run_recipe(graph, load_recipe("w8a8"), Context(data=data, target=load_target("cortex-m3")))
        apart = run_recipe(graph, Recipe("apart", (*map(Step, APART), Step("quantize_static"))), Context(data=data))
        for core in CORES:
            found += _compared(name, core, fused, apart, data)
    return found


def _network(name: str, module: nn.Module, size: int) -> tuple[Graph, Data]:
    """The float graph with random, not trivial, weights and statistics, and random pictures."""
    random = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low, high in ((part.weight, 0.5, 1.5), (part.bias, -0.2, 0.4), (part.running_var, 0.5, 1.5)):
                assert tensor is not None
                tensor.data.uniform_(low, high, generator=random)
    pictures = np.random.default_rng(0).standard_normal((16, size, size, 3)).astype(np.float32)
    graph = edgewright.load(module.eval(), (torch.zeros(1, 3, size, size),))
    return graph, Data((pictures,))


def _compared(name: str, core: str, fused: Graph, apart: Graph, data: Data) -> list[dict[str, object]]:
    target = load_target(core)
    runs: list[tuple[Program, Run]] = []
    outputs = []
    for graph in (fused, apart):
        program = make_program(lower_integer(graph, target), target)
        inputs = quantize_inputs(program.graph, data.take(range(1)).inputs)
        run = edgewright.measure(program, inputs)
        np.testing.assert_array_equal(run.outputs[0], evaluate(program.graph, inputs)[0])
        runs.append((program, run))
        outputs.append(dequantize_outputs(program.graph, run.outputs)[0])
    one, other = (run for _, run in runs)
    whole: dict[str, object] = {
        "network": name,
        "core": core,
        "part": "whole",
        "layers": f"{len(runs[0][0].graph.nodes)} against {len(runs[1][0].graph.nodes)}",
        "fused": one.instructions_per_inference,
        "apart": other.instructions_per_inference,
        "ratio": _ratio(other.instructions_per_inference, one.instructions_per_inference),
        "ratio of modelled cycles": _ratio(other.cycles_modelled, one.cycles_modelled),
        "largest difference of outputs": round(float(np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs[0]).max()), 3),
    }
    groups = [_by_layer(program, run) for program, run in runs]
    worst = sorted(set(groups[0]) & set(groups[1]), key=lambda key: -(groups[1][key] / max(groups[0][key], 1)))[:LARGEST_LAYERS]
    layers: list[dict[str, object]] = []
    for key in worst:
        counts = groups[0][key], groups[1][key]
        layers.append({"network": name, "core": core, "part": key, "fused": counts[0], "apart": counts[1], "ratio": _ratio(*counts[::-1])})
    return [whole, *layers]


def _by_layer(program: Program, run: Run) -> dict[str, int]:
    """Instructions by the layer with weights that they belong to: what stands behind one, up to the next, is its own."""
    found: dict[str, int] = {}
    current = ""
    for node, count in zip(program.graph.nodes, run.instructions_per_layer or (), strict=True):
        shape = program.graph.value(node.inputs[1]).shape if node.op.weight_inputs else ()
        if shape and not (node.op.kind == "DepthwiseConv2D" and shape[1:] == (1, 1, 1)):
            current = re.sub(r"[^\w.]+", " ", node.name).strip()
        found[current] = found.get(current, 0) + count
    return found


def _ratio(above: int | None, below: int | None) -> float | None:
    return None if not above or not below else round(above / below, 3)
