"""Generated C on an emulated device: the bytes of the real one, exact instruction counts, the deepest stack, section sizes."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import TargetError, ToolError
from edgewright.run.build import Sources, build_device, network_memories, write_sources
from edgewright.run.cycles import Disassembly, modelled_cycles
from edgewright.run.elf import Elf
from edgewright.run.exchange import OUTPUTS, RECORD, Record, read_record, write_inputs
from edgewright.run.profile import (
    ALIGNED_ONLY,
    REGION_STARTUP,
    Stay,
    by_function,
    by_layer,
    check_alignment,
    inferences,
    merged,
    plugin_arguments,
    read_stays,
)
from edgewright.run.run import Arrays, OutputSpecs, Run, split_outputs
from edgewright.run.size import section_sizes, symbol_sizes
from edgewright.run.toolchain import Toolchain, ToolchainName, find_qemu, find_toolchain
from edgewright.targets.target import Target

_OPTIONS = ("-display", "none", "-monitor", "none", "-serial", "none", "-no-reboot", "-semihosting-config", "enable=on,target=native")
_SYSTEM_OPTIONS = {"arm": (), "riscv32": ("-bios", "none")}


def run_qemu(
    files: Mapping[str, bytes],
    inputs: Arrays,
    target: Target,
    *,
    outputs: OutputSpecs | None = None,
    layer_names: Sequence[str] = (),
    profile: bool = True,
    counted_inferences: int = 2,
    reset_state: bool = True,
    stack_bytes: int | None = None,
    timeout_seconds: float = 600,
    toolchain: ToolchainName | None = None,
    flags: Sequence[str] | None = None,
) -> Run:
    """Compile ``files`` (what emit_c returned) for ``target``, link within its flash and RAM, run the inputs through in one boot.

    ``profile``: boot again to count the instructions of the first ``counted_inferences`` samples, and once more, with markers
    between the layers, to count those of each layer in the first sample. ``stack_bytes``: what is kept for the stack (default:
    the target's). ``reset_state``: every sample starts from the initial state; otherwise they are one stream.
    ``timeout_seconds``: of each boot. ``flags``: for the compiler, beside those that choose the core (default: the target's level
    of optimization).

    BudgetError where the network exceeds a memory or the stack; ToolError where a tool is missing, the processor faults, or
    time runs out; DataError where the inputs are not the network's.
    """
    if target.qemu is None:
        raise TargetError(f"{target.name} is not a device that QEMU emulates", hint="choose a core or a board: `edgewright targets`")
    emulator = find_qemu(target.qemu.system)
    chain = find_toolchain(target, toolchain)
    flags = (target.optimization,) if flags is None else flags
    stack = target.stack_bytes if stack_bytes is None else -(-stack_bytes // 16) * 16
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        sources = write_sources(files, folder)
        program = build_device(chain, target, sources, folder, stack_bytes=stack, profile=False, flags=flags)
        count = write_inputs(folder, inputs, reset_state)
        device = _Device(emulator, target, folder, inputs, timeout_seconds)
        record = device.boot(program)
        found = split_outputs((folder / OUTPUTS).read_bytes(), count, outputs)
        counts, linked = _Counts(), Elf.read(program)
        if profile:
            write_inputs(folder, inputs, reset_state, counted_inferences)
            counts = _count(device, chain, sources, program, target, stack, flags)
        energy = _energy_uj(counts, target)
        return Run(
            outputs=found,
            inferences=count,
            where=target.name,
            seconds=time.perf_counter() - start,
            instructions=counts.instructions,
            instructions_per_layer=counts.instructions_per_layer,
            instructions_per_function=counts.instructions_per_function,
            layer_names=tuple(layer_names),
            startup_instructions=counts.startup_instructions,
            cycles_modelled=counts.cycles_modelled,
            cycles_range=_span(counts, target),
            cycles_per_layer=counts.cycles_per_layer,
            moved_per_layer=counts.moved_per_layer,
            latency_modelled_ms=_latency_ms(counts.cycles_modelled, target),
            energy_modelled_uj=energy[0],
            energy_range_uj=None if energy[1] is None or energy[2] is None else (energy[1], energy[2]),
            peak_stack_bytes=record.peak_stack_bytes,
            sections=section_sizes(linked),
            symbols=symbol_sizes(linked),
        )


@dataclass(frozen=True)
class LayerCounts:
    """Instructions executed, and cycles modelled where the target has a model, of each layer in one inference.

    ``moved``: memory of the target → bytes read and written by each layer; instructions are no part of it.
    """

    instructions: tuple[int, ...]
    cycles: tuple[int, ...] | None
    moved: Mapping[str, tuple[tuple[int, int], ...]]


def count_layers(
    files: Mapping[str, bytes], inputs: Arrays, target: Target, *, flags: Sequence[str] | None = None, timeout_seconds: float = 600
) -> LayerCounts:
    """Compile ``files`` with markers between the layers and count the first sample of ``inputs`` in one boot.

    ``flags`` and errors as of :func:`run_qemu`.
    """
    if target.qemu is None:
        raise TargetError(f"{target.name} is not a device that QEMU emulates", hint="choose a core or a board: `edgewright targets`")
    emulator, chain = find_qemu(target.qemu.system), find_toolchain(target, None)
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        sources = write_sources(files, folder)
        device = _Device(emulator, target, folder, inputs, timeout_seconds)
        return _count_layers(device, chain, sources, target, target.stack_bytes, (target.optimization,) if flags is None else flags)


@dataclass(frozen=True)
class _Counts:
    """The fields of Run that profiling fills."""

    instructions: tuple[int, ...] | None = None
    instructions_per_layer: tuple[int, ...] | None = None
    instructions_per_function: Mapping[str, int] | None = None
    startup_instructions: int | None = None
    cycles_modelled: int | None = None
    cycles_per_layer: tuple[int, ...] | None = None
    moved_per_layer: Mapping[str, tuple[tuple[int, int], ...]] | None = None


@dataclass(frozen=True)
class _Device:
    """An emulated machine that runs in ``folder``, where the driver's files are."""

    emulator: str
    target: Target
    folder: Path
    inputs: Arrays
    timeout_seconds: float

    def boot(self, program: Path, plugin: Sequence[str] = ()) -> Record:
        """Run ``program`` from reset until it exits."""
        machine = self.target.qemu
        assert machine is not None
        (self.folder / RECORD).unlink(missing_ok=True)
        command = [self.emulator, "-M", machine.name, *_SYSTEM_OPTIONS[machine.system], *_OPTIONS, *plugin, "-kernel", program.name]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout_seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"the network did not finish on {self.target.name} in {self.timeout_seconds:g} seconds",
                hint="give fewer samples or more time; if one sample hangs, please report the network",
            ) from error
        said = done.stderr.strip().splitlines()
        status = said[-1] if said else f"exit status {done.returncode}"
        return read_record(self.folder, self.inputs, self.target.name, status, Elf.read(program))


def _count(
    device: _Device, chain: Toolchain, sources: Sources, program: Path, target: Target, stack_bytes: int, flags: Sequence[str]
) -> _Counts:
    """Boot the program as it ships under the plugin, then one with markers between the layers."""
    stays = _boot_counting(device, program, look_at_accesses=target.isa in ALIGNED_ONLY)
    counted = [merged(inference) for inference in inferences(stays)]
    disassembly = None if chain.objdump is None else Disassembly.of(chain.objdump, program)
    check_alignment(merged(counted), target, Elf.read(program))
    layers = _count_layers(device, chain, sources, target, stack_bytes, flags)
    cycles = None
    if target.cycles is not None and disassembly is not None:
        cycles = modelled_cycles(counted[0], disassembly, target.cycles)
    return _Counts(
        instructions=tuple(stay.instructions for stay in counted),
        instructions_per_layer=layers.instructions,
        instructions_per_function=by_function(counted[0], Elf.read(program)),
        startup_instructions=sum(stay.instructions for stay in stays if stay.region == REGION_STARTUP),
        cycles_modelled=cycles,
        cycles_per_layer=layers.cycles,
        moved_per_layer=layers.moved,
    )


def _count_layers(
    device: _Device, chain: Toolchain, sources: Sources, target: Target, stack_bytes: int, flags: Sequence[str]
) -> LayerCounts:
    marked = build_device(chain, target, sources, device.folder, stack_bytes=stack_bytes, profile=True, flags=flags)
    write_inputs(device.folder, device.inputs, True, 1)
    spans = network_memories(target)
    layers = by_layer(next(inferences(_boot_counting(device, marked, look_at_accesses=False, memories=tuple(spans.values())))))
    cycles = None
    if target.cycles is not None and chain.objdump is not None:
        inside = Disassembly.of(chain.objdump, marked)
        cycles = tuple(modelled_cycles(layer, inside, target.cycles) for layer in layers)
    moved = {name: tuple(layer.moved.get(index, (0, 0)) for layer in layers) for index, name in enumerate(spans)}
    return LayerCounts(tuple(layer.instructions for layer in layers), cycles, moved)


def _boot_counting(
    device: _Device, program: Path, *, look_at_accesses: bool, memories: Sequence[tuple[int, int]] = ()
) -> list[Stay]:
    elf = Elf.read(program)
    device.boot(program, plugin_arguments(elf, device.emulator, device.folder, look_at_accesses=look_at_accesses, memories=memories))
    return read_stays(device.folder / "blocks", elf)


def _latency_ms(cycles: int | None, target: Target) -> float | None:
    return None if cycles is None or target.clock_hz is None else 1e3 * cycles / target.clock_hz


def _energy_uj(counts: _Counts, target: Target) -> tuple[float | None, float | None, float | None]:
    """(likely, least, most) of one inference."""
    if counts.cycles_modelled is None or target.energy is None:
        return None, None, None
    layers = counts.moved_per_layer or {}
    moved = {name: (sum(read for read, _ in sizes), sum(written for _, written in sizes)) for name, sizes in layers.items()}
    return target.energy.microjoules(counts.cycles_modelled, target.by_kind(moved), _span(counts, target))


def _span(counts: _Counts, target: Target) -> tuple[int, int] | None:
    return None if counts.cycles_modelled is None or target.cycles is None else target.cycles.span(counts.cycles_modelled)
