"""The report: what was asked, what was got, and why. One model, written as text, JSON and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from edgewright.ir.graph import Graph
from edgewright.lower.memory import MemoryPlan
from edgewright.lower.program import Program
from edgewright.ops.cost import cost
from edgewright.passes.registry import Line
from edgewright.report.accuracy import Accuracy
from edgewright.run.run import Run
from edgewright.targets.target import Target


class Totals(BaseModel, frozen=True):
    """A graph in four numbers; one sample."""

    nodes: int
    macs: int
    parameters: int
    weight_bytes: int


class Layer(BaseModel, frozen=True):
    """One node of the final graph. ``instructions`` per inference, where it was measured."""

    name: str
    kind: str
    shape: str
    macs: int
    parameters: int
    weight_bytes: int
    output_bytes: int
    instructions: int | None = None


class Block(BaseModel, frozen=True):
    """A buffer of the arena: bytes ``offset`` … ``offset + size_bytes``, live over steps ``first`` … ``last``; ``values`` share it."""

    name: str
    offset: int
    size_bytes: int
    first: int
    last: int
    values: list[str]


class Memory(BaseModel, frozen=True):
    """The arena; ``lower_bound_bytes`` is what no placement of these buffers can go below."""

    arena_bytes: int
    lower_bound_bytes: int
    strategy: str
    blocks: list[Block]


class Measured(BaseModel, frozen=True):
    """What a run of the generated C gave. Instructions are counted exactly; cycles are modelled."""

    where: str
    inferences: int
    instructions_per_inference: int | None
    cycles_modelled: int | None
    peak_stack_bytes: int | None
    sections: dict[str, int]
    equal_to_evaluation: bool | None


class Entry(BaseModel, frozen=True):
    """One line of what a technique did or skipped."""

    technique: str
    action: str
    where: str
    detail: str


class Report(BaseModel, frozen=True):
    """Everything that one optimization is accountable for."""

    name: str
    recipe: str
    target: str
    before: Totals
    after: Totals
    accuracy: Accuracy | None
    memory: Memory | None
    layers: list[Layer]
    entries: list[Entry]
    files: dict[str, int]
    measured: Measured | None = None


def make_report(source: Graph, final: Graph, *, recipe: str, target: Target, lines: Sequence[Line], program: Program | None = None,
                accuracy: Accuracy | None = None, files: Mapping[str, bytes] | None = None, run: Run | None = None,
                equal: bool | None = None) -> Report:
    """Gather the report of one optimization. ``final`` is the program's graph where there is one. ``equal``: the run gave the evaluation's bytes."""
    counted = list(run.instructions_per_layer) if run is not None and run.instructions_per_layer else []
    return Report(
        name=final.name,
        recipe=recipe,
        target=target.name,
        before=_totals(source),
        after=_totals(final),
        accuracy=accuracy,
        memory=None if program is None else _memory(program.plan),
        layers=_layers(final, counted),
        entries=[Entry(technique=line.technique, action=line.action, where=line.where, detail=line.detail) for line in lines],
        files={name: len(contents) for name, contents in (files or {}).items()},
        measured=None if run is None else _measured(run, target, equal),
    )


def _totals(graph: Graph) -> Totals:
    total = cost(graph)
    return Totals(nodes=len(graph.nodes), macs=total.macs, parameters=total.parameters, weight_bytes=total.weight_bytes)


def _layers(graph: Graph, counted: Sequence[int]) -> list[Layer]:
    layers = []
    for index, (node, row) in enumerate(zip(graph.nodes, cost(graph).nodes, strict=True)):
        shape = "x".join(str(size) for size in graph.value(node.outputs[0]).shape[1:])
        layers.append(Layer(name=row.name, kind=row.kind, shape=shape, macs=row.macs, parameters=row.parameters, weight_bytes=row.weight_bytes,
                            output_bytes=row.output_bytes, instructions=counted[index] if index < len(counted) else None))
    return layers


def _memory(plan: MemoryPlan) -> Memory:
    members: dict[str, list[str]] = {}
    for value, buffer in plan.buffer_of.items():
        members.setdefault(buffer, []).append(value)
    blocks = [Block(name=b.name, offset=plan.offsets[b.name], size_bytes=b.size_bytes, first=b.first, last=b.last, values=members.get(b.name, []))
              for b in plan.buffers]
    return Memory(arena_bytes=plan.arena_bytes, lower_bound_bytes=plan.lower_bound_bytes, strategy=plan.strategy, blocks=blocks)


def _measured(run: Run, target: Target, equal: bool | None) -> Measured:
    return Measured(where=target.name, inferences=run.inferences, instructions_per_inference=run.instructions_per_inference,
                    cycles_modelled=run.cycles_modelled, peak_stack_bytes=run.peak_stack_bytes, sections=dict(run.sections or {}),
                    equal_to_evaluation=equal)
