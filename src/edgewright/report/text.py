"""The report in a terminal. Names come from the model and are shown as they are, never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgewright.report.figures import changes, headline
from edgewright.report.report import Report

WIDTH = 160
"""Columns where the output is no terminal."""


def to_text(report: Report, folder: Path | None = None) -> str:
    """The whole report; ``folder``: where its files were written."""
    tables = [_headline(report), columns(("", "before", "after"), changes(report), numbers=(1, 2)), _layers(report)]
    skipped = [(entry.technique, entry.where, entry.detail) for entry in report.entries if entry.action == "skipped"]
    if skipped:
        tables.append(columns(("skipped by", "where", "why"), skipped))
    if report.measured is not None and report.measured.notes:
        tables.append(columns(("note",), [(note,) for note in report.measured.notes]))
    if report.files:
        written = [(str(folder / name if folder is not None else name), f"{size:,}") for name, size in report.files.items()]
        tables.append(columns(("file", "bytes"), written, numbers=(1,)))
    return render(tables)


def measured_text(report: Report) -> str:
    """What a run gave: the headline and the layers."""
    return render([_headline(report), _layers(report)])


def _headline(report: Report) -> Table:
    rows = [("network", f"{report.name}, recipe {report.recipe}, for {report.device.name}"), *headline(report)]
    if report.memory is not None:
        rows.append(("arena's lower bound", f"{report.memory.lower_bound_bytes:,} B ({report.memory.strategy})"))
    return columns(("", ""), rows, header=False)


def _layers(report: Report) -> Table:
    counted = any(layer.instructions is not None for layer in report.layers)
    placed = any(layer.live_bytes is not None for layer in report.layers)
    titles = ["layer", "operator", "output", "MACs", "weight bytes", *(["arena"] if placed else []), *(["instructions"] if counted else [])]
    rows = []
    for layer in report.layers:
        row = [layer.name, layer.kind, layer.shape, f"{layer.macs:,}", f"{layer.weight_bytes:,}"]
        row += [f"{layer.live_bytes:,}"] if placed and layer.live_bytes is not None else []
        row += [f"{layer.instructions:,}"] if counted and layer.instructions is not None else []
        rows.append(row)
    return columns(titles, rows, numbers=range(3, len(titles)))


def columns(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), header: bool = True) -> Table:
    """A table without lines; the columns ``numbers`` are set right."""
    table = Table(box=None, header_style="bold", show_header=header, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="right" if index in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def printable(text: str) -> str:
    """``text`` without control characters, which could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "\N{REPLACEMENT CHARACTER}" for character in text)


def render(tables: Sequence[Table]) -> str:
    """The tables one below the other: as wide as the terminal and styled for it, or plain and WIDTH wide."""
    terminal = Console().is_terminal
    console = Console(width=None if terminal else WIDTH, no_color=not terminal, highlight=False)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
            console.print()
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
