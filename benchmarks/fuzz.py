"""Hostile model files by the thousand: whatever the bytes, the answer is a graph or one clear error, soon and in little memory.

    python -m benchmarks.fuzz --count 3000 --seed 0

Mutations come from real networks: flipped bytes, truncations, splices, extreme integers at aligned places, and fields of the parsed file
set to
values that contradict the rest. What loads must also evaluate, and be emitted, or be refused with an EdgewrightError.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from benchmarks.data import wake_word_models
from benchmarks.fuzz_onnx import mutate_onnx, onnx_seeds
from edgewright.emit.onnx import emit_onnx
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import DataError, EdgewrightError
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.graph import Graph, Level
from edgewright.ops.evaluate import evaluate

SECONDS = 10.0
"""Longest time for one file."""
EXTREMES = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 65535, 65536, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 32) - 4)
MOST_WORK = 1 << 24
"""Elements in all activations of a graph that is evaluated here; mutations make larger ones, which are fine and slow."""
MODELS = Path(__file__).resolve().parents[2] / "shared" / "models"


@dataclass
class Outcome:
    """What became of all files: how many ended how, and what should not have happened (description → the file's bytes)."""

    ends: Counter[str] = field(default_factory=Counter)
    failures: dict[str, bytes] = field(default_factory=dict)
    slowest_seconds: float = 0.0


@dataclass(frozen=True)
class Format:
    """How one file format is attacked: its reader, and mutations that know its structure."""

    load: Callable[[bytes], Graph]
    mutate: Callable[[random.Random, bytes], bytes]


def fuzz(format: Format, sources: Sequence[bytes], count: int, seed: int) -> Outcome:
    """Load ``count`` mutations of ``sources``; the same seed gives the same files."""
    outcome = Outcome()
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        data = rng.choice(sources)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = format.mutate(rng, data) if rng.random() < 0.5 else mutate_bytes(rng, data, sources)
        start = time.perf_counter()
        try:
            with limited(SECONDS):
                outcome.ends[attack(format.load, data)] += 1
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome.ends["failed"] += 1
            outcome.failures.setdefault(f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}", data)
        outcome.slowest_seconds = max(outcome.slowest_seconds, time.perf_counter() - start)
    return outcome


def attack(load: Callable[[bytes], Graph], data: bytes) -> str:
    """How the file ended: the error's name, or that it is a graph. Errors without a hint, and others than EdgewrightError, are failures."""
    try:
        graph = load(data)
    except EdgewrightError as error:
        if not error.hint:
            raise AssertionError(f"no hint: {error.message[:80]}") from error
        return type(error).__name__
    if sum(value.elements for value in graph.values.values()) > MOST_WORK:
        return "a graph, too large to evaluate here"
    try:
        evaluate(graph, [_sample(graph, name) for name in graph.inputs])
        emit_onnx(graph)
        emit_tflite(graph)
    except EdgewrightError as error:
        return f"a graph, then {type(error).__name__}"
    return "a graph"


def _sample(graph: Graph, name: str) -> np.ndarray:
    value = graph.value(name)
    shape = tuple(1 if size is None else size for size in value.shape)
    return np.zeros(shape, value.dtype.numpy if graph.level is Level.INTEGER else np.float32)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in this thread after ``seconds``."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutate_bytes(rng: random.Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """One blind change of ``data``."""
    if len(data) < 16:
        return data + bytes(rng.randrange(256) for _ in range(16))
    changed = bytearray(data)
    kind = rng.randrange(7)
    # Most of a file is weights; its structure stands in the first and last kilobytes.
    near = rng.choice((len(data), 4096, 512))
    place = rng.randrange(min(near, len(data))) if rng.random() < 0.5 else len(data) - 1 - rng.randrange(min(near, len(data)))
    if kind == 0:
        for _ in range(rng.choice((1, 4, 32))):
            changed[min(len(data) - 1, max(0, place + rng.randrange(-64, 64)))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        return bytes(changed[:place])
    elif kind == 2:
        donor = rng.choice(donors)
        start, length = rng.randrange(len(donor)), rng.choice((4, 64, 1024))
        changed[place : place + length] = donor[start : start + length]
    elif kind == 3:
        aligned = place // 4 * 4
        changed[aligned : aligned + 4] = rng.choice(EXTREMES).to_bytes(4, "little")
    elif kind == 4:
        del changed[place : place + rng.choice((1, 4, 256))]
    elif kind == 5:
        changed[place:place] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 256))))
    else:
        length = rng.choice((4, 16, 256))
        changed[place : place + length] = bytes([rng.choice((0, 255))]) * len(changed[place : place + length])
    return bytes(changed)


def mutate_tflite(rng: random.Random, data: bytes) -> bytes:
    """One contradiction in the parsed file; ``data`` itself where it can no longer be parsed or packed."""
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        subgraph = rng.choice(model.subgraphs)
        rng.choice((_bend_tensor, _bend_quantization, _bend_operator, _bend_options, _bend_structure))(rng, model, subgraph)
        builder = Builder(len(data) + 1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
    except Exception:  # the file was broken before, or its new content cannot be packed: either way there is nothing to attack with
        return data


def _number(rng: random.Random) -> int:
    return rng.choice((-1, 0, 1, 2, 3, 4, 5, 7, 64, 255, 4096, 1 << 20, (1 << 31) - 1, -(1 << 31), rng.randrange(-5, 100)))


def _bend_list(rng: random.Random, numbers: object, limit: int) -> list[int]:
    changed = [] if numbers is None else [int(item) for item in numbers]  # type: ignore[union-attr, attr-defined]
    kind = rng.randrange(4)
    if kind == 0 and changed:
        changed[rng.randrange(len(changed))] = max(-limit, min(limit, _number(rng)))
    elif kind == 1 and changed:
        changed.pop(rng.randrange(len(changed)))
    elif kind == 2:
        changed.insert(rng.randrange(len(changed) + 1), max(-limit, min(limit, _number(rng))))
    else:
        rng.shuffle(changed)
    return changed


def _bend_tensor(rng: random.Random, model: schema.ModelT, subgraph: schema.SubGraphT) -> None:
    tensor = rng.choice(subgraph.tensors)
    kind = rng.randrange(5)
    if kind == 0:
        tensor.shape = _bend_list(rng, tensor.shape, (1 << 31) - 1)
    elif kind == 1:
        tensor.type = rng.randrange(25)
    elif kind == 2:
        tensor.buffer = rng.choice((rng.randrange(len(model.buffers)), len(model.buffers), (1 << 32) - 1))
    elif kind == 3:
        tensor.shapeSignature = _bend_list(rng, tensor.shape, (1 << 31) - 1)
    else:
        tensor.name = rng.choice((b"", b"\xff\xfe", b"x" * 5000, rng.choice(subgraph.tensors).name))


def _bend_quantization(rng: random.Random, model: schema.ModelT, subgraph: schema.SubGraphT) -> None:
    tensor = rng.choice([tensor for tensor in subgraph.tensors if tensor.quantization is not None] or subgraph.tensors)
    quantization = tensor.quantization = tensor.quantization or schema.QuantizationParametersT()
    kind = rng.randrange(5)
    scale = [] if quantization.scale is None else [float(number) for number in quantization.scale]
    if kind == 0:
        quantization.scale = [rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e-45, 3e38, 0.1)) for _ in scale or [0]]
    elif kind == 1:
        quantization.scale = scale * rng.choice((0, 2, 3))
    elif kind == 2:
        quantization.zeroPoint = _bend_list(rng, quantization.zeroPoint, (1 << 62))
    elif kind == 3:
        quantization.quantizedDimension = _number(rng)
    else:
        quantization.scale, quantization.zeroPoint = None, None


def _bend_operator(rng: random.Random, model: schema.ModelT, subgraph: schema.SubGraphT) -> None:
    operator = rng.choice(subgraph.operators)
    kind = rng.randrange(4)
    if kind == 0:
        operator.inputs = _bend_list(rng, operator.inputs, (1 << 31) - 1)
    elif kind == 1:
        operator.outputs = _bend_list(rng, operator.outputs, (1 << 31) - 1)
    elif kind == 2:
        operator.opcodeIndex = rng.choice((rng.randrange(len(model.operatorCodes)), len(model.operatorCodes), (1 << 32) - 1))
    else:
        code = rng.choice(model.operatorCodes)
        code.builtinCode = rng.randrange(-1, 215)
        code.deprecatedBuiltinCode = min(127, max(0, code.builtinCode))


def _bend_options(rng: random.Random, model: schema.ModelT, subgraph: schema.SubGraphT) -> None:
    operator = rng.choice([operator for operator in subgraph.operators if operator.builtinOptions is not None] or subgraph.operators)
    if operator.builtinOptions is None or rng.random() < 0.1:
        operator.builtinOptions, operator.builtinOptionsType = None, 0
        return
    fields = [name for name, value in vars(operator.builtinOptions).items() if isinstance(value, (int, float, np.integer))]
    if fields:
        setattr(
            operator.builtinOptions, rng.choice(fields), rng.choice((0, 1, 2, 3, 4, 5, 100, 127)) if rng.random() < 0.8 else _number(rng)
        )


def _bend_structure(rng: random.Random, model: schema.ModelT, subgraph: schema.SubGraphT) -> None:
    kind = rng.randrange(6)
    if kind == 0:
        subgraph.inputs = _bend_list(rng, subgraph.inputs, (1 << 31) - 1)
    elif kind == 1:
        subgraph.outputs = _bend_list(rng, subgraph.outputs, (1 << 31) - 1)
    elif kind == 2:
        rng.shuffle(subgraph.operators)
    elif kind == 3:
        subgraph.operators.append(rng.choice(subgraph.operators))
    elif kind == 4:
        buffer = rng.choice(model.buffers)
        if buffer.data is not None and len(buffer.data):
            buffer.data = np.frombuffer(buffer.data.tobytes()[: rng.randrange(len(buffer.data))] + bytes(rng.choice((0, 1, 64))), np.uint8)
    else:
        buffer = rng.choice(model.buffers)
        buffer.offset, buffer.size = rng.choice(EXTREMES), rng.choice(EXTREMES)


FORMATS = {"tflite": Format(load_tflite, mutate_tflite), "onnx": Format(load_onnx, mutate_onnx)}


def seeds(name: str) -> list[bytes]:
    """The networks that are mutated: those of ../shared, and for .tflite the streaming ones of PyPI."""
    if name == "onnx":
        return onnx_seeds(MODELS)
    found = [path.read_bytes() for path in sorted(MODELS.rglob(f"*.{name}"))]
    if name == "tflite":
        found += wake_word_models().values()
    if not found:
        raise DataError(f"there is no .{name} network to start from", hint=f"check the networks out into {MODELS}")
    return found


def main() -> int:
    """Attack every format; failing files go to build/fuzz."""
    parser = argparse.ArgumentParser(description="Mutated model files, by the thousand.")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=sorted(FORMATS), action="append")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    for name in arguments.format or sorted(FORMATS):
        start = time.perf_counter()
        outcome = fuzz(FORMATS[name], seeds(name), arguments.count, arguments.seed)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps(
                {
                    "format": name,
                    "files": arguments.count,
                    "ends": dict(outcome.ends.most_common()),
                    "slowest_seconds": round(outcome.slowest_seconds, 3),
                    "seconds": round(time.perf_counter() - start, 1),
                    "peak_memory_mb": round(peak_mb),
                }
            )
        )
        for description, data in outcome.failures.items():
            place = Path("build/fuzz") / f"{hashlib.sha256(data).hexdigest()[:12]}.{name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            print(f"{place}: {description}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
