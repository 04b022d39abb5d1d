"""ResNet-8 (ic_float of MLPerf Tiny) on CIFAR-10 at half of its multiply-accumulates: pruned, refitted, trained on; beside Torch-Pruning.

45,000 training images (the other 5,000 are for choices), accuracy on the 10,000 test images by float evaluation, one seed. Before training:
several ways to choose channels, with and without refitting the layers to the old outputs on 1,024 images; and a block removed first. Then
batch norm is put back, and the network learns from labels and from the answers of the unpruned one, flipped and shifted images, one cycle
of the learning rate. Torch-Pruning 1.6 (group L2 norm, the same share of every layer) gets batch norm back in the same way and the same
training. Costs are those of the int8 network on Cortex-M4. What is removed, optimizer and rate were chosen after eight or ten epochs, on
the 5,000 images, which the network that came has seen: they flatter what fits the training images closely. The long training takes all
50,000, as that of the network that came did. It takes 90 minutes of a core; a run that was stopped goes on from build/benchmarks/pruning.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch_pruning
from torch import nn

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from benchmarks.networks import ChannelsLast, resnet8
from edgewright.costs import cost_functions
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.ops.batch_norm import BatchNorm
from edgewright.ops.cost import cost
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.report.accuracy import real_outputs
from edgewright.steps import run_recipe
from edgewright.targets.target import load_target
from edgewright.train.distillation import Labels, Logits

FOLDER = Path("build/benchmarks/pruning")
TRAINED, SAMPLES = 45_000, 1024
EPOCHS, LONG = 10, 180
"""Of training: beside Torch-Pruning on the images that are not held out; and of ours alone on all 50,000."""
CHOSEN, KEPT = "reconstruction", 0.75
"""What is trained: the importance of its channels, and the share of the multiply-accumulates that removing blocks leaves before."""
MUON: Mapping[str, Any] = {"optimizer": "muon", "learning_rate": 6e-3, "weight_decay": 0.0}
SGD: Mapping[str, Any] = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4}
TARGET = "cortex-m4"
BUDGET = 0.5


def rows() -> list[dict[str, object]]:
    """One row a method; ratios are against the float network."""
    dense = _row("float network", _network(), 0)
    found = [dense]
    ways = (("l2", "local", False), ("l2", "local", True), ("taylor", "global", False), ("taylor", "global", True),
            ("reconstruction", "global", True))  # fmt: skip
    for importance, scope, refitted in ways:
        found.append(_pruned(f"{importance}, {scope}{', refitted' if refitted else ''}", importance, scope, refitted))
    found.append(_pruned("taylor, global, to half of the cycles, refitted", "taylor", "global", True, cost="cycles"))
    found.append(_pruned("taylor, global, to half of the flash, refitted", "taylor", "global", True, cost="flash_bytes"))
    found.append(_blocks())
    ours = _ours()
    found.append(_row(f"ours: remove_blocks to 3/4, then {CHOSEN}, global, refitted", ours, 0))
    found.append(_row(f"ours, {EPOCHS} epochs by Muon", *_trained("ours", ours, EPOCHS)))
    found.append(_row(f"ours, {EPOCHS} epochs by SGD", *_trained("sgd", ours, EPOCHS, SGD)))
    found.append(_row(f"ours, {LONG} epochs by SGD, all images", *_trained("whole", ours, LONG, SGD, images=None)))
    found.append(_row(f"Torch-Pruning (L2, uniform), {EPOCHS} epochs", *_torch_pruned(EPOCHS)))
    for row in found[1:]:
        for name in ("MACs", "M4 cycles", "flash B", "arena B"):
            row[f"{name} ratio"] = round(float(str(row[name])) / float(str(dense[name])), 3)
    return found


@cache
def _network() -> Graph:
    return edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))


@cache
def _data() -> tuple[Data, Data]:
    """Training images, those held out at their end, and test images."""
    data = cifar10()
    train = Data((data.train_inputs.astype(np.float32),), data.train_labels)
    return train, Data((data.test_inputs.astype(np.float32),), data.test_labels)


def _context() -> Context:
    target = load_target(TARGET)
    return Context(data=_data()[0].take(slice(0, SAMPLES)), target=target, costs=cost_functions(target))


def _ours() -> Graph:
    """Blocks removed, then channels, to the budget of all."""
    options = {"importance": CHOSEN, "scope": "global", "refit_layers": True}
    return load_passes()["prune_channels"].function(_without_blocks(), _context(), budget=BUDGET * cost(_network()).macs, **options)


@cache
def _without_blocks() -> Graph:
    return load_passes()["remove_blocks"].function(_network(), _context(), budget=KEPT)


def _pruned(name: str, importance: str, scope: str, refitted: bool, **options: object) -> dict[str, object]:
    started = time.perf_counter()
    prune = load_passes()["prune_channels"].function
    graph = prune(_network(), _context(), budget=BUDGET, importance=importance, scope=scope, refit_layers=refitted, **options)
    return _row(name, graph, 0, time.perf_counter() - started)


def _blocks() -> dict[str, object]:
    started = time.perf_counter()
    return _row("remove_blocks to 3/4, refitted", _without_blocks(), 0, time.perf_counter() - started)


def _row(name: str, graph: Graph, epochs: int, seconds: float | None = None) -> dict[str, object]:
    test, costs = _data()[1], _context().costs
    right = real_outputs(graph, test)[0].argmax(1) == test.labels
    return {
        "method": name,
        "epochs": epochs,
        "test accuracy %": round(100 * float(np.mean(right)), 2),
        "MACs": cost(graph).macs,
        "parameters": cost(graph).parameters,
        "M4 cycles": round(costs["cycles"](graph)),
        "flash B": round(costs["flash_bytes"](graph)),
        "arena B": round(costs["arena_bytes"](graph)),
        "channels": " ".join(str(graph.value(node.outputs[0]).shape[-1]) for node in graph.nodes if node.op.kind == "Conv2D"),
        "seconds": None if seconds is None else round(seconds),
    }


def _trained(name: str, graph: Graph, epochs: int, optimizer: Mapping[str, Any] = MUON, images: int | None = TRAINED) -> tuple[Graph, int]:
    module = edgewright.to_module(load_passes()["insert_batchnorm"].function(graph, _context()))
    _train(module, f"{name}_{epochs}", epochs, optimizer, images)
    return _folded(edgewright.from_module(module)), epochs


def _train(module: nn.Module, name: str, epochs: int, optimizer: Mapping[str, Any] = MUON, images: int | None = TRAINED) -> None:
    samples = _data()[0].take(slice(images))
    edgewright.train(
        module, samples, epochs=epochs, batch_size=128, schedule="one_cycle", augment="flip,shift", teacher=_network(),
        terms=(Logits(4.0), Labels(1.0)), folder=FOLDER / name, checkpoint_batches=100, precision="bf16", cpu=True, **optimizer,
    )  # fmt: skip


def _folded(graph: Graph) -> Graph:
    return run_recipe(graph, load_recipe("clean"), Context(data=_context().data))


def _torch_pruned(epochs: int) -> tuple[Graph, int]:
    """Torch-Pruning's network at the share of channels that first meets the budget."""
    example = torch.zeros(1, 3, 32, 32)
    for share in np.arange(0.2, 0.5, 0.01):
        network = normalized_resnet8()
        pruner = torch_pruning.pruner.BasePruner(
            network, example, importance=torch_pruning.importance.GroupMagnitudeImportance(p=2), pruning_ratio=float(share),
            ignored_layers=[network.dense],
        )  # fmt: skip
        pruner.step()
        if cost(_folded(edgewright.load(network.eval(), [example]))).macs <= BUDGET * cost(_network()).macs:
            break
    _train(ChannelsLast(network), f"torch_pruning_{epochs}", epochs)
    return _folded(edgewright.load(network.eval(), [example])), epochs


def normalized_resnet8() -> nn.Module:
    """The torch form of the network with batch norm put back as :func:`insert_batchnorm` does it."""
    path = model_path("mlperf_tiny/ic_float.tflite")
    network = resnet8(path)
    graph = load_passes()["insert_batchnorm"].function(_network(), _context())
    norms = [node for node in graph.nodes if isinstance(node.op, BatchNorm)]
    convolutions = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    for (name, layer), node in zip(convolutions, norms, strict=True):
        source = graph.producers[node.inputs[0]]
        norm = nn.BatchNorm2d(layer.out_channels, eps=node.op.epsilon)  # type: ignore[attr-defined]
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(graph.array(source.inputs[1]).transpose(0, 3, 1, 2).copy()))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(graph.array(source.inputs[2]).copy()))
            for tensor, constant in zip((norm.weight, norm.bias, norm.running_mean, norm.running_var), node.inputs[1:], strict=True):
                assert tensor is not None
                tensor.copy_(torch.from_numpy(graph.array(constant).copy()))
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, nn.Sequential(layer, norm))
    return network
