"""The measured results of README.md: what was measured anew is replaced, what was not stays."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.readme import END, README, START, fill


def test_a_benchmark_that_did_not_run_keeps_its_table(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(README.read_text())
    fill(tmp_path, page)
    assert page.read_text() == README.read_text()


def test_a_benchmark_that_ran_replaces_its_own_table(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    old = "A (`python -m benchmarks accuracy`):\n\n| x |\n|---|\n| 1 |\n\nB (`python -m benchmarks interchange`):\n\n| y |\n|---|\n| 2 |\n"
    page.write_text(f"top\n{START}\n{old}{END}\nend\n")
    rows = [{"network": "n", "images": 3, "accuracy %": 99.0}]
    (tmp_path / "accuracy.json").write_text(json.dumps(rows))
    fill(tmp_path, page)
    text = page.read_text()
    assert "| n | 3 | 99.0 |" in text and "| 1 |" not in text and "| 2 |" in text
    assert text.startswith(f"top\n{START}\n") and text.endswith(f"{END}\nend\n")
