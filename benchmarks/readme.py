"""The table of measured results in README.md, written from the rows that the benchmarks left in build/benchmarks."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"
START, END = "<!-- results:start -->", "<!-- results:end -->"
Rows = list[dict[str, Any]]


def fill(folder: Path, readme: Path = README) -> None:
    """Replace what stands between the two markers; tables whose benchmark has not run are left out."""
    text = readme.read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    tables = [
        table
        for table in (
            _speed(_rows(folder, "size_speed")),
            _bytes(_rows(folder, "same_bytes")),
            _accuracy(_rows(folder, "accuracy")),
            _interchange(_rows(folder, "interchange")),
        )
        if table
    ]
    partial = readme.with_name(f".{readme.name}.partial")
    partial.write_text(f"{before}{START}\n" + "\n".join(tables) + f"{END}{after}")
    os.replace(partial, readme)


def _rows(folder: Path, name: str) -> Rows:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else []


def _table(title: str, columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    if not lines:
        return ""
    rows = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    rows += [
        "| " + " | ".join("" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line) + " |"
        for line in lines
    ]
    return f"{title}\n\n" + "\n".join(rows) + "\n"


def _speed(rows: Rows) -> str:
    lines = [
        (
            row["network"],
            row["instructions"],
            row["ratio"],
            row["cycle ratio"],
            row["arena"],
            row["arena of the peer"],
            row["code + tables"],
            row["code of the peer"],
            row["stack"],
        )
        for row in rows
        if row["core"] == "cortex-m4"
    ]
    return _table(
        "Cortex-M4, generated C against TensorFlow Lite Micro with CMSIS-NN, the same networks under the same QEMU "
        "(`python -m benchmarks size_speed`; ratios: ours over theirs; code and its tables, without weights):",
        ("network", "instructions", "ratio", "ratio of modelled cycles", "arena B", "theirs", "code B", "theirs", "stack B"),
        lines,
    )


def _bytes(rows: Rows) -> str:
    places = [key for key in (rows[0] if rows else {}) if key not in ("network", "samples")]
    lines = [(row["network"], *(row.get(place) for place in places)) for row in rows]
    return _table(
        "Output elements that differ from the integer evaluation / inputs tried (`python -m benchmarks same_bytes`):",
        ("network", *places),
        lines,
    )


def _accuracy(rows: Rows) -> str:
    lines = [(row["network"], row["images"], row["accuracy %"], row.get("published %"), row.get("against float")) for row in rows]
    return _table(
        "Accuracy on images that calibration never saw (`python -m benchmarks accuracy`):",
        ("network", "images", "%", "published %", "points against float"),
        lines,
    )


def _interchange(rows: Rows) -> str:
    lines = [(row["network"], row["runtime"], row["ms"], row["times as fast as float"]) for row in rows if "ms" in row]
    return _table(
        "MobileNetV2 at 224 x 224 in ONNX Runtime, one thread (`python -m benchmarks interchange`):",
        ("network", "runtime", "ms", "times as fast as float"),
        lines,
    )
