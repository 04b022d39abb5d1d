"""The page of results: what was measured anew is replaced, what was not stays."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.__main__ import NAMES
from benchmarks.readme import TABLES
from benchmarks.results import PAGE, write

OTHERS = [name for name in NAMES if name not in TABLES]


def test_benchmarks_that_did_not_run_keep_their_sections(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE.read_text())
    write(tmp_path, OTHERS, page)
    assert page.read_text() == PAGE.read_text()


def test_a_benchmark_that_ran_replaces_its_own_section(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    (tmp_path / "fusion.json").write_text(json.dumps([{"layer": "a|b", "instructions": 1234567}, {"layer": "c", "ratio": 1.5}]))
    write(tmp_path, OTHERS, page)
    first = page.read_text()
    assert "## fusion\n" in first and "| a\\|b | 1,234,567 |  |" in first and "| c |  | 1.5 |" in first
    (tmp_path / "fusion.json").write_text(json.dumps([{"layer": "d"}]))
    (tmp_path / "ledger.json").write_text(json.dumps([{"network": "n", "stack": 12}]))
    write(tmp_path, OTHERS, page)
    text = page.read_text()
    assert "| d |" in text and "1,234,567" not in text
    assert text.index("## ledger") < text.index("## fusion")
