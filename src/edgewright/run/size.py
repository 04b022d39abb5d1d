"""What a network takes of a device's memories, read from the linked program."""

from __future__ import annotations

from edgewright.run.elf import Elf, Symbol

SECTIONS = {".text": "code", ".library": "library", ".rodata": "rodata", ".data": "data", ".bss": "bss"}
REGION_SECTION = ".ew_"
"""How sections begin that lie in a memory region of their own: .ew_bss_NAME is "bss NAME", and so on."""


def section_sizes(elf: Elf) -> dict[str, int]:
    """Bytes of the network by kind; the driver around it is not among them.

    code: its functions; library: what the compiler's and the C library added for them; rodata: weights and tables; data:
    variables with initial values, which take flash as well as RAM; bss: the arena and cleared variables. Of another memory NAME of the
    device: "bss NAME", "data NAME" (constants that were copied there) and "rodata NAME".
    """
    sizes = dict.fromkeys(SECTIONS.values(), 0)
    for section in elf.sections:
        if kind := _kind(section.name):
            sizes[kind] = sizes.get(kind, 0) + section.size
    return {kind: size for kind, size in sizes.items() if size or " " not in kind}


def _kind(section: str) -> str:
    """What a section of the linked program counts as; nothing where it is not the network's."""
    if section.startswith(REGION_SECTION):
        return " ".join(section.removeprefix(REGION_SECTION).split("_", 1))
    return SECTIONS.get(section, "")


def symbol_sizes(elf: Elf) -> dict[str, int]:
    """Bytes of every function and object of the network by its name in C; what the compiler named alike is added up."""
    sizes: dict[str, int] = {}
    for symbol in elf.symbols:
        if _kind(symbol.section) and symbol.size:
            sizes[symbol.name] = sizes.get(symbol.name, 0) + symbol.size
    return sizes


def largest_symbols(elf: Elf, kind: str, most: int = 20) -> list[Symbol]:
    """The functions or objects that take most of ``kind``, the largest first."""
    found = [symbol for symbol in elf.symbols if _kind(symbol.section) == kind and symbol.size]
    return sorted(found, key=lambda symbol: (-symbol.size, symbol.name))[:most]
