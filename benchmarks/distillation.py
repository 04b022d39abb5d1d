"""Distillation on Fashion-MNIST where few samples are at hand: a student of 4,000 parameters learns from a larger network, or labels alone.

The teacher has seen 20,000 training images, the student 1,000 of them either way; samples, epochs, schedule and first weights are the same
for all students, three seeds. 2,000 other training images choose the epoch; the figures are those of the 10,000 test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

import edgewright
from benchmarks.data import fashion_mnist
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.train.distillation import DecoupledLogits, Labels, Logits, Term

SAMPLES, TEACHER_SAMPLES, CHOOSING = 1_000, 20_000, 2_000
EPOCHS, TEACHER_EPOCHS = 25, 2
BATCH, TEACHER_BATCH = 64, 128
SEEDS = (0, 1, 2)
WAYS: dict[str, tuple[Term, ...]] = {
    "student, labels alone": (),
    "student, logits and labels": (Logits(4.0), Labels(0.5)),
    "student, decoupled logits and labels": (DecoupledLogits(4.0), Labels(1.0)),
}


def rows() -> list[dict[str, object]]:
    """The teacher, then a row a way to train the student: accuracy in percent (mean of the seeds, spread), points gained."""
    teacher = _trained(_large(), _parts(TEACHER_SAMPLES), 0, TEACHER_EPOCHS, TEACHER_BATCH)
    parts = _parts(SAMPLES)
    found = [_row("teacher, labels", teacher, [_accuracy(teacher, parts[2])], None)]
    alone: float | None = None
    for name, terms in WAYS.items():
        options = {"teacher": teacher, "terms": terms} if terms else {}
        graphs = [_trained(_small(seed), parts, seed, EPOCHS, BATCH, **options) for seed in SEEDS]
        accuracies = [_accuracy(graph, parts[2]) for graph in graphs]
        found.append(_row(name, graphs[0], accuracies, alone))
        alone = float(np.mean(accuracies)) if alone is None else alone
    return found


def _parts(samples: int) -> tuple[Data, Data, Data]:
    """``samples`` to train on, others to choose by, and the test images."""
    found = fashion_mnist()
    order = np.random.default_rng(0).permutation(len(found.train_labels))
    every = Data(((found.train_inputs.astype(np.float32) / 255 - 0.286) / 0.353,), found.train_labels)
    test = Data(((found.test_inputs.astype(np.float32) / 255 - 0.286) / 0.353,), found.test_labels)
    return every.take(order[CHOOSING : CHOOSING + samples]), every.take(order[:CHOOSING]), test


def _trained(graph: Graph, parts: tuple[Data, Data, Data], seed: int, epochs: int, batch: int, **options: Any) -> Graph:
    module = edgewright.to_module(graph)
    edgewright.train(
        module,
        parts[0],
        validation=parts[1],
        epochs=epochs,
        batch_size=batch,
        learning_rate=1e-2,
        schedule="one_cycle",
        seed=seed,
        **options,
    )
    return edgewright.from_module(module)


def _small(seed: int) -> Graph:
    torch.manual_seed(seed)
    layers = [*_block(1, 8, 2), *_block(8, 12, 2), *_block(12, 24, 2)]
    return _loaded(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)))


def _large() -> Graph:
    torch.manual_seed(0)
    layers = [*_block(1, 24, 2), *_block(24, 24, 1), *_block(24, 48, 2), *_block(48, 48, 1), *_block(48, 96, 2)]
    return _loaded(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10)))


def _block(channels: int, out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _loaded(network: nn.Module) -> Graph:
    return edgewright.load(network.eval(), [torch.zeros(1, 1, 28, 28)])


def _accuracy(graph: Graph, data: Data) -> float:
    return 100 * float(np.mean(evaluate(graph, data.inputs)[0].argmax(-1) == data.labels))


def _row(name: str, graph: Graph, accuracies: Sequence[float], alone: float | None) -> dict[str, object]:
    mean = float(np.mean(accuracies))
    return {
        "network": name,
        "parameters": cost(graph).parameters,
        "accuracy %": round(mean, 2),
        "spread": round(max(accuracies) - min(accuracies), 2) if len(accuracies) > 1 else None,
        "gain": None if alone is None else round(mean - alone, 2),
    }
