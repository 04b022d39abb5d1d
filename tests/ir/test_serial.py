"""Graphs in files: they come back the same, and what is not a graph is refused without harm."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.serial import load_graph, save_graph
from tests.ir.graphs import float_graph, integer_graph


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_graph(float_graph(), tmp_path / "graph.npz")


def rewrite(path: Path, change) -> Path:
    """The file at ``path`` with its header changed by ``change`` (which may also return other arrays)."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes())
    change(header)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("make", [float_graph, integer_graph])
def test_round_trip(make, tmp_path):
    graph = make()
    back = load_graph(save_graph(graph, tmp_path / "g.npz"))
    assert back.digest == graph.digest
    assert list(tmp_path.iterdir()) == [tmp_path / "g.npz"]


def test_structure_comes_back(saved):
    structure = load_graph(saved).constants["weight"].structure
    wanted = float_graph().constants["weight"].structure
    assert (structure.pattern, structure.bits) == (wanted.pattern, wanted.bits)
    np.testing.assert_array_equal(structure.mask, wanted.mask)
    np.testing.assert_array_equal(structure.codebook, wanted.codebook)


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        save_graph(integer_graph(), saved)
    assert saved.read_bytes() == before


def refuse(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_graph(path)
    assert caught.value.hint
    return caught.value.message


def test_every_truncation_is_refused(saved):
    whole = saved.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        saved.write_bytes(whole[:size])
        refuse(saved)


def test_flipped_bytes_are_refused_or_harmless(saved):
    whole = saved.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        try:
            load_graph(saved)
        except ModelError as error:
            assert error.message


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a graph", np.zeros(3).tobytes()])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    refuse(path)


def test_missing_files_and_folders_are_refused(tmp_path):
    refuse(tmp_path / "missing.npz")
    refuse(tmp_path)


def test_an_npy_file_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    refuse(tmp_path / "array.npy")


class Bomb:
    """Unpickled, it would leave a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "boom"))


def test_pickles_are_not_opened(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "bomb.npz"
    path.write_bytes(pickle.dumps(Bomb(trace)))
    refuse(path)
    np.savez(path, header=np.array([Bomb(trace)], dtype=object))
    refuse(path)
    assert not trace.exists()


def set_kind(header):
    header["nodes"][0]["kind"] = "Frobnicate"


def set_attribute(header):
    header["nodes"][0]["attributes"]["exec"] = "1"


def set_stride(header):
    header["nodes"][0]["attributes"]["stride"] = ["a", None]


def set_huge_shape(header):
    header["values"][0]["shape"] = [None, 1 << 40, 1 << 40, 2]


def set_negative_shape(header):
    header["values"][0]["shape"] = [None, -4, 4, 2]


def set_text_shape(header):
    header["values"][0]["shape"] = "NHWC"


def set_cycle(header):
    header["nodes"][1]["inputs"] = ["add"]


def set_format(header):
    header["format"] = 99


def set_scale(header):
    header["values"][0]["quant"] = {"dtype": "int8", "scale": ["x"], "zero_point": [0], "axis": None}


def drop_values(header):
    header["values"] = header["values"][1:]


def drop_level(header):
    del header["level"]


def set_state(header):
    header["states"][0]["write"] = 5


def set_list(header):
    header["nodes"] = 7


def set_names(header):
    header["inputs"] = [["x"]]


def set_number_as_name(header):
    header["nodes"][0]["name"] = 3


def set_fractional_stride(header):
    header["nodes"][0]["attributes"]["stride"] = [1.0, 1.0]


def set_long_stride(header):
    header["nodes"][0]["attributes"]["stride"] = [1, 1, 1]


def set_fractional_shape(header):
    header["values"][0]["shape"] = [None, 4.0, 4, 2]


def set_overflowing_shape(header):
    header["values"][0]["shape"] = [None, 1 << 32, 1 << 32, 1 << 32]


@pytest.mark.parametrize(
    "change",
    [
        set_kind,
        set_attribute,
        set_stride,
        set_huge_shape,
        set_negative_shape,
        set_text_shape,
        set_cycle,
        set_format,
        set_scale,
        drop_values,
        drop_level,
        set_state,
        set_list,
        set_names,
        set_number_as_name,
        set_fractional_stride,
        set_long_stride,
        set_fractional_shape,
        set_overflowing_shape,
    ],
    ids=lambda f: f.__name__,
)
def test_hostile_headers_are_refused(saved, change):
    refuse(rewrite(saved, change))


def test_a_header_that_is_not_an_object_is_refused(saved):
    for text in (b"[1, 2]", b"null", b"\xff\xfe", b"[" * 100000):
        np.savez(saved, header=np.frombuffer(text, np.uint8))
        refuse(saved)


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = save_graph(float_graph(), tmp_path / "large.npz")
    monkeypatch.setattr("edgewright.ir.serial.LARGEST_BYTES", 1000)
    assert "more than 1000" in refuse(path)


def test_a_bomb_of_zeros_is_refused(tmp_path):
    """A constant that claims more elements than a graph may have, packed into a few bytes."""
    path = save_graph(integer_graph(), tmp_path / "bomb.npz")
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    claim = members["c0.npy"].replace(b"(3, 2)", b"(3000000000000, 2)")
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, claim if name == "c0.npy" else content)
    refuse(path)
