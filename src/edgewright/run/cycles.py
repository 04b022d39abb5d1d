"""Modelled cycles of a single-issue Cortex-M: executed blocks, classified through the disassembly, weighed by the target's coefficients."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from edgewright.errors import ToolError
from edgewright.run.profile import Block, Count, Stay
from edgewright.targets.target import CycleModel

_LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S+)(?:\t(.*))?$")
_CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al"
_BRANCH = re.compile(rf"^(b|bl|blx|bx)({_CONDITIONS})?$|^(cbn?z|tb[bh])$")
_LOAD = re.compile(rf"^(ldr(s?[bh])?t?|ldrex[bh]?|vldr)({_CONDITIONS})?$")
_STORE = re.compile(rf"^(str[bh]?t?|strex[bh]?|vstr)({_CONDITIONS})?$")
_LOAD_MULTIPLE = re.compile(rf"^(pop|ldm(ia|db|fd)?|vldm(ia|db)?|vpop)({_CONDITIONS})?$")
_STORE_MULTIPLE = re.compile(rf"^(push|stm(ia|db|fd)?|vstm(ia|db)?|vpush)({_CONDITIONS})?$")
_DOUBLE = re.compile(rf"^(ldr|str)d({_CONDITIONS})?$")
_DIVIDE = re.compile(rf"^[su]div({_CONDITIONS})?$")
_FLOAT_MULTIPLY_ACCUMULATE = re.compile(r"^v(n?ml[as]|fn?m[as])")
_FLOAT_DIVIDE = re.compile(r"^v(div|sqrt)")
_IF_THEN = re.compile(r"^it[te]{0,3}$")
_REGISTER = re.compile(r"^([rsd])(\d+)$")
_NAMED_REGISTERS = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}


class Instruction(NamedTuple):
    """One line of the disassembly."""

    address: int
    mnemonic: str
    operands: str

    @property
    def loads_program_counter(self) -> bool:
        if _LOAD_MULTIPLE.match(self.mnemonic):
            return bool(re.search(r"\bpc\b", self.operands))
        return bool(_LOAD.match(self.mnemonic)) and self.operands.startswith("pc")


class Disassembly:
    """The instructions of a program, as objdump tells them."""

    def __init__(self, text: str) -> None:
        self._text = text

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


def modelled_cycles(stay: Stay, disassembly: Disassembly, model: CycleModel) -> int:
    """Cycles that ``stay`` would take by ``model``. Pipelining of loads is seen within a block, not across."""
    total = 0.0
    for block, count in stay.blocks.items():
        instructions = disassembly.block(block)
        total += count.times * _block_cycles(instructions, model) + _taken(instructions[-1], count, disassembly) * model.taken_branch
    return round(total)


def _block_cycles(instructions: Sequence[Instruction], model: CycleModel) -> float:
    cycles = 0.0
    after_memory = False
    for instruction in instructions:
        cycles += _cycles(instruction, after_memory, model)
        after_memory = bool(_LOAD.match(instruction.mnemonic) or _STORE.match(instruction.mnemonic))
    return cycles


def _cycles(instruction: Instruction, after_memory: bool, model: CycleModel) -> float:
    name = instruction.mnemonic
    if _LOAD.match(name):
        return model.load_pipelined if after_memory else model.load
    if _STORE.match(name):
        return model.store
    if _DOUBLE.match(name):
        return model.load_double if name.startswith("l") else model.store_double
    if _LOAD_MULTIPLE.match(name) or _STORE_MULTIPLE.match(name):
        return model.multiple_base + model.multiple_register * _registers(instruction.operands)
    if _DIVIDE.match(name):
        return model.divide
    if _IF_THEN.match(name):
        return model.if_then
    if name.startswith("v"):
        if _FLOAT_DIVIDE.match(name):
            return model.float_divide
        return model.float_multiply_accumulate if _FLOAT_MULTIPLY_ACCUMULATE.match(name) else model.float_other
    return model.other


def _taken(last: Instruction, count: Count, disassembly: Disassembly) -> int:
    """How often ``last``, at the end of a block, changed the flow."""
    if not _BRANCH.match(last.mnemonic) and not last.loads_program_counter:
        return 0
    short = last.address + 2 in disassembly.instructions
    return count.times - (count.then_2 if short else count.then_4)


def _registers(operands: str) -> int:
    listed = re.search(r"\{(.*)\}", operands)
    if listed is None:
        return 1
    number = 0
    for part in listed[1].split(","):
        low, _, high = part.strip().partition("-")
        number += _number(high) - _number(low) + 1 if high else 1
    return number


def _number(register: str) -> int:
    match = _REGISTER.match(register.strip())
    return int(match[2]) if match else _NAMED_REGISTERS[register.strip()]
