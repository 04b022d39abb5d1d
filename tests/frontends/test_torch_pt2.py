"""Files of torch.export.save: read without unpickling, and hostile ones refused."""

from __future__ import annotations

import json
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.fuzz import limited, mutate_bytes
from edgewright.errors import EdgewrightError, ModelError
from edgewright.frontends.torch import load_torch
from edgewright.ir.show import show_graph
from tests.frontends.networks import CASES
from tests.frontends.test_torch import assert_same


def saved(name: str, folder: Path) -> Path:
    case = CASES[name]
    path = folder / f"{name}.pt2"
    torch.export.save(torch.export.export(case.network(), case.inputs(2), dynamic_shapes={"x": {0: torch.export.Dim("batch")}}), path)
    return path


def rewritten(path: Path, change: dict[str, Any]) -> Path:
    """``path`` with some members replaced: by bytes, by what a function makes of their JSON, or dropped (None)."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as out:
        for entry in source.namelist():
            data = source.read(entry)
            for end, new in change.items():
                if entry.endswith(end):
                    data = json.dumps(new(json.loads(data))).encode() if callable(new) else new
            if data is not None:
                out.writestr(entry, data)
    return target


@pytest.mark.parametrize("name", ["shuffle", "in_place", "pieces", "residual"])
def test_a_file_is_the_program_that_was_saved(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = saved(name, tmp_path)
    graph = load_torch(path)
    assert_same(graph, case, batch=3)
    direct = load_torch(torch.export.load(path))
    assert show_graph(graph).splitlines()[1:] == show_graph(direct).splitlines()[1:]
    assert all(graph.constants[key].array.tobytes() == direct.constants[key].array.tobytes() for key in graph.constants)


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_pickles_in_the_file_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved("in_place", tmp_path)
    bomb = pickle.dumps(Bomb())
    load_torch(rewritten(path, {"data/sample_inputs/model.pt": bomb}))

    def by_pickle(config: dict[str, Any]) -> dict[str, Any]:
        config["config"]["conv1.weight"]["use_pickle"] = True
        return config

    with pytest.raises(ModelError, match="unpickling") as caught:
        load_torch(rewritten(path, {"model_weights_config.json": by_pickle, "weights/weight_0": bomb}))
    assert "torch.export.save" in caught.value.hint
    assert not Path("exploded").exists()


def test_expressions_in_the_file_are_never_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved("in_place", tmp_path)

    def evil(document: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(document).replace("Symbol('s", "__import__('pathlib').Path('exploded').touch() or Symbol('s")
        return json.loads(text)  # type: ignore[no-any-return]

    load_torch(rewritten(path, {"models/model.json": evil}))
    assert not Path("exploded").exists()


def test_damaged_files(tmp_path: Path) -> None:
    path = saved("in_place", tmp_path)

    def stretched(config: dict[str, Any]) -> dict[str, Any]:
        config["config"]["conv1.weight"]["tensor_meta"]["sizes"] = [{"as_int": 1 << 40}] * 2
        config["config"]["conv1.weight"]["tensor_meta"]["strides"] = [{"as_int": 1}] * 2
        return config

    def exec_call(document: dict[str, Any]) -> dict[str, Any]:
        document["graph_module"]["graph"]["nodes"][0]["target"] = "os.system"
        return document

    def private_call(document: dict[str, Any]) -> dict[str, Any]:
        document["graph_module"]["graph"]["nodes"][1]["target"] = "torch.ops.aten.__class__.default"
        return document

    changes: list[dict[str, Any]] = [
        {"models/model.json": b"{"},
        {"models/model.json": b"[]"},
        {"models/model.json": None},
        {"model_weights_config.json": None},
        {"model_weights_config.json": stretched},
        {"weights/weight_0": b"123"},
        {"weights/weight_0": None},
        {"models/model.json": exec_call},
        {"models/model.json": private_call},
    ]
    for change in changes:
        with pytest.raises(EdgewrightError) as caught:
            load_torch(rewritten(path, change))
        assert caught.value.hint
    for content in (b"", b"PK", path.read_bytes()[:500], b"no archive at all" * 40):
        (tmp_path / "bad.pt2").write_bytes(content)
        with pytest.raises(ModelError):
            load_torch(tmp_path / "bad.pt2")
    with pytest.raises(ModelError, match=r"cannot read missing\.pt2"):
        load_torch(tmp_path / "missing.pt2")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ModelError, match="0 models"):
        load_torch(tmp_path / "module.pt")


def test_mutated_files(tmp_path: Path) -> None:
    path = saved("in_place", tmp_path)
    with zipfile.ZipFile(path) as archive:
        document = archive.read("in_place/models/model.json")
    ends: dict[str, int] = {}
    for number in range(150):
        rng = random.Random(number)
        changed = mutate_bytes(rng, document, [document])
        if rng.random() < 0.6:
            parsed = json.loads(document)
            _bend(rng, parsed)
            changed = json.dumps(parsed).encode()
        target = rewritten(path, {"models/model.json": changed})
        try:
            with limited(10.0):
                load_torch(target)
            ends["graph"] = ends.get("graph", 0) + 1
        except EdgewrightError as error:
            assert error.hint, error.message
            ends[type(error).__name__] = ends.get(type(error).__name__, 0) + 1
    assert ends["graph"] > 5 and ends["ModelError"] > 20


def _bend(rng: random.Random, document: Any) -> None:
    """Change one leaf somewhere in a JSON document."""
    node = document["graph_module"]
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(node[key], (dict, list)) and node[key] and rng.random() < 0.95:
            node = node[key]
            continue
        node[key] = rng.choice([None, -1, 0, 7, 1 << 40, "x", [], {}, [1, 2], {"as_int": -5}, {"as_tensor": {"name": "x"}}, 1.5, True])
        return
