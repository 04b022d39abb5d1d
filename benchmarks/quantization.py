"""Post-training quantization of ic_float (ResNet-8, CIFAR-10), 500 training images to calibrate and no labels: ours beside ONNX Runtime's.

Accuracy on the 10,000 test images by the integer arithmetic of the device (ours), or by ONNX Runtime in float on the quantized values
(theirs, so that its own int8 kernels play no part). Settings were chosen by agreement with the float network on other training images.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.ir.graph import Graph
from edgewright.recipe import Recipe, Step, load_recipe
from edgewright.report.accuracy import real_outputs
from edgewright.run.onnxruntime import run_onnxruntime

SAMPLES = 500
WIDTHS = ("w8a8-rounded", "w4a8", "w4a4", "w3a8")


def rows() -> list[dict[str, object]]:
    """One row a method: width, accuracy in percent, points against float, bytes of weights, seconds."""
    cifar = cifar10()
    calibration = cifar.train_inputs[:SAMPLES]
    test = Data((cifar.test_inputs.astype(np.float32),), cifar.test_labels)
    floating = edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))
    reference = _accuracy(real_outputs(floating, test)[0], test)
    found: list[dict[str, object]] = [{"network": "ic_float", "method": "float", "accuracy %": reference}]
    recipes = [load_recipe("w8a8")]
    for name in WIDTHS:
        recipes += [_nearest(load_recipe(name)), load_recipe(name)] if name != "w8a8-rounded" else [load_recipe(name)]
    recipes += [_named("w4a8", "GPTQ", Step("round_weights", {"method": "gptq"}))]
    recipes += [_named("w4a8", "AdaRound", Step("learn_rounding"), Step("correct_biases"))]
    recipes += [load_recipe("w4a4-blocks"), _named("w3a8", "blocks", Step("reconstruct_blocks", {"drop": 0.0}))]
    for recipe in recipes:
        started = time.perf_counter()
        graph = edgewright.optimize(floating, recipe=recipe, data=calibration, formats=["c"]).graph
        seconds = time.perf_counter() - started
        found.append(_row(recipe.name, _accuracy(real_outputs(graph, test)[0], test), reference, _weights(graph), seconds))
    return [*found, *_onnxruntime(floating, calibration.astype(np.float32), test, reference)]


def _row(method: str, accuracy: float, reference: float, weights: int | None, seconds: float) -> dict[str, object]:
    against = round(accuracy - reference, 2)
    row: dict[str, object] = {"network": "ic_float", "method": method, "accuracy %": accuracy, "against float": against}
    return row | {"bytes of weights": weights, "seconds": round(seconds, 1)}


def _nearest(recipe: Recipe) -> Recipe:
    """``recipe`` without the step that rounds by outputs."""
    return Recipe(f"{recipe.name}, nearest integers", tuple(step for step in recipe.steps if step.name != "round_weights"))


def _named(name: str, method: str, *steps: Step) -> Recipe:
    """Recipe ``name`` with ``steps`` in place of the one that rounds by outputs."""
    recipe = load_recipe(name)
    return Recipe(f"{name}, {method}", (*(step for step in recipe.steps if step.name != "round_weights"), *steps))


def _weights(graph: Graph) -> int:
    return sum(graph.value(node.inputs[index]).bytes for node in graph.nodes for index in node.op.weight_inputs)


def _accuracy(outputs: npt.NDArray[np.generic], test: Data) -> float:
    return round(100 * float(np.mean(outputs.reshape(test.count, -1).argmax(1) == test.labels)), 2)


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Images, 50 at a time, as ONNX Runtime asks for them."""

    def __init__(self, name: str, images: npt.NDArray[np.float32]) -> None:
        self._feeds: Iterator[dict[str, npt.NDArray[np.float32]]] = ({name: images[i : i + 50]} for i in range(0, len(images), 50))

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        return next(self._feeds, None)


def _onnxruntime(graph: Graph, images: npt.NDArray[np.float32], test: Data, reference: float) -> list[dict[str, object]]:
    """ONNX Runtime's static quantization: uint8 activations, int8 or int4 weights per channel, minmax."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "float.onnx")
        (contents,) = emit_onnx(graph).values()
        source.write_bytes(contents)
        pictures = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        for name, kind in (("w8a8", QuantType.QInt8), ("w4a8", QuantType.QInt4)):
            result = Path(folder, f"{name}.onnx")
            reader = Reader(graph.inputs[0], pictures)
            started = time.perf_counter()
            quantize_static(source, result, reader, per_channel=True, activation_type=QuantType.QUInt8, weight_type=kind)
            seconds = time.perf_counter() - started
            outputs = run_onnxruntime({"m.onnx": result.read_bytes()}, test.inputs, optimization="float").outputs
            found.append(_row(f"ONNX Runtime {name}, nearest integers", _accuracy(outputs[0], test), reference, None, seconds))
    return found
