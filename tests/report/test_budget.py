"""The budget: held against what was found, kept to by tiles, missed aloud."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgewright import pipeline
from edgewright.errors import RecipeError
from edgewright.recipe import Budget, read_budget
from edgewright.report.budget import hold_against, missed
from edgewright.report.report import make_report
from edgewright.report.text import to_text
from edgewright.targets.target import load_target
from edgewright.verbs.optimize import optimize
from edgewright.verbs.result import Result
from tests.lower.test_fit_program import network
from tests.zoo import ZOO, zoo_inputs

BOARD = "nucleo-l4r5zi"


def test_what_nobody_knows_is_not_met() -> None:
    graph, host = network(), load_target("host")
    limits = hold_against(Budget(1, 2, 3.0, 4.0, 0.5), make_report(graph, graph, host), host)
    assert [limit.name for limit in limits] == ["ram_bytes", "flash_bytes", "latency_ms", "energy_mj", "accuracy_drop"]
    assert not any(limit.met for limit in limits) and all(limit.got is None and limit.basis for limit in limits)
    assert "latency_ms (the target names no clock" in missed(limits) and missed([]) == ""


def test_all_ram_is_kept_to(needs_arm: None) -> None:
    plain = pipeline.optimize(network(), target=BOARD)
    assert plain.program is not None
    whole = pipeline.ram_needed(plain.program)
    assert whole > plain.program.plan.arena_bytes
    assert pipeline.within_ram(plain, whole).program is plain.program
    fitted = pipeline.within_ram(plain, 3 * whole // 4)
    assert fitted.program is not None and pipeline.ram_needed(fitted.program) <= 3 * whole // 4
    assert any(line.technique == "tile_layers" for line in fitted.lines)
    for hopeless, why in ((200, "beside the arena"), (3000, "no tiling")):
        left = pipeline.within_ram(plain, hopeless)
        assert any(line.action == "skipped" and why in line.detail for line in left.lines), left.lines


def run(tmp_path: Path, budget: str | None, recipe: str = "w8a8") -> Result:
    graph = ZOO["separable_keyword_spotter"]()
    (model,) = pipeline.write_files(pipeline.emit(graph, ["onnx"]), tmp_path)
    inputs = zoo_inputs(graph, 12)
    np.savez(tmp_path / "d.npz", inputs=inputs[0], labels=np.zeros(12, np.int64))
    return optimize(
        str(model), target=BOARD, data=str(tmp_path / "d.npz"), test=str(tmp_path / "d.npz"), recipe=recipe, settings=(), seed=0,
        out=tmp_path / "out", formats="c", onnx_activations="int8", ram_budget=None, run=True, budget=budget,
    )  # fmt: skip


def test_the_verb_holds_each_limit_against_what_was_found(tmp_path: Path, needs_arm: None) -> None:
    done = run(tmp_path, "ram_bytes=100000, flash_bytes = 100000, latency_ms=50, energy_mj=5, accuracy_drop=1")
    assert not done.failed
    limits = {limit["name"]: limit for limit in done.data["budget"]}
    measured = done.data["measured"]
    assert limits["ram_bytes"]["got"] == measured["ram_bytes"] and limits["flash_bytes"]["got"] == measured["flash_bytes"]
    assert limits["latency_ms"]["got"] == measured["latency_modelled_ms"]
    assert limits["energy_mj"]["got"] == measured["energy_modelled_uj"] / 1000
    assert all(limit["met"] for limit in limits.values()) and "linker and painted stack" in done.text
    assert "<h2>Budget</h2>" in (tmp_path / "out" / "report.html").read_text()


def test_a_recipe_may_bring_a_budget_and_a_missed_one_fails(tmp_path: Path, needs_arm: None) -> None:
    (tmp_path / "mine.toml").write_text('steps = ["w8a8"]\n[budget]\nflash_bytes = 10\n')
    done = run(tmp_path, None, str(tmp_path / "mine.toml"))
    assert "the budget is missed: flash_bytes (" in done.failed and (tmp_path / "out" / "report.json").is_file()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["budget"][0]["met"] is False
    assert "NO" in done.text and run(tmp_path, None).data["budget"] == []


def test_budgets_that_are_none() -> None:
    assert read_budget("ram_bytes=1_000,accuracy_drop=0.5") == Budget(ram_bytes=1000, accuracy_drop=0.5)
    for text in ("ram=3", "ram_bytes=-1", "ram_bytes=1.5", "ram_bytes=", "nowhere.toml"):
        with pytest.raises(RecipeError):
            read_budget(text)


def test_a_report_without_budget_has_no_table() -> None:
    graph = network()
    assert "at most" not in to_text(make_report(graph, graph, load_target("host")))
