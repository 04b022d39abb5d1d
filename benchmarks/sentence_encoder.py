"""MiniLM, a real sentence encoder: quantized to int8, and distilled to a student of a tenth of its latency.

What counts is the correlation of the similarities (cosines) of all pairs of held-out sentences with those of the float teacher: Pearson's
and Spearman's. Sentences are of Debian packages, other files for training, validation and test; nothing is chosen on the test sentences.
Everything that takes long is kept in the cache, and goes on where it stopped.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import edgewright
from benchmarks.fetch import cache_folder, writing
from benchmarks.sentence_networks import Student, minilm
from benchmarks.sentences import LENGTH, Sentences, sentences
from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph
from edgewright.ir.serial import load_graph, save_graph
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.train.distillation import Directions, Similarities

Reals = npt.NDArray[np.float32]
TAUGHT = 57_344
"""Training sentences that the teacher is asked about."""
PIECE = 8_192
TESTED, TESTED_LARGE = 2_000, 300
"""Test sentences: of the student, and of the teacher's integer form, which takes long to evaluate."""
CALIBRATED, RUN, TIMED = 200, 20, 100
SHORT = 20
"""Tokens of the sentences that the student's layers are trained on; it knows no places, so that it takes longer ones as well."""
ATTENTION, HEADS, INNER = 192, 6, 512
TABLE_EPOCHS, EPOCHS, BATCH = 2, 3, 256
TOKENS = 30_522
TEACHER = "MiniLM-L6 (float)"


def rows() -> list[dict[str, object]]:
    """The teacher in float, by ONNX Runtime's dynamic quantization, and in our int8; the student in float and in int8."""
    parts = sentences()
    wanted = taught(parts["test"], "test", len(parts["test"].ids))[:TESTED]
    sample = (np.ones((1, LENGTH), np.int64), np.ones((1, LENGTH), np.float32))
    plain, small = exported(minilm(LENGTH), LENGTH), student()
    dynamic, own = _dynamic(plain), next(iter(emit_onnx(small).values()))
    files = {"teacher": plain, "dynamic": dynamic, "student": own}
    seconds = _paired({name: _session(data) for name, data in files.items()}, sample)
    tests = _inputs(parts["test"], TESTED)
    found = [_row(TEACHER, len(plain), seconds["teacher"], seconds["teacher"], wanted, wanted)]
    session = _session(dynamic)
    outputs = session.run(None, dict(zip(("ids", "mask"), (tests[0].astype(np.int64), tests[1]), strict=True)))[0]
    found.append(_row("MiniLM-L6, ONNX Runtime dynamic int8", len(dynamic), seconds["dynamic"], seconds["teacher"], outputs, wanted))
    found.append(_integers("MiniLM-L6, w8a8", edgewright.load(minilm(LENGTH), _example(LENGTH)), parts, wanted, TESTED_LARGE))
    found.append(_row("student (float)", len(own), seconds["student"], seconds["teacher"], evaluate(small, tests)[0], wanted))
    found.append(_integers("student, w8a8", small, parts, wanted, TESTED))
    return found


def correlations(mine: Reals, wanted: Reals) -> tuple[float, float]:
    """Pearson's and Spearman's correlation of the cosines of all pairs of rows with those of ``wanted``."""
    above = np.triu_indices(len(mine), 1)
    pairs = [(unit @ unit.T)[above] for unit in (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (mine, wanted))]
    return float(np.corrcoef(*pairs)[0, 1]), float(spearmanr(*pairs).statistic)


def taught(part: Sentences, split: str, count: int) -> Reals:
    """What the teacher says of the first ``count`` sentences, (count, 384): for training in bfloat16 (cosine 0.9999), else by ONNX
    Runtime in float. Pieces are kept one by one."""
    ask: dict[int, Callable[[npt.NDArray[np.int32], Reals], Reals]] = {}
    pieces = []
    for start in range(0, count, PIECE):
        path = cache_folder() / "sentence_teacher" / f"{split}-{start}.npy"
        if not path.is_file():
            ids, masks = part.ids[start : start + PIECE], part.masks[start : start + PIECE]
            outputs = np.zeros((len(ids), 384), np.float32)
            for shortest, longest in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 24), (24, LENGTH)):
                ask.setdefault(longest, _teacher(longest, split == "train"))
                lengths = masks.sum(1)
                for chosen in np.array_split(group := np.flatnonzero((lengths > shortest) & (lengths <= longest)), len(group) // 64 + 1):
                    if len(chosen):
                        outputs[chosen] = ask[longest](ids[chosen, :longest], masks[chosen, :longest])
            with writing(path) as folder:
                np.save(folder / path.name, outputs)
                (folder / path.name).replace(path)
        pieces.append(np.load(path, allow_pickle=False))
    return np.concatenate(pieces)[:count]


def _teacher(length: int, fast: bool) -> Callable[[npt.NDArray[np.int32], Reals], Reals]:
    if not fast:
        session = _session(exported(minilm(length), length))
        return lambda ids, masks: np.asarray(session.run(None, {"ids": ids.astype(np.int64), "mask": masks})[0])
    network = minilm(length).to(torch.bfloat16)

    def ask(ids: npt.NDArray[np.int32], masks: Reals) -> Reals:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(ids).long(), torch.from_numpy(masks).bfloat16()).float().numpy())

    return ask


def student() -> Graph:
    """The distilled student, trained where the cache does not have it."""
    path = cache_folder() / "sentence_teacher" / f"student-{ATTENTION}-{INNER}.npz"
    if not path.is_file():
        parts = sentences()
        answers = {"train": taught(parts["train"], "train", TAUGHT), "validation": taught(parts["validation"], "validation", 2_000)}
        network = _begun(parts, answers)
        module = edgewright.to_module(edgewright.load(network.eval(), _example(SHORT)))
        data, kept = {}, {}
        for split, outputs in answers.items():
            kept[split] = np.flatnonzero(parts[split].masks[: len(outputs)].sum(1) <= SHORT)
            ids, masks = parts[split].ids[kept[split], :SHORT], parts[split].masks[kept[split], :SHORT]
            data[split] = Data((ids.astype(np.float32), np.ascontiguousarray(masks)))
        edgewright.train(
            module,
            data["train"],
            validation=data["validation"],
            teacher=(answers["train"][kept["train"]], answers["validation"][kept["validation"]]),
            terms=(Directions(), Similarities(0.5)),
            epochs=EPOCHS,
            batch_size=BATCH,
            learning_rate=1e-3,
            schedule="one_cycle",
            folder=path.with_suffix(".run"),
            checkpoint_batches=50,
        )
        short = edgewright.from_module(module)
        whole = edgewright.load(network.eval(), _example(LENGTH))
        learned = [name for name, _ in module.named_parameters()]
        save_graph(rebuild(whole, constants={name: short.constants[name] for name in learned}), path)
    return load_graph(path)


def _begun(parts: Mapping[str, Sentences], answers: Mapping[str, Reals]) -> Student:
    """The student before its layers are trained: a table whose mean, through a linear layer, is next to what the teacher says.

    The table begins as what the teacher says of each token alone, less the mean and with less weight for what is frequent (Arora et al.
    2017; model2vec).
    """
    path = cache_folder() / "sentence_teacher" / "table.npz"
    if not path.is_file():
        torch.manual_seed(0)
        ids, masks = (torch.from_numpy(x[:TAUGHT]) for x in (parts["train"].ids, parts["train"].masks))
        frequent = torch.bincount(ids[masks > 0].long(), minlength=TOKENS).float()
        frequent /= frequent.sum()
        alone = torch.from_numpy(_alone())
        table = (alone - (frequent[:, None] * alone).sum(0)) * (1e-3 / (1e-3 + frequent))[:, None]
        network = _Table(table)
        _learn(network, ids.long(), masks, torch.from_numpy(answers["train"]))
        with writing(path) as folder:
            np.savez(folder / path.name, allow_pickle=False, **{name: x.detach().numpy() for name, x in network.state_dict().items()})
            (folder / path.name).replace(path)
    with np.load(path, allow_pickle=False) as held:
        torch.manual_seed(0)
        network = Student(torch.from_numpy(held["tokens.weight"]), ATTENTION, HEADS, INNER)
        network.outputs.load_state_dict({part: torch.from_numpy(held[f"outputs.{part}"]) for part in ("weight", "bias")})
    return network


def _alone() -> Reals:
    """What the teacher says of every token alone, (tokens, 384)."""
    path = cache_folder() / "sentence_teacher" / "single.npy"
    if not path.is_file():
        ask, outputs = _teacher(3, True), []
        for start in range(0, TOKENS, 512):
            token = np.arange(start, min(start + 512, TOKENS), dtype=np.int32)
            ids = np.stack([np.full_like(token, 101), token, np.full_like(token, 102)], 1)
            outputs.append(ask(ids, np.ones((len(token), 3), np.float32)))
        with writing(path) as folder:
            np.save(folder / path.name, np.concatenate(outputs))
            (folder / path.name).replace(path)
    return np.asarray(np.load(path, allow_pickle=False))


class _Table(nn.Module):
    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.tokens = nn.Embedding.from_pretrained(table, freeze=False, sparse=True)
        self.outputs = nn.Linear(table.shape[1], table.shape[1])
        nn.init.eye_(self.outputs.weight)
        nn.init.zeros_(self.outputs.bias)

    def forward(self, ids: Tensor, masks: Tensor) -> Tensor:
        mean: Tensor = self.outputs((self.tokens(ids) * masks[..., None]).sum(1) / masks.sum(1, keepdim=True))
        return mean


def _learn(network: _Table, ids: Tensor, masks: Tensor, wanted: Tensor) -> None:
    """Training of the table: only the rows that a batch reads are touched, which takes a hundredth of the time of the whole."""
    optimizers = [torch.optim.SparseAdam(network.tokens.parameters()), torch.optim.Adam(network.outputs.parameters())]
    terms, steps, step = (Directions(), Similarities(0.5)), TABLE_EPOCHS * (len(ids) // BATCH), 0
    for _ in range(TABLE_EPOCHS):
        for batch in torch.randperm(len(ids))[: len(ids) // BATCH * BATCH].split(BATCH):
            for optimizer, rate in zip(optimizers, (2e-3, 5e-4), strict=True):
                optimizer.zero_grad()
                optimizer.param_groups[0]["lr"] = rate * max(0.02, 0.5 * (1 + np.cos(np.pi * step / steps)))
            outputs = network(ids[batch], masks[batch])
            sum(term.weight * term.loss(outputs, wanted[batch], outputs) for term in terms).backward()  # type: ignore[union-attr]
            for optimizer in optimizers:
                optimizer.step()
            step += 1


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
    return [part.ids[:count], part.masks[:count]]


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


def _integers(name: str, graph: Graph, parts: Mapping[str, Sentences], wanted: Reals, count: int) -> dict[str, object]:
    """``graph`` by w8a8 with smoothed activations and ranges of least squared error, calibrated on training sentences: evaluated, run."""
    steps = tuple(step for step in RECIPES["w8a8"].steps if step.name != "quantize_static")
    recipe = Recipe("w8a8", (*steps, Step("smooth_activations"), Step("quantize_static", {"ranges": "mse", "weight_ranges": "mse"})))
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
