"""Python values as C99 text: identifiers, comments, numbers, arrays, initializers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LINE = 138
HEADERS = frozenset({"arm_acle", "stddef", "stdint", "string"})
"""Headers that the generated source includes: a network of such a name would hide them."""
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "float32": "float"}


def c_identifier(name: str) -> str:
    """``name`` as a lower-case C identifier: other characters become underscores."""
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "network"
    return f"network_{text}"[:60] if text[0].isdigit() or text in HEADERS or text.startswith("ew_") else text[:60]


def c_comment(text: str) -> str:
    """``text`` fit for a comment, whatever a file called its tensors."""
    return re.sub(r"[^A-Za-z0-9_ .,:;()\[\]+=%<>/-]", "_", text)[:120]


def c_name(name: str) -> str:
    """A tensor's or layer's ``name`` for a comment: the first of those that a converter joined, shortened."""
    return c_comment(name.split(";")[0])[:64]


def c_integer(number: int) -> str:
    """An integer literal of type int (the smallest number has none of its own)."""
    return "(-2147483647 - 1)" if number == -(1 << 31) else str(number)


def c_number(number: int | float) -> str:
    """A literal that holds exactly ``number`` (floats as float32)."""
    return f"{float(np.float32(number)).hex()}f" if isinstance(number, float) else c_integer(number)


def c_array(array: NDArray[np.generic]) -> str:
    """The numbers of ``array`` in order, in lines."""
    numbers = [c_number(number) for number in array.reshape(-1).tolist()]
    lines: list[str] = []
    line = "   "
    for number in numbers:
        if len(line) + len(number) + 2 > LINE:
            lines.append(line)
            line = "   "
        line += f" {number},"
    return "\n".join([*lines, line])


def c_initializer(fields: Mapping[str, object]) -> str:
    """Designated initializers: numbers, text as it stands, sequences of integers, and mappings for nested structures."""
    return ", ".join(f".{name} = {_initial(value)}" for name, value in fields.items())


def _initial(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + c_initializer(value) + "}"
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return "{" + ", ".join(c_integer(int(item)) for item in value) + "}"
    assert isinstance(value, int | float)
    return c_number(int(value) if isinstance(value, bool) else value)
