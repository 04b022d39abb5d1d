"""The generated C on this computer against ONNX Runtime and LiteRT with XNNPACK: int8, one thread, one sample at a time.

All candidates stand ready in one process and take turns. A turn counts with its fastest run; times and ratios are medians over the turns, a
ratio that of two neighbouring turns. Read the ratios, not the microseconds. ONNX Runtime has uint8 activations, in which it is fastest. The
generated C gives the bytes of the integer evaluation, which is checked; the others may be a step of rounding apart. All are called from
Python, and their call is in their time: it weighs on the smallest networks.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from benchmarks.cases import CASES, Array, Case, mobilenet_quantized, real_photographs
from benchmarks.networks import imagenet_inputs
from edgewright.emit.c import emit_c
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.lower.program import Program
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.run.build import write_sources
from edgewright.run.toolchain import STRICT_C, compile_c, find_host_compiler, native_flags

TURNS = 25
TURN_SECONDS = 0.02
KINDS = {
    "AVX-512 VNNI": (),
    "AVX2": ("-mno-avx512f",),
    "any x86 of 64 bits": ("-march=x86-64",),
}
"""What the C is built for, by flags that take away from what this computer has; the first is all of it."""


def rows() -> list[dict[str, object]]:
    """One row a network and set of instructions; the ratios are ours over theirs (below 1 is faster)."""
    processor = _processor()
    found: list[dict[str, object]] = []
    for case in (CASES["ic_int8"](), CASES["kws_int8"](), CASES["micro_speech_int8"](), _mobilenet()):
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            candidates = {"onnx": _onnxruntime(case), "litert": _litert(case)}
            for number, (kind, flags) in enumerate(KINDS.items()):
                place = Path(folder) / str(number)
                place.mkdir()
                candidates[kind] = generated(case.program("host"), case.inputs(1)[0], place, flags)
            turns = take_turns(candidates, TURNS, TURN_SECONDS)
        middle = {name: float(np.median(times)) for name, times in turns.items()}
        for kind in KINDS:
            found.append(
                {
                    "network": case.name,
                    "C built for": kind,
                    "C, us": round(1e6 * middle[kind]),
                    "ONNX Runtime, us": round(1e6 * middle["onnx"]),
                    "ratio to ONNX Runtime": round(float(np.median(turns[kind] / turns["onnx"])), 2),
                    "XNNPACK, us": round(1e6 * middle["litert"]),
                    "ratio to XNNPACK": round(float(np.median(turns[kind] / turns["litert"])), 2),
                    "processor": processor,
                }
            )
    return found


def _mobilenet() -> Case:
    graph = mobilenet_quantized(224).graph
    return Case("mobilenet_v2_224", graph, lambda count: quantize_inputs(graph, [imagenet_inputs(real_photographs(224)[:count])]))


def take_turns(candidates: dict[str, Callable[[], object]], turns: int, seconds: float) -> dict[str, npt.NDArray[np.float64]]:
    """The seconds of the fastest run of each candidate in each of its turns."""
    found: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(turns):
        for name, run in candidates.items():
            end, least = time.perf_counter() + seconds, float("inf")
            while True:
                start = time.perf_counter()
                run()
                now = time.perf_counter()
                least = min(least, now - start)
                if now > end:
                    break
            found[name].append(least)
    return {name: np.array(times) for name, times in found.items()}


def generated(program: Program, x: Array, folder: Path, flags: Sequence[str] = ()) -> Callable[[], object]:
    """The C of a program with one input and one output as a shared library in ``folder``; its answer to ``x`` is checked."""
    sources, compiler = write_sources(emit_c(program), folder), find_host_compiler()
    chosen = [*compiler, *STRICT_C, *native_flags(compiler), "-O2", *flags, "-shared", "-fPIC", *sources.c_files, "-o", "network.so"]
    compile_c(chosen, folder)
    library = ctypes.CDLL(str(folder / "network.so"))
    place = getattr(library, f"{sources.prefix}_input"), getattr(library, f"{sources.prefix}_output")
    for function in place:
        function.restype = ctypes.c_void_p
    run: Callable[[], object] = getattr(library, sources.run)
    x = np.ascontiguousarray(x)
    expected = evaluate(program.graph, [x])[0]

    def once() -> object:
        ctypes.memmove(place[0](0), x.ctypes.data, x.nbytes)
        return run()

    once()
    np.testing.assert_array_equal(np.frombuffer(ctypes.string_at(place[1](0), expected.nbytes), expected.dtype), expected.reshape(-1))
    return once


def _onnxruntime(case: Case) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = next(data for name, data in emit_onnx(case.graph, activations="uint8").items() if name.endswith(".onnx"))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    feeds = {entry.name: _as_file(entry.shape, entry.type, case.inputs(1)[0])}
    return lambda: session.run(None, feeds)


def _as_file(shape: list[object], kind: str, x: Array) -> Array:
    """Numbers in the shape and type of a file's input; which numbers does not matter to the time."""
    sizes = [size if isinstance(size, int) else 1 for size in shape]
    dtype = {"tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(float)": np.float32}[kind]
    return np.ascontiguousarray(x.reshape(-1)).astype(dtype).reshape(sizes)


def _litert(case: Case) -> Callable[[], object]:
    model = next(data for name, data in emit_tflite(case.graph).items() if name.endswith(".tflite"))
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN, num_threads=1)
    interpreter.allocate_tensors()
    entry, x = interpreter.get_input_details()[0], case.inputs(1)[0]

    def once() -> object:
        interpreter.set_tensor(entry["index"], x.reshape(entry["shape"]))
        return interpreter.invoke()

    return once


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "unknown")
