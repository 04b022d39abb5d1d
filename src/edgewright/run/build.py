"""Generated C, a driver around it, and a linker script with the device's limits: an ELF file, or the reason why it does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Template

from edgewright.errors import BudgetError, ModelError, TargetError
from edgewright.run.toolchain import STRICT_C, CompilerError, Toolchain, compile_c
from edgewright.targets.target import Target

FIRMWARE = Path(__file__).parent / "firmware"
FIRMWARE_BYTES = 16 << 10
FIRMWARE_RAM_BYTES = 2 << 10
FIRMWARE_STACK_BYTES = 1 << 10
VECTORS_BYTES = 256
_SEPARATE_VECTORS_BYTES = 1 << 10
_ROOM_BYTES = 1 << 28
NETWORK_FUNCTIONS = ("_reset", "_input", "_input_bytes", "_output", "_output_bytes")
"""What a firmware calls of a network beside its run function, behind its prefix."""
_NETWORK_FLAGS = ("-ffunction-sections", "-fdata-sections")


@dataclass(frozen=True)
class Sources:
    """Generated C in a folder: its C prefix, its .c files, and the macros by which the driver finds it."""

    prefix: str
    c_files: tuple[str, ...]
    outside_bytes: int = 0
    """Bytes of the input, where it lies outside of the network's arena: then the driver holds it."""

    @property
    def run(self) -> str:
        """The function that is one inference."""
        return f"{self.prefix}_run_from" if self.outside_bytes else f"{self.prefix}_run"

    @property
    def defines(self) -> tuple[str, ...]:
        upper = self.prefix.upper()
        return (
            f'-DEW_HEADER="{self.prefix}.h"',
            f"-DEW_NETWORK={self.prefix}",
            f"-DEW_INPUTS={upper}_INPUTS",
            f"-DEW_OUTPUTS={upper}_OUTPUTS",
            *((f"-DEW_STREAMED={self.outside_bytes}",) if self.outside_bytes else ()),
        )


def write_sources(files: Mapping[str, bytes], folder: Path) -> Sources:
    """Write ``files`` (name → contents, as emit_c gives them) below ``folder``."""
    headers = [name for name in files if name.endswith(".h") and "/" not in name]
    if len(headers) != 1 or not re.fullmatch(r"[a-z][a-z0-9_]*\.h", headers[0]):
        raise ModelError(f"these are not the files of one network: headers {headers}", hint="give what emit_c returned, unchanged")
    for name, contents in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ModelError(f"{name!r} is not a file name below a folder", hint="give what emit_c returned, unchanged")
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(contents)
    prefix = headers[0].removesuffix(".h")
    header = files[headers[0]].decode(errors="replace")
    size = re.search(r"_INPUT_0_BYTES (\d+)", header) if f"void {prefix}_run_from(" in header else None
    return Sources(prefix, tuple(sorted(name for name in files if name.endswith(".c"))), int(size[1]) if size else 0)


def build_host(compiler: Sequence[str], sources: Sources, folder: Path, flags: Sequence[str]) -> Path:
    """An executable for this computer out of ``sources`` in ``folder`` and the driver."""
    program = folder / "network"
    shared = (*compiler, *STRICT_C, *flags, "-I", str(FIRMWARE), "-I", ".", "-DEW_HOSTED", *sources.defines)
    firmware = [str(FIRMWARE / name) for name in ("driver.c", "host.c")]
    compile_c([*shared, *sources.c_files, *firmware, "-o", str(program)], folder)
    return program


def build_device(
    toolchain: Toolchain, target: Target, sources: Sources, folder: Path, *, stack_bytes: int, profile: bool, flags: Sequence[str]
) -> Path:
    """An ELF file for ``target``. ``profile``: with markers between the layers. BudgetError where it exceeds the flash or the RAM."""
    tag = "profile" if profile else "plain"
    objects = _network_objects(toolchain, sources, folder, tag, (*flags, *(("-DEW_PROFILE",) if profile else ())))
    objects += _firmware_objects(toolchain, target, sources, folder)
    program = folder / f"{tag}.elf"
    script = folder / "device.ld"
    script.write_text(linker_script(target, stack_bytes, sources.outside_bytes), encoding="utf-8")
    try:
        compile_c([*toolchain.compiler, *toolchain.link_flags, "-T", script.name, *objects, "-o", str(program)], folder)
    except CompilerError as error:
        raise _does_not_fit(error, target, stack_bytes) or error from error
    return program


def lay_out_network(toolchain: Toolchain, target: Target, sources: Sources, folder: Path, *, flags: Sequence[str]) -> Path:
    """An ELF file of the network alone, at the addresses of ``target`` and without its limits: to be added up, not to be run.

    What the compiler says of the stack stands in the .su files beside it.
    """
    objects = _network_objects(toolchain, sources, folder, "alone", (*flags, "-fstack-usage"))
    program, script = folder / "alone.elf", folder / "alone.ld"
    script.write_text(linker_script(target, target.stack_bytes, limited=False), encoding="utf-8")
    # Nobody asks for the place of an input that lies outside.
    names = [name for name in NETWORK_FUNCTIONS if not (sources.outside_bytes and name == "_input")]
    kept = [f"-Wl,-u,{sources.prefix}{name}" for name in names]
    entry = f"-Wl,-u,{sources.run},-e,{sources.run}"
    # Sections of several memories, some of them loaded elsewhere: without -N, GNU ld counts too few program headers here.
    flat = ("-Wl,-N",) if target.regions else ()
    compile_c([*toolchain.compiler, *toolchain.link_flags, *flat, "-T", script.name, entry, *kept, *objects, "-o", program.name], folder)
    return program


def _network_objects(toolchain: Toolchain, sources: Sources, folder: Path, tag: str, flags: Sequence[str]) -> list[str]:
    objects = []
    for number, name in enumerate(sources.c_files):
        objects.append(f"{tag}_network_{number}.o")
        compile_c([*toolchain.compiler, *_NETWORK_FLAGS, "-I", ".", *STRICT_C, *flags, "-c", name, "-o", objects[-1]], folder)
    return objects


def linker_script(target: Target, stack_bytes: int, outside_bytes: int = 0, *, limited: bool = True) -> str:
    """The linker script of ``target``: regions end where its memories do, the driver stands beyond where the machine has room.

    ``outside_bytes``: what the driver holds for the network, in memory that is not the device's.
    ``limited``: otherwise flash and RAM have room for everything.
    """
    machine = target.qemu
    if machine is None:
        raise TargetError(f"{target.name} has no memories to link for", hint="choose a core or a board: `edgewright targets`")
    own = machine.vectors_origin is None
    taken = VECTORS_BYTES if own else 0
    driver_bytes = FIRMWARE_RAM_BYTES + -(-outside_bytes // 8) * 8
    regions = {
        "vectors_origin": machine.flash_origin if machine.vectors_origin is None else machine.vectors_origin,
        "vectors_bytes": VECTORS_BYTES if own else _SEPARATE_VECTORS_BYTES,
        "flash_origin": machine.flash_origin + taken,
        "flash_bytes": _limits(target)["FLASH"] - taken,
        "firmware_origin": machine.flash_origin + machine.flash_bytes - FIRMWARE_BYTES,
        "firmware_bytes": FIRMWARE_BYTES,
        "ram_origin": machine.ram_origin,
        "ram_bytes": min(_limits(target)["RAM"], machine.ram_bytes - driver_bytes),
        "firmware_ram_origin": machine.ram_origin + machine.ram_bytes - driver_bytes,
        "firmware_ram_bytes": driver_bytes,
        "stack_bytes": stack_bytes,
        "firmware_stack_bytes": FIRMWARE_STACK_BYTES,
    }
    if min(regions.values()) < 0:
        raise TargetError(
            f"{target.name}: its memories are too small to run anything",
            hint=f"at least {FIRMWARE_BYTES} bytes of flash and {FIRMWARE_RAM_BYTES} of RAM",
        )
    if not limited:
        regions |= {"flash_bytes": _ROOM_BYTES, "ram_bytes": _ROOM_BYTES}
    text = (FIRMWARE / "device.ld").read_text(encoding="utf-8")
    return Template(text).substitute(**regions, **_region_text(target))


def network_memories(target: Target) -> dict[str, tuple[int, int]]:
    """Memory → the span of addresses that a network may use of it, in the emulated machine: the driver's part is left out."""
    machine = target.qemu
    assert machine is not None
    spans = {
        "flash": (machine.flash_origin, machine.flash_origin + machine.flash_bytes - FIRMWARE_BYTES),
        "ram": (machine.ram_origin, machine.ram_origin + machine.ram_bytes - FIRMWARE_RAM_BYTES),
    }
    for region in target.regions:
        start = region.machine_origin or 0
        spans[region.name] = start, start + region.size_bytes
    return spans


def _region_text(target: Target) -> dict[str, str]:
    """What the linker script says about memory regions beside RAM and flash: constants come before all others, who take what is left."""
    memories, sections, table = "", "", ""
    for region in target.regions:
        name, upper = region.name, region.name.upper()
        memories += f"    {upper} : ORIGIN = {region.machine_origin}, LENGTH = {region.size_bytes}\n"
        kind = "rodata" if region.memory == "flash" else "data"
        at = f"{upper}" if region.memory == "flash" else f"{upper} AT > FLASH"
        sections += _region_section(f"{kind}_{name}", f".rodata.ew_{name}", "", at)
        if region.memory == "ram":
            sections += f"    ew_data_{name}_load = LOADADDR(.ew_data_{name});\n"
            sections += _region_section(f"bss_{name}", f".bss.ew_{name}", " (NOLOAD)", f"{upper} AT > {upper}")
            table += f"        LONG(ew_data_{name}_load) LONG(ew_data_{name}_start) LONG(ew_data_{name}_end)\n"
            table += f"        LONG(0) LONG(ew_bss_{name}_start) LONG(ew_bss_{name}_end)\n"
    return {"region_memories": memories, "region_sections": sections, "region_table": table}


def _region_section(name: str, taken: str, kind: str, at: str) -> str:
    marks = f"ew_{name}_start = .; *({taken}) . = ALIGN(4); ew_{name}_end = .;"
    return f"    .ew_{name}{kind} : ALIGN(16) {{ {marks} }} > {at}\n"


def _limits(target: Target) -> dict[str, int]:
    """Bytes that the network has of each memory: the device's, but for what is reserved, and within the machine's beside the driver."""
    machine = target.qemu
    assert machine is not None
    flash = (target.flash_bytes or machine.flash_bytes) - target.reserved_bytes("flash")
    ram = (target.ram_bytes or machine.ram_bytes) - target.reserved_bytes("ram")
    main = {"FLASH": min(flash, machine.flash_bytes - FIRMWARE_BYTES), "RAM": min(ram, machine.ram_bytes - FIRMWARE_RAM_BYTES)}
    return main | {region.name.upper(): region.size_bytes for region in target.regions}


def _firmware_objects(toolchain: Toolchain, target: Target, sources: Sources, folder: Path) -> list[str]:
    assert target.qemu is not None
    start = "cortex_m.S" if target.qemu.system == "arm" else "rv32.S"
    objects = []
    for name in ("driver.c", "device.c", start):
        made = f"ew_firmware_{name.split('.')[0]}.o"
        if not (folder / made).exists():
            language = (*STRICT_C, *toolchain.firmware_flags, "-O2", *sources.defines) if name.endswith(".c") else ()
            compile_c([*toolchain.compiler, *language, "-I", str(FIRMWARE), "-I", ".", "-c", str(FIRMWARE / name), "-o", made], folder)
        objects.append(made)
    return objects


def _does_not_fit(error: CompilerError, target: Target, stack_bytes: int) -> BudgetError | None:
    """What ld or lld said about a full region, in words."""
    found = re.findall(r"region [`'](\w+)'? overflowed by (\d+) bytes", error.output) + re.findall(
        r"will not fit in region '(\w+)': overflowed by (\d+) bytes", error.output
    )
    limits = _limits(target)
    over = {region: max(int(size) for name, size in found if name == region) for region, _ in found if region in limits}
    if not over:
        return None
    parts = [f"{name} of {limits[name]} bytes is exceeded by {size}" for name, size in over.items()]
    stack = f"; {stack_bytes} bytes of the RAM are kept for the stack" if "RAM" in over else ""
    return BudgetError(
        f"the network does not fit in {target.name}: {' and '.join(parts)}{stack}",
        hint="choose a larger target, a smaller network, or a stronger recipe",
    )
