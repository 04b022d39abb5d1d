"""Distillation: a small student learns from a larger network, or from labels alone.

CIFAR-10: the student is ResNet-8 with half of its channels (a quarter of the multiply-accumulates), the teacher ResNet-8 of MLPerf Tiny as
it came, 45,000 training images, moved and mirrored; the last epoch counts, one seed. The other 5,000 training images choose the learning
rate of the student that learns from labels alone; the one that is taught takes the same.

Fashion-MNIST: a student of 4,000 parameters. The teacher has seen 58,000 training images, moved and mirrored; the student a part of them
either way; samples, epochs, schedule and first weights are the same for all students, three seeds. The teacher's answers are stored
beforehand. The other 2,000 training images choose the epoch, and chose temperature and weight of the labels with one seed.

The figures are those of the 10,000 test images. A run that was stopped goes on from build/benchmarks/distillation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10, fashion_mnist
from benchmarks.networks import ResNet8
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.train.distillation import DecoupledLogits, Labels, Logits, Term

FOLDER = Path("build/benchmarks/distillation")
EPOCHS = {1_000: 25, 5_000: 25}
"""Of the student, by the images that it sees."""
CHOOSING = 2_000
TEACHER_EPOCHS = 6
BATCH, TEACHER_BATCH = 64, 128
RATE, TEACHER_RATE = 1e-2, 5e-3
SEEDS = (0, 1, 2)
CIFAR_IMAGES, CIFAR_EPOCHS, CIFAR_RATES = 45_000, 15, (0.03, 0.1)
WAYS: dict[str, tuple[Term, ...]] = {
    "labels alone": (),
    "logits and labels": (Logits(2.0), Labels(1.0)),
    "decoupled logits and labels": (DecoupledLogits(2.0), Labels(1.0)),
}


CIFAR_WAYS: dict[str, tuple[Term, ...]] = {"labels alone": (), "logits and labels": (Logits(4.0), Labels(1.0))}


class _Scaled(nn.Module):
    """A network of pixels from 0 to 255."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.network(pixels * (1 / 64) - 2)
        return outputs


def rows() -> list[dict[str, object]]:
    """A row a network and way to train it: accuracy in percent (mean of the seeds, spread), points gained by the student."""
    torch.set_num_threads(1)
    return _on_cifar() + _on_fashion_mnist()


def _on_cifar() -> list[dict[str, object]]:
    found = cifar10()
    images, labels = found.train_inputs.astype(np.float32), found.train_labels
    train, chooses = (Data((images[part],), labels[part]) for part in (slice(CIFAR_IMAGES), slice(CIFAR_IMAGES, None)))
    test = Data((found.test_inputs.astype(np.float32),), found.test_labels)
    teacher = edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))
    made = [_row("CIFAR-10", "teacher, as it came", 0, 0, teacher, [_accuracy(teacher, test)], None)]
    alone: float | None = None
    first = next(iter(CIFAR_WAYS))
    rate = max(CIFAR_RATES, key=lambda rate: _accuracy(_half_resnet8(first, rate, train, teacher), chooses))
    for name in CIFAR_WAYS:
        student = _half_resnet8(name, rate, train, teacher)
        accuracy = _accuracy(student, test)
        made.append(_row("CIFAR-10", f"student, {name}", CIFAR_IMAGES, CIFAR_EPOCHS, student, [accuracy], alone))
        alone = accuracy if alone is None else alone
    return made


def _half_resnet8(way: str, rate: float, train: Data, teacher: Graph) -> Graph:
    torch.manual_seed(0)
    module = edgewright.to_module(edgewright.load(_Scaled(ResNet8(width=8)).eval(), [torch.zeros(1, 3, 32, 32)]))
    taught: dict[str, Any] = {"teacher": teacher, "terms": CIFAR_WAYS[way]} if CIFAR_WAYS[way] else {}
    edgewright.train(
        module, train, epochs=CIFAR_EPOCHS, batch_size=TEACHER_BATCH, optimizer="sgd", learning_rate=rate, weight_decay=5e-4,
        schedule="one_cycle", augment="flip,shift", precision="bf16", cpu=True, checkpoint_batches=100,
        folder=FOLDER / f"cifar_{way.replace(' ', '_')}_{rate}", **taught,
    )  # fmt: skip
    return edgewright.from_module(module)


def _on_fashion_mnist() -> list[dict[str, object]]:
    every = _parts(None)
    options: dict[str, Any] = {"augment": "flip,shift", "precision": "bf16", "folder": FOLDER / "teacher", "checkpoint_batches": 100}
    teacher = _trained(_large(), every, 0, TEACHER_EPOCHS, TEACHER_BATCH, TEACHER_RATE, **options)
    found = [_row("Fashion-MNIST", "teacher, labels", every[0].count, TEACHER_EPOCHS, teacher, [_accuracy(teacher, every[2])], None)]
    for samples in EPOCHS:
        alone: float | None = None
        for name in WAYS:
            accuracies = [_student(samples, name, seed, teacher) for seed in SEEDS]
            found.append(_row("Fashion-MNIST", f"student, {name}", samples, EPOCHS[samples], _small(0), accuracies, alone))
            alone = float(np.mean(accuracies)) if alone is None else alone
    return found


def _student(samples: int, way: str, seed: int, teacher: Graph) -> float:
    """Accuracy in percent of the student of ``seed``, kept."""
    path = FOLDER / f"{samples}_{way.replace(' ', '_')}_{seed}.json"
    if not path.exists():
        parts = _parts(samples)
        options: dict[str, Any] = {}
        if WAYS[way]:
            options = {"teacher": tuple(evaluate(teacher, part.inputs)[0] for part in parts[:2]), "terms": WAYS[way]}
        graph = _trained(_small(seed), parts, seed, EPOCHS[samples], BATCH, RATE, **options)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(_accuracy(graph, parts[2])))
        os.replace(partial, path)
    return float(json.loads(path.read_text()))


def _parts(samples: int | None) -> tuple[Data, Data, Data]:
    """``samples`` to train on (None: all that are left), others to choose by, and the test images."""
    found = fashion_mnist()
    order = np.random.default_rng(0).permutation(len(found.train_labels))
    every = Data(((found.train_inputs.astype(np.float32) / 255 - 0.286) / 0.353,), found.train_labels)
    test = Data(((found.test_inputs.astype(np.float32) / 255 - 0.286) / 0.353,), found.test_labels)
    learned = order[CHOOSING:] if samples is None else order[CHOOSING : CHOOSING + samples]
    return every.take(learned), every.take(order[:CHOOSING]), test


def _trained(graph: Graph, parts: tuple[Data, Data, Data], seed: int, epochs: int, batch: int, rate: float, **options: Any) -> Graph:
    module = edgewright.to_module(graph)
    edgewright.train(
        module,
        parts[0],
        validation=parts[1],
        epochs=epochs,
        batch_size=batch,
        learning_rate=rate,
        schedule="one_cycle",
        seed=seed,
        cpu=True,
        **options,
    )
    return edgewright.from_module(module)


def _small(seed: int) -> Graph:
    torch.manual_seed(seed)
    layers = [*_block(1, 8, 2), *_block(8, 12, 2), *_block(12, 24, 2)]
    return _loaded(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)))


def _large() -> Graph:
    torch.manual_seed(0)
    layers = [*_block(1, 16, 2), *_block(16, 32, 2), *_block(32, 64, 1)]
    return _loaded(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)))


def _block(channels: int, out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _loaded(network: nn.Module) -> Graph:
    return edgewright.load(network.eval(), [torch.zeros(1, 1, 28, 28)])


def _accuracy(graph: Graph, data: Data) -> float:
    return 100 * float(np.mean(evaluate(graph, data.inputs)[0].argmax(-1) == data.labels))


def _row(
    task: str, name: str, samples: int, epochs: int, graph: Graph, accuracies: Sequence[float], alone: float | None
) -> dict[str, object]:
    mean = float(np.mean(accuracies))
    return {
        "task": task,
        "network": name,
        "samples": samples,
        "epochs": epochs,
        "parameters": cost(graph).parameters,
        "accuracy %": round(mean, 2),
        "spread": round(max(accuracies) - min(accuracies), 2) if len(accuracies) > 1 else None,
        "gain": None if alone is None else round(mean - alone, 2),
    }
