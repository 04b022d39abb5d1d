"""Generated C on a Cortex-M0+ to M33 emulated within this process, where there is no QEMU: pip alone can install it.

The driver is the same as under QEMU; its semihosting calls are answered here.
"""

from __future__ import annotations

import importlib.util
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from edgewright.errors import BudgetError, TargetError, ToolError
from edgewright.run.build import build_device, write_sources
from edgewright.run.elf import Elf
from edgewright.run.exchange import INPUTS, OUTPUTS, RECORD, read_record, write_inputs
from edgewright.run.profile import (
    ALIGNED_ONLY,
    REGION_DRIVER,
    REGION_STARTUP,
    Block,
    Count,
    Stay,
    by_function,
    by_layer,
    check_alignment,
    inferences,
    merged,
)
from edgewright.run.run import Arrays, OutputSpecs, Run, split_outputs
from edgewright.run.size import section_sizes, symbol_sizes
from edgewright.run.toolchain import ToolchainName, find_toolchain
from edgewright.targets.target import Machine, Region, Target

_BREAKPOINT, _STACK_LIMIT = 7, 19
_OPEN, _CLOSE, _WRITE, _READ, _EXIT = 0x01, 0x02, 0x05, 0x06, 0x20
_WRITING = 4
_MOST_BYTES = 1 << 30
_PAGE_BYTES = 1 << 12


def run_unicorn(
    files: Mapping[str, bytes],
    inputs: Arrays,
    target: Target,
    *,
    outputs: OutputSpecs | None = None,
    layer_names: Sequence[str] = (),
    profile: bool = True,
    counted_inferences: int = 1,
    reset_state: bool = True,
    stack_bytes: int | None = None,
    timeout_seconds: float = 600,
    toolchain: ToolchainName | None = None,
    flags: Sequence[str] | None = None,
) -> Run:
    """As :func:`edgewright.run.qemu.run_qemu`, same arguments and figures, but for cycles. TargetError if Unicorn lacks the core."""
    if target.qemu is None or target.unicorn_cpu is None:
        raise TargetError(f"Unicorn does not emulate {target.name}", hint="it has Cortex-M0+, M3, M4, M7 and M33; use QEMU for the others")
    if importlib.util.find_spec("unicorn") is None:
        raise ToolError("the emulator unicorn is not installed", hint="pip install 'edgewright[pip-toolchain]'")
    chain = find_toolchain(target, toolchain)
    flags = (target.optimization,) if flags is None else flags
    stack = target.stack_bytes if stack_bytes is None else -(-stack_bytes // 16) * 16
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        sources = write_sources(files, folder)
        elf = Elf.read(build_device(chain, target, sources, folder, stack_bytes=stack, profile=False, flags=flags))
        count = write_inputs(folder, inputs, reset_state)
        _Core(elf, target, folder, timeout_seconds).run()
        record = read_record(folder, inputs, target.name, "it wrote no record", elf)
        found = split_outputs((folder / OUTPUTS).read_bytes(), count, outputs)
        stays: list[Stay] = []
        layers: list[Stay] = []
        if profile:
            write_inputs(folder, inputs, reset_state, counted_inferences)
            stays = _counted(elf, target, folder, timeout_seconds)
            marked = Elf.read(build_device(chain, target, sources, folder, stack_bytes=stack, profile=True, flags=flags))
            write_inputs(folder, inputs, reset_state, 1)
            layers = by_layer(next(inferences(_counted(marked, target, folder, timeout_seconds))))
        counted = [merged(inference) for inference in inferences(stays)]
        check_alignment(merged(counted), target, elf)
        return Run(
            outputs=found,
            inferences=count,
            where=target.name,
            seconds=time.perf_counter() - start,
            instructions=tuple(stay.instructions for stay in counted) if profile else None,
            instructions_per_layer=tuple(layer.instructions for layer in layers) if profile else None,
            instructions_per_function=by_function(counted[0], elf) if profile else None,
            layer_names=tuple(layer_names),
            startup_instructions=sum(stay.instructions for stay in stays if stay.region == REGION_STARTUP) if profile else None,
            peak_stack_bytes=record.peak_stack_bytes,
            sections=section_sizes(elf),
            symbols=symbol_sizes(elf),
        )


def _counted(elf: Elf, target: Target, folder: Path, timeout_seconds: float) -> list[Stay]:
    counter = _Counter(elf)
    _Core(elf, target, folder, timeout_seconds, counter).run()
    return counter.finish()


class _Counter:
    """Counts blocks as run/plugin/block_counts.c does."""

    def __init__(self, elf: Elf) -> None:
        self.mark, self.table, self.end = (elf.address(name) for name in ("ew_mark", "ew_mark_table", "ew_mark_end"))
        self.firmware = range(elf.address("ew_firmware_start"), elf.address("ew_firmware_end"))
        self.stays: list[Stay] = []
        self.region = REGION_STARTUP
        self.times: dict[tuple[int, int], int] = {}
        self.memory: dict[tuple[int, int], bytes] = {}
        self.unaligned: dict[int, int] = {}

    def on_block(self, core: Any, address: int, size: int, _: Any) -> None:
        if self.mark <= address < self.end:
            if address >= self.table:
                self._close()
                self.region = (address - self.table) // 2
            return
        key = (address, size)
        if key not in self.times:
            self.times[key] = 0
            self.memory[key] = bytes(core.mem_read(address, size))
        self.times[key] += 1

    def on_unaligned(self, instruction: int) -> None:
        if instruction not in self.firmware:
            self.unaligned[instruction] = self.unaligned.get(instruction, 0) + 1

    def finish(self) -> list[Stay]:
        self._close()
        return self.stays

    def _close(self) -> None:
        stay = Stay(self.region, {}, self.unaligned)
        for (address, size), times in self.times.items():
            if self.region in (REGION_STARTUP, REGION_DRIVER) or address not in self.firmware:
                number, last = _thumb_instructions(self.memory[address, size])
                stay.blocks[Block(address, address + last, number)] = Count(times)
        self.stays.append(stay)
        self.times, self.unaligned = {}, {}


def _thumb_instructions(code: bytes) -> tuple[int, int]:
    """How many instructions ``code`` holds, and the offset of the last. A first halfword from 0xE800 on begins one of 32 bits."""
    at = number = last = 0
    while at < len(code):
        last = at
        number += 1
        at += 4 if code[at + 1] >= 0xE8 else 2
    return number, last


class _Core:
    """A processor with the memories of ``target.qemu``, and the files of ``folder`` behind its semihosting."""

    def __init__(self, elf: Elf, target: Target, folder: Path, timeout_seconds: float, counter: _Counter | None = None) -> None:
        machine = target.qemu
        assert machine is not None
        unicorn: Any = importlib.import_module("unicorn")
        self.unicorn = unicorn
        self.registers: Any = importlib.import_module("unicorn.arm_const")
        self.elf, self.target, self.folder, self.timeout_seconds = elf, target, folder, timeout_seconds
        self.core: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.core.ctl_set_cpu_model(getattr(self.registers, f"UC_CPU_ARM_CORTEX_{target.unicorn_cpu}"))
        self._load(machine, target.regions)
        self.interrupt = -1
        self.status: int | None = None
        self.open_files: dict[int, BinaryIO] = {}
        self.core.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        if counter is not None:
            self.core.hook_add(unicorn.UC_HOOK_BLOCK, counter.on_block)
            if target.isa in ALIGNED_ONLY:
                self.core.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, self._on_access, counter)

    def run(self) -> None:
        """From reset until the program exits. BudgetError for a stack overflow, ToolError for a fault or a timeout."""
        (self.folder / RECORD).unlink(missing_ok=True)
        deadline = time.monotonic() + self.timeout_seconds
        at = self.elf.address("ew_reset")
        try:
            while self.status is None:
                left = deadline - time.monotonic()
                self.interrupt = -1
                if left > 0:
                    self.core.emu_start(at | 1, 0xFFFFFFFE, timeout=max(int(left * 1e6), 1))
                if self.interrupt < 0:
                    raise ToolError(
                        f"the network did not finish on {self.target.name} in {self.timeout_seconds:g} seconds",
                        hint="give fewer samples or more time; if one sample hangs, please report the network",
                    )
                at = self.core.reg_read(self.registers.UC_ARM_REG_PC)
                if self.interrupt != _BREAKPOINT:
                    raise self._fault(f"exception {self.interrupt}", self.interrupt == _STACK_LIMIT)
                self._semihosting()
                at += 2
        except self.unicorn.UcError as error:
            raise self._fault(str(error)) from error
        finally:
            for stream in self.open_files.values():
                stream.close()

    def _load(self, machine: Machine, regions: Sequence[Region]) -> None:
        self.core.mem_map(machine.flash_origin, machine.flash_bytes)
        self.core.mem_map(machine.ram_origin, machine.ram_bytes)
        for region in regions:
            self.core.mem_map(region.machine_origin, -(-region.size_bytes // _PAGE_BYTES) * _PAGE_BYTES)
        self.core.mem_map(0xE0000000, 0x100000)
        for address, data in self.elf.segments():
            self.core.mem_write(address, data)
        self.core.reg_write(self.registers.UC_ARM_REG_SP, self.elf.address("ew_firmware_stack_top"))

    def _on_interrupt(self, core: Any, number: int, _: Any) -> None:
        self.interrupt = number
        core.emu_stop()

    def _on_access(self, core: Any, kind: int, address: int, size: int, value: int, counter: _Counter) -> None:
        if address % size:
            counter.on_unaligned(core.reg_read(self.registers.UC_ARM_REG_PC))

    def _fault(self, what: str, is_overflow: bool = False) -> BudgetError | ToolError:
        at = self.core.reg_read(self.registers.UC_ARM_REG_PC) & ~1
        if is_overflow or self.core.reg_read(self.registers.UC_ARM_REG_SP) <= self.elf.address("ew_stack_limit"):
            return BudgetError(f"the stack overflowed on {self.target.name}", hint="give more stack_bytes")
        inside = "".join(f" in {name}" for start, end, name in self.elf.functions() if start <= at < end)
        return ToolError(f"the processor of {self.target.name} faulted at {at:#x}{inside}: {what}", hint="please report the network")

    def _semihosting(self) -> None:
        operation = self.core.reg_read(self.registers.UC_ARM_REG_R0)
        block = struct.unpack("<3I", self.core.mem_read(self.core.reg_read(self.registers.UC_ARM_REG_R1), 12))
        answer = 0
        if operation == _EXIT:
            self.status = block[1]
        elif operation == _OPEN:
            answer = self._open(bytes(self.core.mem_read(block[0], block[2])).decode("ascii", "replace"), block[1])
        elif operation == _CLOSE:
            self.open_files.pop(block[0]).close()
        elif operation == _READ:
            data = self.open_files[block[0]].read(min(block[2], _MOST_BYTES))
            self.core.mem_write(block[1], data)
            answer = block[2] - len(data)
        elif operation == _WRITE:
            self.open_files[block[0]].write(self.core.mem_read(block[1], block[2]))
        else:
            raise self._fault(f"semihosting call {operation:#x}")
        self.core.reg_write(self.registers.UC_ARM_REG_R0, answer & 0xFFFFFFFF)

    def _open(self, name: str, mode: int) -> int:
        """The driver's own three files, and no other."""
        if name not in (INPUTS, OUTPUTS, RECORD):
            return -1
        handle = len(self.open_files) + 1
        self.open_files[handle] = (self.folder / name).open("wb" if mode >= _WRITING else "rb")
        return handle
