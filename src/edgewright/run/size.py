"""What a network takes of a device's memories, read from the linked program."""

from __future__ import annotations

from edgewright.run.elf import Elf, Symbol

SECTIONS = {".text": "code", ".library": "library", ".rodata": "rodata", ".data": "data", ".bss": "bss"}


def section_sizes(elf: Elf) -> dict[str, int]:
    """Bytes of the network by kind; the driver around it is not among them.

    code: its functions; library: what the compiler's and the C library added for them; rodata: weights and tables; data:
    variables with initial values, which take flash as well as RAM; bss: the arena and cleared variables.
    """
    sizes = dict.fromkeys(SECTIONS.values(), 0)
    for section in elf.sections:
        if section.name in SECTIONS:
            sizes[SECTIONS[section.name]] += section.size
    return sizes


def symbol_sizes(elf: Elf) -> dict[str, int]:
    """Bytes of every function and object of the network by its name in C; what the compiler named alike is added up."""
    sizes: dict[str, int] = {}
    for symbol in elf.symbols:
        if symbol.section in SECTIONS and symbol.size:
            sizes[symbol.name] = sizes.get(symbol.name, 0) + symbol.size
    return sizes


def largest_symbols(elf: Elf, kind: str, most: int = 20) -> list[Symbol]:
    """The functions or objects that take most of ``kind``, the largest first."""
    found = [symbol for symbol in elf.symbols if SECTIONS.get(symbol.section) == kind and symbol.size]
    return sorted(found, key=lambda symbol: (-symbol.size, symbol.name))[:most]
