"""``python -m benchmarks.fit_costs [CORE …]``: fit the costs of the kernels' parts to counted instructions of random layers.

Non-negative least squares of relative errors on 1,440 layers a core, 200 in a boot of QEMU; the error of each kernel is that of 480 others.
Writes src/edgewright/targets/costs/CORE.toml, and for the kernels that put size first CORE-size.toml (both are names to give; all where
none is given). About a minute a file, two at a time.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from benchmarks.random_layers import FORMED, random_inputs, random_layers, side_by_side
from benchmarks.random_tilings import KINDS, random_tilings
from edgewright.emit.c import emit_c
from edgewright.emit.c.predict import MOVES, inference_calls, kernel_text
from edgewright.emit.c.structure.table import count_parts
from edgewright.errors import EdgewrightError, ModelError
from edgewright.ir.graph import Graph, Node
from edgewright.lower.program import Program
from edgewright.run.qemu import count_layers
from edgewright.run.toolchain import find_toolchain
from edgewright.targets.target import Target, load_target

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv32imac")
SIZE = "-size"
SAME_CODE: Mapping[str, tuple[str, ...]] = {
    "cortex-m0plus": ("cortex-m0plus", "cortex-m0"),
    "cortex-m55": ("cortex-m55", "cortex-m85"),
}
FOLDER = Path(__file__).resolve().parents[1] / "src" / "edgewright" / "targets" / "costs"
LAYERS = 200
STRUCTURED = 40
"""Layers whose weights have a structure, beside each boot of that many layers."""
TILED = 4
"""Programs with a tiled loop beside each boot of that many layers."""
SAME_LIBRARY: Mapping[str, str] = {
    "put_tile: copy": "copy: run",
    "resize_nearest: run": "copy: run",
    "take_tile: copy": "copy: run",
    "take_tile: fill": "fill_border: fill",
}
"""Parts that call the same function of the C library, and under which name it is fitted to all of them."""
FEW = 16
"""Figures below this are held to that many, not to their own share."""
FIT: tuple[tuple[int, bool], ...] = ((0, True), (1, False), (2, True), (3, False), (4, True), (5, False))
"""Seeds, and whether all kinds of layers are drawn evenly."""
HELD_OUT: tuple[tuple[int, bool], ...] = ((1000, True), (1001, False))


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


def measure(target: Target, seeds: Sequence[tuple[int, bool]], layers: int = LAYERS) -> Iterator[Sample]:
    """All layers of all seeds, more of those with structured weights, and what stands in tiled loops alone, counted under QEMU."""
    for seed, even in seeds:
        yield from _counted(side_by_side(random_layers(seed, layers, even=even), target), seed)
        yield from _counted(side_by_side(random_layers(seed + 100, STRUCTURED, even=even, kinds=FORMED), target), seed)
        for program in random_tilings(seed, TILED, target):
            yield from (sample for sample in _counted(program, seed) if sample.node.op.kind in KINDS)


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


def fit_core(core: str) -> str:
    """The table of ``core`` as TOML."""
    target = target_of(core)
    samples, held = list(measure(target, FIT)), list(measure(target, HELD_OUT))
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
    _say(core, held, instructions, moved)
    chain = find_toolchain(target, None)
    said = subprocess.run([*chain.compiler, "--version"], capture_output=True, text=True, timeout=60).stdout.splitlines()[0]
    today = datetime.date.today().isoformat()
    how = f"{said}, {target.optimization}; python -m benchmarks.fit_costs {core}, {today}"
    source = f"{len(samples)} random layers counted under QEMU, {how}"
    lines = [
        f"cores = {_toml(SAME_CODE.get(target.core, (target.core,)))}",
        f"kernels = {_toml(target.kernels)}",
        f'source = "{source}"',
    ]
    for kernel in sorted(seen):
        error = float(np.quantile(errors.get(kernel) or everything, 0.95))
        lines += ["", f"[costs.{kernel}]", f'text = "{kernel_text(kernel, target.kernels)}"']
        lines += [f"layers = {seen[kernel]}", f"error = {error:.3f}"]
        for name, costs in (("instructions", instructions), ("cycles", cycles), *moved.items()):
            if costs is not None:
                lines += ["", f"[costs.{kernel}.{name}]"]
                own = ((part.removeprefix(f"{kernel}: "), cost) for part, cost in costs.items() if part.startswith(f"{kernel}: "))
                lines += [f'"{part}" = {cost}' for part, cost in own if cost or name not in MOVES]
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


def _write(core: str) -> int:
    started = time.perf_counter()
    try:
        text = fit_core(core)
    except EdgewrightError as error:
        print(f"error: {core}: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 2
    partial = FOLDER / f".{core}.partial"
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, FOLDER / f"{core}.toml")
    print(f"  {core}.toml written, {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def main(cores: Sequence[str]) -> int:
    """Fit ``cores`` (all where none is given), two at a time. Returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(_write, cores or [core + end for end in ("", SIZE) for core in CORES]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
