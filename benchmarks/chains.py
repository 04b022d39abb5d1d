"""Techniques that shrink a network, alone and in chains, beside Torch-Pruning and PyTorch's own quantization.

Small networks trained here (three seeds, mean and spread) on 8,000 images of Fashion-MNIST, on spoken digits and on FordA; ResNet-8 of
MLPerf Tiny as it came on CIFAR-10 (one seed). Every row of a task has the same float network to start from, the same training samples, and
the same epochs of repair where it is repaired: labels and the answers of the float network, a tenth of the training samples held out to
choose the epoch. Options were set beforehand, the same for all (what chooses the channels: by the held-out images of `pruning`); the
test samples are looked at once a row.

Torch-Pruning 1.6 removes channels by group L2 norm, the same share of every layer, until half of the multiply-accumulates are left, as ours
does; its networks are repaired, quantized and deployed here, by the same steps. PyTorch's rows are torchao 0.18's PT2E with the XNNPACK
quantizer (symmetric weights a channel); their accuracy is the simulated one of the converted network, nothing is deployed; its training
takes most of a second a step, so it has the first seed alone. Accuracy otherwise: the integer evaluation, whose bytes are the device's.
Flash, RAM and instructions: the linked program of the first seed under QEMU, Cortex-M4.

Each piece is kept in build/benchmarks/chains; a run that was stopped goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_pruning
from safetensors.torch import load_file, save_file
from torch import nn

import edgewright
from benchmarks import chain_tasks
from benchmarks.chain_tasks import Task
from benchmarks.networks import ChannelsLast
from benchmarks.pruning import CHOSEN
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.ir.serial import load_graph, save_graph
from edgewright.lower.program import make_program
from edgewright.ops.cost import cost
from edgewright.passes.registry import Context
from edgewright.recipe import RECIPES, Option, Recipe, Step
from edgewright.report.accuracy import real_outputs
from edgewright.steps import integer_graph, run_recipe
from edgewright.targets.target import load_target

FOLDER = Path("build/benchmarks/chains")
TARGET = "cortex-m4"
CALIBRATION = 256
BUDGET, SPARSITY, CLUSTERS, KEPT, RATE = 0.5, 0.75, 16, 0.5, 4e-3
LEARNING = ("distill", "train_quantized")
CLEAN = RECIPES["clean"].steps
INT8 = (Step("quantize_static", {"ranges": "minmax"}),)
INT4 = (Step("quantize_static", {"ranges": "minmax", "weight_bits": 4, "weight_ranges": "mse"}), Step("round_weights"))
PRUNED = Step("prune_channels", {"budget": BUDGET, "importance": CHOSEN})
SPARSE = Step("prune_weights", {"sparsity": SPARSITY, "scope": "global"})
CLUSTERED, FACTORIZED = Step("cluster_weights", {"clusters": CLUSTERS}), Step("factorize_layers", {"keep": KEPT})


@dataclass(frozen=True)
class Way:
    """A name, and how a row's network comes to be: the recipe of a task, or a function of task and seed that gives accuracy alone."""

    name: str
    steps: Callable[[Task], tuple[Step, ...]] | None = None
    start: Callable[[Task, int], Graph] | None = None
    accuracy: Callable[[Task, int], float] | None = None
    once: bool = False
    """The first seed only."""


def repair(task: Task, batch_norm: bool = True) -> tuple[Step, ...]:
    """What follows surgery: batch norm put back where the structure allows it, the answers of the float network and labels learned."""
    options: dict[str, Option] = {"epochs": task.epochs, "learning_rate": RATE, "labels": 1.0, "augment": task.augment}
    return (*([Step("insert_batchnorm")] if batch_norm else []), Step("distill", options), *CLEAN)


def trained(task: Task) -> tuple[Step, ...]:
    """Quantization-aware training after a step that quantizes."""
    return (Step("train_quantized", {"epochs": task.quantized_epochs, "labels": 1.0, "augment": task.augment}),)


WAYS = (
    Way("float"),
    Way("int8", lambda task: INT8),
    Way("trained on → int8", lambda task: (*repair(task), *INT8)),
    Way("int8 QAT", lambda task: (*INT8, *trained(task))),
    Way("int4 weights, QAT", lambda task: (*INT4, *trained(task))),
    Way("channels pruned → int8", lambda task: (PRUNED, *repair(task), *INT8)),
    Way("weights pruned → int8", lambda task: (SPARSE, *repair(task), *INT8)),
    Way("clustered → int8", lambda task: (CLUSTERED, *repair(task, False), *INT8)),
    Way("factorized → int8", lambda task: (FACTORIZED, *repair(task), *INT8)),
    Way("channels pruned → distilled → int8 QAT", lambda task: (PRUNED, *repair(task), *INT8, *trained(task))),
    Way("weights pruned → clustered → int8 QAT",
        lambda task: (SPARSE, *repair(task), CLUSTERED, *repair(task, False), *INT8, *trained(task))),
    Way("Torch-Pruning → int8", lambda task: (*repair(task), *INT8), lambda task, seed: _torch_pruned(task, seed)),
    Way("Torch-Pruning → int8 QAT", lambda task: (*repair(task), *INT8, *trained(task)), lambda task, seed: _torch_pruned(task, seed)),
    Way("PyTorch PT2E, int8", accuracy=lambda task, seed: _pt2e(task, seed, 0)),
    Way("PyTorch PT2E QAT, int8", accuracy=lambda task, seed: _pt2e(task, seed, task.quantized_epochs), once=True),
)  # fmt: skip


def rows() -> list[dict[str, object]]:
    """One row a task and way, pieces that are there already taken from the folder."""
    torch.set_num_threads(1)
    return [_row(task, way, list(pieces(task, way))) for task in chain_tasks.TASKS for way in WAYS]


def pieces(task: Task, way: Way) -> Iterator[dict[str, Any]]:
    """What each seed came to."""
    for index, seed in enumerate(task.seeds[:1] if way.once else task.seeds):
        path = _folder(task) / f"{_file(way.name)}_{seed}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(_piece(task, way, seed, index == 0), indent=2) + "\n")
            os.replace(partial, path)
        yield json.loads(path.read_text())


def _file(name: str) -> str:
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name).split())


def _row(task: Task, way: Way, found: list[dict[str, Any]]) -> dict[str, object]:
    accuracies = [piece["accuracy %"] for piece in found]
    first = {key: value for key, value in found[0].items() if key not in ("accuracy %", "seconds")}
    spread = round(max(accuracies) - min(accuracies), 2) if len(accuracies) > 1 else None
    mean = round(float(np.mean(accuracies)), 2)
    return {"task": task.name, "way": way.name, "accuracy %": mean, "spread": spread, "first seed %": accuracies[0], **first}


def _piece(task: Task, way: Way, seed: int, measured: bool) -> dict[str, Any]:
    """Accuracy on the test samples and, where it is ``measured``, what the network costs on the device."""
    started = time.perf_counter()
    train, test = task.data()
    if way.accuracy is not None:
        return {"accuracy %": way.accuracy(task, seed), "seconds": round(time.perf_counter() - started)}
    floating = edgewright.load(_network(task, seed), [task.example()])
    teacher = run_recipe(floating, RECIPES["clean"], Context(data=train.take(slice(CALIBRATION))))
    if way.steps is None:
        size = {"MACs": cost(teacher).macs, "flash B": 4 * cost(teacher).parameters}
        return {"accuracy %": _accuracy(teacher, test), **size, "seconds": round(time.perf_counter() - started)}
    start = teacher if way.start is None else way.start(task, seed)
    graph = _applied(task, way, start, train, teacher, seed)
    board = load_target(TARGET)
    integer = integer_graph(graph, board, Context(target=board))
    found: dict[str, Any] = {"accuracy %": _accuracy(integer, test), "MACs": cost(graph).macs}
    if measured:
        run = edgewright.measure(make_program(integer, board), Data(tuple(array[:1] for array in test.inputs)))
        found |= {"flash B": run.flash_bytes, "RAM B": run.ram_bytes, "M4 instructions": run.instructions_per_inference}
    return {**found, "seconds": round(time.perf_counter() - started)}


def _applied(task: Task, way: Way, graph: Graph, train: Data, teacher: Graph, seed: int) -> Graph:
    """``graph`` after the steps of ``way``: those that learn get all of ``train`` and are kept, the others CALIBRATION samples of it."""
    assert way.steps is not None
    few, board, done = train.take(slice(CALIBRATION)), load_target(TARGET), ["ours" if way.start is None else "torch_pruning", str(seed)]
    for step in way.steps(task):
        done.append(f"{step.name} {sorted(step.options.items())}")
        learns = step.name in LEARNING
        path = _folder(task) / "graphs" / f"{hashlib.sha256(repr(done).encode()).hexdigest()[:16]}.npz"
        if learns and path.exists():
            graph = load_graph(path)
            continue
        ctx = Context(data=train if learns else few, target=board, seed=seed, teacher=teacher)
        graph = run_recipe(graph, Recipe(step.name, (step,)), ctx)
        if learns:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_graph(graph, path)
    return graph


def _folder(task: Task) -> Path:
    return FOLDER / _file(task.name)


def _accuracy(graph: Graph, test: Data) -> float:
    right = real_outputs(graph, test)[0].reshape(test.count, -1).argmax(1) == test.labels
    return round(100 * float(np.mean(right)), 2)


@cache
def _network(task: Task, seed: int) -> nn.Module:
    """The float network of ``task``, trained where it does not come trained; kept."""
    network = task.network(seed)
    if not task.float_epochs:
        return network.eval()
    path = _folder(task) / f"float_{seed}.safetensors"
    if path.exists():
        network.load_state_dict(load_file(path))
        return network.eval()
    edgewright.train(
        ChannelsLast(network), task.data()[0], epochs=task.float_epochs, batch_size=64, learning_rate=task.rate, weight_decay=1e-2,
        schedule="one_cycle", augment=task.augment, seed=seed, cpu=True, folder=_folder(task) / f"float_{seed}", checkpoint_batches=100,
    )  # fmt: skip
    save_file(network.state_dict(), path.with_suffix(".partial"))
    os.replace(path.with_suffix(".partial"), path)
    return network.eval()


def _torch_pruned(task: Task, seed: int) -> Graph:
    """Torch-Pruning's network at the share of channels that first meets the budget, batch norm in place."""
    _network(task, seed)
    whole = cost(_cleaned(edgewright.load(_network(task, seed), [task.example()]))).macs
    for share in np.arange(0.1, 0.6, 0.01):
        network = task.normalized(seed)
        if task.float_epochs:
            network.load_state_dict(_network(task, seed).state_dict())
        importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        pruner = torch_pruning.pruner.BasePruner(
            network.eval(), task.example(), importance=importance, pruning_ratio=float(share), ignored_layers=last
        )
        pruner.step()
        graph = edgewright.load(network.eval(), [task.example()])
        if cost(_cleaned(graph)).macs <= BUDGET * whole:
            return graph
    raise AssertionError("no share of channels meets the budget")


def _cleaned(graph: Graph) -> Graph:
    return run_recipe(graph, Recipe("clean", CLEAN), Context())


def _pt2e(task: Task, seed: int, epochs: int) -> float:
    """Accuracy in percent of PyTorch's int8 network; ``epochs`` of quantization-aware training, 0: calibrated alone."""
    from torchao.quantization.pt2e import allow_exported_model_train_eval, move_exported_model_to_eval, move_exported_model_to_train
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
    from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    train, test = task.data()
    source = task.normalized(seed)
    if task.float_epochs:
        source.load_state_dict(_network(task, seed).state_dict())
    sizes = {0: torch.export.Dim("batch")}
    example = torch.cat([task.example()] * 2)
    module = torch.export.export(source.train(epochs > 0), (example,), dynamic_shapes=(sizes,)).module()
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_qat=epochs > 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = (prepare_qat_pt2e if epochs else prepare_pt2e)(module, quantizer)
    first = torch.from_numpy(train.inputs[0][:CALIBRATION]).permute(0, 3, 1, 2)
    if epochs:
        allow_exported_model_train_eval(prepared)
        move_exported_model_to_train(prepared)
        teacher = _cleaned(edgewright.load(_network(task, seed), [task.example()]))
        edgewright.train(
            ChannelsLast(prepared), train, epochs=epochs, batch_size=64, learning_rate=task.pt2e_rate, schedule="one_cycle",
            augment=task.augment, teacher=teacher, terms=chain_tasks.TERMS, seed=seed, cpu=True,
        )  # fmt: skip
        move_exported_model_to_eval(prepared)
    else:
        prepared(first)
    network = convert_pt2e(prepared)
    with torch.no_grad():
        answers = [network(torch.from_numpy(part).permute(0, 3, 1, 2)).argmax(1).numpy() for part in np.array_split(test.inputs[0], 20)]
    return round(100 * float(np.mean(np.concatenate(answers) == test.labels)), 2)
