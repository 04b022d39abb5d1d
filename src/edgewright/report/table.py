"""Tables in a terminal. Names come from models and are shown as they are: never read as markup, never sent to the terminal as commands."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 160
"""Columns where the output is no terminal."""


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


def shortened(name: str, letters: int) -> str:
    """``name`` in at most so many letters: its end tells more than its beginning, which many share."""
    return name if len(name) <= letters else f"…{name[len(name) - letters + 1 :]}"


def render(tables: Sequence[Table]) -> str:
    """The tables one below the other: as wide as the terminal and styled for it, or plain and WIDTH wide."""
    terminal = Console().is_terminal
    console = Console(width=None if terminal else WIDTH, no_color=not terminal, highlight=False)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
            console.print()
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())
