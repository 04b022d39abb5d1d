"""Mixed precision by layer under budgets of bytes and of time, and the same widths everywhere, for Cortex-M4.

ic_float (ResNet-8, CIFAR-10): 500 training images to calibrate, no labels; widths were chosen by what the answers lose on 128 of them,
budgets are given in advance; judged on 10,000 images. "as 3 bits": mixed within the bytes of 3 bits everywhere; "int16 within 1.1x": some
activations of int16, for at most 1.1 times the time of int8 ones. MobileNetV2 (ImageNet's, with a head for CIFAR-10): int8 weights, the
nearest integers; 128 training images to calibrate, 500 test images.
"""

from __future__ import annotations

import time

import numpy as np

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from benchmarks.transfer import samples, transferred
from edgewright.costs import cost_functions, known_costs, layer_cost_functions
from edgewright.data import Data
from edgewright.evaluation.outputs import real_outputs
from edgewright.ir.dtype import DType
from edgewright.passes import load_passes
from edgewright.passes.precision.bit_widths import no_bits
from edgewright.passes.precision.mixed_widths import width_front
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.search.precision import precision_front
from edgewright.steps import integer_graph, run_recipe
from edgewright.targets.target import load_target

SAMPLES = 500
WIDTHS = "2,3,4,8"
TIMES = (1.0, 1.02, 1.05, 1.1, 1.25)
TARGET = load_target("cortex-m4")
MEASURED = 32
"""Samples on which MobileNetV2's activations are rounded one at a time."""


def rows() -> list[dict[str, object]]:
    """One row a network: widths by layer, bytes of weights as packed, arena, modelled time, accuracy in percent and in points."""
    load_passes()
    return [*_resnet8(), *_mobilenet()]


def _resnet8() -> list[dict[str, object]]:
    cifar = cifar10()
    test = Data((cifar.test_inputs.astype(np.float32),), cifar.test_labels)
    graph = edgewright.load(model_path("mlperf_tiny/ic_float.tflite"))
    reference = 100 * float(np.mean(real_outputs(graph, test)[0].argmax(1) == test.labels))
    started = time.perf_counter()
    data = Data((cifar.train_inputs[:SAMPLES].astype(np.float32),))
    points = precision_front(graph, TARGET, data=data, test=test, widths=WIDTHS, drop=0.007)
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
                "bits by layer": " ".join(f"{bits}/16" if layer in point.wide else str(bits) for layer, bits in point.bits.items()),
                "layers of int16": len(point.wide),
                "arena": int(point.costs["arena_bytes"]),
                "cycles, of int8's": round(point.time / eight.time, 3),
                "accuracy %": round(accuracy, 2),
                "against float": round(accuracy - reference, 2),
                "against int8": round(accuracy - 100 * (eight.accuracy or 0.0), 2),
                "agrees with float %": round(100 * (point.agreement or 0.0), 2),
                "on the front": "yes" if point.undominated else "",
            }
        )
    found[0]["seconds for all"] = round(seconds, 1)
    return found


def _mobilenet() -> list[dict[str, object]]:
    cifar = cifar10()
    data, test = (
        samples("mobilenet_v2", cifar.train_inputs[40_000:40_128]),
        samples("mobilenet_v2", cifar.test_inputs[:500], cifar.test_labels[:500]),
    )
    ctx = Context(data=data, target=TARGET, costs=cost_functions(TARGET), layer_costs=layer_cost_functions(TARGET))
    clean = run_recipe(transferred("mobilenet_v2"), load_recipe("clean"), ctx)
    started = time.perf_counter()
    front = width_front(no_bits(clean, [DType.INT8]), ctx, MEASURED)
    chosen = {f"int16 within {limit:g}x" if limit > 1 else "int8": front.within(np.inf, limit * front.int8_time) for limit in TIMES}
    seconds = time.perf_counter() - started
    reference = real_outputs(clean, test)[0]
    base = 100 * float(np.mean(reference.argmax(1) == test.labels))
    found: list[dict[str, object]] = []
    for name, widths in {**chosen, "int16 everywhere": front.wide()}.items():
        graph = integer_graph(front.apply(widths, Context(data=data, target=TARGET)), TARGET, Context(target=TARGET))
        outputs, costs = real_outputs(graph, test)[0], known_costs(graph, TARGET)
        accuracy = 100 * float(np.mean(outputs.argmax(1) == test.labels))
        found.append(
            {
                "network": f"MobileNetV2 96, {name}",
                "layers of int16": len(front.widths_of(widths)[1]),
                "arena": int(costs["arena_bytes"]),
                "cycles, of int8's": round(costs["cycles"] / float(str(found[0]["cycles"])) if found else 1.0, 3),
                "cycles": int(costs["cycles"]),
                "accuracy %": round(accuracy, 2),
                "against float": round(accuracy - base, 2),
                "against int8": round(accuracy - float(str(found[0]["accuracy %"])) if found else 0.0, 2),
                "agrees with float %": round(100 * float(np.mean(outputs.argmax(1) == reference.argmax(1))), 2),
            }
        )
    found[0]["seconds for all"] = round(seconds, 1)
    return found
