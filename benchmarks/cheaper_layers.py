"""ic_float (ResNet-8, CIFAR-10) with cheaper layers, before and after distillation from the network as it came: no labels are used.

2,000 training images without labels, of which a tenth chooses the epoch, 3 epochs, one seed; accuracy in float on the first 2,000 test
images. Cycles are those that the cost model predicts for the int8 network on Cortex-M4.
"""

from __future__ import annotations

import numpy as np

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from edgewright.costs import cost_functions
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.passes.registry import Context
from edgewright.recipe import Recipe, Step, load_recipe
from edgewright.steps import run_recipe
from edgewright.targets.target import load_target

SAMPLES, TESTED = 2_000, 2_000
EPOCHS = 3
CHANGES = {
    "factorized, 70 % of the MACs": Step("factorize_layers", {"keep": 0.7}),
    "factorized, 50 % of the MACs": Step("factorize_layers", {"keep": 0.5}),
    "depthwise-separable": Step("separate_convolutions", {"worst": 0.6}),
    "half of the channels as ghosts": Step("ghost_convolutions", {"worst": 0.6}),
}
REPAIR = (Step("insert_batchnorm"), Step("distill", {"epochs": EPOCHS, "learning_rate": 6e-3, "augment": "flip,shift"}))


def rows() -> list[dict[str, object]]:
    """One row a change: accuracy before and after distillation, agreement with the float network, MACs, parameters and M4 cycles."""
    cifar = cifar10()
    test = Data((cifar.test_inputs[:TESTED].astype(np.float32),), cifar.test_labels[:TESTED])
    source = run_recipe(edgewright.load(model_path("mlperf_tiny/ic_float.tflite")), load_recipe("clean"), Context())
    wanted = evaluate(source, test.inputs)[0].argmax(-1)
    return [
        _row("float", source, source, source, test, wanted),
        *(_changed(name, step, source, cifar.train_inputs, test, wanted) for name, step in CHANGES.items()),
    ]


def _changed(name: str, step: Step, source: Graph, images: np.ndarray, test: Data, wanted: np.ndarray) -> dict[str, object]:
    target = load_target("cortex-m4")
    data = Data((images[:SAMPLES].astype(np.float32),))
    ctx = Context(data=data, target=target, teacher=source, costs=cost_functions(target))
    changed = run_recipe(source, Recipe("change", (step,)), ctx)
    repaired = run_recipe(changed, Recipe("repair", (*REPAIR, *load_recipe("clean").steps)), ctx)
    return _row(name, source, changed, repaired, test, wanted)


def _row(name: str, source: Graph, changed: Graph, repaired: Graph, test: Data, wanted: np.ndarray) -> dict[str, object]:
    cycles = cost_functions(load_target("cortex-m4"))["cycles"]
    answers = [evaluate(graph, test.inputs)[0].argmax(-1) for graph in (changed, repaired)]
    accuracies = [round(100 * float(np.mean(answer == test.labels)), 2) for answer in answers]
    whole, now = cost(source), cost(repaired)
    return {
        "network": name,
        "accuracy %": accuracies[0],
        "distilled %": accuracies[1],
        "agreement %": round(100 * float(np.mean(answers[1] == wanted)), 2),
        "MACs": now.macs,
        "of MACs": round(now.macs / whole.macs, 3),
        "parameters": now.parameters,
        "M4 cycles": int(cycles(repaired)),
        "of cycles": round(cycles(repaired) / cycles(source), 3),
    }
