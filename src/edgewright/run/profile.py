"""Exact counts of executed instructions: a QEMU plugin of our own that counts blocks, and the reader of what it writes."""

from __future__ import annotations

import re
import subprocess
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from edgewright.errors import ToolError
from edgewright.run.elf import Elf
from edgewright.run.toolchain import compile_c, find_host_compiler
from edgewright.targets.target import Target

PLUGIN = Path(__file__).parent / "plugin" / "block_counts.c"
REGION_NETWORK, REGION_DRIVER, REGION_STARTUP = 0, 4094, 4095
ALIGNED_ONLY = ("armv6-m", "rv32")
"""Instruction sets whose devices need not have unaligned accesses."""
_FIRST_QEMU_OF_API_2 = 9


@dataclass(frozen=True)
class Block:
    """A straight run of instructions: addresses of the first and the last, their number."""

    first: int
    last: int
    instructions: int


@dataclass
class Count:
    """How often a block was executed, and how often what stands 2 or 4 bytes after its last instruction came next."""

    times: int = 0
    then_2: int = 0
    then_4: int = 0


@dataclass(frozen=True)
class Stay:
    """What was executed from one marker to the next."""

    region: int
    blocks: dict[Block, Count]
    unaligned: dict[int, int] = field(default_factory=dict)
    """Address of an instruction → how often it read or wrote at an address that is no multiple of the access's size."""
    moved: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Memory → bytes read and written, where they were counted."""

    @property
    def instructions(self) -> int:
        return sum(block.instructions * count.times for block, count in self.blocks.items())


@cache
def plugin_library(api: int) -> bytes:
    """The plugin as a shared library for this computer, compiled once a process. ToolError where there is no compiler."""
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        compile_c(
            [*find_host_compiler(), "-std=c99", "-O2", "-shared", "-fPIC", f"-DEW_PLUGIN_API={api}", str(PLUGIN), "-o", "plugin.so"], folder
        )
        return (folder / "plugin.so").read_bytes()


@cache
def plugin_api(emulator: str) -> int:
    """The version of the plugin interface that this QEMU takes."""
    said = subprocess.run(
        [emulator, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60
    ).stdout
    found = re.search(r"version (\d+)\.", said)
    if found is None:
        raise ToolError(f"{emulator} does not say its version", hint="QEMU 4.2 or later is needed")
    return 2 if int(found[1]) >= _FIRST_QEMU_OF_API_2 else 1


def plugin_arguments(
    elf: Elf, emulator: str, folder: Path, *, look_at_accesses: bool, memories: Sequence[tuple[int, int]] = ()
) -> list[str]:
    """Put the plugin into ``folder``, where QEMU will run, and give its options for the command line.

    ``memories``: spans of addresses, first and after the last, in which the bytes that are moved are counted.
    """
    aligned = ",aligned=on" if look_at_accesses else ""
    if memories:
        aligned += ",memories=" + "+".join(f"{first:x}-{end:x}" for first, end in memories)
    (folder / "block_counts.so").write_bytes(plugin_library(plugin_api(emulator)))
    places = ",".join(
        f"{key}={elf.address(symbol):x}" for key, symbol in (("mark", "ew_mark"), ("table", "ew_mark_table"), ("end", "ew_mark_end"))
    )
    return ["-plugin", f"file=./block_counts.so,out=blocks,{places}{aligned}"]


def read_stays(path: Path, elf: Elf) -> list[Stay]:
    """Every stay in a region, in order. Blocks of the driver are left out, but for those of the start."""
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    if not lines or lines[-1] != "E":
        raise ToolError(
            "QEMU's block counts are not complete",
            hint="does this QEMU load TCG plugins? `qemu-system-arm --help` lists -plugin where it does",
        )
    low, high = elf.address("ew_firmware_start"), elf.address("ew_firmware_end")
    stays: list[Stay] = []
    for line in lines[:-1]:
        kind, *fields = line.split()
        if kind == "R":
            stays.append(Stay(int(fields[0]), {}))
            continue
        if kind == "M":
            stays[-1].moved[int(fields[0])] = int(fields[1]), int(fields[2])
            continue
        first = int(fields[0], 16)
        if low <= first < high and stays[-1].region != REGION_STARTUP:
            continue
        if kind == "U":
            stays[-1].unaligned[first] = stays[-1].unaligned.get(first, 0) + int(fields[1])
            continue
        # The same code may be translated more than once.
        count = stays[-1].blocks.setdefault(Block(first, int(fields[1], 16), int(fields[2])), Count())
        count.times += int(fields[3])
        count.then_2 += int(fields[4])
        count.then_4 += int(fields[5])
    return stays


def inferences(stays: Iterable[Stay]) -> Iterator[list[Stay]]:
    """The stays of each inference: what stands between two stays in the driver."""
    current: list[Stay] = []
    for stay in stays:
        if stay.region == REGION_DRIVER:
            if current:
                yield current
            current = []
        elif stay.region != REGION_STARTUP:
            current.append(stay)


def merged(stays: Sequence[Stay]) -> Stay:
    """All of ``stays`` as one."""
    blocks: dict[Block, Count] = {}
    unaligned: Counter[int] = Counter()
    moved: dict[int, tuple[int, int]] = {}
    for stay in stays:
        for memory, (read, written) in stay.moved.items():
            before = moved.get(memory, (0, 0))
            moved[memory] = before[0] + read, before[1] + written
        unaligned.update(stay.unaligned)
        for block, count in stay.blocks.items():
            total = blocks.setdefault(block, Count())
            total.times += count.times
            total.then_2 += count.then_2
            total.then_4 += count.then_4
    return Stay(stays[0].region if stays else REGION_NETWORK, blocks, dict(unaligned), moved)


def by_layer(stays: Sequence[Stay]) -> list[Stay]:
    """The stays of one inference, one for each layer; what no layer owns, before the first marker and after the last, is left out."""
    layers = max((stay.region for stay in stays), default=0)
    return [merged([stay for stay in stays if stay.region == layer]) for layer in range(1, layers + 1)]


def by_function(stay: Stay, elf: Elf) -> Mapping[str, int]:
    """Instructions by the C function they stand in, the largest first. Functions that the compiler inlined count to their callers."""
    functions = elf.functions()
    starts = [start for start, _, _ in functions]
    counted: Counter[str] = Counter()
    for block, count in stay.blocks.items():
        index = bisect_right(starts, block.first) - 1
        inside = index >= 0 and block.first < functions[index][1]
        counted[functions[index][2] if inside else f"{block.first:#x}"] += block.instructions * count.times
    return dict(counted.most_common())


def check_alignment(stay: Stay, target: Target, elf: Elf) -> None:
    """ToolError where ``stay`` has unaligned accesses, which emulators let pass and some devices do not."""
    if stay.unaligned:
        address = min(stay.unaligned)
        inside = "".join(f" in {name}" for start, end, name in elf.functions() if start <= address < end)
        raise ToolError(
            f"an unaligned access at {address:#x}{inside}: the emulator allows it, {target.core} does not", hint="please report the network"
        )
