"""The cost model against counted instructions and bytes: random layers that it was not fitted to, programs with tiled loops, and whole
networks, with weights of a byte, of few bits and mostly zeros, on every core.

The energy rows compare the coefficient with the published energy of MLPerf Tiny, each network by what the other three give.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

import edgewright
from benchmarks.cases import CASES, model_path
from benchmarks.fit_costs import CORES
from benchmarks.random_layers import FORMED, KINDS, SEQUENCES, Kinds, random_inputs, random_layers, side_by_side
from benchmarks.random_tilings import random_tilings
from edgewright.data import Data
from edgewright.emit.c import emit_c
from edgewright.emit.c.predict import predict
from edgewright.lower.program import Program, make_program
from edgewright.recipe import CLEAN, Recipe, Step
from edgewright.run.qemu import LayerCounts, count_layers
from edgewright.targets.target import load_target

LAYERS, TILED, SEED = 250, 8, 2000
SETS: Mapping[str, tuple[int, int, Kinds]] = {
    "random layers": (SEED, LAYERS, KINDS),
    "with weights packed or pruned": (SEED + 1, 100, FORMED),
    "of attention and recurrence": (SEED + 2, 60, SEQUENCES),
}
STRUCTURED = {
    "weights of 4 bits": (Step("quantize_static", {"weight_bits": 4}),),
    "weights of 4 values": (Step("cluster_weights", {"clusters": 4}), Step("quantize_static")),
    "90 % zeros": (Step("prune_weights", {"sparsity": 0.9, "scope": "global"}), Step("quantize_static")),
}
"""Steps that make other kernels of a network in float; speeds do not depend on what training would make of it."""
NETWORKS = ("ic_int8", "kws_int8", "micro_speech_int8", "mobilenet_v2_96")
CLOCK_HZ = 120e6
PUBLISHED: Mapping[str, tuple[float, float]] = {
    "ic": (10681.623, 50 / 11.340),
    "kws": (3371.738, 13.314),
    "vww": (10066.628, 4.427),
    "ad": (322.977, 132.077),
}
"""MLPerf Tiny v1.0, closed division, STMicroelectronics NUCLEO_L4R5ZI (energy/results.txt): median µJ an inference, inferences a second."""


def rows() -> list[dict[str, object]]:
    """One row a core for random layers and for tiled programs, one a core and network, one a published energy."""
    return [*_layers(), *_tilings(), *_networks(), *_structured(), *_energies()]


def _layers() -> Iterator[dict[str, object]]:
    for what, (seed, count, kinds) in SETS.items():
        graph = random_layers(seed, count, kinds=kinds)
        for core in CORES:
            target = load_target(core)
            program = side_by_side(graph, target)
            counted = count_layers(emit_c(program), random_inputs(program.graph, seed), target)
            predicted = predict(program)
            known = [(row.cost.instructions, count) for row, count in zip(predicted.layers, counted.instructions, strict=True)]
            errors = np.array([float("inf") if cost is None else cost / count - 1 for cost, count in known])
            yield {
                "core": core,
                "what": f"{count} {what}",
                "within 5 %": f"{100 * np.mean(abs(errors) <= 0.05):.1f} %",
                "within 3 %": f"{100 * np.mean(abs(errors) <= 0.03):.1f} %",
                "unknown": int(np.isinf(errors).sum()),
                "worst": "; ".join(_layer(program, int(index), errors) for index in np.argsort(-abs(errors))[:3]),
                **_cycles([row.cost.cycles for row in predicted.layers], counted),
            }


def _layer(program: Program, index: int, errors: np.ndarray) -> str:
    node = program.graph.nodes[index]
    shapes = "->".join("x".join(map(str, value.shape[1:])) for value in (program.graph.ins(node)[0], program.graph.outs(node)[0]))
    return f"{node.op.kind} {shapes} {100 * errors[index]:+.0f} %"


def _cycles(predicted: list[int | None], counted: LayerCounts) -> dict[str, object]:
    """How many layers' modelled cycles are within 5 %, where the core has a model."""
    if counted.cycles is None or None in predicted:
        return {}
    errors = np.array(predicted, float) / np.array(counted.cycles) - 1
    return {"cycles within 5 %": f"{100 * np.mean(abs(errors) <= 0.05):.1f} %"}


def _tilings() -> Iterator[dict[str, object]]:
    for core in CORES:
        errors = []
        for program in random_tilings(SEED, TILED, load_target(core)):
            counted = count_layers(emit_c(program), random_inputs(program.graph, SEED), program.target)
            total = predict(program).total.instructions
            errors.append(float("inf") if total is None else total / sum(counted.instructions) - 1)
        yield {
            "core": core,
            "what": f"{TILED} programs with a tiled loop",
            "within 5 %": f"{100 * np.mean(np.abs(errors) <= 0.05):.1f} %",
            "within 3 %": f"{100 * np.mean(np.abs(errors) <= 0.03):.1f} %",
            "unknown": int(np.isinf(errors).sum()),
            "worst": f"{100 * max(errors, key=abs):+.1f} %",
        }


def _networks() -> Iterator[dict[str, object]]:
    for name in NETWORKS:
        case = CASES[name]()
        for core in CORES:
            program = case.program(core)
            yield _whole(name, program, count_layers(emit_c(program), case.inputs(1), program.target))


def _structured() -> Iterator[dict[str, object]]:
    """DS-CNN from float with other weights, on noise."""
    graph = edgewright.load(model_path("mlperf_tiny/kws_float.tflite"))
    shape = tuple(int(size or 1) for size in graph.value(graph.inputs[0]).shape[1:])
    noise = Data((np.random.default_rng(SEED).normal(size=(8, *shape)).astype(np.float32),))
    for name, steps in STRUCTURED.items():
        recipe = Recipe("weights", (Step("dequantize_weights"), *(Step(clean, repeat=True) for clean in CLEAN), *steps))
        for core in CORES:
            made = edgewright.optimize(graph, recipe=recipe, target=core, data=noise, formats=["c"]).program
            assert made is not None
            program = make_program(made.graph, load_target(core))
            yield _whole(f"kws, {name}", program, count_layers(emit_c(program), random_inputs(program.graph, SEED), program.target))


def _whole(name: str, program: Program, counted: LayerCounts) -> dict[str, object]:
    prediction = predict(program)
    total = prediction.total
    row: dict[str, object] = {
        "core": program.target.name,
        "what": name,
        "counted": sum(counted.instructions),
        "predicted": total.instructions,
    }
    if total.instructions is not None:
        row["error"] = f"{100 * (total.instructions / sum(counted.instructions) - 1):+.2f} %"
    if total.cycles is not None and counted.cycles is not None:
        row["error of cycles"] = f"{100 * (total.cycles / sum(counted.cycles) - 1):+.2f} %"
    for memory, sizes in prediction.moved.items():
        moved = sum(map(sum, counted.moved[memory]))
        row[f"error of bytes, {memory}"] = f"{100 * (sum(sizes) / moved - 1):+.2f} %"
    return row | ({"unknown": total.unknown} if total.instructions is None else {})


def _energies() -> Iterator[dict[str, object]]:
    """The energy of each published inference by its own cycles and the mean picojoules per cycle of the other three."""
    per_cycle = {name: 1e6 * energy / (CLOCK_HZ / rate) for name, (energy, rate) in PUBLISHED.items()}
    for name, (energy, rate) in PUBLISHED.items():
        others = [figure for other, figure in per_cycle.items() if other != name]
        predicted = 1e-6 * CLOCK_HZ / rate * sum(others) / len(others)
        yield {
            "core": "nucleo-l4r5zi",
            "what": f"energy of {name}, published: {energy:,.0f} µJ, {per_cycle[name]:.0f} pJ a cycle",
            "error": f"{100 * (predicted / energy - 1):+.1f} %",
        }
