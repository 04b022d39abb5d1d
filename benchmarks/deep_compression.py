"""LeNet-300-100 on Fashion-MNIST: pruned step by step, clustered, quantized; the coded size and the real one.

Trained here from nothing, three seeds: the mean and, for accuracies, the spread (greatest minus least). After each step the network learns
the labels and what it said before it was pruned. Sparsity, clusters, temperature and epochs were chosen on the last 5,000 training images,
which no training sees, with the first seed; the test images are looked at once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

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
from edgewright.train.distillation import Labels, Logits

HELD_OUT = 5000
SEEDS = (0, 1, 2)
SPARSITIES = {0.7: 4, 0.85: 4, 0.91: 8}
"""Share of zeros, and epochs that follow."""
CLUSTERS, CLUSTERED_EPOCHS = 16, 4
EPOCHS, BATCH = 12, 256
TEMPERATURE = 2.0
RATE, CLUSTERED_RATE = 2e-3, 5e-4
TARGET = "cortex-m4"


def rows() -> list[dict[str, object]]:
    """A row for the network as trained, and after each technique."""
    torch.set_num_threads(1)
    images = data.fashion_mnist()
    inputs, labels = _flat(images.train_inputs), np.asarray(images.train_labels)
    learned = Data((inputs[:-HELD_OUT],), labels[:-HELD_OUT])
    judges = {"validation %": Data((inputs[-HELD_OUT:],), labels[-HELD_OUT:]),
              "test %": Data((_flat(images.test_inputs),), np.asarray(images.test_labels))}  # fmt: skip
    found = [_of_seed(seed, learned, judges) for seed in SEEDS]
    return [_row(list(same)) for same in zip(*found, strict=True)]


def _of_seed(seed: int, learned: Data, judges: dict[str, Data]) -> list[dict[str, object]]:
    graph = _trained(learned, seed)
    ctx, teacher = Context(data=learned, target=load_target(TARGET), seed=seed), graph
    found, plain = [_figures("float, as trained", graph, judges)], coded_size(graph).plain
    for sparsity, epochs in SPARSITIES.items():
        graph = find_pass("prune_weights").function(graph, ctx, sparsity=sparsity, scope="global")
        graph = _repaired(graph, learned, teacher, seed, epochs, RATE)
    found.append(_figures(f"pruned to {max(SPARSITIES):.0%}", graph, judges))
    graph = find_pass("cluster_weights").function(graph, ctx, clusters=CLUSTERS)
    graph = _repaired(graph, learned, teacher, seed, CLUSTERED_EPOCHS, CLUSTERED_RATE)
    found.append(_figures(f"and {CLUSTERS} values a layer", graph, judges))
    graph = integer_graph(run_recipe(graph, load_recipe("w8a8"), ctx), load_target(TARGET), ctx)
    found.append(_figures("and int8", graph, judges))
    for row in found:
        row["× smaller, coded"] = plain / int(str(row["Huffman bytes"]))
    return found


def _repaired(graph: Graph, learned: Data, teacher: Graph, seed: int, epochs: int, rate: float) -> Graph:
    module, terms = to_module(graph), (Logits(TEMPERATURE), Labels(1.0))
    options: dict[str, Any] = {"schedule": "one_cycle", "learning_rate": rate, "seed": seed}
    train(module, learned, epochs=epochs, batch_size=BATCH, teacher=teacher, terms=terms, cpu=True, **options)
    return from_module(module)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


def _trained(learned: Data, seed: int) -> Graph:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    graph = dataclasses.replace(load(net.eval(), [torch.zeros(1, 784)]), name="lenet_300_100")
    module = to_module(graph)
    options: dict[str, Any] = {"schedule": "one_cycle", "learning_rate": 2e-3, "weight_decay": 1e-2, "seed": seed}
    train(module, learned, epochs=EPOCHS, batch_size=BATCH, cpu=True, **options)
    return from_module(module)


def _figures(name: str, graph: Graph, judges: dict[str, Data]) -> dict[str, object]:
    size = coded_size(graph)
    row: dict[str, object] = {"network": name, **{what: _accuracy(graph, samples) for what, samples in judges.items()}}
    row |= {"plain bytes": size.plain, "Huffman bytes": size.huffman, "zlib bytes": size.zlib}
    if graph.level.value == "integer":
        run = measure(lower(graph, TARGET), Data((judges["test %"].inputs[0][:1],)))
        row |= {f"flash on {TARGET}": run.flash_bytes, "instructions": run.instructions_per_inference}
    return row


def _row(seeds: list[dict[str, object]]) -> dict[str, object]:
    """The same row of all seeds as one."""
    row: dict[str, object] = {"network": seeds[0]["network"]}
    for key in list(seeds[0])[1:]:
        numbers = [float(str(one[key])) for one in seeds]
        mean = float(np.mean(numbers))
        row[key] = round(mean, 2 if key.endswith("%") else 1) if key.endswith(("%", "coded")) else round(mean)
        if key.endswith("%"):
            row[f"{key.removesuffix(' %')} spread"] = round(max(numbers) - min(numbers), 2)
    return row


def _accuracy(graph: Graph, samples: Data) -> float:
    inputs = quantize_inputs(graph, samples.inputs) if graph.level.value == "integer" else samples.inputs
    (outputs,) = evaluate(graph, inputs)
    return 100 * float((outputs.argmax(-1) == samples.labels).mean())
