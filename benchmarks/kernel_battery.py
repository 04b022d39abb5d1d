"""Every kernel on thousands of random layers against the integer evaluation: layers, and batches of them in which anything differed.

``python -m benchmarks.kernel_battery [TARGET …] [--seeds N] [--first SEED]`` runs single targets and replaces their rows. What
tests/kernels does with a few seeds, with as many as are wanted: every operator with a kernel, of random shapes, strides, paddings,
dilations, groups, zero points, factors and extreme values, each layer in a piece of memory of its own, every second one that can over its
input. On this computer the C runs under the address and undefined-behaviour sanitizers, with poisoned bytes around every value and
workspace. TARGET: host, the same with fewer instructions ("x86 avx2", "x86 sse2", "x86 plain"), an emulated Cortex-A ("neon", "neon
dotprod", "neon i8mm"), a folder of kernels that any compiler takes (dsp, thumb1, thumb2, rv32, size), or an emulated core, for its least
flash followed by " size". Exit code 1 where anything differed.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from tests.kernels import harness, test_cpu, test_sparse

MODULES = ("test_convolution", "test_elementwise", "test_movement", "test_reduction", "test_helium", "test_packed", "test_sparse")
CPU = ("host", *harness.X86, *harness.NEON)
TARGETS = (
    *CPU,
    *harness.FOLDERS,
    "cortex-m0plus",
    "cortex-m3",
    "cortex-m4",
    "cortex-m4 size",
    "cortex-m55",
    "cortex-m55 size",
    "rv32imac",
)
SEEDS = 5
"""At least 2,000 layers a target."""
FIRST = 1000
STORED = Path("build/benchmarks/kernel_battery.json")


def batteries(target: str) -> Iterator[tuple[str, Callable[..., None]]]:
    """What draws its layers from a seed and has something to run on ``target``, under ``module.function``."""
    here: dict[str, object] = {"target": target, "needs_cc": None}
    for module in MODULES:
        if module == "test_helium" and target != "cortex-m55":
            continue
        if module == "test_sparse":
            if target in CPU or " " in target:  # They have kernels of their own for it, or the folder stands for them.
                continue
            here = here | {"target": test_sparse.any_is_sparse(target)}
        for function in vars(importlib.import_module(f"tests.kernels.{module}")).values():
            wanted = set(inspect.signature(function).parameters) if inspect.isfunction(function) else set()
            if function_of(module, function) and "seed" in wanted:
                others = {name: value for name, value in here.items() if name in wanted}
                yield f"{module}.{function.__name__}", functools.partial(function, **others)
    if target in CPU:
        yield "test_cpu.check_wide_layers", functools.partial(test_cpu.check_wide_layers, target)
        yield "test_cpu.check_sparse_layers", functools.partial(test_cpu.check_sparse_layers, target)


def function_of(module: str, function: object) -> bool:
    """Whether a test of ``module`` itself, not one that it imports."""
    return getattr(function, "__name__", "").startswith("test_") and getattr(function, "__module__", "").endswith(module)


def rows() -> list[dict[str, object]]:
    """A row a target, each stored as soon as it is there."""
    for target in TARGETS:
        keep(run_target(target, SEEDS, FIRST))
    return kept()


def run_target(target: str, seeds: int, first: int) -> dict[str, object]:
    """The row of ``target``; what differs is told as it is found."""
    console, started = Console(stderr=True), time.perf_counter()
    layers, failed = 0, []
    plain = harness.compare

    def counted(graph: harness.Graph, *others: Any) -> None:
        nonlocal layers
        layers += len(graph.outputs)
        plain(graph, *others)

    harness.compare = counted  # type: ignore[assignment]
    jobs = [(*battery, seed) for battery in batteries(target) for seed in range(first, first + seeds)]
    try:
        with Progress(console=console) as progress:
            for name, function, seed in progress.track(jobs, description=target):
                try:
                    function(seed=seed)
                except Exception as error:
                    failed.append(f"{name} seed {seed}")
                    reason = next(iter(str(error).splitlines()), type(error).__name__)
                    console.print(f"{name} on {target}, seed {seed}: {reason}", markup=False)
    finally:
        harness.compare = plain
    return {
        "target": target,
        "layers": layers,
        "batches": len(jobs),
        "batches that differ": len(failed),
        "which": ", ".join(failed),
        "seeds": f"{first} to {first + seeds - 1}",
        "sanitizers": "no" if target.startswith(("cortex", "rv32imac", "neon")) else "yes",
        "seconds": round(time.perf_counter() - started),
    }


def kept() -> list[dict[str, object]]:
    """The rows that were stored last, in the order of TARGETS."""
    found: list[dict[str, object]] = json.loads(STORED.read_text()) if STORED.is_file() else []
    return found


def keep(row: dict[str, object]) -> None:
    """Store ``row`` in the place of its target's last one."""
    others = {str(each["target"]): each for each in kept()} | {str(row["target"]): row}
    order = [*(name for name in TARGETS if name in others), *(name for name in others if name not in TARGETS)]
    STORED.parent.mkdir(parents=True, exist_ok=True)
    partial = STORED.with_name(f".{STORED.name}.partial")
    partial.write_text(json.dumps([others[name] for name in order], indent=2) + "\n")
    os.replace(partial, STORED)


def main(arguments: list[str]) -> int:
    """Run the batteries; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_battery")
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed; the tests have 0 and 1")
    chosen = parser.parse_args(arguments)
    failures = 0
    for target in chosen.targets:
        row = run_target(target, chosen.seeds, chosen.first)
        keep(row)
        differing = int(str(row["batches that differ"]))
        failures += differing
        Console().print(f"{target}: {row['layers']:,} layers, {differing} of {row['batches']} batches differ", markup=False)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
