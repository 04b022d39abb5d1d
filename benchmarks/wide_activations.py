"""int16 activations beside int8 ones: agreement with the float network, accuracy, flash, arena and instructions on Cortex-M4.

ic_float (ResNet-8, CIFAR-10): 500 training images to calibrate, the first 1,000 test images. The spoken-digits example: its calibration and
test samples. kws_float (DS-CNN): the one utterance at hand and random feature maps, without labels. "mixed" is w8a8 whose two activations
that lose most are int16. Bytes are compared with TensorFlow Lite Micro's on 20 samples, where it has the type.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import edgewright
from benchmarks.cases import dequantize_inputs, kws_sample, model_path
from benchmarks.data import cifar10
from edgewright.data import Data, load_data
from edgewright.emit.tflite import emit_tflite
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.recipe import Recipe, Step, load_recipe
from edgewright.report.accuracy import real_outputs
from edgewright.run.tflm import run_tflm

TARGET = "cortex-m4"
CALIBRATION, IMAGES, MAPS, COMPARED = 500, 1000, 300, 20
EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "spoken_digits"


def rows() -> list[dict[str, object]]:
    """A row for each network and recipe."""
    narrow = load_recipe("w8a8")
    mixed = Recipe("mixed", (*narrow.steps, Step("widen_activations")))
    recipes = [narrow, mixed, *(load_recipe(name) for name in ("w8a16", "w4a16", "w16a16"))]
    return [row for network in _networks() for row in _of(*network, recipes)]


def _networks() -> Iterator[tuple[str, Graph, Data, Data]]:
    """Name, float network, calibration, test."""
    cifar = cifar10()
    calibration = Data((cifar.train_inputs[:CALIBRATION].astype(np.float32),))
    images = Data((cifar.test_inputs[:IMAGES].astype(np.float32),), cifar.test_labels[:IMAGES])
    yield "ic_float", edgewright.load(model_path("mlperf_tiny/ic_float.tflite")), calibration, images
    imported = edgewright.load(model_path("mlperf_tiny/kws_int8.tflite"))
    random = np.random.default_rng(1).integers(-128, 128, (2 * MAPS, 49, 10, 1)).astype(np.int8)
    (maps,) = dequantize_inputs(imported, [np.concatenate([kws_sample(), random])])
    yield "kws_float", edgewright.load(model_path("mlperf_tiny/kws_float.tflite")), Data((maps[:MAPS],)), Data((maps[MAPS:],))
    digits = edgewright.load(EXAMPLE / "spoken_digits.onnx")
    yield "spoken digits", digits, load_data(EXAMPLE / "calibration.npz", digits), load_data(EXAMPLE / "test.npz", digits)


def _of(name: str, floating: Graph, calibration: Data, test: Data, recipes: list[Recipe]) -> list[dict[str, object]]:
    wanted = real_outputs(floating, test)[0].reshape(test.count, -1)
    found: list[dict[str, object]] = [{"network": name, "recipe": "float", "accuracy %": _accuracy(wanted, test)}]
    for recipe in recipes:
        result = edgewright.optimize(floating, recipe=recipe, data=calibration, target=TARGET, formats=["c"])
        assert result.program is not None
        got = real_outputs(result.graph, test)[0].reshape(test.count, -1)
        noise = float(np.square(got - wanted).mean() / np.square(wanted).mean())
        run = edgewright.measure(result.program, Data(tuple(array[:1] for array in test.inputs)))
        found.append({
            "network": name,
            "recipe": recipe.name,
            "accuracy %": _accuracy(got, test),
            "same answer as float %": round(100 * float((got.argmax(1) == wanted.argmax(1)).mean()), 2),
            "signal to noise dB": round(-10 * np.log10(max(noise, 1e-12)), 1),
            "flash": run.flash_bytes,
            "arena": result.program.plan.arena_bytes,
            "instructions": run.instructions_per_inference,
            "samples equal to TFLM": _equal(result.graph, test) if recipe.name != "w16a16" else "no such type",
        })
    return found


def _accuracy(outputs: np.ndarray, test: Data) -> float | None:
    return None if test.labels is None else round(100 * float((outputs.argmax(1) == test.labels).mean()), 2)


def _equal(graph: Graph, test: Data) -> int:
    """Samples whose bytes TensorFlow Lite Micro gives too."""
    arrays = quantize_inputs(graph, [array[:COMPARED] for array in test.inputs])
    pairs = zip(evaluate(graph, arrays), run_tflm(emit_tflite(graph), arrays).outputs, strict=True)
    return int(np.all([(ours.reshape(len(ours), -1) == theirs.reshape(len(ours), -1)).all(1) for ours, theirs in pairs], axis=0).sum())
