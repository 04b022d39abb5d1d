"""LiteRT (TensorFlow Lite) on this computer: its reference kernels, its optimized ones, or those with XNNPACK."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewright.errors import DataError, ToolError
from edgewright.run.run import Arrays, Run
from edgewright.run.tflite_model import sample_slices, the_tflite

KERNELS = {
    "reference": OpResolverType.BUILTIN_REF,
    "optimized": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "xnnpack": OpResolverType.BUILTIN,
}
"""reference and optimized round twice, as the specification says (but in some operators), xnnpack once: a step apart, here and there."""


def run_litert(files: Mapping[str, bytes], inputs: Arrays, *, kernels: str = "reference", reset_state: bool = True) -> Run:
    """Run the .tflite among ``files`` on ``inputs`` (one array an input, the batch at axis 0), one thread, sample by sample.

    ``kernels``: a key of KERNELS. ``reset_state``: every sample starts from the first contents of the variables; otherwise the samples
    are one stream, in order. ToolError where LiteRT refuses the file.
    """
    if kernels not in KERNELS:
        raise DataError(f"unknown kernels {kernels!r}", hint=f"one of {', '.join(KERNELS)}")
    model = the_tflite(files)
    start = time.perf_counter()
    try:
        interpreter = _prepare(model.data, kernels)
        details = interpreter.get_input_details()
        calls = sample_slices(inputs, [detail["shape"].tolist() for detail in details], [np.dtype(detail["dtype"]) for detail in details])
        rows, seconds = [], 0.0
        for number, arrays in enumerate(calls):
            if number and model.stateful and reset_state:
                interpreter = _prepare(model.data, kernels)
            for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
                interpreter.set_tensor(detail["index"], array)
            before = time.process_time()
            interpreter.invoke()
            seconds += time.process_time() - before
            rows.append([interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()])
    except (RuntimeError, ValueError) as error:
        raise ToolError(f"LiteRT does not run this network: {error}",
                        hint="its message names the operator; write C or .onnx, or choose other kernels") from error
    outputs = [np.concatenate([row[index] for row in rows]) for index in range(len(rows[0]))]
    return Run(outputs=outputs, inferences=len(calls), where=f"LiteRT ({kernels} kernels)", seconds=time.perf_counter() - start,
               seconds_per_inference=seconds / len(calls))


def _prepare(data: bytes, kernels: str) -> Any:
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=KERNELS[kernels], num_threads=1)
    interpreter.allocate_tensors()
    return interpreter
