"""Spoken digits with weights of few bits, trained and deployed on Cortex-M4: accuracy, flash in the ELF, instructions; three seeds.

The network that examples/spoken_digits ships, then each recipe, with EPOCHS of training through the device's arithmetic on the 1,800
training utterances where it trains at all; the seed decides their order and which of them choose the epoch. Accuracy is on the 600
utterances of the validation set, and on the 600 of the test set, which played no part. First, last and depthwise layers keep int8 in
the recipes of two bits and less. The last columns count outputs that differ from the integer evaluation: over all test utterances
generated C on this computer and the .tflite in TensorFlow Lite Micro's wheel, over SAMPLES of them Cortex-M4 under QEMU. A run that was
stopped goes on from build/benchmarks/low_bit_training.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

import edgewright
from benchmarks.data import spoken_digits
from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import ToolError
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.passes.registry import Context
from edgewright.recipe import load_recipe
from edgewright.report.accuracy import real_outputs
from edgewright.run.tflm import run_tflm
from edgewright.steps import integer_graph, run_recipe
from edgewright.targets.stored import constant_bytes
from edgewright.targets.target import load_target
from examples.train_spoken_digits import FOLDER as SHIPPED
from examples.train_spoken_digits import fixed_length, split

FOLDER = Path("build/benchmarks/low_bit_training")
SEEDS = (0, 1, 2)
NAMES = ("w8a8", "w4a8-qat", "w2a8-qat", "ternary-a8", "ternary-a8-qat", "binary-a8", "binary-a8-qat")
EPOCHS, RATE = 5, 0.01
TARGET = "cortex-m4"
SAMPLES = 20


def rows() -> list[dict[str, object]]:
    """One row a recipe: means over the seeds, and the least and greatest accuracy on the test set."""
    parts = {name: [_part(name, seed) for seed in (SEEDS if name.endswith("-qat") else SEEDS[:1])] for name in ("float", *NAMES)}
    reference = parts["float"][0]["test"]
    found = []
    for name, runs in parts.items():
        scores = [run["test"] for run in runs]
        row: dict[str, object] = {
            "weights": name, "seeds": len(runs), "validation %": _mean(runs, "validation"), "test %": _mean(runs, "test"),
            "least": min(scores), "greatest": max(scores), "against float": round(_mean(runs, "test") - reference, 2),
        }  # fmt: skip
        if name != "float":
            row |= {figure: round(_mean(runs, figure)) for figure in ("weight bytes", "flash", "arena", "instructions")}
            row |= {f"{where} differs": sum(round(run[where]) for run in runs) for where in ("host", "TFLM", "M4") if where in runs[0]}
        found.append(row)
    return found


def _mean(runs: list[dict[str, float]], figure: str) -> float:
    return round(float(np.mean([run[figure] for run in runs])), 2)


def _part(name: str, seed: int) -> dict[str, float]:
    """What one recipe comes to with one seed, kept in a file."""
    path = FOLDER / f"{name}_{seed}.json"
    if not path.is_file():
        facts = _measured(name, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(facts))
        os.replace(partial, path)
    kept = json.loads(path.read_text())
    assert isinstance(kept, dict)
    return kept


def _measured(name: str, seed: int) -> dict[str, float]:
    floating, (_, validation, test) = edgewright.load(SHIPPED / "spoken_digits.onnx"), _data()
    if name == "float":
        return {"validation": _accuracy(floating, validation), "test": _accuracy(floating, test)}
    graph = _integers(name, seed)
    inputs = quantize_inputs(graph, test.inputs)
    (wanted,) = evaluate(graph, inputs)
    program = edgewright.lower(graph, TARGET)
    run = edgewright.measure(program, [array[:SAMPLES] for array in inputs])
    outputs = {"host": edgewright.measure(edgewright.lower(graph, "host"), inputs).outputs[0], "M4": run.outputs[0]}
    with suppress(ToolError):  # It refuses int4 in dense layers.
        outputs["TFLM"] = run_tflm(emit_tflite(graph), inputs).outputs[0]
    facts: dict[str, float] = {where: int(np.count_nonzero(found != wanted[: len(found)])) for where, found in outputs.items()}
    assert run.flash_bytes is not None and run.instructions_per_inference is not None
    facts |= {"flash": run.flash_bytes, "arena": program.plan.arena_bytes, "instructions": run.instructions_per_inference}
    facts["weight bytes"] = constant_bytes(program.graph, program.target.kernels, program.target.sparse_share)
    return facts | {"validation": _accuracy(graph, validation), "test": _accuracy(graph, test)}


def _integers(name: str, seed: int) -> Graph:
    floating, learned = edgewright.load(SHIPPED / "spoken_digits.onnx"), _data()[0]
    recipe = load_recipe(name)
    if name.endswith("-qat"):
        recipe = recipe.with_options("train_quantized", epochs=EPOCHS, learning_rate=RATE, augment="shift")
    ctx = Context(data=learned, teacher=floating, seed=seed, checkpoints=FOLDER / str(seed), target=load_target(TARGET))
    return integer_graph(run_recipe(floating, recipe, ctx), load_target(TARGET), ctx)


@cache
def _data() -> tuple[Data, Data, Data]:
    """Training, validation and test utterances, as the example splits and normalizes them."""
    utterances = spoken_digits()
    parts, facts = split(utterances.labels), json.loads((SHIPPED / "network.json").read_text())
    features = fixed_length(utterances, np.asarray(facts["mean"], np.float32), np.asarray(facts["deviation"], np.float32))
    images = np.ascontiguousarray(features.transpose(0, 2, 3, 1))
    learned, validation, test = (Data((images[rows],), utterances.labels[rows]) for rows in (parts.train, parts.validation, parts.test))
    return learned, validation, test


def _accuracy(graph: Graph, data: Data) -> float:
    """Percent."""
    return round(100 * float(np.mean(real_outputs(graph, data)[0].argmax(1) == data.labels)), 2)
