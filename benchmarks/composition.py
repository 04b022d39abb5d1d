"""Every ordered pair of techniques on real networks: what the first left must stand after the second and in the integers, and the C and the
.tflite must give the bytes of the integer evaluation. Fills in docs/composition.md.

ResNet-8 (ic_float) with CIFAR-10 images, and the spoken-digits example; one epoch where something is trained, 8 samples compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgewright
from benchmarks.cases import model_path
from benchmarks.data import cifar10
from edgewright.data import Data, load_data
from edgewright.emit.c import emit_c
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Graph, Structure
from edgewright.lower.program import make_program
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.recipe import RECIPES, Recipe, Step
from edgewright.run.host import run_host
from edgewright.run.tflm import run_tflm
from edgewright.steps import integer_graph, is_integer, run_recipe
from edgewright.targets.target import load_target

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "composition.md"
TARGET = "cortex-m4"
SAMPLES = 8
CLUSTERS = 16
TRAINING: Mapping[str, int] = {"epochs": 1}
SHRINKING: Mapping[str, Step] = {
    "prune channels": Step("prune_channels", {"budget": 0.7, "importance": "l2"}),
    "remove blocks": Step("remove_blocks", {"budget": 0.9}),
    "factorize": Step("factorize_layers", {"keep": 0.8}),
    "separate": Step("separate_convolutions", {"worst": 0.9}),
    "ghost": Step("ghost_convolutions", {"worst": 0.9, "most": 2}),
    "prune weights": Step("prune_weights", {"sparsity": 0.5}),
    "2:4": Step("prune_weights", {"pattern": "2:4"}),
    "cluster": Step("cluster_weights", {"clusters": CLUSTERS}),
    "distil": Step("distill", TRAINING),
    "fine-tune": Step("fine_tune", TRAINING),
}
QUANTIZING = ("w8a8", "w8a8-rounded", "w4a8", "w4a8-qat")
"""Recipes that end a chain: second only."""
TRAINS = "train_quantized"


@dataclass(frozen=True)
class Outcome:
    """What a pair came to: "kept" and "same bytes", or "does not apply", or what is wrong."""

    first: str
    second: str
    verdict: str


def outcomes(
    graph: Graph, data: Data, shrinking: Mapping[str, Step] = SHRINKING, quantizing: Sequence[str] = QUANTIZING
) -> Iterator[Outcome]:
    """Every ordered pair on float ``graph``, with labelled ``data``; after a pair of float techniques, w8a8."""
    load_passes()
    start = run_recipe(graph, RECIPES["clean"], Context(data=data))
    for first, step in shrinking.items():
        once = _applied(start, step, data, graph)
        for second, other in shrinking.items():
            if second != first:
                twice = None if once is None else _applied(once, other, data, graph)
                yield Outcome(first, second, "does not apply" if once is None or twice is None else judge(once, twice, "w8a8", data))
        for recipe in quantizing:
            yield Outcome(first, recipe, "does not apply" if once is None else judge(once, once, recipe, data))


def _applied(graph: Graph, step: Step, data: Data, teacher: Graph) -> Graph | None:
    """``graph`` after ``step``; None where there was nothing to do."""
    ctx = Context(data=data, target=load_target(TARGET), teacher=teacher)
    after = run_recipe(graph, Recipe("step", (step,)), ctx)
    return None if after is graph else after


def judge(before: Graph, after: Graph, recipe: str, data: Data) -> str:
    """``before`` carries what the first technique left, ``after`` has been through the second; quantized by ``recipe`` and deployed."""
    board = load_target(TARGET)
    chosen = RECIPES[recipe]
    if any(step.name == TRAINS for step in chosen.steps):
        chosen = chosen.with_options(TRAINS, **TRAINING)
    quantized = run_recipe(after, chosen, Context(data=data, target=board, teacher=before))
    if not is_integer(quantized):
        return "computes in float"
    integer = integer_graph(quantized, board, Context(target=board))
    lost = [*_lost(before, after), *_lost(before, integer), *_lost(after, integer)]
    if lost:
        return f"lost: {', '.join(sorted(set(lost)))}"
    if cost(after).macs > cost(before).macs:
        return "lost: its multiply-accumulates came back"
    arrays = quantize_inputs(integer, [array[:SAMPLES] for array in data.inputs])
    wanted = evaluate(integer, arrays)
    values = [integer.value(name) for name in integer.outputs]
    outputs = [(value.dtype.numpy, tuple(int(size or 1) for size in value.shape[1:])) for value in values]
    run = run_host(emit_c(make_program(integer, load_target("host"))), arrays, outputs=outputs)
    different = [] if _equal(run.outputs, wanted) else ["C"]
    if not any(value.dtype.bits < 8 for value in integer.values.values()):
        try:
            different += [] if _equal(run_tflm(emit_tflite(integer), arrays).outputs, wanted) else [".tflite"]
        except UnsupportedError:
            return "kept, same bytes in C" if not different else "other bytes in C"
    return f"other bytes in {' and '.join(different)}" if different else "kept, same bytes"


def _equal(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(first, second) for first, second in zip(got, wanted, strict=True))


def _lost(before: Graph, after: Graph) -> list[str]:
    """What of the structures of ``before`` is not in ``after``; layers that are gone, or have another shape, do not count."""
    found = []
    old, new = _weights(before), _weights(after)
    for layer in old.keys() & new.keys():
        first, last = before.constants[old[layer]], after.constants[new[layer]]
        kept = first.structure or Structure()
        if first.array.shape != last.array.shape:
            continue
        if kept.mask is not None and np.any(last.array[~kept.mask]):
            found.append("zeros")
        if kept.pattern is not None and (last.structure is None or last.structure.pattern != kept.pattern):
            found.append("pattern")
        if kept.codebook is not None and max(len(np.unique(row)) for row in _books(last.array, kept)) > kept.codebook.shape[-1]:
            found.append("codebook")
    return found


def _books(array: np.ndarray, structure: Structure) -> Sequence[np.ndarray]:
    """The numbers that share a codebook: all, or those of a channel."""
    assert structure.codebook is not None
    return [array] if structure.codebook.ndim == 1 else list(array.reshape(len(array), -1))


def _weights(graph: Graph) -> dict[str, str]:
    found = {node.name: node.inputs[index] for node in graph.nodes for index in node.op.weight_inputs}
    return {layer: weight for layer, weight in found.items() if weight in graph.constants}


def networks() -> Iterator[tuple[str, Graph, Data]]:
    """The networks of the matrix, with labelled samples."""
    cifar = cifar10()
    images = Data((cifar.train_inputs[:256].astype(np.float32),), cifar.train_labels[:256])
    yield "ResNet-8", edgewright.load(model_path("mlperf_tiny/ic_float.tflite")), images
    digits = edgewright.load(ROOT / "examples" / "spoken_digits" / "spoken_digits.onnx")
    yield "spoken digits", digits, load_data(ROOT / "examples" / "spoken_digits" / "test.npz", digits)


def rows() -> list[dict[str, object]]:
    """One row a pair and network; docs/composition.md as a matrix."""
    found = [
        {"network": name, "first": outcome.first, "then": outcome.second, "outcome": outcome.verdict}
        for name, graph, data in networks()
        for outcome in outcomes(graph, data)
    ]
    _write(found)
    return found


def _write(found: Sequence[Mapping[str, object]]) -> None:
    seconds = [*SHRINKING, *QUANTIZING]
    lines = [
        "# What goes with what",
        "",
        "Down: the technique that comes first; across: the one that follows. After both, the network is quantized (w8a8, where the second",
        "is not a recipe of its own), lowered, and run as C and in TensorFlow Lite Micro. A check mark says that what the first technique",
        "left (zeros, patterns, codebooks, fewer channels and blocks) stands in the integers, and that all bytes are those of the integer",
        "evaluation; a dash, that one of the two finds nothing to do in this network. Written by `python -m benchmarks composition`.",
        "",
    ]
    for name in dict.fromkeys(str(row["network"]) for row in found):
        own = {(row["first"], row["then"]): str(row["outcome"]) for row in found if row["network"] == name}
        lines += [f"## {name}", "", "| first | " + " | ".join(seconds) + " |", "|" + "---|" * (len(seconds) + 1)]
        for first in dict.fromkeys(str(row["first"]) for row in found):
            lines.append(f"| {first} | " + " | ".join(_mark(own.get((first, second), "")) for second in seconds) + " |")
        lines.append("")
    partial = PAGE.with_name(f".{PAGE.name}.partial")
    partial.write_text("\n".join(lines))
    os.replace(partial, PAGE)


def _mark(outcome: str) -> str:
    return {"": "", "kept, same bytes": "✓", "kept, same bytes in C": "✓ (C)", "does not apply": "–"}.get(outcome, f"**{outcome}**")
