"""``python -m benchmarks.fit_costs [--stale] [CORE …]``: fit the costs of the kernels' parts to counted instructions of random layers.

Non-negative least squares of relative errors on 1,650 layers a core, 160 in a boot of QEMU; the error of each kernel is that of 330 others.
Writes src/edgewright/targets/costs/CORE.toml, and for the kernels that put size first CORE-size.toml (both are names to give; all where
none is given). About two minutes a file, two at a time.

``--stale``: only kernels whose C, or whose core's model of cycles, has changed since they were fitted; the others keep their costs.
"""

from __future__ import annotations

import datetime
import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from benchmarks.random_layers import FORMED, WIDE_LAYERS, Kinds, add_transpose_conv2d, random_inputs, random_layers, side_by_side
from benchmarks.random_tilings import KINDS, random_tilings
from edgewright.emit.c import emit_c
from edgewright.emit.c.predict import MOVES, inference_calls, kernel_text
from edgewright.emit.c.structure.table import count_parts
from edgewright.errors import EdgewrightError, ModelError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Node
from edgewright.lower.program import Program
from edgewright.run.qemu import count_layers
from edgewright.run.toolchain import find_toolchain
from edgewright.targets.costs import CostTable, KernelCost, load_costs
from edgewright.targets.target import Target, load_target

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imac")
SIZE, STALE = "-size", "--stale"
SAME_CODE: Mapping[str, tuple[str, ...]] = {
    "cortex-m0plus": ("cortex-m0plus", "cortex-m0"),
    "cortex-m55": ("cortex-m55", "cortex-m85"),
}
FOLDER = Path(__file__).resolve().parents[1] / "src" / "edgewright" / "targets" / "costs"
LAYERS = 160
BESIDE = 130
RARE: Kinds = (*FORMED, *FORMED, *WIDE_LAYERS)
"""Layers whose weights have a structure, or whose activations have 16 bits: so many more beside each boot of that many layers."""
ROWS: Kinds = ((add_transpose_conv2d, 1),)
TRANSPOSED = 40
"""Transposed convolutions, whose rows take many ways, beside each boot of that many layers."""
TILED = 4
"""Programs with a tiled loop beside each boot of that many layers."""
SAME_LIBRARY: Mapping[str, str] = {
    "put_tile: copy": "copy: run",
    "resize_nearest: run": "copy: run",
    "take_tile: copy": "copy: run",
    "take_tile: fill": "fill_border: fill",
}
"""Parts that call the same function of the C library, and under which name it is fitted to all of them."""
TILE_KERNELS = {"take_tile", "put_tile", "fill_border"}
FEW = 16
"""Figures below this are held to that many, not to their own share."""
FIT: tuple[tuple[int, bool], ...] = ((0, True), (1, False), (2, True), (3, False), (4, True))
"""Seeds, and whether all kinds of layers are drawn evenly."""
HELD_OUT: tuple[tuple[int, bool], ...] = ((1000, True),)


@dataclass(frozen=True)
class Sample:
    """A layer with what it was counted to take."""

    graph: Graph
    node: Node
    kernels: tuple[str, ...]
    counts: Mapping[str, float]
    instructions: int
    cycles: int | None
    moved: Mapping[str, int]


def measure(target: Target, seeds: Sequence[tuple[int, bool]], kept: Collection[str] = (), layers: int = LAYERS) -> Iterator[Sample]:
    """All layers of all seeds, more of the rare ones, and what stands in tiled loops alone, counted under QEMU.

    Layers whose kernels are all ``kept`` are left out.
    """
    for seed, even in seeds:
        beside = random_layers(seed + 100, BESIDE, even=True, kinds=RARE), random_layers(seed + 200, TRANSPOSED, kinds=ROWS)
        for graph in (random_layers(seed, layers, even=even), *beside):
            wanted = _without(graph, target, kept)
            if wanted.nodes:
                yield from _counted(side_by_side(wanted, target), seed)
        if TILE_KERNELS - set(kept):
            for program in random_tilings(seed, TILED, target):
                yield from (sample for sample in _counted(program, seed) if sample.node.op.kind in KINDS)


def _without(graph: Graph, target: Target, kept: Collection[str]) -> Graph:
    """``graph``, whose layers have nothing to do with each other, less those of ``kept`` kernels."""
    if not kept:
        return graph
    program = side_by_side(graph, target)
    calls = zip(program.executed.nodes, inference_calls(program), strict=True)
    wanted = {node.outputs[0] for node, of in calls if not {call.kernel for call, _ in of} <= set(kept)}
    outputs = [name for name in graph.outputs if name in wanted]
    read = {name for node in graph.nodes if node.outputs[0] in wanted for name in node.inputs}
    return rebuild(graph, outputs=outputs, inputs=[name for name in graph.inputs if name in read])


def _counted(program: Program, seed: int) -> Iterator[Sample]:
    counted = count_layers(emit_c(program), random_inputs(program.graph, seed), program.target)
    calls = inference_calls(program)
    for index, node in enumerate(program.executed.nodes):
        if not calls[index]:
            continue
        counts = count_parts(calls[index], program.target.kernels)
        names = tuple(dict.fromkeys(call.kernel for call, _ in calls[index]))
        if counts is None:
            raise ModelError(f"a kernel of {names} has no structure", hint="describe it in emit/c/structure")
        cycles = None if counted.cycles is None else counted.cycles[index]
        flash, ram = counted.moved["flash"][index], counted.moved["ram"][index]
        moved = {"flash_read": flash[0], "ram_read": ram[0], "ram_written": ram[1]}
        yield Sample(program.executed, node, names, counts, counted.instructions[index], cycles, moved)


def fit(samples: Sequence[Sample], figures: Sequence[float]) -> dict[str, float]:
    """Part → its cost: what predicts ``figures`` with the smallest sum of squared relative errors, nothing below 0."""
    parts = sorted({_own(part) for sample in samples for part in sample.counts})
    column = {part: index for index, part in enumerate(parts)}
    matrix, wanted = np.zeros((len(samples), len(parts))), np.ones(len(samples))
    for row, (sample, figure) in enumerate(zip(samples, figures, strict=True)):
        weight = max(figure, FEW)
        wanted[row] = figure / weight
        for part, times in sample.counts.items():
            matrix[row, column[_own(part)]] += times / weight
    scale = matrix.max(0)
    weights, _ = nnls(matrix / scale, wanted, maxiter=100 * len(parts))
    costs = {part: float(f"{weight:.5g}") for part, weight in zip(parts, weights / scale, strict=True)}
    for alias, stem in SAME_LIBRARY.items():
        costs |= {part.replace(stem, alias, 1): cost for part, cost in costs.items() if part.startswith(stem)}
    return completed(costs)


def _own(part: str) -> str:
    """The part under which the same function of the C library is fitted."""
    return next((part.replace(alias, stem, 1) for alias, stem in SAME_LIBRARY.items() if part.startswith(alias)), part)


def completed(costs: Mapping[str, float]) -> dict[str, float]:
    """``costs`` with those of sixty-four bytes that no sample ran through: four times those of sixteen."""
    blocks = {part.replace(": sixteens", ": sixty-fours"): 4 * cost for part, cost in costs.items() if part.endswith(": sixteens")}
    return dict(sorted((blocks | dict(costs)).items()))


def price(counts: Mapping[str, float], costs: Mapping[str, float]) -> float:
    """What ``counts`` cost."""
    return sum(times * costs.get(part, 0.0) for part, times in counts.items())


def target_of(name: str) -> Target:
    """The target of CORE or CORE-size."""
    return load_target(name.removesuffix(SIZE)).preferring("size" if name.endswith(SIZE) else "speed")


def unchanged(target: Target) -> dict[str, KernelCost]:
    """Kernels that are as they were when they were fitted, with their costs; none where the model of cycles has changed."""
    table = load_costs(target)
    if table is None or table.cycle_model != model_digest(target):
        return {}
    kept = {name: cost for name, cost in table.costs.items() if cost.text == kernel_text(name, target.kernels)}
    shared = {name.partition(":")[0] for pair in SAME_LIBRARY.items() for name in pair}
    return kept if shared <= set(kept) else {name: cost for name, cost in kept.items() if name not in shared}


def model_digest(target: Target) -> str:
    """What tells one model of cycles from another; its words and its range do not matter."""
    if target.cycles is None:
        return ""
    told = target.cycles.model_dump_json(exclude={"source", "least", "most"})
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def fit_core(core: str, *, stale: bool = False) -> str:
    """The table of ``core`` as TOML; with ``stale`` kernels only that have changed, where there are such."""
    target = target_of(core)
    kept = unchanged(target) if stale else {}
    samples, held = list(measure(target, FIT, kept)), list(measure(target, HELD_OUT, kept))
    fitted = dict(sorted((kept | fit_kernels(core, samples, held, target)).items()))
    chain = find_toolchain(target, None)
    said = subprocess.run([*chain.compiler, "--version"], capture_output=True, text=True, timeout=60).stdout.splitlines()[0]
    how = f"{said}, {target.optimization}; python -m benchmarks.fit_costs {core}, {datetime.date.today().isoformat()}"
    source = f"{len(samples)} random layers counted under QEMU, {how}"
    if kept:
        table = load_costs(target)
        assert table is not None
        again = [name for name in fitted if name not in kept]
        source = f"{table.source}; {', '.join(again)} again, {datetime.date.today().isoformat()}" if again else table.source
    cores = SAME_CODE.get(target.core, (target.core,))
    return _table(CostTable(cores=cores, kernels=target.kernels, source=source, cycle_model=model_digest(target), costs=fitted))


def fit_kernels(core: str, samples: Sequence[Sample], held: Sequence[Sample], target: Target) -> dict[str, KernelCost]:
    """The costs of all kernels in ``samples``; their errors are those on ``held``."""
    if not samples:
        return {}
    instructions = fit(samples, [sample.instructions for sample in samples])
    known = [sample.cycles for sample in samples if sample.cycles is not None]
    cycles = fit(samples, known) if len(known) == len(samples) else None
    moved = {name: fit(samples, [sample.moved[name] for sample in samples]) for name in MOVES}
    errors: dict[str, list[float]] = defaultdict(list)
    seen: dict[str, int] = defaultdict(int)
    for sample in held:
        for kernel in sample.kernels:
            errors[kernel].append(abs(price(sample.counts, instructions) / sample.instructions - 1))
    for sample in samples:
        for kernel in sample.kernels:
            seen[kernel] += 1
    everything = [error for found in errors.values() for error in found]
    if held:
        _say(core, held, instructions, moved)

    def own(costs: Mapping[str, float], kernel: str) -> dict[str, float]:
        return {part.removeprefix(f"{kernel}: "): cost for part, cost in costs.items() if part.startswith(f"{kernel}: ")}

    return {
        kernel: KernelCost(
            text=kernel_text(kernel, target.kernels),
            layers=seen[kernel],
            error=round(float(np.quantile(errors.get(kernel) or everything, 0.95)), 3),
            instructions=own(instructions, kernel),
            cycles=None if cycles is None else own(cycles, kernel),
            **{name: {part: cost for part, cost in own(costs, kernel).items() if cost} for name, costs in moved.items()},
        )
        for kernel in seen
    }


def _table(table: CostTable) -> str:
    """``table`` as TOML."""
    lines = [
        f"cores = {_toml(table.cores)}",
        f"kernels = {_toml(table.kernels)}",
        f'source = "{table.source}"',
        f'cycle_model = "{table.cycle_model}"',
    ]
    for kernel, cost in table.costs.items():
        lines += ["", f"[costs.{kernel}]", f'text = "{cost.text}"', f"layers = {cost.layers}", f"error = {cost.error:.3f}"]
        for name in ("instructions", "cycles", *MOVES):
            parts = getattr(cost, name)
            if parts is not None:
                lines += ["", f"[costs.{kernel}.{name}]", *(f'"{part}" = {value}' for part, value in parts.items())]
    return "\n".join(lines) + "\n"


def _toml(names: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _say(core: str, held: Sequence[Sample], costs: Mapping[str, float], moved: Mapping[str, Mapping[str, float]]) -> None:
    errors = np.array([price(sample.counts, costs) / sample.instructions - 1 for sample in held])
    shares = ", ".join(f"{100 * np.mean(abs(errors) < limit):.1f} % within {100 * limit:.0f} %" for limit in (0.05, 0.03))
    print(f"{core}: {len(held)} held-out layers, {shares}")
    for name, found in moved.items():
        off = np.array([(price(sample.counts, found) - sample.moved[name]) / max(sample.moved[name], FEW) for sample in held])
        print(f"  {name}: {100 * np.mean(abs(off) < 0.05):.1f} % within 5 %")
    for index in np.argsort(-abs(errors))[:8]:
        sample = held[index]
        values = (*sample.graph.ins(sample.node), *sample.graph.outs(sample.node))
        shapes = " ".join("x".join(str(size) for size in value.shape) for value in values)
        print(f"  {100 * errors[index]:+.1f} %  {sample.instructions:>10,}  {sample.node.op}  {shapes}")


def _write(core: str, stale: bool) -> int:
    started = time.perf_counter()
    try:
        text = fit_core(core, stale=stale)
    except EdgewrightError as error:
        print(f"error: {core}: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 2
    partial = FOLDER / f".{core}.partial"
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, FOLDER / f"{core}.toml")
    print(f"  {core}.toml written, {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def main(words: Sequence[str]) -> int:
    """Fit the cores among ``words`` (all where none is given), two at a time. Returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    cores = [word for word in words if word != STALE] or [core + end for end in ("", SIZE) for core in CORES]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(_write, cores, [STALE in words] * len(cores)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
