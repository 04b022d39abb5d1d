"""The reference pages name everything that is registered, and --check sees a page that is out of date."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgewright.passes.registry import PASSES
from edgewright.targets.target import list_targets


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("docs_generate", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_name_what_is_registered(generate: ModuleType) -> None:
    pages = generate.pages()
    assert PASSES and all(f"### {name}\n" in pages["passes.md"] for name in PASSES)
    assert all(f"`{name}`" in pages["targets.md"] for name in list_targets())
    assert "## Conv2D\n" in pages["operators.md"] and "| stride | `tuple[int, int]` | `(1, 1)` |" in pages["operators.md"]


def test_check_sees_what_is_out_of_date(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(generate, "pages", lambda: {"a.md": "A\n", "b.md": "B\n"})
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    (tmp_path / "reference" / "b.md").write_text("changed\n")
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert capsys.readouterr().out.endswith("out of date: b.md\n")
