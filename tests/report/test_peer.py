"""Tables of a peer's figures: three formats, what is refused, and the ratios."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.errors import DataError
from edgewright.report.peer import compare_peer, load_peer
from edgewright.report.text import measured_text
from tests.report.test_report import report

TFLM = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "tflm.toml"
ROW = {"network": "net", "core": "cortex-m4", "instructions": 2002, "cycles": 1000, "arena": 40, "static": 8, "stack": 80, "code": 0}
HEAD = 'name = "peer"\nsource = "v1"\n'


def toml(row: dict[str, object]) -> str:
    return HEAD + "[[figures]]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in row.items())


@pytest.mark.parametrize("ending", ["toml", "json", "csv"])
def test_the_ratios_are_those_of_the_table(tmp_path: Path, ending: str) -> None:
    texts = {
        "toml": toml(ROW),
        "json": json.dumps({"name": "peer", "source": "v1", "figures": [ROW]}),
        "csv": ",".join([*ROW, "weights"]) + "\n" + ",".join(map(str, ROW.values())) + ",\n",
    }
    path = tmp_path / f"peer.{ending}"
    path.write_text(texts[ending])
    found = compare_peer(report(), load_peer(path), core="cortex-m4")
    rows = {row.figure: (row.ours, row.theirs, row.ratio) for row in found.rows}
    assert found.name == "peer"
    assert rows["instructions"] == (1001, 2002, 0.5) and rows["cycles"] == (1500, 1000, 1.5) and rows["stack"] == (64, 80, 0.8)
    assert rows["ram"] == (112, 128, 0.875) and rows["code"] == (1208 - 64, 0, None) and "weights" not in rows
    assert rows["arena"][0] + rows["static"][0] == 48
    shown = measured_text(report().model_copy(update={"peer": found}))
    assert "ours/theirs" in shown and "0.500" in shown and "peer, net on cortex-m4" in shown


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "a peer's table ends in .toml, .json, .csv"),
        ("a.toml", "= 1", "cannot be read"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "3", "is not a peer's table: figures"),
        ("a.csv", "network,core\na,b,c\n", "more cells than the header"),
        ("a.csv", "network,core,speed\na,b,3\n", "figures.0.speed: Extra inputs"),
        ("a.csv", "network,core,cycles\na,b,fast\n", "figures.0.cycles: Input should be a valid integer"),
        ("a.csv", "network,core\n", "figures: "),
        ("a.toml", toml(ROW | {"stack": -1}), "figures.0.stack: Input should be greater than or equal to 0"),
        ("a.csv", "network,core\na,b\na,b\n", "has 'a' on 'b' twice"),
        ("a.json", "[" * 100000, "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused_once(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        load_peer(tmp_path / name)
    assert message in caught.value.message and caught.value.hint


def test_a_missing_file_and_a_missing_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the peer's table"):
        load_peer(tmp_path / "none.toml")
    with pytest.raises(DataError, match="no figures for 'net' on cortex-m4") as caught:
        compare_peer(report(), load_peer(TFLM), core="cortex-m4")
    assert "ic_int8 on cortex-m3" in caught.value.hint


def test_the_table_that_comes_along_has_the_three_networks_on_five_cores() -> None:
    peer = load_peer(TFLM)
    assert len(peer.figures) == 15 and "90b983c2" in peer.source
    row = peer.find("ic_int8", "cortex-m4")
    assert row is not None and row.ram == 54_996 + 1_344 + 1_756
