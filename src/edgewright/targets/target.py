"""What a device is: memories, kernels, compilers, an emulator, and the coefficients of its cost model.

One TOML file each; users bring their own. A board is a core with its own memories: ``extends = "cortex-m4"``.
Tables of the two are merged key by key, everything else is replaced.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edgewright.errors import TargetError
from edgewright.targets.cycle_model import CycleModel

FOLDERS = ("host", "cores", "boards", "accelerators")
MOST_BYTES = 1 << 16
Isa = Literal["host", "armv6-m", "armv7-m", "armv7e-m", "armv8-m.main", "armv8.1-m.main", "rv32", "aarch64", "ethos-u"]
# What reaches a command line is held to these patterns: a target file must not be able to load a compiler plugin or a QEMU device.
MachineFlag = Annotated[str, Field(pattern=r"^-m[a-z0-9-]+(=[A-Za-z0-9.+_-]+)?$", max_length=64)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]
Address = Annotated[int, Field(ge=0, lt=1 << 32)]
Size = Annotated[int, Field(gt=0, le=1 << 32)]
RegionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,15}$")]
"""It becomes part of names in C and in linker scripts."""
MAIN = ("ram", "flash")
"""The names of the memories that every device has."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Machine(_Table):
    """The QEMU machine that stands for the device. Where the machine is larger than the device, the device's limits hold at link time."""

    system: Literal["arm", "riscv32"]
    name: Word
    flash_origin: Address
    ram_origin: Address
    flash_bytes: Size
    ram_bytes: Size
    vectors_origin: Address | None = None
    """Where the vector table must stand, when that is not the start of the flash."""
    note: str = ""


class Linux(_Table):
    """How a device that runs Linux is emulated: QEMU runs the one program."""

    qemu: Literal["aarch64"]
    qemu_cpu: Word


class AccessEnergy(_Table):
    """Picojoules of a byte that is read or written in one memory, with their range.

    ``typical``: bytes moved there in a cycle by the code whose energy ``picojoules_per_cycle`` is, which contains them already.
    """

    memory: RegionName
    picojoules_per_byte: Annotated[float, Field(ge=0)]
    least: Annotated[float, Field(ge=0)]
    most: Annotated[float, Field(ge=0)]
    typical: Annotated[float, Field(ge=0)]


class EnergyModel(_Table):
    """Energy of the running device, as its ``source`` measured it; what is not in that measurement is not in here.

    ``least`` and ``most``: the range over different code, from which the error bar comes; None where the source gives one figure only.
    ``memories``: what code that moves more or fewer bytes than the measured one costs or spares, from ``memories_source``; a region that is
    not among them counts as RAM, or flash.
    """

    source: str
    picojoules_per_cycle: Annotated[float, Field(gt=0)]
    least: Annotated[float, Field(gt=0)] | None = None
    most: Annotated[float, Field(gt=0)] | None = None
    memories: Annotated[tuple[AccessEnergy, ...], BeforeValidator(tuple)] = ()
    memories_source: str = ""

    def microjoules(
        self, cycles: float, moved: Mapping[str, float], span: tuple[float, float] | None = None
    ) -> tuple[float, float | None, float | None]:
        """(likely, least, most) of ``cycles``, which are from the first to the second of ``span``; ``moved``: memory → bytes.

        The range is None where the source has none.
        """
        fewest, largest = span or (cycles, cycles)
        likely = cycles * self.picojoules_per_cycle
        low = high = 0.0
        for access in self.memories if moved else ():
            beyond = moved.get(access.memory, 0.0) - access.typical * cycles
            likely += beyond * access.picojoules_per_byte
            low += min(beyond * access.least, beyond * access.most)
            high += max(beyond * access.least, beyond * access.most)
        least = None if self.least is None else 1e-6 * max(fewest * self.least + low, 0.0)
        most = None if self.most is None else 1e-6 * (largest * self.most + high)
        return 1e-6 * likely, least, most


class Region(_Table):
    """A memory of the device beside its RAM and its flash: tightly or core-coupled memory, external memory.

    ``wait_states``: by how many cycles an access is slower than in the fastest memory of the device. They choose and weigh; no modelled
    cycle comes from them. ``constants``: RAM that may hold weights too, copied there by the start code, where that is faster than their
    flash. ``machine_origin``: where it stands in the emulated machine, which may be elsewhere than in the device.
    """

    name: RegionName
    memory: Literal["ram", "flash"] = "ram"
    size_bytes: Size
    wait_states: Annotated[float, Field(ge=0, le=1000)] = 0
    constants: bool = False
    machine_origin: Address | None = None
    source: str


class Reserved(_Table):
    """A buffer of the firmware beside the network: the stack of a radio, a boot loader."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$", max_length=64)]
    size_bytes: Size
    memory: Literal["ram", "flash"] = "ram"


class Compiler(_Table):
    """The compiler of an accelerator, which takes the emitted .tflite."""

    name: Literal["vela"]
    accelerator_config: Word
    system_config: Word = "internal-default"
    memory_mode: Word = "internal-default"


class Target(_Table):
    """A device that networks are made for. Frozen; read by :func:`load_target`."""

    name: Word
    title: str
    core: Word
    isa: Isa
    kind: Literal["core", "board", "accelerator", "host"]
    kernels: tuple[Word, ...] = ("portable",)
    """Folders of C kernels in the order in which they are searched."""
    runtimes: tuple[Literal["c", "litert", "onnxruntime", "vela"], ...] = ("c",)
    """What can run the emitted files."""
    flash_bytes: Size | None = None
    ram_bytes: Size | None = None
    """None where there is no limit worth a check."""
    memory_source: str = ""
    ram_wait_states: Annotated[float, Field(ge=0, le=1000)] = 0
    flash_wait_states: Annotated[float, Field(ge=0, le=1000)] = 0
    """As those of a region."""
    regions: tuple[Region, ...] = ()
    """Memories beside ``ram_bytes`` and ``flash_bytes``, which hold the stack, variables and code, and what else finds room."""
    stack_bytes: Annotated[int, Field(ge=256, le=1 << 24, multiple_of=8)] = 4096
    """What the linker keeps free for the stack, out of ``ram_bytes``."""
    channel_multiple: Annotated[int, Field(ge=1, le=1024)] = 1
    """Its kernels or runtimes are quick with channel counts that this divides: passes that take channels out keep to it."""
    sparse_share: Annotated[float, Field(ge=0, le=1)] = 0
    """Matrix products are computed by kernels for sparse weights where at most this share of their weights is not zero; on microcontrollers
    less where rows of weights are short."""
    reserved: tuple[Reserved, ...] = ()
    """What the firmware keeps of the memories for itself; the network has the rest."""
    clock_hz: Size | None = None
    gcc_flags: tuple[MachineFlag, ...] = ()
    zig_target: Word | None = None
    zig_cpu: Word | None = None
    qemu: Machine | None = None
    linux: Linux | None = None
    unicorn_cpu: Literal["M0", "M3", "M4", "M7", "M33"] | None = None
    cycles: CycleModel | None = None
    energy: EnergyModel | None = None
    compiler: Compiler | None = None

    @model_validator(mode="after")
    def _check_regions(self) -> Target:
        names = [region.name for region in self.regions]
        if twice := {name for name in names if names.count(name) > 1 or name in MAIN}:
            raise ValueError(f"more than one memory is called {sorted(twice)[0]!r}")
        machine = self.qemu
        if machine is None or not self.regions:
            return self
        taken = [("flash", machine.flash_origin, machine.flash_bytes), ("ram", machine.ram_origin, machine.ram_bytes)]
        for region in self.regions:
            if region.machine_origin is None:
                raise ValueError(f"region {region.name!r} has no machine_origin, where the emulated machine has it")
            start, end = region.machine_origin, region.machine_origin + region.size_bytes
            for other, origin, size in taken:
                if start < origin + size and origin < end:
                    raise ValueError(f"region {region.name!r} lies over {other!r} in the emulated machine")
            taken.append((region.name, start, region.size_bytes))
        return self

    def by_kind(self, moved: Mapping[str, tuple[int, int]]) -> dict[str, float]:
        """Bytes read and written by memory, as the energy model names them: a region that it does not name counts as RAM or flash."""
        found: dict[str, float] = {}
        named = () if self.energy is None else {access.memory for access in self.energy.memories}
        kinds = {region.name: region.memory for region in self.regions}
        for name, (read, written) in moved.items():
            kind = name if name in named else kinds.get(name, name)
            found[kind] = found.get(kind, 0.0) + read + written
        return found

    def memories(self, kind: Literal["ram", "flash"]) -> tuple[str, ...]:
        """Names of all memories of ``kind``, the main one first."""
        return kind, *(region.name for region in self.regions if region.memory == kind)

    @property
    def all_ram_bytes(self) -> int | None:
        """RAM of all regions together."""
        beside = sum(region.size_bytes for region in self.regions if region.memory == "ram")
        return None if self.ram_bytes is None else self.ram_bytes + beside

    @property
    def all_flash_bytes(self) -> int | None:
        """Flash of all regions together."""
        beside = sum(region.size_bytes for region in self.regions if region.memory == "flash")
        return None if self.flash_bytes is None else self.flash_bytes + beside

    @property
    def stack_is_fast(self) -> bool:
        """Whether no memory is faster than the main RAM, where the stack lies."""
        return all(region.wait_states >= self.ram_wait_states for region in self.regions if region.memory == "ram")

    @property
    def optimization(self) -> str:
        """What the compiler of the C is told to optimize for."""
        return "-Os" if "size" in self.kernels else "-O2"

    def preferring(self, what: str) -> Target:
        """The same device with its own kernels ("speed"), or with those that take the least flash, whatever the core ("size")."""
        if what not in ("speed", "size"):
            raise TargetError(f"{what!r} is nothing to prefer", hint="speed or size")
        return self if what == "speed" or "c" not in self.runtimes else self.model_copy(update={"kernels": ("size", "portable")})

    @property
    def sparing(self) -> Target:
        """The same device without the kernels that are quick by much working memory; itself where it has none of these."""
        spared = tuple(folder for folder in self.kernels if folder != "cpu")
        return self if spared == self.kernels else self.model_copy(update={"kernels": spared})

    def reserved_bytes(self, memory: Literal["ram", "flash"]) -> int:
        """What the firmware keeps of ``memory``."""
        return sum(item.size_bytes for item in self.reserved if item.memory == memory)

    def reserving(self, texts: Sequence[str]) -> Target:
        """The same device with more kept for the firmware: each text is NAME=BYTES, of RAM, or NAME=BYTES@flash."""
        items = list(self.reserved)
        for text in texts:
            name, _, size = text.rpartition("=")
            number, _, memory = size.partition("@")
            try:
                items.append(Reserved.model_validate({"name": name.strip(), "size_bytes": int(number), "memory": memory.strip() or "ram"}))
            except ValueError as error:
                hint = 'write NAME=BYTES or NAME=BYTES@flash, for example "radio stack=20480"'
                raise TargetError(f"{text!r} reserves nothing", hint=hint) from error
        return self.model_copy(update={"reserved": tuple(items)})


def list_targets() -> tuple[str, ...]:
    """Names of the built-in targets: the host, cores, boards, accelerators, each in alphabetical order."""
    return tuple(_built_in())


def load_target(name_or_path: str | Path) -> Target:
    """The target called ``name_or_path``, or read from that .toml file. TargetError with the closest names where there is none."""
    text = str(name_or_path)
    if text.endswith(".toml"):
        return _validate(_merged(Path(text), ()), text)
    if text not in _built_in():
        raise TargetError(f"unknown target {text!r}", hint=_suggest(text))
    return _validate(_merged(_built_in()[text], ()), text)


def as_target(target: str | Target) -> Target:
    """``target``, loaded where it is a name or a path."""
    return target if isinstance(target, Target) else load_target(target)


@cache
def _built_in() -> dict[str, Traversable]:
    root = resources.files(__package__)
    found: dict[str, Traversable] = {}
    for folder in FOLDERS:
        names = {entry.name.removesuffix(".toml"): entry for entry in root.joinpath(folder).iterdir() if entry.name.endswith(".toml")}
        found |= {name: names[name] for name in sorted(names, key=_natural)}
    return found


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that puts ethos-u55-64 before ethos-u55-128."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _merged(place: Traversable | Path, seen: tuple[str, ...]) -> dict[str, Any]:
    """The tables of the file at ``place`` laid over those of what it extends."""
    if str(place) in seen:
        circle = " → ".join(Path(name).name for name in (*seen, str(place)))
        raise TargetError(
            f"{place.name}: the targets extend each other in a circle: {circle}", hint="a board extends a core, and a core extends nothing"
        )
    tables = _read(place)
    base = tables.pop("extends", None)
    if base is None:
        return tables
    if not isinstance(base, str):
        raise TargetError(f"{place.name}: extends is {base!r}", hint='give the name of a target, for example extends = "cortex-m4"')
    if base.endswith(".toml") and isinstance(place, Path):
        below = _merged(place.parent / base, (*seen, str(place)))
    elif base in _built_in():
        below = _merged(_built_in()[base], (*seen, str(place)))
    else:
        raise TargetError(f"{place.name} extends {base!r}, which is not a target", hint=_suggest(base))
    for key, value in tables.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        below[key] = below[key] | value if both else value
    return below


def _read(place: Traversable | Path) -> dict[str, Any]:
    try:
        with place.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise TargetError(f"{place.name}: longer than {MOST_BYTES} bytes", hint="a target is a short TOML file")
        return tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        hint = "give the name of a target or the path of a .toml file"
        raise TargetError(f"cannot read the target {place}: {error.strerror}", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TargetError(f"{place.name} is not TOML: {error}", hint="see https://toml.io; the built-in targets are examples") from error


def _validate(tables: dict[str, Any], where: str) -> Target:
    for key in ("kernels", "runtimes", "gcc_flags", "reserved", "regions"):
        if isinstance(tables.get(key), list):
            tables[key] = tuple(tables[key])
    try:
        return Target.model_validate(tables)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        hint = "compare it with a built-in target of edgewright/targets"
        raise TargetError(f"the target {where} is not valid: {problems}", hint=hint) from error


def _suggest(wrong: str) -> str:
    close = difflib.get_close_matches(wrong, _built_in(), n=3, cutoff=0.4)
    likely = f"did you mean {' or '.join(repr(name) for name in close)}? " if close else ""
    return f"{likely}`edgewright targets` lists them; your own device goes into a .toml file"
