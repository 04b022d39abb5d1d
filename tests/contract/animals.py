"""The animals of the zoo by name, in every form that the batteries look at; each is made once."""

from __future__ import annotations

from functools import cache

from edgewright.ir.graph import Graph
from tests.zoo import INTEGER_ZOO, ZOO, clean_zoo, quantize_zoo

EVERY = {**ZOO, **INTEGER_ZOO}


@cache
def original(name: str) -> Graph:
    """As its author made it."""
    return EVERY[name]()


@cache
def cleaned(name: str) -> Graph:
    """After all exact passes (float animals)."""
    return clean_zoo(original(name))


@cache
def integer_graph(name: str, clean: bool = False) -> Graph:
    """Quantized and lowered, after all exact passes or as it was."""
    return quantize_zoo(cleaned(name) if clean and name in ZOO else original(name))
