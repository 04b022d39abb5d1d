"""The report as one self-contained HTML page: nothing is loaded from anywhere."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from edgewright.report.report import Memory, Report

STEP_WIDTH, MAP_WIDTH, MAP_HEIGHT = 18, 1040, 320
HUES = (205, 28, 145, 275, 350, 60, 175, 310)


def to_html(report: Report) -> str:
    """The page. All text from the model is escaped."""
    counted = any(layer.instructions is not None for layer in report.layers)
    weights = [(layer.instructions or 0) if counted else layer.macs for layer in report.layers]
    total = max(1, sum(weights))
    return _template().render(
        r=report, headline=headline(report), changes=changes(report), counted=counted,
        layers=[(layer, round(100 * weight / total, 1)) for layer, weight in zip(report.layers, weights, strict=True)],
        map=_memory_map(report.memory) if report.memory else None)


@cache
def _template() -> Template:
    source = resources.files("edgewright.report").joinpath("page.html.j2").read_text()
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False).from_string(source)


def headline(report: Report) -> list[tuple[str, str]]:
    """The figures that come first: label and text."""
    rows: list[tuple[str, str]] = []
    if report.accuracy is not None and report.accuracy.accuracy_after is not None:
        rows.append(("accuracy", f"{100 * report.accuracy.accuracy_after:.2f} %"))
    if report.memory is not None:
        rows.append(("arena", f"{report.memory.arena_bytes:,} B"))
    rows.append(("weights", f"{report.after.weight_bytes:,} B"))
    if report.measured is not None:
        measured = report.measured
        for label, number, unit in (("instructions an inference", measured.instructions_per_inference, ""), ("cycles, modelled", measured.cycles_modelled, ""),
                                    ("peak stack", measured.peak_stack_bytes, " B"), ("code and tables", measured.sections.get("code"), " B")):
            if number is not None:
                rows.append((label, f"{number:,}{unit}"))
        if measured.equal_to_evaluation is not None:
            rows.append(("device = evaluation", "yes, to the byte" if measured.equal_to_evaluation else "NO"))
    return rows


def changes(report: Report) -> list[tuple[str, str, str]]:
    """(label, before, after) of what the optimization changed."""
    before, after, accuracy = report.before, report.after, report.accuracy
    rows = [("nodes", f"{before.nodes:,}", f"{after.nodes:,}"), ("multiply-accumulates", f"{before.macs:,}", f"{after.macs:,}"),
            ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"), ("weight bytes", f"{before.weight_bytes:,}", f"{after.weight_bytes:,}")]
    if accuracy is not None:
        if accuracy.accuracy_before is not None and accuracy.accuracy_after is not None:
            rows.append((f"accuracy on {accuracy.samples:,} samples", f"{100 * accuracy.accuracy_before:.2f} %", f"{100 * accuracy.accuracy_after:.2f} %"))
        if accuracy.agreement is not None:
            rows.append((f"same answer on {accuracy.samples:,} samples", "", f"{100 * accuracy.agreement:.2f} %"))
        if accuracy.signal_to_noise_db is not None:
            rows.append(("signal to noise of the output", "", f"{accuracy.signal_to_noise_db:.1f} dB"))
    return rows


def _memory_map(memory: Memory) -> dict[str, Any]:
    steps = max((block.last for block in memory.blocks), default=0) + 1
    width = max(MAP_WIDTH, steps * STEP_WIDTH)
    scale_x, scale_y = width / steps, MAP_HEIGHT / max(1, memory.arena_bytes)
    blocks = []
    for index, block in enumerate(memory.blocks):
        w, h = (block.last - block.first + 1) * scale_x, max(1.0, block.size_bytes * scale_y)
        blocks.append({
            "x": round(block.first * scale_x, 1), "y": round(MAP_HEIGHT - block.offset * scale_y - h, 1), "w": round(w, 1), "h": round(h, 1),
            "fill": f"hsl({HUES[index % len(HUES)]} 45% 62%)", "label": block.name[: int(w / 7)] if h >= 14 and w >= 30 else "",
            "title": f"{', '.join(block.values) or block.name}: {block.size_bytes:,} bytes at {block.offset:,}, steps {block.first} to {block.last}"})
    return {"width": round(width), "height": MAP_HEIGHT, "blocks": blocks}
