"""TensorFlow Lite Micro on this computer, the golden reference of the integer arithmetic; its wheel is an optional extra."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgewright.errors import ToolError
from edgewright.run.run import Arrays, Run
from edgewright.run.tflite_model import TfliteModel, sample_slices, the_tflite

_SPARE_BYTES = 1 << 20


def run_tflm(files: Mapping[str, bytes], inputs: Arrays, *, reset_state: bool = True) -> Run:
    """Run the .tflite among ``files`` on ``inputs`` (one array an input, the batch at axis 0) with TFLM's reference kernels, one by one.

    ``reset_state``: every sample starts from the first contents of the variables; otherwise the samples are one stream, in order.
    ToolError where the wheel is missing or TFLM refuses the file.
    """
    model = the_tflite(files)
    start = time.perf_counter()
    interpreter = _prepare(model)
    details = [interpreter.get_input_details(index) for index in range(model.inputs)]
    calls = sample_slices(inputs, [[int(size) for size in detail["shape"]] for detail in details],
                          [np.dtype(detail["dtype"]) for detail in details])
    rows, seconds = [], 0.0
    for number, arrays in enumerate(calls):
        if number and model.stateful and reset_state:
            interpreter = _prepare(model)
        before = time.process_time()
        try:
            for index, array in enumerate(arrays):
                interpreter.set_input(array, index)
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise _refused(error) from error
        seconds += time.process_time() - before
        rows.append([np.array(interpreter.get_output(index)) for index in range(model.outputs)])
    joined = [np.concatenate([row[index] for row in rows]) for index in range(model.outputs)]
    return Run(outputs=joined, inferences=len(calls), where="TensorFlow Lite Micro", seconds=time.perf_counter() - start,
               seconds_per_inference=seconds / len(calls))


def _prepare(model: TfliteModel) -> Any:
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise ToolError("the tflite_micro wheel is not installed", hint="scripts/setup installs the pinned one") from error
    try:
        return runtime.Interpreter.from_bytes(model.data, arena_size=model.tensor_bytes + _SPARE_BYTES)
    except (RuntimeError, ValueError) as error:
        raise _refused(error) from error


def _refused(error: Exception) -> ToolError:
    return ToolError(f"TensorFlow Lite Micro does not run this network: {error}",
                     hint="what it printed before names the operator; LiteRT knows more of them")
