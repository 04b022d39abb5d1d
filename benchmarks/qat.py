"""Quantization-aware training of ic_float (ResNet-8, CIFAR-10), one seed, a schedule fixed beforehand, judged on the 10,000 test images.

The last column counts outputs, over all test images, in which the module that was trained and the integer program differ. The bars are
PyTorch's straight-through training of the same network, 2 epochs: W8A8 87.54 %, W4A8 86.54 %. w2a8-qat leaves the first and the last layers
at int8, w4a8-qat none. A run that was stopped goes on from build/benchmarks/qat.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.passes.registry import Context
from edgewright.recipe import RECIPES
from edgewright.report.accuracy import real_outputs
from edgewright.steps import run_recipe
from edgewright.targets.target import load_target
from edgewright.train.module import to_module

FOLDER = Path("build/benchmarks/qat")
EPOCHS = {"w8a8-qat": 2, "w4a8-qat": 2, "w2a8-qat": 2}
CALIBRATION = 500
BARS = {"w8a8-qat": 87.54, "w4a8-qat": 86.54}
BATCH = 500


def rows() -> list[dict[str, object]]:
    """One row a recipe: accuracy before and after training, against float and the bar, differences from the device."""
    cifar = cifar10()
    training = Data((cifar.train_inputs.astype(np.float32),), cifar.train_labels)
    test = Data((cifar.test_inputs.astype(np.float32),), cifar.test_labels)
    floating = edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))
    reference = _accuracy(real_outputs(floating, test)[0], test)
    found: list[dict[str, object]] = [{"recipe": "float", "accuracy %": reference}]
    for name in EPOCHS:
        found.append(_row(name, floating, training, test, reference))
    return found


def _row(name: str, floating: Graph, training: Data, test: Data, reference: float) -> dict[str, object]:
    """Calibration takes few images, training all of them."""
    recipe = RECIPES[name]
    before, after = (type(recipe)(name, steps) for steps in (recipe.steps[:-1], recipe.steps[-1:]))
    options: dict[str, bool | int | float | str] = {"epochs": EPOCHS[name], "labels": 1.0, "augment": "flip,shift"}
    started = time.perf_counter()
    start = run_recipe(floating, before, Context(data=training.take(slice(CALIBRATION)), teacher=floating))
    ctx = Context(data=training, teacher=floating, checkpoints=FOLDER)
    trained = run_recipe(start, after.with_options("train_quantized", **options), ctx)
    seconds = time.perf_counter() - started
    (device,), ours = _device(trained, test), _simulated(trained, test)
    accuracy = _accuracy(device, test)
    return {
        "recipe": name,
        "epochs": EPOCHS[name],
        "before training %": _accuracy(_device(start, test)[0], test),
        "accuracy %": accuracy,
        "against float": round(accuracy - reference, 2),
        "PyTorch straight-through %": BARS.get(name),
        "seconds": round(seconds),
        "outputs other than the device's": int(np.count_nonzero(device != ours)),
    }


def _device(graph: Graph, test: Data) -> list[np.ndarray]:
    integer = lower_integer(graph, load_target("cortex-m4"))
    return list(dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, test.inputs))))


def _simulated(graph: Graph, test: Data) -> np.ndarray:
    module = to_module(graph).eval()
    with torch.no_grad():
        parts = [module(torch.from_numpy(part)) for part in np.array_split(test.inputs[0], max(1, test.count // BATCH))]
    return np.concatenate([part.numpy() for part in parts])


def _accuracy(outputs: np.ndarray, test: Data) -> float:
    return round(100 * float(np.mean(outputs.reshape(test.count, -1).argmax(1) == test.labels)), 2)
