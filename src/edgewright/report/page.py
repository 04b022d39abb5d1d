"""The report as one self-contained HTML page: nothing is loaded from anywhere, and no script runs."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from edgewright.report.figures import budget_rows, changes, headline, ledger_rows
from edgewright.report.receipt import receipt_rows, step_rows
from edgewright.report.report import Block, Memory, Report
from edgewright.report.table import shortened

LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 30
"""Margins of the memory map, for its axes."""
WIDTH, HEIGHT = 1060, 360
LETTER = 6.4
"""Width of a letter in the map, about."""
KINDS = ("input", "activation", "output", "state", "scratch")


def to_html(report: Report) -> str:
    """The page. All text from the model is escaped."""
    counted = any(layer.instructions is not None for layer in report.layers)
    weights = [(layer.instructions or 0) if counted else layer.macs for layer in report.layers]
    total = max(1, sum(weights))
    largest = max(1, *weights, 1)
    return _template().render(
        r=report,
        headline=headline(report),
        budget=budget_rows(report),
        changes=changes(report),
        ledger=[] if report.ledger is None else ledger_rows(report.ledger),
        receipt=[] if report.receipt is None else receipt_rows(report.receipt),
        steps=[] if report.receipt is None else step_rows(report.receipt),
        counted=counted,
        predicted=any(layer.predicted_instructions is not None for layer in report.layers),
        timed=any((layer.cycles if counted else layer.predicted_cycles) is not None for layer in report.layers),
        layers=[(layer, 100 * weight / total, 100 * weight / largest) for layer, weight in zip(report.layers, weights, strict=True)],
        skipped=[entry for entry in report.entries if entry.action == "skipped"],
        done=[entry for entry in report.entries if entry.action != "skipped"],
        map=memory_map(report.memory) if report.memory and report.memory.blocks else None,
    )


@cache
def _template() -> Template:
    source = resources.files("edgewright.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(source)


def memory_map(memory: Memory) -> dict[str, Any]:
    """Rectangles and axes of the arena over time, in pixels: steps to the right, addresses upwards."""
    steps = max(len(memory.steps), max(block.last for block in memory.blocks) + 1)
    step_width = (WIDTH - LEFT - RIGHT) / steps
    byte_height = (HEIGHT - TOP - BOTTOM) / max(1, memory.arena_bytes)
    floor = HEIGHT - BOTTOM
    blocks = []
    for block in memory.blocks:
        width, height = (block.last - block.first + 1) * step_width, max(0.5, block.size_bytes * byte_height)
        x, y = LEFT + block.first * step_width, floor - block.offset * byte_height - height
        letters = int((width - 8) / LETTER) if height >= 13 else 0
        blocks.append(
            {
                "x": f"{x:.1f}",
                "y": f"{y:.1f}",
                "w": f"{width:.1f}",
                "h": f"{height:.1f}",
                "kind": block.kind,
                "label": shortened(block.name, letters) if letters >= 3 else "",
                "text_x": f"{x + 4:.1f}",
                "text_y": f"{y + min(height / 2 + 4, 14):.1f}",
                "title": _title(block, memory),
            }
        )
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "floor": floor,
        "blocks": blocks,
        "kinds": [kind for kind in KINDS if any(block.kind == kind for block in memory.blocks)],
        "bound": f"{floor - memory.lower_bound_bytes * byte_height:.1f}",
        "y_ticks": [(f"{floor - size * byte_height:.1f}", f"{size:,}") for size in _ticks(memory.arena_bytes)],
        "x_ticks": [(f"{LEFT + (step + 0.5) * step_width:.1f}", step + 1) for step in range(0, steps, max(1, -(-steps // 24)))],
    }


def _title(block: Block, memory: Memory) -> str:
    """What appears when the pointer rests on a block."""
    values = ", ".join(block.values[:6]) + (f" and {len(block.values) - 6} more" if len(block.values) > 6 else "")
    when = f"steps {block.first + 1} to {block.last + 1}" if block.last > block.first else f"step {block.first + 1}"
    at = f" ({memory.steps[block.first]})" if block.last == block.first and block.first < len(memory.steps) else ""
    return f"{values or block.name}\n{block.kind}, {block.size_bytes:,} bytes at {block.offset:,}, {when}{at}"


def _ticks(most: int) -> list[int]:
    """Multiples of a power of two from 0 on, and ``most`` itself: four to nine of them."""
    step = 1
    while most / step > 8:
        step *= 2
    return [*range(0, max(1, most - step // 2), step), *([most] if most > 0 else [])]
