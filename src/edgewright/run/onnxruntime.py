"""ONNX Runtime on this computer, on its own CPU kernels."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from edgewright.errors import DataError, ModelError, ToolError
from edgewright.run.run import Arrays, Run

METADATA_KEY = "edgewright"
OPTIMIZATIONS = ("auto", "all", "float", "none")
FLOAT_QDQ = "session.disable_quant_qdq"
VNNI = ("avx512_vnni", "avx_vnni")
SATURATES = (
    "computed in float: without VNNI, ONNX Runtime's int8 kernels saturate on this processor (ask for optimization 'all' to have them)"
)


def run_onnxruntime(files: Mapping[str, bytes], inputs: Arrays, *, threads: int = 1, optimization: str = "auto", repeats: int = 1) -> Run:
    """Run the .onnx among ``files`` on ``inputs`` (one array an input, the batch at axis 0), the whole batch at once.

    A file that Edgewright wrote takes and gives arrays as its graph does: channels-last, and integers where the graph has integers. Any
    other file takes its arrays as they are. The time of an inference is the fastest of ``repeats`` runs.

    ``optimization``: "all" fuses QuantizeLinear and DequantizeLinear into integer kernels, "float" leaves them and computes in float,
    "none" leaves everything as it is. "auto" is "all", but "float" on x86 processors without VNNI, where the integer kernels add pairs of
    products in 16 bits, saturate, and give wrong numbers; the run's notes say so. ToolError where ONNX Runtime refuses the file.
    """
    if optimization not in OPTIMIZATIONS:
        raise DataError(f"unknown optimization {optimization!r}", hint=f"one of {', '.join(OPTIMIZATIONS)}")
    start = time.perf_counter()
    model = _the_onnx(files)
    if not inputs or any(np.ndim(array) < 1 or np.shape(array)[0] == 0 for array in inputs):
        raise DataError("no inputs were given", hint="give one array for each input of the network, the batch at axis 0")
    count = int(np.shape(inputs[0])[0])
    records = _metadata(model)
    saturates = optimization == "auto" and not _exact_integer_kernels()
    try:
        session = onnxruntime.InferenceSession(
            model, _options(threads, "float" if saturates else optimization), providers=["CPUExecutionProvider"]
        )
        feeds = _feeds(model, [entry.name for entry in session.get_inputs()], inputs, records, count)
        fastest = float("inf")
        for _ in range(max(1, repeats)):
            before = time.perf_counter()
            results = session.run(None, feeds)
            fastest = min(fastest, time.perf_counter() - before)
    except DataError:
        raise
    except Exception as error:  # ONNX Runtime raises classes of its own, which it does not export
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ToolError(f"ONNX Runtime does not run this network: {reason}", hint="its message names the operator or the input") from error
    outputs = [np.asarray(result) for result in results]
    if records is not None:
        outputs = [_outward(array, record) for array, record in zip(outputs, records["outputs"], strict=False)]
    notes = (SATURATES,) if saturates and b"QuantizeLinear" in model else ()
    return Run(
        outputs=outputs,
        inferences=count,
        where="ONNX Runtime",
        seconds=time.perf_counter() - start,
        seconds_per_inference=fastest / count,
        notes=notes,
    )


def _options(threads: int, optimization: str) -> onnxruntime.SessionOptions:
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if optimization == "none" else levels.ORT_ENABLE_ALL
    options.log_severity_level = 4
    if optimization == "float":
        options.add_session_config_entry(FLOAT_QDQ, "1")
    return options


@cache
def _exact_integer_kernels() -> bool:
    """Whether ONNX Runtime's int8 kernels are exact here: everywhere but on x86 without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return any(flag in flags for flag in VNNI)


def _the_onnx(files: Mapping[str, bytes]) -> bytes:
    found = [data for name, data in files.items() if name.endswith(".onnx")]
    if len(found) != 1:
        raise DataError(f"{len(found)} .onnx files were given", hint="give the files of one network, as emit_onnx returns them")
    return found[0]


def _metadata(model: bytes) -> dict[str, Any] | None:
    """What Edgewright wrote down about inputs and outputs; None in files of others."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(model)
        found = next((entry.value for entry in proto.metadata_props if entry.key == METADATA_KEY), None)
        records = None if found is None else json.loads(found)
        if records is not None and not all(isinstance(records[key], list) for key in ("inputs", "outputs", "states")):
            raise ValueError("lists are expected")
    except Exception as error:  # protobuf's DecodeError has no public base, and JSON raises ValueError, KeyError or TypeError
        raise ModelError("the bytes are not an ONNX model that can be read", hint="give what emit_onnx returns") from error
    return records


def _feeds(model: bytes, names: Sequence[str], inputs: Arrays, records: dict[str, Any] | None, count: int) -> dict[str, NDArray[Any]]:
    states = [] if records is None else records["states"]
    if len(inputs) + len(states) != len(names):
        raise DataError(f"the network takes {len(names) - len(states)} inputs, got {len(inputs)}", hint=f"they are {', '.join(names)}")
    if records is None:
        return dict(zip(names, (np.asarray(array) for array in inputs), strict=True))
    feeds = {record["name"]: _inward(np.asarray(array), record) for array, record in zip(inputs, records["inputs"], strict=True)}
    if states:
        proto = onnx.ModelProto()
        proto.ParseFromString(model)
        initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
        for state in states:
            initial = numpy_helper.to_array(initializers[state["initial"]])
            feeds[state["read"]["name"]] = np.ascontiguousarray(np.broadcast_to(initial, (count, *initial.shape[1:])))
    return feeds


def _inward(array: NDArray[Any], record: Mapping[str, Any]) -> NDArray[Any]:
    """An array of the graph as the file takes it."""
    order = record["order"]
    if array.ndim != len(order):
        raise DataError(
            f"input {record['name']!r} has shape {list(array.shape)}, the network takes {len(order)} axes", hint="axis 0 is the batch"
        )
    if record.get("indices"):
        return np.ascontiguousarray(array.astype(np.int64).transpose(order))
    if record.get("integers"):
        if array.dtype != record["dtype"]:
            raise DataError(
                f"input {record['name']!r} is {array.dtype}, the network takes {record['dtype']}",
                hint="quantize it with the input's scale and zero point",
            )
        return np.ascontiguousarray(array.transpose(order))
    reals = array.astype(np.float32)
    if array.dtype.kind in "iu":
        if "scale" not in record:
            raise DataError(f"input {record['name']!r} takes reals, got {array.dtype}", hint="give floats")
        reals = ((array.astype(np.float64) - record["zero_point"]) * record["scale"]).astype(np.float32)
    return np.ascontiguousarray(reals.transpose(order))


def _outward(array: NDArray[Any], record: Mapping[str, Any]) -> NDArray[Any]:
    """An array of the file as the graph gives it."""
    order = record["order"]
    reals = np.ascontiguousarray(array.transpose(np.argsort(order)))
    if "scale" not in record or record.get("integers"):
        return reals
    steps: NDArray[Any] = (np.rint(reals.astype(np.float64) / record["scale"]) + record["zero_point"]).astype(record["dtype"])
    return steps
