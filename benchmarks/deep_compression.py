"""LeNet-300-100 on Fashion-MNIST: pruned step by step, clustered, quantized; the coded size and the real one.

Trained here from nothing with a fixed seed. Sparsity, clusters and epochs were set beforehand; the last 5,000 training images, which no
training sees, stand beside the test images.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import nn

from benchmarks import data
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from edgewright.pipeline import from_module, load, lower, measure, run_recipe, to_module, train
from edgewright.recipe import load_recipe
from edgewright.report.coded_size import coded_size
from edgewright.steps import integer_graph
from edgewright.targets.target import load_target

HELD_OUT = 5000
SPARSITIES = (0.7, 0.85, 0.92, 0.95)
CLUSTERS = 8
EPOCHS = 12
TUNED = 4
TARGET = "cortex-m4"


def rows() -> list[dict[str, object]]:
    """A row for the network as trained, and after each technique."""
    images = data.fashion_mnist()
    inputs, labels = _flat(images.train_inputs), np.asarray(images.train_labels)
    learned = Data((inputs[:-HELD_OUT],), labels[:-HELD_OUT])
    held = Data((inputs[-HELD_OUT:],), labels[-HELD_OUT:])
    test = Data((_flat(images.test_inputs),), np.asarray(images.test_labels))
    graph = _trained(learned)
    found = [_row("float, as trained", graph, held, test)]
    floats = coded_size(graph).plain
    ctx = Context(data=learned, target=load_target(TARGET), seed=0)
    for sparsity in SPARSITIES:
        graph = find_pass("prune_weights").function(graph, ctx, sparsity=sparsity, scope="global")
        graph = find_pass("fine_tune").function(graph, ctx, epochs=TUNED, batch=256)
    found.append(_row(f"pruned to {SPARSITIES[-1]:.0%}", graph, held, test))
    graph = find_pass("cluster_weights").function(graph, ctx, clusters=CLUSTERS)
    graph = find_pass("fine_tune").function(graph, ctx, epochs=TUNED, batch=256)
    found.append(_row(f"and {CLUSTERS} values a layer", graph, held, test))
    graph = integer_graph(run_recipe(graph, load_recipe("w8a8"), ctx), load_target(TARGET), ctx)
    found.append(_row("and int8", graph, held, test))
    for row in found:
        row["× smaller, coded"] = round(floats / int(str(row["Huffman bytes"])), 1)
    return found


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _trained(learned: Data) -> Graph:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    graph = dataclasses.replace(load(net.eval(), [torch.zeros(1, 784)]), name="lenet_300_100")
    module = to_module(graph)
    train(module, learned, epochs=EPOCHS, batch_size=256, schedule="one_cycle", learning_rate=2e-3, weight_decay=1e-2, seed=0, cpu=True)
    return from_module(module)


def _row(name: str, graph: Graph, held: Data, test: Data) -> dict[str, object]:
    size = coded_size(graph)
    row: dict[str, object] = {"network": name, "validation %": _accuracy(graph, held), "test %": _accuracy(graph, test),
                              "plain bytes": size.plain, "Huffman bytes": size.huffman, "zlib bytes": size.zlib}
    if graph.level.value == "integer":
        run = measure(lower(graph, TARGET), Data((test.inputs[0][:1],)))
        row |= {f"flash on {TARGET}": run.flash_bytes, "instructions": run.instructions_per_inference}
    return row


def _accuracy(graph: Graph, samples: Data) -> float:
    inputs = quantize_inputs(graph, samples.inputs) if graph.level.value == "integer" else samples.inputs
    (outputs,) = evaluate(graph, inputs)
    return round(100 * float((outputs.argmax(-1) == samples.labels).mean()), 2)
