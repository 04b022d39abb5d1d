"""MiniLM, a real sentence encoder: quantized to int8, and distilled to a student of a tenth of its latency.

The student begins as two of the teacher's layers, cut, and as each token's mean state in the teacher; it learns the state of every pair of
tokens beside the sentences' similarities, on 630,784 sentences. It reaches its latency with int8 weights (ONNX Runtime's dynamic
quantization); the ratio is to the float teacher in ONNX Runtime, one thread, 32 tokens. What counts is the correlation of the similarities
(cosines) of all pairs of held-out sentences with those of the float teacher: Pearson's and Spearman's. Sentences are of Debian packages,
other files for training, validation and test; nothing is chosen on the test sentences. Everything that takes long is kept in the cache,
and goes on where it stopped: the teacher's states take 20 minutes of a core with AMX
and 9 GB, the student an hour of two.

The int8 loss of MiniLM sits in what its layer norms, GELUs and look-up give, which have no int16 form: w8a16 leaves them int8.
"""

from __future__ import annotations

import io
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import edgewright
from benchmarks.fetch import cache_folder, writing
from benchmarks.sentence_networks import minilm
from benchmarks.sentence_states import Batches, lesson, lessons, mean_states, refit, states
from benchmarks.sentence_student import Student, begun
from benchmarks.sentences import LENGTH, Sentences, sentences
from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.ir.graph import Graph
from edgewright.ir.serial import load_graph, save_graph
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.recipe import RECIPES, Recipe, Step

Reals = npt.NDArray[np.float32]
TAUGHT, STEPS, BATCH, RATE = 630_784, 16_000, 256, 8e-3
"""Training sentences that the teacher is asked about, and how they are learned: so many batches of so many sentences."""
REFITTED = 12
"""Files of sentences that the last layer is fitted to once more."""
LAYERS, KEPT = ((192, 6, 1024), (384, 12, 1024)), (0, 5)
"""Of the student: channels of attention, heads, channels that feed forward; and the layers of the teacher that they begin as."""
TESTED, TESTED_LARGE = 2_000, 300
"""Test sentences: of the student, and of the teacher's integer form, which takes long to evaluate."""
CALIBRATED, RUN, TIMED = 200, 20, 100
TEACHER, STUDENT = "MiniLM-L6", "student"


def rows() -> list[dict[str, object]]:
    """The teacher and the student: in float, by ONNX Runtime's dynamic quantization, and in our int8."""
    parts = sentences()
    wanted, tests = taught(parts["test"], "test", TESTED), _inputs(parts["test"], TESTED)
    small = student()
    files = {}
    for name, data in ((TEACHER, exported(minilm(LENGTH), LENGTH)), (STUDENT, next(iter(emit_onnx(small).values())))):
        files |= {f"{name}, float": data, f"{name}, ONNX Runtime dynamic int8": _dynamic(data)}
    seconds = _paired({name: _session(data) for name, data in files.items()}, [x[:1] for x in tests])
    found = []
    for name, data in files.items():
        found.append(_row(name, len(data), seconds[name], seconds[f"{TEACHER}, float"], _answers(data, tests), wanted))
        if name.startswith(STUDENT):
            known = _answers(data, _inputs(parts["validation"], TESTED))
            found[-1]["Pearson, validation"] = round(correlations(known, taught(parts["validation"], "validation", TESTED))[0], 4)
    teacher = edgewright.load(minilm(LENGTH), _example(LENGTH))
    found += [
        _integers(f"{TEACHER}, {recipe.name}", teacher, recipe, parts, wanted, TESTED_LARGE) for recipe in (_narrow(), RECIPES["w8a16"])
    ]
    found.append(_integers(f"{STUDENT}, w8a8", small, _narrow(), parts, wanted, TESTED))
    return found


def _answers(data: bytes, inputs: Sequence[npt.NDArray[np.generic]]) -> Reals:
    """What a file says of every sentence by itself, (N, 384)."""
    session = _session(data)
    names = [entry.name for entry in session.get_inputs()]
    rows = [session.run(None, dict(zip(names, row, strict=True)))[0] for row in zip(*(np.split(x, len(x)) for x in inputs), strict=True)]
    return np.concatenate(rows)


def correlations(mine: Reals, wanted: Reals) -> tuple[float, float]:
    """Pearson's and Spearman's correlation of the cosines of all pairs of rows with those of ``wanted``."""
    above = np.triu_indices(len(mine), 1)
    pairs = [(unit @ unit.T)[above] for unit in (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (mine, wanted))]
    return float(np.corrcoef(*pairs)[0, 1]), float(spearmanr(*pairs).statistic)


def taught(part: Sentences, split: str, count: int) -> Reals:
    """What the teacher says of the first ``count`` sentences in float, by ONNX Runtime, (count, 384)."""
    path = lessons() / f"{split}-{count}.npy"
    if not path.is_file():
        lengths = part.masks[:count].sum(1)
        outputs = np.zeros((count, 384), np.float32)
        for shortest, longest in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 24), (24, LENGTH)):
            session = _session(exported(minilm(longest), longest))
            for rows in np.array_split(group := np.flatnonzero((lengths > shortest) & (lengths <= longest)), len(group) // 64 + 1):
                if len(rows):
                    feeds = {"ids": part.ids[rows, :longest].astype(np.int64), "mask": part.masks[rows, :longest]}
                    outputs[rows] = session.run(None, feeds)[0]
        with writing(path) as folder:
            np.save(folder / path.name, outputs)
            (folder / path.name).replace(path)
    return np.asarray(np.load(path, allow_pickle=False))


def student() -> Graph:
    """The distilled student, trained where the cache does not have it."""
    path = lessons() / f"student-{TAUGHT}-{STEPS}.npz"
    if not path.is_file():
        part, teacher = sentences()["train"], minilm(LENGTH)
        pieces = states(part, TAUGHT)
        torch.manual_seed(0)
        with torch.no_grad():
            table = teacher.normal(teacher.tokens.weight + teacher.places[1 : LENGTH // 2].mean(0))
        network = Student(table, mean_states(part, pieces), LAYERS, LENGTH)
        begun(network, teacher, KEPT, torch.from_numpy(part.ids[:BATCH]).long(), torch.from_numpy(part.masks[:BATCH]))
        edgewright.train(
            network,
            Batches(part, pieces, BATCH, STEPS),
            loss=lesson,
            epochs=1,
            optimizer="muon",
            learning_rate=RATE,
            weight_decay=0.0,
            precision="bf16",
            cpu=True,
            folder=path.with_suffix(".run"),
            checkpoint_batches=250,
            progress=_tell,
        )
        refit(network.eval(), part, pieces[:REFITTED])
        save_graph(edgewright.load(network.looked_up().eval(), _example(LENGTH)), path)
    return load_graph(path)


def _tell(message: str, done: int, steps: int) -> None:
    if done % 50 == 0:
        print(message, file=sys.stderr, flush=True)


def exported(network: nn.Module, length: int) -> bytes:
    """The .onnx that torch makes of an encoder, with a dynamic batch."""
    file, axes = io.BytesIO(), {name: {0: "batch"} for name in ("ids", "mask", "embedding")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["ids", "mask"], "output_names": ["embedding"]}
        torch.onnx.export(network.eval(), tuple(_example(length)), file, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
    return file.getvalue()


def _example(length: int) -> list[Tensor]:
    return [torch.ones(2, length, dtype=torch.int64), torch.ones(2, length)]


def _inputs(part: Sentences, count: int) -> list[npt.NDArray[np.generic]]:
    return [part.ids[:count].astype(np.int64), part.masks[:count]]


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _paired(sessions: Mapping[str, onnxruntime.InferenceSession], sample: Sequence[npt.NDArray[np.generic]]) -> dict[str, Reals]:
    """Seconds of processor time of each session for one sentence, turn by turn."""
    found: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(TIMED + 5):
        for name, session in sessions.items():
            feeds = dict(zip((entry.name for entry in session.get_inputs()), sample, strict=True))
            before = time.process_time()
            session.run(None, feeds)
            if turn >= 5:
                found[name].append(time.process_time() - before)
    return {name: np.asarray(row, np.float32) for name, row in found.items()}


def _dynamic(plain: bytes) -> bytes:
    """ONNX Runtime's own dynamic quantization, int8 weights per channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with writing(Path(cache_folder()) / "sentence_teacher" / "dynamic.onnx") as folder:
        (folder / "plain.onnx").write_bytes(plain)
        quantize_dynamic(folder / "plain.onnx", folder / "dynamic.onnx", weight_type=QuantType.QInt8, per_channel=True)
        return (folder / "dynamic.onnx").read_bytes()


def _narrow() -> Recipe:
    """w8a8 with smoothed activations and ranges of least squared error."""
    steps = tuple(step for step in RECIPES["w8a8"].steps if step.name != "quantize_static")
    return Recipe("w8a8", (*steps, Step("smooth_activations"), Step("quantize_static", {"ranges": "mse", "weight_ranges": "mse"})))


def _integers(name: str, graph: Graph, recipe: Recipe, parts: Mapping[str, Sentences], wanted: Reals, count: int) -> dict[str, object]:
    """``graph`` by ``recipe``, calibrated on training sentences: evaluated, run."""
    calibration = Data(tuple(np.asarray(x, np.float32) for x in _inputs(parts["train"], CALIBRATED)))
    result = edgewright.optimize(graph, target="host", recipe=recipe, data=calibration, formats=("c", "onnx"))
    assert result.program is not None
    inputs = quantize_inputs(result.graph, _inputs(parts["test"], count))
    integers = evaluate(result.graph, inputs)
    run = edgewright.measure(result, [x[:RUN] for x in inputs])
    size = len(next(iter(emit_onnx(result.graph).values())))
    row = _row(name, size, None, None, dequantize_outputs(result.graph, integers)[0], wanted[:count])
    row["C: ms"] = round(1e3 * (run.seconds_per_inference or 0.0), 2)
    row["C: bytes that differ"] = int((run.outputs[0] != integers[0][:RUN]).sum())
    row["flash bytes"] = sum(constant.array.nbytes for constant in result.graph.constants.values())
    return row


def _row(name: str, size: int, own: Reals | None, teacher: Reals | None, outputs: Reals, wanted: Reals) -> dict[str, object]:
    pearson, spearman = correlations(outputs, wanted)
    ratio = None if own is None or teacher is None else round(float(np.median(own / teacher)), 3)
    milliseconds = None if own is None else round(1e3 * float(np.median(own)), 2)
    return {
        "network": name,
        "sentences": len(outputs),
        "Pearson": round(pearson, 4),
        "Spearman": round(spearman, 4),
        "file bytes": size,
        "ONNX Runtime: ms": milliseconds,
        "of the teacher's time": ratio,
    }
