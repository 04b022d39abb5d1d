"""docs/results.md: what each benchmark measured, from the rows that it left in build/benchmarks; what did not run again stays as it is."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results.md"
HEAD = """# Results

What the benchmarks measured, one section each; `python -m benchmarks NAME` measures again and fills its section in. On what data and with
which choices, the docstring of `benchmarks/NAME.py` says. The tables that compare Edgewright with its peers on the device stand in the
[README](../README.md), the matrix of techniques in [composition.md](composition.md). Times are of one shared computer, good for ratios.
"""
ELSEWHERE = ("composition",)
"""Benchmarks that write a page of their own."""


def write(folder: Path, names: Sequence[str], page: Path = PAGE) -> None:
    """One section for each of ``names`` that has rows in ``folder`` or a section in ``page`` already."""
    standing = _sections(page.read_text() if page.is_file() else "")
    sections = []
    for name in names:
        path = folder / f"{name}.json"
        section = _section(name, json.loads(path.read_text())) if path.is_file() else standing.get(name, "")
        if section and name not in ELSEWHERE:
            sections.append(section)
    partial = page.with_name(f".{page.name}.partial")
    partial.write_text("\n".join([HEAD, *sections]))
    os.replace(partial, page)


def _sections(text: str) -> dict[str, str]:
    """Name of a benchmark → its section, heading and all."""
    parts = re.split(r"(?m)^(?=## )", text)[1:]
    return {part[3:].split("\n", 1)[0].strip(): part.rstrip("\n") + "\n" for part in parts}


def _section(name: str, rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
    return f"## {name}\n\n{_purpose(name)}\n\n" + "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value).replace("|", "\\|")


def _purpose(name: str) -> str:
    """The first paragraph of the benchmark's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text())) or ""
    return text.split("\n\n", 1)[0]
