"""Tiled loops as lines of C around the layers that they repeat."""

from __future__ import annotations

from edgewright.emit.c.text import c_name
from edgewright.ir.graph import Node
from edgewright.lower.program import Loop, Program


class Nesting:
    """What stands before and after each layer of a program, and how far it is indented."""

    def __init__(self, program: Program) -> None:
        self.loops = program.loops

    def around(self, index: int, node: Node) -> dict[str, object]:
        """For the layer at position ``index``: lines before and after it, its indentation, and the condition on which it runs, if any."""
        loop = next((loop for loop in self.loops if loop.first <= index <= loop.last), None)
        if loop is None:
            return {"before": [], "after": [], "indent": "", "condition": ""}
        condition = _condition(loop.active.get(node.name), loop.start, loop.stop)
        before = _opening(loop) if index == loop.first else []
        after = ["    }", "}"] if index == loop.last else []
        return {"before": before, "after": after, "indent": " " * 8, "condition": condition}


def _opening(loop: Loop) -> list[str]:
    names = f"{c_name(loop.covers[0])} to {c_name(loop.covers[-1])}"
    bands = f" in {loop.bands} bands of columns" if loop.bands > 1 else ""
    above = "; strips below 0 lie above the picture" if loop.start < 0 else ""
    outer = [f"for (int32_t band = 0; band < {loop.bands}; band++) {{"] if loop.bands > 1 else ["{", "    const int32_t band = 0;", ""]
    return [
        f"/* {names}:",
        f" * {loop.tiling.rows} rows at a time{bands}{above}. */",
        *outer,
        f"    for (int32_t strip = {loop.start}; strip < {loop.stop}; strip++) {{",
    ]


def _condition(active: tuple[int, int] | None, start: int, stop: int) -> str:
    """When the layer has rows in the picture."""
    low, high = active or (start, stop - 1)
    parts = [f"strip >= {low}"] * (low > start) + [f"strip <= {high}"] * (high < stop - 1)
    return " && ".join(parts)
