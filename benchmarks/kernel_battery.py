"""``python -m benchmarks.kernel_battery [TARGET …] [--seeds N] [--first SEED]``: the kernels on random layers.

What tests/kernels does with a few seeds, with as many as are wanted: every operator with a kernel, of random shapes, strides, paddings,
dilations, groups, zero points, factors and extreme values, each layer in a piece of memory of its own, against the integer evaluation. On
this computer the C runs under the address and undefined-behaviour sanitizers, with poisoned bytes around every value and workspace. TARGET:
host, the same with fewer instructions ("x86 avx2", "x86 sse2", "x86 plain"), an emulated Cortex-A ("neon", "neon dotprod", "neon i8mm"), a
folder of kernels that any compiler takes (dsp, thumb1, thumb2, rv32, size), or an emulated core, for its least flash followed by " size".
Exit code 1 where anything differed.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import Progress

from tests.kernels import harness, test_cpu

MODULES = ("test_convolution", "test_elementwise", "test_movement", "test_reduction", "test_helium")
TARGETS = ("host", *harness.X86, *harness.NEON, *harness.FOLDERS, "cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m55", "rv32imac")


def batteries(target: str) -> Iterator[tuple[str, Callable[..., None]]]:
    """What draws its layers from a seed and has something to run on ``target``, under ``module.function``."""
    for module in MODULES:
        for function in vars(importlib.import_module(f"tests.kernels.{module}")).values():
            wanted = set(inspect.signature(function).parameters) if inspect.isfunction(function) else set()
            if not function_of(module, function) or "seed" not in wanted:
                continue
            others: dict[str, object] = {"target": target} if "target" in wanted else {"needs_cc": None} if "needs_cc" in wanted else {}
            place = "cortex-m55" if module == "test_helium" else target if "target" in wanted else "host"
            if place == target:
                yield f"{module}.{function.__name__}", functools.partial(function, **others)
    if target in ("host", *harness.X86, *harness.NEON):
        yield "test_cpu.check_wide_layers", functools.partial(test_cpu.check_wide_layers, target)
        yield "test_cpu.check_sparse_layers", functools.partial(test_cpu.check_sparse_layers, target)


def function_of(module: str, function: object) -> bool:
    """Whether a test of ``module`` itself, not one that it imports."""
    return getattr(function, "__name__", "").startswith("test_") and getattr(function, "__module__", "").endswith(module)


def main(arguments: list[str]) -> int:
    """Run the batteries; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_battery")
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1000, help="the first seed; the tests have 0 and 1")
    chosen = parser.parse_args(arguments)
    console = Console()
    layers, failures = dict.fromkeys(chosen.targets, 0), 0
    plain = harness.compare

    def counted(graph: harness.Graph, *others: Any) -> None:
        layers[current] += len(graph.outputs)
        plain(graph, *others)

    harness.compare = counted  # type: ignore[assignment]
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    jobs = [(target, *battery, seed) for target in chosen.targets for battery in batteries(target) for seed in seeds]
    with Progress(console=Console(stderr=True)) as progress:
        for current, name, function, seed in progress.track(jobs, description="kernels"):
            try:
                function(seed=seed)
            except Exception as error:
                failures += 1
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                console.print(f"{name} on {current}, seed {seed}: {reason}", markup=False)
    for target, count in layers.items():
        console.print(f"{target}: {count:,} layers")
    console.print(f"{failures} of {len(jobs)} batches failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
