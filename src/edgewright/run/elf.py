"""The sections and symbols of an ELF file as linkers for microcontrollers write it (System V ABI, edition 4.1, chapter 4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from edgewright.errors import ToolError

_SHT_SYMTAB = 2
_STT_FUNC = 2
_PT_LOAD = 1
_THUMB_MACHINE = 40


@dataclass(frozen=True)
class Section:
    """One output section."""

    name: str
    address: int
    size: int
    kind: int


@dataclass(frozen=True)
class Symbol:
    """One defined symbol; the Thumb bit is taken off its address."""

    name: str
    address: int
    size: int
    section: str
    is_function: bool


@dataclass(frozen=True)
class Elf:
    """An ELF file in memory; ToolError where it is not what a linker for a microcontroller writes."""

    data: bytes

    @classmethod
    def read(cls, path: Path) -> Elf:
        data = path.read_bytes()
        if data[:6] != b"\x7fELF\x01\x01" or len(data) < 52:
            raise ToolError(f"{path.name} is not a 32-bit little-endian ELF file", hint="which linker made it?")
        return cls(data)

    @cached_property
    def _headers(self) -> list[tuple[int, ...]]:
        (offset,) = struct.unpack_from("<I", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 46)
        return [struct.unpack_from("<10I", self.data, offset + index * size) for index in range(count)]

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        names = self._headers[struct.unpack_from("<H", self.data, 50)[0]][4]
        return tuple(Section(self._text(names + header[0]), header[3], header[5], header[1]) for header in self._headers)

    @cached_property
    def machine(self) -> int:
        """e_machine: 40 for Arm, 243 for RISC-V."""
        return int(struct.unpack_from("<H", self.data, 18)[0])

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Functions, objects and labels that stand in a section, by address."""
        found = []
        for header in self._headers:
            if header[1] != _SHT_SYMTAB:
                continue
            strings = self._headers[header[6]][4]
            for at in range(header[4], header[4] + header[5], 16):
                name, address, size, info, _, section = struct.unpack_from("<IIIBBH", self.data, at)
                if 0 < section < len(self.sections) and name:
                    is_function = info & 15 == _STT_FUNC
                    place = address & ~1 if is_function and self.machine == _THUMB_MACHINE else address
                    found.append(Symbol(self._text(strings + name), place, size, self.sections[section].name, is_function))
        return tuple(sorted(found, key=lambda symbol: symbol.address))

    def _text(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode("utf-8", "replace")

    def segments(self) -> list[tuple[int, bytes]]:
        """What a loader writes: address and bytes."""
        (offset,) = struct.unpack_from("<I", self.data, 28)
        size, count = struct.unpack_from("<HH", self.data, 42)
        found = []
        for index in range(count):
            kind, start, _, address, length = struct.unpack_from("<5I", self.data, offset + index * size)
            if kind == _PT_LOAD and length:
                found.append((address, self.data[start : start + length]))
        return found

    def address(self, name: str) -> int:
        """Where the symbol ``name`` stands. ToolError where there is none."""
        for symbol in self.symbols:
            if symbol.name == name:
                return symbol.address
        raise ToolError(f"the linked program has no symbol {name!r}", hint="please report how it was built")

    def functions(self) -> list[tuple[int, int, str]]:
        """Start, end and name of every function with code; an assembler's labels without a size reach to the next symbol."""
        code = [symbol for symbol in self.symbols if symbol.is_function]
        ends = {first.address: second.address for first, second in pairwise(code)}
        return [
            (symbol.address, symbol.address + symbol.size if symbol.size else ends.get(symbol.address, symbol.address + 4), symbol.name)
            for symbol in code
        ]
