"""Accuracy of int8 networks against their float originals, on data that calibration never saw.

ic_int8 and ic_float on the 10,000 CIFAR-10 test images (ic_float quantized with 500 training images, per range method); MobileNetV2 at 224
on 20 labelled ImageNet images, and agreement with float on photographs.
"""

from __future__ import annotations

import time

import numpy as np

import edgewright
from benchmarks.cases import mobilenet_quantized, model_path, photograph_crops
from benchmarks.data import cifar10, imagenet_samples
from benchmarks.networks import imagenet_inputs
from edgewright.data import Data
from edgewright.ir.graph import Graph
from edgewright.recipe import load_recipe
from edgewright.report.accuracy import real_outputs

PUBLISHED = {"ic_int8": 86.97, "ic_float": 87.19}


def rows() -> list[dict[str, object]]:
    """One row a network and setting; accuracies in percent."""
    data = cifar10()
    test = Data((data.test_inputs.astype(np.float32),), data.test_labels)
    found: list[dict[str, object]] = []
    started = time.perf_counter()
    imported = edgewright.load(model_path("mlperf_tiny/ic_int8.tflite"))
    accuracy = _accuracy(imported, test)
    found.append(
        {
            "network": "ic_int8 as imported",
            "images": test.count,
            "accuracy %": accuracy,
            "published %": PUBLISHED["ic_int8"],
            "seconds": round(time.perf_counter() - started, 1),
        }
    )
    floating = edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))
    reference = _accuracy(floating, test)
    found.append({"network": "ic_float", "images": test.count, "accuracy %": reference, "published %": PUBLISHED["ic_float"]})
    for ranges in ("minmax", "percentile", "mse"):
        recipe = load_recipe("w8a8").with_options("quantize_static", ranges=ranges)
        result = edgewright.optimize(floating, recipe=recipe, data=data.train_inputs[:500])
        accuracy = _accuracy(result.graph, test)
        against = round(accuracy - reference, 2)
        found.append({"network": f"ic_float w8a8 {ranges}", "images": test.count, "accuracy %": accuracy, "against float": against})
    return found + _mobilenet()


def _mobilenet() -> list[dict[str, object]]:
    result = mobilenet_quantized(224)
    images, labels = imagenet_samples(224)
    labelled = Data((imagenet_inputs(images),), labels)
    photographs = Data((imagenet_inputs(photograph_crops(224, 250)[50:]),))
    before, after = (_accuracy(graph, labelled) for graph in (result.source, result.graph))
    same = [_answers(graph, photographs) for graph in (result.source, result.graph)]
    found: list[dict[str, object]] = [
        {"network": "mobilenet_v2 224 float", "images": labelled.count, "accuracy %": before},
        {"network": "mobilenet_v2 224 w8a8", "images": labelled.count, "accuracy %": after, "against float": round(after - before, 2)},
        {
            "network": "mobilenet_v2 224 w8a8, same answer as float",
            "images": photographs.count,
            "accuracy %": round(100 * float(np.mean(same[0] == same[1])), 2),
        },
    ]
    return found


def _answers(graph: Graph, data: Data) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return real_outputs(graph, data)[0].argmax(axis=1)


def _accuracy(graph: Graph, data: Data) -> float:
    return round(100 * float(np.mean(_answers(graph, data) == data.labels)), 2)
