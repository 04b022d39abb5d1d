"""The table of measured results in README.md, written from the rows that the benchmarks left in build/benchmarks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[1] / "README.md"
START, END = "<!-- results:start -->", "<!-- results:end -->"
Rows = list[dict[str, Any]]


def fill(folder: Path, readme: Path = README) -> None:
    """Replace what stands between the two markers; the table of a benchmark that has not run stays as it is."""
    before, rest = readme.read_text().split(START)
    old, after = rest.split(END)
    written = {name: make(_rows(folder, name)) for name, make in TABLES.items()}
    tables = [table for name in TABLES if (table := written[name] or _standing(old, name))]
    partial = readme.with_name(f".{readme.name}.partial")
    partial.write_text(f"{before}{START}\n" + "\n".join(tables) + f"{END}{after}")
    os.replace(partial, readme)


def _standing(text: str, name: str) -> str:
    """The table of benchmark ``name`` in ``text``, its title with it; empty where there is none."""
    found = re.search(rf"^[^\n|]*`python -m benchmarks {name}`[^\n]*\n\n(?:\|[^\n]*\n)+", text, re.MULTILINE)
    return found.group() if found else ""


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
            row["bound"],
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
        "(`python -m benchmarks size_speed`; ratios: ours over theirs; code and its tables, without weights; "
        "least: what no arena can be below):",
        ("network", "instructions", "ratio", "ratio of modelled cycles", "arena B", "least", "theirs", "code B", "theirs", "stack B"),
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


def _quantization(rows: Rows) -> str:
    lines = [(row["method"], row["accuracy %"], row.get("against float"), row.get("bytes of weights"), row.get("seconds")) for row in rows]
    return _table(
        "ic_float (ResNet-8) on the 10,000 CIFAR-10 test images, 500 training images to calibrate, no labels "
        "(`python -m benchmarks quantization`):",
        ("recipe", "%", "points against float", "bytes of weights", "seconds"),
        lines,
    )


def _tiling(rows: Rows) -> str:
    columns = ("network", "kernels", "budget", "arena", "MACs", "peer's MACs", "equal")
    lines = [tuple(row.get(column) for column in columns) for row in rows]
    return _table(
        "Tiling across layers: a budget of RAM, the arena that came of it, multiply-accumulates over the untiled network's, a published "
        "point at that budget (`python -m benchmarks tiling`):",
        columns,
        lines,
    )


def _others(rows: Rows) -> str:
    lines = [(row["network"], row["core"], row["instructions"], row["ratio"], row.get("cycle ratio")) for row in rows]
    return _table(
        "Networks of other kinds against TensorFlow Lite Micro with CMSIS-NN (`python -m benchmarks other_networks`):",
        ("network", "core", "instructions", "ratio", "ratio of modelled cycles"),
        lines,
    )


TABLES: Mapping[str, Callable[[Rows], str]] = {
    "size_speed": _speed,
    "other_networks": _others,
    "tiling": _tiling,
    "same_bytes": _bytes,
    "accuracy": _accuracy,
    "quantization": _quantization,
    "interchange": _interchange,
}
"""Benchmark → what makes its table, in the order of the page."""
