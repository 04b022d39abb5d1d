"""The report: what was asked, what was got, and why. One model, written as text, JSON and HTML."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel

from edgewright.data import Data
from edgewright.emit.c.predict import Prediction, predict
from edgewright.errors import UnsupportedError
from edgewright.ir.graph import Graph
from edgewright.lower.program import Program
from edgewright.ops.cost import cost
from edgewright.passes.registry import Line
from edgewright.report.accuracy import Accuracy
from edgewright.report.coded_size import coded_size
from edgewright.report.ledger import Ledger
from edgewright.report.memory import Block as Block
from edgewright.report.memory import Memory as Memory
from edgewright.report.memory import live_bytes as live_bytes
from edgewright.report.memory import memory_of
from edgewright.report.receipt import Receipt
from edgewright.run.run import Run
from edgewright.run.vela import VelaReport
from edgewright.targets.target import Target


class Device(BaseModel, frozen=True):
    """What the network was made for; bytes are None where there is no limit, and an emulated machine's where ``kind`` is "core"."""

    name: str
    title: str
    kind: str
    ram_bytes: int | None
    flash_bytes: int | None
    stack_bytes: int


class Samples(BaseModel, frozen=True):
    """Data that were used: where they came from, how many, and whether they carry labels."""

    source: str
    count: int
    labelled: bool


class Totals(BaseModel, frozen=True):
    """A graph in four numbers; one sample."""

    nodes: int
    macs: int
    parameters: int
    weight_bytes: int
    coded_bytes: int = 0
    """The constants in Huffman codes: what no kernel here reads, and papers call the size."""


class Layer(BaseModel, frozen=True):
    """One node of the final graph, one sample.

    ``live_bytes``: of the arena while it runs. ``instructions`` (counted) and ``cycles`` (modelled) of one inference, where measured;
    what was predicted without running stands beside them. ``moved``: memory → bytes read and written, counted.
    """

    name: str
    kind: str
    shape: str
    macs: int
    parameters: int
    weight_bytes: int
    output_bytes: int
    live_bytes: int | None = None
    instructions: int | None = None
    cycles: int | None = None
    predicted_instructions: int | None = None
    predicted_cycles: int | None = None
    moved: dict[str, tuple[int, int]] | None = None
    predicted_moved: dict[str, int] | None = None


class Measured(BaseModel, frozen=True):
    """What a run of the generated C gave. Instructions are counted exactly; cycles, time and energy are modelled from them.

    ``equal_to_evaluation``: whether every output byte of every inference was that of the integer evaluation.
    """

    where: str
    inferences: int
    equal_to_evaluation: bool | None
    instructions_per_inference: int | None
    startup_instructions: int | None
    cycles_modelled: int | None
    cycles_range: tuple[int, int] | None = None
    latency_modelled_ms: float | None
    energy_modelled_uj: float | None
    energy_range_uj: tuple[float, float] | None = None
    moved: dict[str, tuple[int, int]] = {}
    peak_stack_bytes: int | None
    flash_bytes: int | None
    ram_bytes: int | None
    sections: dict[str, int]
    notes: list[str]


class Predicted(BaseModel, frozen=True):
    """One inference as the cost model has it, without running: see :class:`edgewright.emit.c.predict.Prediction`.

    ``error``: the share by which the instructions may be off. ``energy_uj``: least, likely and most, of which the first and the last may
    be unknown. ``unknown``: why figures are missing.
    """

    instructions: int | None
    cycles: int | None
    cycles_range: tuple[int, int] | None = None
    error: float | None
    latency_ms: float | None
    energy_uj: list[float | None] | None
    moved: dict[str, tuple[int, int]] = {}
    unknown: str
    stale: list[str]
    source: str


class Npu(BaseModel, frozen=True):
    """What the compiler of an accelerator says of one inference; modelled, not measured. ``on_cpu``: operators left to the CPU, and why."""

    accelerator: str
    system: str
    npu_operators: int
    cpu_operators: int
    on_cpu: list[str]
    cycles: int
    latency_ms: float
    sram_bytes: int
    flash_bytes: int
    dram_bytes: int


class Entry(BaseModel, frozen=True):
    """One line of what a technique did or skipped."""

    technique: str
    action: str
    where: str
    detail: str


class PeerRow(BaseModel, frozen=True):
    """One figure; ``ratio`` is ours over theirs, below 1 where ours is less."""

    figure: str
    ours: int
    theirs: int
    ratio: float | None


class PeerComparison(BaseModel, frozen=True):
    """What could be compared for one network and core."""

    name: str
    source: str
    network: str
    core: str
    rows: list[PeerRow]


class Limit(BaseModel, frozen=True):
    """A limit of the budget: the most that was allowed, what was got, and where that figure comes from, or why there is none."""

    name: str
    most: float
    got: float | None
    met: bool
    basis: str


class Report(BaseModel, frozen=True):
    """Everything that one optimization is accountable for."""

    name: str
    recipe: str
    steps: list[str]
    device: Device
    calibration: Samples | None
    test: Samples | None
    before: Totals
    after: Totals
    accuracy: Accuracy | None
    memory: Memory | None
    measured: Measured | None
    predicted: Predicted | None = None
    npu: Npu | None
    layers: list[Layer]
    entries: list[Entry]
    files: dict[str, int]
    ledger: Ledger | None = None
    peer: PeerComparison | None = None
    receipt: Receipt | None = None
    budget: list[Limit] = []


def make_report(
    source: Graph,
    final: Graph,
    target: Target,
    *,
    recipe: str = "none",
    steps: Sequence[str] = (),
    lines: Sequence[Line] = (),
    calibration: Data | None = None,
    test: Data | None = None,
    program: Program | None = None,
    accuracy: Accuracy | None = None,
    files: Mapping[str, bytes] | None = None,
    run: Run | None = None,
    equal: bool | None = None,
    npu: VelaReport | None = None,
    ledger: Ledger | None = None,
    receipt: Receipt | None = None,
) -> Report:
    """Gather the report of one optimization. ``equal``: whether ``run`` gave the evaluation's bytes."""
    memory = None if program is None else memory_of(program)
    prediction = _prediction(program)
    return Report(
        name=final.name,
        recipe=recipe,
        steps=list(steps),
        device=_device(target),
        calibration=_samples(calibration),
        test=_samples(test),
        before=_totals(source),
        after=_totals(final),
        accuracy=accuracy,
        memory=memory,
        measured=None if run is None else _measured(run, equal),
        predicted=None if prediction is None else _predicted(prediction),
        npu=None if npu is None else _npu(npu),
        layers=_layers(final, memory, run) if program is None else _layers(program.executed, memory, run, prediction, program.runs),
        entries=[Entry(technique=line.technique, action=line.action, where=line.where, detail=line.detail) for line in lines],
        files={name: len(contents) for name, contents in (files or {}).items()},
        ledger=ledger,
        receipt=receipt,
    )


def _device(target: Target) -> Device:
    return Device(
        name=target.name,
        title=target.title,
        kind=target.kind,
        ram_bytes=target.all_ram_bytes,
        flash_bytes=target.all_flash_bytes,
        stack_bytes=target.stack_bytes,
    )


def _samples(data: Data | None) -> Samples | None:
    return None if data is None else Samples(source=data.source, count=data.count, labelled=data.labels is not None)


def _totals(graph: Graph) -> Totals:
    total = cost(graph)
    sizes = {"parameters": total.parameters, "weight_bytes": total.weight_bytes, "coded_bytes": coded_size(graph).huffman}
    return Totals(nodes=len(graph.nodes), macs=total.macs, **sizes)


def _prediction(program: Program | None) -> Prediction | None:
    """None where the program has no C kernels."""
    if program is None or "c" not in program.target.runtimes:
        return None
    try:
        return predict(program)
    except UnsupportedError:
        return None


def _predicted(prediction: Prediction) -> Predicted:
    total, energy = prediction.total, prediction.energy
    return Predicted(
        instructions=total.instructions,
        cycles=total.cycles,
        cycles_range=prediction.cycles_range,
        error=total.error,
        latency_ms=prediction.latency_ms,
        energy_uj=None if energy is None else [energy.least_uj, energy.likely_uj, energy.most_uj],
        moved=dict(prediction.moved),
        unknown=total.unknown,
        stale=list(total.stale),
        source=prediction.source,
    )


def _layers(
    graph: Graph,
    memory: Memory | None,
    run: Run | None,
    prediction: Prediction | None = None,
    runs: Callable[[str], int] = lambda _: 1,
) -> list[Layer]:
    """``runs``: how often a node runs in one inference."""
    count = len(graph.nodes)
    costs = [None] * count if prediction is None else [layer.cost for layer in prediction.layers]
    instructions = _for_each(None if run is None else run.instructions_per_layer, count)
    cycles = _for_each(None if run is None else run.cycles_per_layer, count)
    moved = _moved(run, count)
    live = [None] * count if memory is None else [live_bytes(memory, step) for step in range(count)]
    layers = []
    for step, (node, row) in enumerate(zip(graph.nodes, cost(graph).nodes, strict=True)):
        shape = "x".join(str(size) for size in graph.value(node.outputs[0]).shape[1:]) or "1"
        layers.append(
            Layer(
                name=row.name,
                kind=row.kind,
                shape=shape,
                macs=row.macs * runs(row.name),
                parameters=row.parameters,
                weight_bytes=row.weight_bytes,
                output_bytes=row.output_bytes,
                live_bytes=live[step],
                instructions=instructions[step],
                cycles=cycles[step],
                predicted_instructions=None if (known := costs[step]) is None else known.instructions,
                predicted_cycles=None if known is None else known.cycles,
                moved=moved[step],
                predicted_moved=None if known is None or known.moved is None else dataclasses.asdict(known.moved),
            )
        )
    return layers


def _for_each(figures: Sequence[int] | None, count: int) -> Sequence[int | None]:
    return figures if figures is not None and len(figures) == count else [None] * count


def _moved(run: Run | None, count: int) -> Sequence[dict[str, tuple[int, int]] | None]:
    """Memory → bytes read and written, for each of ``count`` layers."""
    sizes = None if run is None else run.moved_per_layer
    if not sizes or any(len(layers) != count for layers in sizes.values()):
        return [None] * count
    return [{name: layers[step] for name, layers in sizes.items()} for step in range(count)]


def _measured(run: Run, equal: bool | None) -> Measured:
    return Measured(
        where=run.where,
        inferences=run.inferences,
        equal_to_evaluation=equal,
        instructions_per_inference=run.instructions_per_inference,
        startup_instructions=run.startup_instructions,
        cycles_modelled=run.cycles_modelled,
        cycles_range=run.cycles_range,
        latency_modelled_ms=run.latency_modelled_ms,
        energy_modelled_uj=run.energy_modelled_uj,
        energy_range_uj=run.energy_range_uj,
        moved={
            name: (sum(read for read, _ in sizes), sum(written for _, written in sizes))
            for name, sizes in (run.moved_per_layer or {}).items()
        },
        peak_stack_bytes=run.peak_stack_bytes,
        flash_bytes=run.flash_bytes,
        ram_bytes=run.ram_bytes,
        sections=dict(run.sections or {}),
        notes=list(run.notes),
    )


def _npu(verdict: VelaReport) -> Npu:
    return Npu(
        accelerator=verdict.accelerator,
        system=verdict.system,
        npu_operators=verdict.npu_operators,
        cpu_operators=verdict.cpu_operators,
        on_cpu=list(verdict.on_cpu),
        cycles=verdict.cycles,
        latency_ms=verdict.inference_ms,
        sram_bytes=verdict.sram_bytes,
        flash_bytes=verdict.flash_bytes,
        dram_bytes=verdict.dram_bytes,
    )
