"""A network in one of the runtimes: our evaluation, the generated C here or on the emulated device, LiteRT, TFLM, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright import pipeline
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Graph, Level
from edgewright.ops.evaluate import dequantize_outputs, evaluate_in_order, quantize_inputs
from edgewright.run.litert import run_litert
from edgewright.run.onnxruntime import run_onnxruntime
from edgewright.run.tflm import run_tflm
from edgewright.targets.target import Target

RUNTIMES = ("evaluate", "host", "qemu", "litert", "xnnpack", "tflm", "onnxruntime")
NOT_DEVICES = ("litert", "xnnpack", "tflm", "onnxruntime")
"""Runtimes that may round otherwise than the device."""


def run_in(graph: Graph, reals: list[NDArray[np.float32]], runtime: str, board: Target) -> tuple[list[NDArray[Any]], list[str]]:
    """Real outputs of ``graph`` in ``runtime``, and what the runner has to say of them; samples of a network with states are one stream."""
    integer = graph.level is Level.INTEGER
    inputs = quantize_inputs(graph, reals) if integer else reals
    if runtime == "evaluate":
        outputs, notes = evaluate_in_order(graph, inputs), []
    elif runtime in ("host", "qemu"):
        if not integer:
            raise UnsupportedError(
                f"{graph.name!r} computes in float, which the C kernels do not", hint="optimize it with recipe w8a8 first"
            )
        options: dict[str, Any] = {} if board.qemu is None else {"profile": False}
        done = pipeline.measure(pipeline.lower(graph, board), inputs, **options)
        outputs, notes = done.outputs, list(done.notes)
    elif runtime == "onnxruntime" and graph.states:
        hint = "choose evaluate, host, qemu, litert or tflm"
        raise UnsupportedError(f"{graph.name!r} has states, which ONNX Runtime does not keep from sample to sample", hint=hint)
    elif runtime == "onnxruntime":
        done = run_onnxruntime(emit_onnx(graph), inputs)
        outputs, notes = done.outputs, list(done.notes)
    elif runtime == "tflm":
        done = run_tflm(emit_tflite(graph), inputs, reset_state=False)
        outputs, notes = done.outputs, list(done.notes)
    else:
        kernels = "reference" if runtime == "litert" else "xnnpack"
        done = run_litert(emit_tflite(graph), inputs, kernels=kernels, reset_state=False)
        outputs, notes = done.outputs, list(done.notes)
    if integer and runtime in NOT_DEVICES:
        notes += _difference(graph, evaluate_in_order(graph, inputs), outputs, runtime)
    return (list(dequantize_outputs(graph, outputs)) if integer else list(outputs)), notes


def _difference(graph: Graph, expected: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]], runtime: str) -> list[str]:
    """By how much the integers of ``runtime`` are not those of the device, which the evaluation gives; nothing where they are."""
    pairs = [
        (mine.astype(np.int64), np.asarray(theirs).reshape(mine.shape).astype(np.int64))
        for name, mine, theirs in zip(graph.outputs, expected, outputs, strict=True)
        if graph.value(name).dtype.is_integer
    ]
    steps = [np.abs(theirs - mine) for mine, theirs in pairs]
    if not any(array.any() for array in steps):
        return []
    unequal, total = sum(int(np.count_nonzero(array)) for array in steps), sum(array.size for array in steps)
    most = max(int(array.max(initial=0)) for array in steps)
    told = [f"{unequal} of {total} output integers differ from the device's, by at most {most} step{'s' * (most > 1)}"]
    mine, theirs = (array.reshape(len(array), -1).argmax(1) for array in pairs[0])
    if changed := int(np.count_nonzero(mine != theirs)):
        told[0] += f", another largest output in {changed} of {len(mine)} samples"
    if runtime == "onnxruntime":
        told.append("QDQ rounds once; a file of `edgewright emit --formats onnx --onnx-activations exact` gives the device's bytes")
    return told
