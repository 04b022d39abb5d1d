"""Other runtimes on what is emitted: ONNX Runtime (agreement, and speed against float), LiteRT, and Vela for the Ethos-U.

Times are the least of several runs, the candidates in turn, one thread; read the ratios, not the milliseconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.cases import CASES, mobilenet_quantized, real_photographs
from benchmarks.networks import imagenet_inputs
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.run.litert import run_litert
from edgewright.run.onnxruntime import VNNI, run_onnxruntime
from edgewright.run.vela import run_vela

NPU = "ethos-u55-128"
ROUNDS, REPEATS = 12, 8
"""The candidates take turns in ``ROUNDS`` rounds, so that a slower spell of the machine meets all of them."""


def rows() -> list[dict[str, object]]:
    """Agreement of each network in each runtime, then the speed of MobileNetV2, then Vela's verdict on it."""
    found: list[dict[str, object]] = []
    for name in CASES:
        case = CASES[name]()
        inputs = case.inputs(100)
        expected = evaluate(case.graph, inputs)
        for runtime, outputs in (
            ("ONNX Runtime, uint8", run_onnxruntime(emit_onnx(case.graph, activations="uint8"), inputs).outputs),
            ("ONNX Runtime, int8", run_onnxruntime(emit_onnx(case.graph, activations="int8"), inputs).outputs),
            ("ONNX Runtime, exact integers", run_onnxruntime(emit_onnx(case.graph, activations="exact"), inputs).outputs),
            ("LiteRT, XNNPACK", run_litert(emit_tflite(case.graph), inputs, kernels="xnnpack").outputs),
            ("LiteRT, reference", run_litert(emit_tflite(case.graph), inputs, kernels="reference").outputs),
        ):
            found.append({"network": name, "runtime": runtime, "samples": len(inputs[0]), **_agreement(expected[0], outputs[0])})
    return found + speed() + npu()


def _agreement(expected: npt.NDArray[np.generic], outputs: npt.NDArray[np.generic]) -> dict[str, object]:
    steps = np.abs(expected.astype(np.int64) - outputs.reshape(expected.shape).astype(np.int64))
    same = expected.reshape(len(expected), -1).argmax(1) == outputs.reshape(len(expected), -1).argmax(1)
    return {
        "largest difference, steps": int(steps.max()),
        "equal outputs %": round(100 * float(np.mean(steps == 0)), 2),
        "same answer %": round(100 * float(np.mean(same)), 2),
    }


def speed() -> list[dict[str, object]]:
    """MobileNetV2 at 224 in ONNX Runtime, one image at a time: the emitted float model against the emitted int8 ones."""
    result = mobilenet_quantized(224)
    pixels = [imagenet_inputs(real_photographs(224)[:1])]
    integers = quantize_inputs(result.graph, pixels)
    files = {
        "float": (emit_onnx(result.source), pixels),
        "uint8 activations": (emit_onnx(result.graph, activations="uint8"), integers),
        "int8 activations": (emit_onnx(result.graph, activations="int8"), integers),
        "exact integers": (emit_onnx(result.graph, activations="exact"), integers),
    }
    seconds = dict.fromkeys(files, float("inf"))
    for _ in range(ROUNDS):
        for name, (model, inputs) in files.items():
            run = run_onnxruntime(model, inputs, optimization="all", repeats=REPEATS)
            seconds[name] = min(seconds[name], run.seconds_per_inference or float("inf"))
    kind = "a CPU with VNNI" if set(VNNI) & set(Path("/proc/cpuinfo").read_text(errors="replace").split()) else "a CPU without VNNI"
    rows: list[dict[str, object]] = []
    for name, value in seconds.items():
        times = round(seconds["float"] / value, 2)
        rows.append(
            {
                "network": "mobilenet_v2_224",
                "runtime": f"ONNX Runtime, {name}, {kind}",
                "bytes": sum(map(len, files[name][0].values())),
                "ms": round(1000 * value, 2),
                "times as fast as float": times,
            }
        )
    return rows


def npu() -> list[dict[str, object]]:
    """Vela on the emitted int8 MobileNetV2: operators on the NPU and on the CPU."""
    result = mobilenet_quantized(224)
    verdict = run_vela(emit_tflite(result.graph), NPU)
    row: dict[str, object] = {"network": "mobilenet_v2_224", "runtime": f"Vela, {NPU}", "operators on the NPU": verdict.npu_operators}
    return [row | {"operators on the CPU": verdict.cpu_operators, "cycles": verdict.cycles}]
