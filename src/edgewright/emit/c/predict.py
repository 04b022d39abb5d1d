"""What a network costs on a core, predicted without compiler or emulator: counts of the kernels' parts times what each part costs there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from edgewright.emit.c.calls import calls_of
from edgewright.emit.c.layer import Call, Layer
from edgewright.emit.c.library import kernel_files
from edgewright.emit.c.source import Source
from edgewright.emit.c.structure.table import parts_of, structure_of
from edgewright.lower.program import Program
from edgewright.targets.costs import load_costs
from edgewright.targets.target import Target


@dataclass(frozen=True)
class Cost:
    """Instructions and modelled cycles; None where they are unknown, and ``unknown`` says why (the cycles alone may be).

    ``error``: the share by which the instructions may be off, at 95 % of layers like these. ``stale``: kernels that have changed since
    they were fitted.
    """

    instructions: int | None
    cycles: int | None
    error: float | None = None
    unknown: str = ""
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerCost:
    """A node with its cost."""

    name: str
    kind: str
    cost: Cost


@dataclass(frozen=True)
class Energy:
    """Microjoules of one inference by the target's coefficient; ``least`` and ``most`` are None where its source gives no range."""

    likely_uj: float
    least_uj: float | None
    most_uj: float | None


@dataclass(frozen=True)
class Prediction:
    """One inference of a program: the cost of each layer, and of all. ``source``: where the coefficients come from.

    ``energy``: None where the target has no coefficient or no cycles are known.
    """

    target: str
    layers: tuple[LayerCost, ...]
    total: Cost
    latency_ms: float | None
    energy: Energy | None
    source: str = ""


def predict(program: Program) -> Prediction:
    """The cost of one inference of ``program`` on its target, layer by layer. Where a part of it is unknown, so is the total."""
    target = program.target
    table = load_costs(target)
    nodes = program.executed.nodes
    pairs = zip(nodes, layer_calls(program), strict=True)
    costs = [price_calls([(call, program.runs(node.name)) for call in calls], target) for node, calls in pairs]
    rows = tuple(LayerCost(node.name, node.op.kind, cost) for node, cost in zip(nodes, costs, strict=True))
    total = sum_costs(costs)
    latency = None if total.cycles is None or target.clock_hz is None else 1e3 * total.cycles / target.clock_hz
    return Prediction(target.name, rows, total, latency, _energy(total, target), "" if table is None else table.source)


def _energy(total: Cost, target: Target) -> Energy | None:
    """Off at most by what the cycles and the coefficient are off."""
    model = target.energy
    if model is None or total.cycles is None:
        return None
    off = total.error or 0.0
    least = None if model.least is None else 1e-6 * total.cycles * (1 - off) * model.least
    most = None if model.most is None else 1e-6 * total.cycles * (1 + off) * model.most
    return Energy(1e-6 * total.cycles * model.picojoules_per_cycle, least, most)


def price_calls(calls: Iterable[tuple[Call, int]], target: Target) -> Cost:
    """The cost of ``calls`` of kernels on ``target``, each as often as its number says."""
    table = load_costs(target)
    if table is None:
        return Cost(None, None, None, f"there are no costs of kernels {', '.join(target.kernels)} on {target.core}")
    instructions, cycles, spread, stale = 0.0, 0.0, 0.0, dict[str, None]()
    timed = True
    for call, times in calls:
        structure, fitted = structure_of(call.kernel, target.kernels), table.costs.get(call.kernel)
        if structure is None or fitted is None:
            return Cost(None, None, None, f"kernel {call.kernel} has no {'structure' if structure is None else 'costs'} on {target.core}")
        counts = parts_of(call, structure)
        unseen = next((part for part in counts if part not in fitted.instructions), None)
        if unseen is not None:
            return Cost(None, None, None, f"kernel {call.kernel} takes a path that no fitted layer took on {target.core} ({unseen})")
        here = times * _price(counts, fitted.instructions)
        instructions += here
        spread += here * fitted.error
        timed = timed and fitted.cycles is not None
        cycles += 0.0 if fitted.cycles is None else times * _price(counts, fitted.cycles)
        if kernel_text(call.kernel, target.kernels) != fitted.text:
            stale[call.kernel] = None
    why = "" if timed else f"{target.core} has no model of cycles"
    return Cost(round(instructions), round(cycles) if timed else None, spread / instructions if instructions else 0.0, why, tuple(stale))


def _price(counts: Mapping[str, float], costs: Mapping[str, float]) -> float:
    return sum(times * costs.get(part, 0.0) for part, times in counts.items())


def sum_costs(costs: Sequence[Cost]) -> Cost:
    """All of ``costs`` one after the other; their errors are taken for independent of each other within a kernel's spread."""
    unknown = next((cost.unknown for cost in costs if cost.instructions is None), "")
    stale = tuple(dict.fromkeys(kernel for cost in costs for kernel in cost.stale))
    if unknown:
        return Cost(None, None, None, unknown, stale)
    instructions = sum(cost.instructions or 0 for cost in costs)
    timed = all(cost.cycles is not None for cost in costs)
    cycles = sum(cost.cycles or 0 for cost in costs) if timed else None
    off = sum(((cost.error or 0.0) * (cost.instructions or 0)) ** 2 for cost in costs) ** 0.5
    why = next((cost.unknown for cost in costs if cost.unknown), "")
    return Cost(instructions, cycles, off / instructions if instructions else 0.0, why, stale)


def layer_calls(program: Program) -> list[list[Call]]:
    """The calls of kernels of each node, in order; none where its output is its input."""
    source, graph = Source(program), program.executed
    found: list[list[Call]] = []
    for node in graph.nodes:
        if node.op.view:
            found.append([] if source.is_free(node) else source.view_copies(node))
        else:
            target = program.target
            found.append(calls_of(Layer(graph, node, graph.ins(node), graph.outs(node), target.kernels, target.sparse_share)))
    return found


@cache
def kernel_text(kernel: str, folders: tuple[str, ...]) -> str:
    """A digest of the C of ``kernel`` and of all that it includes."""
    files = kernel_files([kernel], folders)
    return hashlib.sha256("\n".join(f"{name}\n{text}" for name, text in files.items()).encode()).hexdigest()[:16]
