"""``python -m benchmarks [NAME …]``: run benchmarks, print their tables, keep the rows in build/benchmarks/NAME.json, and
fill in the tables of README.md and docs/results.md."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.readme import TABLES, fill
from benchmarks.results import write
from edgewright.errors import EdgewrightError

NAMES = (
    "size_speed",
    "ledger",
    "regions",
    "other_networks",
    "same_bytes",
    "kernel_battery",
    "accuracy",
    "interchange",
    "quantization",
    "precision",
    "wide_activations",
    "quantizers",
    "allocation",
    "pruning",
    "fusion",
    "tiling",
    "low_bit",
    "low_bit_training",
    "stored_weights",
    "sparsity",
    "deep_compression",
    "prediction",
    "diagnosis",
    "pruned_speed",
    "distillation",
    "sentence_encoder",
    "cheaper_layers",
    "chains",
    "host_speed",
    "sparse_host",
    "qat",
    "composition",
)
FOLDER = Path("build/benchmarks")
WIDE = 230
"""Columns of a table that goes to a file."""


def main(names: list[str]) -> int:
    """Run ``names`` (all where none is given). Returns the exit code."""
    console, talk = Console(width=None if sys.stdout.isatty() else WIDE), Console(stderr=True)
    for name in names or NAMES:
        if name not in NAMES:
            talk.print(f"error: there is no benchmark {name!r}\nhint: one of {', '.join(NAMES)}")
            return 2
        talk.print(f"{name} …")
        started = time.perf_counter()
        try:
            rows = importlib.import_module(f"benchmarks.{name}").rows()
        except EdgewrightError as error:
            talk.print(f"error: {name}: {error.message}\nhint: {error.hint}")
            return 2
        columns = list(dict.fromkeys(key for row in rows for key in row))
        table = Table(*columns, title=f"{name} ({time.perf_counter() - started:.0f} s)")
        for row in rows:
            table.add_row(
                *("" if row.get(key) is None else f"{row[key]:,}" if isinstance(row[key], int) else str(row[key]) for key in columns)
            )
        console.print(table)
        FOLDER.mkdir(parents=True, exist_ok=True)
        partial = FOLDER / f".{name}.partial"
        partial.write_text(json.dumps(rows, indent=2) + "\n")
        os.replace(partial, FOLDER / f"{name}.json")
    fill(FOLDER)
    write(FOLDER, [name for name in NAMES if name not in TABLES])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
