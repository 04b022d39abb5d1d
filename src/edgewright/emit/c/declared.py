"""What generated C declares, in bytes: read from the files themselves, so that it is what a compiler is given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewright.emit.c.text import C_TYPES

_SIZES = {ctype: np.dtype(name).itemsize for name, ctype in C_TYPES.items()}
_TYPE = "|".join(_SIZES)
_CONSTANT = re.compile(rf"^static const ({_TYPE}) (\w+)\[(\d+)\](?: EW_CONST_IN_(\w+))? = ", re.MULTILINE)
_VARIABLE = re.compile(rf"^static ({_TYPE}) (\w+)(?:\[(\d+)\])?;", re.MULTILINE)
_POINTER = re.compile(rf"^static const (?:{_TYPE}) \*(\w+);", re.MULTILINE)
_POINTER_BYTES = 4
_ARENA = re.compile(r"^static union \{\n\s+int8_t \w+\[(\w+)\];\n[^}]*\} (\w+)(?: EW_IN_(\w+))?;", re.MULTILINE)
_MACRO = re.compile(r"^#define (\w+) (\d+)\b", re.MULTILINE)


@dataclass(frozen=True)
class Declared:
    """Name in C → bytes on a core of 32 bits: unions that hold values while it runs, variables, and constant tables."""

    arenas: Mapping[str, int]
    variables: Mapping[str, int]
    constants: Mapping[str, int]
    region_of: Mapping[str, str]
    """The memory of arenas and constants that do not lie in the main RAM and flash."""


def read_declared(files: Mapping[str, bytes]) -> Declared:
    """The declarations in ``files``, as emit_c gives them."""
    headers = "".join(text.decode() for name, text in files.items() if name.endswith(".h") and "/" not in name)
    sources = "".join(text.decode() for name, text in files.items() if name.endswith(".c") and "/" not in name)
    macros = {name: int(number) for name, number in _MACRO.findall(headers + sources)}
    return Declared(
        arenas={name: macros[size] if size in macros else int(size) for size, name, _ in _ARENA.findall(sources)},
        variables={name: _SIZES[ctype] * int(count or 1) for ctype, name, count in _VARIABLE.findall(sources)}
        | dict.fromkeys(_POINTER.findall(sources), _POINTER_BYTES),
        constants={name: _SIZES[ctype] * int(count) for ctype, name, count, _ in _CONSTANT.findall(sources)},
        region_of={
            name: region.lower()
            for name, region in (*(found[1:] for found in _ARENA.findall(sources)), *(found[1::2] for found in _CONSTANT.findall(sources)))
            if region
        },
    )
