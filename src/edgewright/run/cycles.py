"""Modelled cycles of a microcontroller: executed blocks, classified through the disassembly, weighed by the target's coefficients."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from edgewright.errors import ToolError
from edgewright.run.instruction import Instruction
from edgewright.run.pipelined import pipelined_cycles
from edgewright.run.profile import Block, Count, Stay
from edgewright.targets.cycle_model import CycleModel

_LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S+)(?:\t(.*))?$")


class Disassembly:
    """The instructions of a program, as objdump tells them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._cycles: dict[Block, float] = {}
        self._model: CycleModel | None = None

    @classmethod
    def of(cls, objdump: Sequence[str], program: Path) -> Disassembly:
        done = subprocess.run(
            [*objdump, str(program)], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=120
        )
        if done.returncode != 0:
            raise ToolError(f"{objdump[0]} failed: {done.stderr.strip()[:200]}", hint="`edgewright doctor` says what is installed")
        return cls(done.stdout)

    @cached_property
    def instructions(self) -> Mapping[int, Instruction]:
        found = {}
        for line in self._text.splitlines():
            match = _LINE.match(line)
            if match:
                address = int(match[1], 16)
                operands = re.sub(r"\s*[;@].*$", "", match[3] or "").strip()
                found[address] = Instruction(address, re.sub(r"\.[nw]$", "", match[2]), operands)
        return found

    def block(self, block: Block) -> list[Instruction]:
        """The instructions of ``block``; ToolError where the disassembly and what QEMU executed do not agree."""
        found = []
        address = block.first
        while address <= block.last:
            if address in self.instructions:
                found.append(self.instructions[address])
            address += 2
        if len(found) != block.instructions:
            raise ToolError(
                f"the block at {block.first:#x} has {block.instructions} instructions, its disassembly {len(found)}",
                hint="please report this",
            )
        return found


    def cycles(self, block: Block, model: CycleModel) -> float:
        """Cycles of ``block`` once by ``model``, its last branch not taken; kept, as layers share their kernels."""
        if model is not self._model:
            self._cycles, self._model = {}, model
        if block not in self._cycles:
            self._cycles[block] = _block_cycles(self.block(block), model)
        return self._cycles[block]


def modelled_cycles(stay: Stay, disassembly: Disassembly, model: CycleModel) -> int:
    """Cycles that ``stay`` would take by ``model``. What instructions do to each other is seen within a block, not across."""
    total = 0.0
    for block, count in stay.blocks.items():
        total += count.times * disassembly.cycles(block, model)
        total += _taken(disassembly.instructions[block.last], count, disassembly, model)
    return round(total)


def _block_cycles(instructions: Sequence[Instruction], model: CycleModel) -> float:
    if model.pipeline is not None:
        return pipelined_cycles(instructions, model.pipeline, lambda instruction: _cycles(instruction, False, model))
    cycles = 0.0
    after_memory = False
    for instruction in instructions:
        cycles += _cycles(instruction, after_memory, model)
        after_memory = instruction.kind in ("load", "store")
    return cycles


def _cycles(instruction: Instruction, after_memory: bool, model: CycleModel) -> float:
    kind = instruction.kind
    if kind == "load":
        return model.load_pipelined if after_memory else model.load
    if kind in ("load multiple", "store multiple"):
        return model.multiple_base + model.multiple_register * len(instruction.registers)
    known = {
        "store": model.store,
        "load double": model.load_double,
        "store double": model.store_double,
        "divide": model.divide,
        "if then": model.if_then,
        "float divide": model.float_divide,
        "float multiply accumulate": model.float_multiply_accumulate,
        "float": model.float_other,
        "multiply": model.multiply,
        "multiply accumulate": model.multiply_accumulate,
        "multiply long": model.multiply_long,
        "multiply long accumulate": model.multiply_long_accumulate,
    }
    return known.get(kind, model.other)


def _taken(last: Instruction, count: Count, disassembly: Disassembly, model: CycleModel) -> float:
    """Cycles that ``last``, at the end of a block, added where it changed the flow."""
    if not last.changes_flow or last.kind == "loop end":
        return 0.0
    short = last.address + 2 in disassembly.instructions
    taken = count.times - (count.then_2 if short else count.then_4)
    each = model.call if last.calls else model.jump if last.always_jumps else None
    return taken * (model.taken_branch if each is None else each)
