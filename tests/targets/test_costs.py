"""The tables of costs: complete, of the core and the kernels that are asked for, and refused where they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import TargetError
from edgewright.targets import costs
from edgewright.targets.costs import load_costs
from edgewright.targets.target import load_target


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which tables are looked for."""
    monkeypatch.setattr(costs, "FOLDER", str(tmp_path))
    costs._tables.cache_clear()
    monkeypatch.setattr(costs.resources, "files", lambda _: Path("/"))
    yield tmp_path
    costs._tables.cache_clear()


def test_a_board_has_the_costs_of_its_core() -> None:
    table = load_costs(load_target("cortex-m4"))
    assert table is not None and load_costs(load_target("nano33ble")) is table
    assert "arm-none-eabi-gcc" in table.source and "-O2" in table.source and table.kernels == ("dsp", "portable")
    small = load_costs(load_target("nano33ble").preferring("size"))
    assert small is not None and "-Os" in small.source and small is not table
    assert load_costs(load_target("cortex-m85")) is load_costs(load_target("cortex-m55"))
    assert load_costs(load_target("host")) is None


def test_a_damaged_table_is_refused(folder: Path) -> None:
    (folder / "cortex-m4.toml").write_text('cores = ["cortex-m4"]\n')
    with pytest.raises(TargetError, match="cortex-m4.toml is not a table of costs") as caught:
        load_costs(load_target("cortex-m4"))
    assert "benchmarks.fit_costs" in caught.value.hint
    costs._tables.cache_clear()
    (folder / "cortex-m4.toml").write_text("cores = [")
    with pytest.raises(TargetError, match="is not a table of costs"):
        load_costs(load_target("cortex-m4"))
