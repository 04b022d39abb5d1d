"""What a network costs on a core, predicted without compiler or emulator: counts of the kernels' parts times what each part costs there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from edgewright.emit.c.calls import calls_of
from edgewright.emit.c.layer import Call, Layer
from edgewright.emit.c.library import kernel_files
from edgewright.emit.c.source import Source
from edgewright.emit.c.structure.table import iterations, parts_of, structure_of
from edgewright.emit.c.structure.window import add
from edgewright.lower.program import Program
from edgewright.targets.costs import load_costs
from edgewright.targets.target import Target

ROUNDINGS = ("right", "none", "left")
"""Ways in which a sum is scaled, by the direction of its shift."""
RUNS = (": sixty-fours", ": sixteens", ": fours", ": ones", ": under sixteen", ": with a head", ": head", ": all", ", short")
"""How parts are called that copy or fill runs of bytes, piece by piece."""
MOVES = ("flash_read", "ram_read", "ram_written")


@dataclass(frozen=True)
class Moved:
    """Bytes: constants read, values and stack read and written. The fetch of instructions is not among them."""

    flash_read: int = 0
    ram_read: int = 0
    ram_written: int = 0


@dataclass(frozen=True)
class Cost:
    """Instructions, modelled cycles and bytes moved; None where they are unknown, and ``unknown`` says why (the cycles alone may be).

    ``error``: the share by which the instructions may be off, at 95 % of layers like these. ``stale``: kernels that have changed since
    they were fitted.
    """

    instructions: int | None
    cycles: int | None
    error: float | None = None
    unknown: str = ""
    stale: tuple[str, ...] = ()
    moved: Moved | None = None


@dataclass(frozen=True)
class LayerCost:
    """A node with its cost."""

    name: str
    kind: str
    cost: Cost


@dataclass(frozen=True)
class Energy:
    """Microjoules of one inference by the target's coefficients; ``least`` and ``most`` are None where its source gives no range."""

    likely_uj: float
    least_uj: float | None
    most_uj: float | None


@dataclass(frozen=True)
class Prediction:
    """One inference of a program: the cost of each layer, and of all. ``source``: where the coefficients come from.

    ``cycles_range``: least and most, from the core's model of cycles; None where it has no range. ``moved``: memory → bytes read and
    written.
    ``energy``: None where the target has no coefficient or no cycles are known.
    """

    target: str
    layers: tuple[LayerCost, ...]
    total: Cost
    latency_ms: float | None
    energy: Energy | None
    source: str = ""
    moved: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    cycles_range: tuple[int, int] | None = None


def predict(program: Program) -> Prediction:
    """The cost of one inference of ``program`` on its target, layer by layer. Where a part of it is unknown, so is the total."""
    target = program.target
    table = load_costs(target)
    nodes = program.executed.nodes
    costs = [price_calls(calls, target) for calls in inference_calls(program)]
    rows = tuple(LayerCost(node.name, node.op.kind, cost) for node, cost in zip(nodes, costs, strict=True))
    total = sum_costs(costs)
    latency = None if total.cycles is None or target.clock_hz is None else 1e3 * total.cycles / target.clock_hz
    moved = _by_memory(total, program)
    span = None if total.cycles is None or target.cycles is None else target.cycles.span(total.cycles, total.error or 0.0)
    energy = _energy(total, moved, target, span)
    return Prediction(target.name, rows, total, latency, energy, "" if table is None else table.source, moved, span)


def _energy(total: Cost, moved: Mapping[str, tuple[int, int]], target: Target, span: tuple[int, int] | None) -> Energy | None:
    """Off at most by what the cycles and the coefficients are off."""
    if target.energy is None or total.cycles is None:
        return None
    return Energy(*target.energy.microjoules(total.cycles, target.by_kind(moved), span))


def _by_memory(total: Cost, program: Program) -> dict[str, tuple[int, int]]:
    """Memory → bytes read and written. What lies in several RAMs is divided as the plan foresees; constants count to the flash."""
    if total.moved is None:
        return {}
    parts = program.plan.parts or (program.plan.part(0),)
    ram = {part.region: (round(part.traffic * total.moved.ram_read), round(part.traffic * total.moved.ram_written)) for part in parts}
    return {"flash": (total.moved.flash_read, 0), **ram}


def price_calls(calls: Iterable[tuple[Call, int]], target: Target) -> Cost:
    """The cost of ``calls`` of kernels on ``target``, each as often as its number says."""
    table = load_costs(target)
    if table is None:
        return Cost(None, None, None, f"there are no costs of kernels {', '.join(target.kernels)} on {target.core}")
    instructions, cycles, spread, stale = 0.0, 0.0, 0.0, dict[str, None]()
    moved = dict.fromkeys(MOVES, 0.0)
    timed = True
    for call, times in calls:
        structure, fitted = structure_of(call.kernel, target.kernels), table.costs.get(call.kernel)
        if structure is None or fitted is None:
            return Cost(None, None, None, f"kernel {call.kernel} has no {'structure' if structure is None else 'costs'} on {target.core}")
        counts: dict[str, float] = {}
        for part, often in parts_of(call, structure).items():
            add(counts, _seen(part, fitted.instructions), often)
        unseen = next((part for part in counts if part not in fitted.instructions), None)
        if unseen is not None:
            return Cost(None, None, None, f"kernel {call.kernel} takes a path that no fitted layer took on {target.core} ({unseen})")
        here = times * _price(counts, fitted.instructions)
        instructions += here
        spread += here * fitted.error
        timed = timed and fitted.cycles is not None
        cycles += 0.0 if fitted.cycles is None else times * _price(counts, fitted.cycles)
        for name in MOVES:
            moved[name] += times * _price(counts, getattr(fitted, name))
        if kernel_text(call.kernel, target.kernels) != fitted.text:
            stale[call.kernel] = None
    why = "" if timed else f"{target.core} has no model of cycles"
    error = spread / instructions if instructions else 0.0
    bytes_moved = Moved(**{name: round(size) for name, size in moved.items()})
    return Cost(round(instructions), round(cycles) if timed else None, error, why, tuple(stale), bytes_moved)


def _seen(part: str, costs: Mapping[str, float]) -> str:
    """``part``, or where no fitted layer took its way of rounding, or of copying a run of bytes, the dearest of the other ways.

    They differ by an instruction or two.
    """
    if part in costs:
        return part
    stem, _, way = part.rpartition(" ")
    others = [f"{stem} {name}" for name in ROUNDINGS if f"{stem} {name}" in costs] if way in ROUNDINGS else []
    piece = next((ending for ending in RUNS if part.endswith(ending)), None)
    if piece is not None:
        others = [name for name in costs if name.endswith(piece)]
    return max(others, key=lambda other: costs[other], default=part)


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
    moved = Moved(*(sum(getattr(cost.moved, name) for cost in costs if cost.moved is not None) for name in MOVES))
    return Cost(instructions, cycles, off / instructions if instructions else 0.0, why, stale, moved)


def layer_calls(program: Program) -> list[list[Call]]:
    """The calls of kernels of each node, in order; none where its output is its input."""
    source, graph = Source(program), program.executed
    found: list[list[Call]] = []
    for node in graph.nodes:
        if node.op.view:
            found.append([] if source.is_free(node) else source.view_copies(node))
        else:
            target, frugal = program.target, node.name in program.frugal
            found.append(calls_of(Layer(graph, node, graph.ins(node), graph.outs(node), target.kernels, target.sparse_share, frugal)))
    return found


def inference_calls(program: Program) -> list[list[tuple[Call, int]]]:
    """The calls of each node, each with its number in one inference; iterations that differ stand apart."""
    pairs = zip(program.executed.nodes, layer_calls(program), strict=True)
    return [[each for call in calls for each in iterations(call, program, node.name)] for node, calls in pairs]


@cache
def kernel_text(kernel: str, folders: tuple[str, ...]) -> str:
    """A digest of the C of ``kernel`` and of all that it includes."""
    files = kernel_files([kernel], folders)
    return hashlib.sha256("\n".join(f"{name}\n{text}" for name, text in files.items()).encode()).hexdigest()[:16]
