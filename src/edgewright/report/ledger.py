"""The ledger: what a program takes of every memory of its target, predicted line by line, and what was found when it was built and run."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from edgewright.emit.c.declared import Declared, read_declared
from edgewright.errors import BudgetError
from edgewright.lower.plan_memory import peak_step
from edgewright.lower.program import Program
from edgewright.run.footprint import Footprint
from edgewright.run.run import Run
from edgewright.targets.stored import layer_workspace_bytes
from edgewright.targets.target import Region, Target

WEIGHT_STEMS = ("weights", "bias", "slopes", "constant")
"""How the names of tables begin that hold the network's own numbers; the others serve the arithmetic of the kernels."""
NO_COMPILER = "unknown without a compiler for the target"


class LedgerEntry(BaseModel, frozen=True):
    """Bytes of one kind in one memory. ``basis``: what the prediction was made from, or why there is none; ``found``: after the build."""

    name: str
    memory: str
    predicted: int | None
    found: int | None = None
    basis: str = ""

    @property
    def difference(self) -> int | None:
        """Found less predicted."""
        return None if self.found is None or self.predicted is None else self.found - self.predicted


class LedgerPart(BaseModel, frozen=True):
    """Bytes that are counted in an entry already: buffers of the arena, and the working memory that kernels take from the stack."""

    name: str
    within: str
    size_bytes: int
    memory: str = "ram"


class Ledger(BaseModel, frozen=True):
    """Everything that counts against RAM and flash, each byte in one entry; ``ram_bytes`` and ``flash_bytes``: the limits, if any.

    An entry's memory is "ram", "flash", or a region of the target's; ``regions``: their names with their bytes.
    ``stack_kept_bytes``: what the linker keeps for the stack; the stack itself is an entry, with what it needs.
    ``stack_path``: functions on the deepest path of calls, with their bytes. ``peak``: the largest buffers at the arena's peak.
    """

    network: str
    target: str
    entries: list[LedgerEntry]
    parts: list[LedgerPart]
    ram_bytes: int | None
    flash_bytes: int | None
    regions: dict[str, int] = {}
    stack_kept_bytes: int
    stack_path: list[tuple[str, int]]
    peak_at: str
    peak: list[LedgerPart]

    def entry(self, name: str) -> LedgerEntry:
        """The entry called ``name``."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def limits(self) -> dict[str, int | None]:
        """Memory → its bytes, None where it has no limit."""
        return {"ram": self.ram_bytes, "flash": self.flash_bytes, **self.regions}

    def predicted_bytes(self, *memories: str) -> int | None:
        """The sum for ``memories``; None where a line is unknown."""
        return _sum([entry.predicted for entry in self.entries if entry.memory in memories])

    def found_bytes(self, *memories: str) -> int | None:
        """The sum of what was found; None where a line was not."""
        return _sum([entry.found for entry in self.entries if entry.memory in memories])


def make_ledger(
    program: Program,
    files: Mapping[str, bytes],
    *,
    footprint: Footprint | None = None,
    run: Run | None = None,
    stack_kept_bytes: int | None = None,
) -> Ledger:
    """The ledger of ``program``, whose C is ``files``.

    ``footprint``: what a compiler said of the C alone; without it code and stack are unknown, and say so. ``run``: what was found
    afterwards. ``stack_kept_bytes``: where it is not the target's.
    """
    declared, target, plan = read_declared(files), program.target, program.plan
    entries = [*_ram(declared, footprint, run), *_flash(declared, footprint, run, target)]
    entries += [entry for region in target.regions for entry in _region(declared, footprint, run, region)]
    for item in target.reserved:
        entries.append(
            LedgerEntry(name=item.name, memory=item.memory, predicted=item.size_bytes, found=item.size_bytes, basis="reserved by the user")
        )
    step, holders = peak_step(plan)
    return Ledger(
        network=program.graph.name,
        target=target.name,
        entries=entries,
        parts=_parts(program),
        ram_bytes=target.ram_bytes,
        flash_bytes=target.flash_bytes,
        regions={region.name: region.size_bytes for region in target.regions},
        stack_kept_bytes=target.stack_bytes if stack_kept_bytes is None else stack_kept_bytes,
        stack_path=[(frame.function, frame.stack_bytes) for frame in (footprint.stack_path or ())] if footprint is not None else [],
        peak_at=program.executed.nodes[step].name if program.executed.nodes else "",
        peak=[LedgerPart(name=buffer.name, within="arena", size_bytes=buffer.size_bytes) for buffer in holders[:2]],
    )


def check_ledger(ledger: Ledger) -> None:
    """BudgetError where the target's RAM or flash is exceeded, by how much, and by what; unknown lines count nothing."""
    over, hints = [], []
    if (stack := ledger.entry("stack").predicted or 0) > ledger.stack_kept_bytes:
        kept = ledger.stack_kept_bytes
        over.append(f"its stack needs {stack:,} bytes, {kept:,} are kept for it: {stack - kept:,} too few")
        hints.append("give more stack_bytes")
    for memory, limit in ledger.limits.items():
        lines = [(entry.name, entry.predicted or 0) for entry in ledger.entries if entry.memory == memory]
        lines = [("stack", max(size, ledger.stack_kept_bytes)) if name == "stack" else (name, size) for name, size in lines]
        needed = sum(size for _, size in lines)
        if limit is None or needed <= limit:
            continue
        named = " + ".join(f"{name} {size:,}" for name, size in sorted(lines, key=lambda line: -line[1]) if size)
        over.append(f"{memory.upper()} of {limit:,} bytes is exceeded by {needed - limit:,} ({named})")
        if memory != "flash" and ledger.peak and any(name == "arena" for name, _ in lines):
            held = " and ".join(f"{part.name!r} ({part.size_bytes:,} B)" for part in ledger.peak)
            hints.append(f"the arena's peak stands at {ledger.peak_at!r}, held by {held}")
    if over:
        hint = "; ".join([*hints, "choose a larger target, a smaller network, or a stronger recipe"])
        raise BudgetError(f"{ledger.network!r} does not fit in {ledger.target}: {' and '.join(over)}", hint=hint)


def _ram(declared: Declared, footprint: Footprint | None, run: Run | None) -> list[LedgerEntry]:
    arenas = {name: size for name, size in declared.arenas.items() if name not in declared.region_of}
    # The linker ends .bss at a multiple of 4; arenas are multiples of 8.
    variables = -(-sum(declared.variables.values()) // 4) * 4
    sections, symbols = (None, None) if run is None else (run.sections, run.symbols)
    found_arena = None if symbols is None else sum(symbols.get(name, 0) for name in arenas)
    found_bss = None if sections is None or found_arena is None else sections["bss"] - found_arena
    stack = None if footprint is None else footprint.stack_bytes
    reason = NO_COMPILER if footprint is None else footprint.stack_unknown or "-fstack-usage and the calls"
    painted = None if run is None else run.peak_stack_bytes
    data = None if sections is None else sections["data"]
    return [
        LedgerEntry(name="arena", memory="ram", predicted=sum(arenas.values()), found=found_arena, basis="the program"),
        LedgerEntry(name=".bss beside it", memory="ram", predicted=variables, found=found_bss, basis="the program"),
        LedgerEntry(name=".data", memory="ram", predicted=0, found=data, basis="the program"),
        LedgerEntry(name="stack", memory="ram", predicted=stack, found=painted, basis=reason),
    ]


def _region(declared: Declared, footprint: Footprint | None, run: Run | None, region: Region) -> list[LedgerEntry]:
    """What lies in a memory beside RAM and flash."""
    sections, symbols = (None, None) if run is None else (run.sections, run.symbols)
    entries = []
    kinds = (("arena", declared.arenas, "bss"), ("constants", declared.constants, "rodata" if region.memory == "flash" else "data"))
    for title, sizes, kind in kinds:
        names = [name for name in sizes if declared.region_of.get(name) == region.name]
        if not names:
            continue
        size = sum(sizes[name] for name in names)
        found = None if symbols is None else sum(symbols.get(name, 0) for name in names)
        entries.append(LedgerEntry(name=title, memory=region.name, predicted=size, found=found, basis="the program"))
        if kind == "bss":
            continue
        section = f"{kind} {region.name}"
        before = None if footprint is None else footprint.sections.get(section, 0) - size
        gaps = None if sections is None or found is None else sections.get(section, 0) - found
        basis = NO_COMPILER if before is None else "the compiled network"
        entries.append(LedgerEntry(name="gaps between them", memory=region.name, predicted=before, found=gaps, basis=basis))
    return entries


def _flash(declared: Declared, footprint: Footprint | None, run: Run | None, target: Target) -> list[LedgerEntry]:
    """The main flash, initial values of constants in RAM among it."""
    sections, symbols = (None, None) if run is None else (run.sections, run.symbols)
    is_weight = {name: name.startswith(WEIGHT_STEMS) for name in declared.constants if name not in declared.region_of}
    entries = []
    for title, wanted in (("weights", True), ("tables", False)):
        names = [name for name, weight in is_weight.items() if weight is wanted]
        found = None if symbols is None else sum(symbols.get(name, 0) for name in names)
        size = sum(declared.constants[name] for name in names)
        entries.append(LedgerEntry(name=title, memory="flash", predicted=size, found=found, basis="the program"))
    constants = sum(declared.constants[name] for name in is_weight)
    found_constants = _sum([entry.found for entry in entries])
    before = None if footprint is None else footprint.sections
    basis = NO_COMPILER if before is None else "the compiled network"
    rest = None if before is None else before["rodata"] - constants
    found_rest = None if sections is None or found_constants is None else sections["rodata"] - found_constants
    entries.append(LedgerEntry(name="layer parameters", memory="flash", predicted=rest, found=found_rest, basis=basis))
    for name in ("code", "library"):
        size_before = None if before is None else before[name]
        size_after = None if sections is None else sections[name]
        entries.append(LedgerEntry(name=name, memory="flash", predicted=size_before, found=size_after, basis=basis))
    data = None if sections is None else sections["data"]
    entries.append(LedgerEntry(name="initial values of .data", memory="flash", predicted=0, found=data, basis="the program"))
    for region in (region for region in target.regions if region.name in declared.region_of.values() and region.constants):
        section = f"data {region.name}"
        size_before = None if before is None else before.get(section, 0)
        size_after = None if sections is None else sections.get(section, 0)
        entries.append(
            LedgerEntry(name=f"constants copied to {region.name}", memory="flash", predicted=size_before, found=size_after, basis=basis)
        )
    return entries


def _parts(program: Program) -> list[LedgerPart]:
    graph, plan = program.executed, program.plan
    sizes = {buffer.name: buffer.size_bytes for buffer in plan.buffers}
    parts = []
    for title, names in (("input", graph.inputs), ("output", graph.outputs), ("state", [state.read for state in graph.states])):
        placed = [name for name in names if name in plan.buffer_of]
        for name in placed:
            region = plan.part(plan.offset(name)).region
            parts.append(LedgerPart(name=f"{title} {name}", within="arena", size_bytes=graph.value(name).bytes, memory=region))
    scratch: dict[str, int] = {} if plan.parts else {"ram": 0}
    for buffer in program.scratch.values():
        region = plan.part(plan.offsets[buffer]).region
        scratch[region] = max(scratch.get(region, 0), sizes[buffer])
    on_stack = [
        layer_workspace_bytes(graph, node, program.target.kernels, program.target.sparse_share)
        for node in graph.nodes
        if node.name not in program.scratch and node.name not in program.frugal
    ]
    for region, size in scratch.items():
        parts.append(LedgerPart(name="scratch of kernels, at most", within="arena", size_bytes=size, memory=region))
    parts.append(LedgerPart(name="scratch of kernels, at most", within="stack", size_bytes=-(-max(on_stack, default=0) // 4) * 4))
    return parts


def _sum(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
