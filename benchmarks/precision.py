"""Mixed precision on ic_float (ResNet-8, CIFAR-10): bits by layer under a budget, and the same bits everywhere, judged on 10,000 images.

500 training images to calibrate, no labels. Bits were chosen by what the answers lose on 128 of them, budgets are given in advance.
"""

from __future__ import annotations

import time

import numpy as np

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from edgewright.data import Data
from edgewright.evaluation.outputs import real_outputs
from edgewright.passes import load_passes
from edgewright.search.precision import precision_front
from edgewright.targets.target import load_target

SAMPLES = 500
WIDTHS = "2,3,4,8"


def rows() -> list[dict[str, object]]:
    """One row a network: bytes of weights as packed, bits by layer, accuracy in percent, points against float and against int8."""
    load_passes()
    cifar = cifar10()
    test = Data((cifar.test_inputs.astype(np.float32),), cifar.test_labels)
    graph = edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))
    reference = 100 * float(np.mean(real_outputs(graph, test)[0].argmax(1) == test.labels))
    started = time.perf_counter()
    data = Data((cifar.train_inputs[:SAMPLES].astype(np.float32),))
    points = precision_front(graph, load_target("cortex-m4"), data=data, test=test, widths=WIDTHS, drop=0.007)
    seconds = time.perf_counter() - started
    eight = next(point for point in points if point.name == "uniform, 8 bits")
    found: list[dict[str, object]] = []
    for point in points:
        accuracy = 100 * (point.accuracy or 0.0)
        found.append(
            {
                "network": f"ic_float, {point.name}",
                "bytes of weights": point.weight_bytes,
                "of int8": round(point.weight_bytes / eight.weight_bytes, 3),
                "bits by layer": " ".join(map(str, point.bits.values())),
                "accuracy %": round(accuracy, 2),
                "against float": round(accuracy - reference, 2),
                "against int8": round(accuracy - 100 * (eight.accuracy or 0.0), 2),
                "agrees with float %": round(100 * (point.agreement or 0.0), 2),
                "on the front": "yes" if point.undominated else "",
            }
        )
    found[0]["seconds for all"] = round(seconds, 1)
    return found
