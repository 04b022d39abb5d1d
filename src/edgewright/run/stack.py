"""The deepest stack of a linked network without running it: what each function takes, and the deepest path of calls.

What the network's own functions take is the compiler's word (-fstack-usage); that of library functions, which nobody compiled here, is read
from the instructions that move the stack pointer. Calls and jumps are read from the code: Armv6-M to Armv8.1-M (Armv8-M Architecture
Reference Manual, C2.4), RV32IMAC (RISC-V Unprivileged ISA, 2.5 and 27).
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import ToolError
from edgewright.run.elf import Elf

_THUMB_MACHINE = 40
_DATA_MARKS = ("$d",)
_CODE_MARKS = ("$t", "$x")


@dataclass(frozen=True)
class Frame:
    """One function on the deepest path, and what it holds of the stack while it calls the next."""

    function: str
    stack_bytes: int


@dataclass(frozen=True)
class _Jump:
    """Where control may go, -1 where a register says. ``keeps_frame``: a call; otherwise a tail call, which gives the frame back first."""

    to: int
    keeps_frame: bool


def read_stack_usage(folder: Path) -> dict[str, int]:
    """Function → bytes, out of the .su files that the compiler left in ``folder``; clones of a function count as the function.

    ToolError where a frame has no bound known at compile time.
    """
    found: dict[str, int] = {}
    for path in sorted(folder.glob("*.su")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            place, size, kind = line.rsplit("\t", 2)
            name = place.rsplit(":", 1)[1].split(".")[0]
            if kind == "dynamic":
                raise ToolError(f"{name} takes stack without a bound", hint="please report the network")
            found[name] = max(found.get(name, 0), int(size))
    return found


def deepest_stack(elf: Elf, frames: Mapping[str, int], root: str) -> tuple[Frame, ...]:
    """The deepest path of calls from function ``root``; bytes are those held at the moment when the last one is deepest.

    ToolError where functions call each other in a circle or through pointers: their depth is not known without running.
    """
    functions = {start: (end, name) for start, end, name in elf.functions()}
    code = _Code(elf)
    known: dict[int, tuple[Frame, ...]] = {}
    open_calls: list[int] = []

    def path_from(start: int) -> tuple[Frame, ...]:
        if start in known:
            return known[start]
        end, name = functions[start]
        if start in open_calls:
            raise ToolError(f"{name} calls itself, directly or through others", hint="its stack is known only by running it")
        open_calls.append(start)
        base = name.split(".")[0]
        own = frames[base] if base in frames else code.moved(start, end)
        best: tuple[Frame, ...] = (Frame(name, own),)
        for jump in code.jumps(start, end):
            if jump.to not in functions:
                if jump.keeps_frame:
                    raise ToolError(f"{name} calls what has no name, or through a pointer", hint="its stack is known only by running it")
                continue
            path = (Frame(name, own if jump.keeps_frame else 0), *path_from(jump.to))
            best = max(best, path, key=depth)
        open_calls.pop()
        known[start] = best
        return best

    return path_from(elf.address(root))


def depth(path: tuple[Frame, ...]) -> int:
    """Bytes of stack of a path of calls."""
    return sum(frame.stack_bytes for frame in path)


class _Code:
    """The instructions of a linked program, without the literal pools between them."""

    def __init__(self, elf: Elf) -> None:
        self._segments = elf.segments()
        self._is_thumb = elf.machine == _THUMB_MACHINE
        marks = [symbol for symbol in elf.symbols if symbol.name.split(".")[0] in (*_DATA_MARKS, *_CODE_MARKS)]
        self._places = [symbol.address for symbol in marks]
        self._is_data = [symbol.name.startswith(_DATA_MARKS) for symbol in marks]

    def jumps(self, start: int, end: int) -> Iterator[_Jump]:
        """Direct calls, and jumps that leave the function."""
        for at, word, size in self._instructions(start, end):
            jump = _thumb_jump(at, word, size) if self._is_thumb else _riscv_jump(at, word, size)
            if jump is not None and (jump.keeps_frame or not start <= jump.to < end):
                yield jump

    def moved(self, start: int, end: int) -> int:
        """Bytes that the instructions of a function push in all: a bound where it pushes once, as compiled functions do."""
        moved = _thumb_pushed if self._is_thumb else _riscv_pushed
        return sum(moved(word, size) for _, word, size in self._instructions(start, end))

    def _instructions(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Address, encoding (first halfword in the upper half of a long Thumb instruction) and size of each."""
        at = start
        while at + 2 <= end:
            data_until = self._data_until(at, end)
            if data_until > at:
                at = data_until
                continue
            (first,) = struct.unpack("<H", self._read(at, 2))
            is_long = first >> 11 in (0b11101, 0b11110, 0b11111) if self._is_thumb else first & 3 == 3
            if is_long and at + 4 <= end:
                (second,) = struct.unpack("<H", self._read(at + 2, 2))
                yield at, first << 16 | second if self._is_thumb else second << 16 | first, 4
                at += 4
            else:
                yield at, first, 2
                at += 2

    def _data_until(self, at: int, end: int) -> int:
        """End of the literal pool that covers ``at``; ``at`` itself where code stands there."""
        index = bisect.bisect_right(self._places, at)
        if index == 0 or not self._is_data[index - 1]:
            return at
        return min(end, self._places[index]) if index < len(self._places) else end

    def _read(self, at: int, size: int) -> bytes:
        for address, data in self._segments:
            if address <= at and at + size <= address + len(data):
                return data[at - address : at - address + size]
        raise ToolError(f"the linked program has no code at {at:#x}", hint="please report how it was built")


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) & 1 else number


def _thumb_jump(at: int, word: int, size: int) -> _Jump | None:
    if size == 2:
        if word & 0xFF87 == 0x4780:  # BLX to a register
            return _Jump(-1, True)
        return _Jump(at + 4 + 2 * _signed(word & 0x7FF, 11), False) if word >> 11 == 0b11100 else None
    if word & 0xF800_8000 != 0xF000_8000 or word & 0x1000 == 0:  # B.W and BL; conditional branches stay within a function
        return None
    sign, j1, j2 = word >> 26 & 1, word >> 13 & 1, word >> 11 & 1
    high = (sign << 23) | ((1 ^ j1 ^ sign) << 22) | ((1 ^ j2 ^ sign) << 21) | ((word >> 16 & 0x3FF) << 11) | (word & 0x7FF)
    return _Jump(at + 4 + 2 * _signed(high, 24), bool(word & 0x4000))


def _thumb_pushed(word: int, size: int) -> int:
    if size == 2:
        if word & 0xFE00 == 0xB400:  # PUSH
            return 4 * (word & 0x1FF).bit_count()
        return 4 * (word & 0x7F) if word & 0xFF80 == 0xB080 else 0  # SUB SP
    if word >> 16 == 0xE92D:  # PUSH.W
        return 4 * (word & 0xFFFF).bit_count()
    if word & 0xFFFF_0FFF == 0xF84D_0D04:  # STR to [SP, #-4]!
        return 4
    if word >> 16 in (0xF1AD, 0xF5AD):  # SUB.W SP
        return _thumb_immediate(word)
    if word >> 16 in (0xF2AD, 0xF6AD):  # SUBW SP
        return (word >> 26 & 1) << 11 | (word >> 12 & 7) << 8 | word & 0xFF
    return 4 * (word & 0xFF) if word & 0xFFBF_0E00 == 0xED2D_0A00 else 0  # VPUSH


def _thumb_immediate(word: int) -> int:
    """ThumbExpandImm of the encodings i:imm3:imm8 that a small frame uses."""
    code = (word >> 26 & 1) << 11 | (word >> 12 & 7) << 8 | word & 0xFF
    if code >> 8 == 0:
        return code
    rotation = code >> 7
    value = 0x80 | code & 0x7F
    return (value >> rotation | value << (32 - rotation)) & 0xFFFF_FFFF


def _riscv_jump(at: int, word: int, size: int) -> _Jump | None:
    if size == 2:
        if word & 0xF07F == 0x9002 and word & 0xF80:  # C.JALR
            return _Jump(-1, True)
        if word & 3 != 1 or word >> 13 not in (0b001, 0b101):  # C.JAL and C.J
            return None
        bits = [(12, 11), (11, 4), (10, 9), (9, 8), (8, 10), (7, 6), (6, 7), (5, 3), (4, 2), (3, 1), (2, 5)]
        offset = sum((word >> source & 1) << place for source, place in bits)
        return _Jump(at + _signed(offset, 12), word >> 13 == 0b001)
    if word & 0xFFF == 0x0E7:  # JALR that links
        return _Jump(-1, True)
    if word & 0x7F != 0x6F:  # JAL
        return None
    offset = (word >> 31) << 20 | (word >> 21 & 0x3FF) << 1 | (word >> 20 & 1) << 11 | (word >> 12 & 0xFF) << 12
    return _Jump(at + _signed(offset, 21), word >> 7 & 31 != 0)


def _riscv_pushed(word: int, size: int) -> int:
    if size == 4 and word & 0xFFFFF == 0x10113:  # ADDI sp, sp
        return max(0, -_signed(word >> 20, 12))
    if size == 2 and word & 0xEF83 == 0x6101:  # C.ADDI16SP
        bits = [(12, 9), (6, 4), (5, 6), (4, 8), (3, 7), (2, 5)]
        return max(0, -_signed(sum((word >> source & 1) << place for source, place in bits), 10))
    if size == 2 and word & 0xEF83 == 0x0101:  # C.ADDI sp
        return max(0, -_signed((word >> 12 & 1) << 5 | word >> 2 & 31, 6))
    return 0
