"""The doors for data: what comes in, and the one clear message where it cannot."""

from __future__ import annotations

import io
import random
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewright import data as doors
from edgewright.data import Data, load_data
from edgewright.errors import DataError
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops.add import Add
from edgewright.ops.mean import Mean
from edgewright.ops.relu import Relu
from tests.conftest import need_module
from tests.zoo import ZOO, zoo_inputs

IMAGES = np.arange(5 * 8 * 6 * 3, dtype=np.float32).reshape(5, 8, 6, 3)


def network(*shape: int, name: str = "x", batch: int | None = None) -> Graph:
    b = GraphBuilder("net")
    return b.finish([b.node(Relu(), [b.input(name, (batch, *shape))], name="made")])


def classifier(classes: int) -> Graph:
    b = GraphBuilder("net")
    return b.finish([b.node(Mean((1, 2)), [b.input("x", (None, 8, 6, classes))])])


def pair() -> Graph:
    b = GraphBuilder("net")
    return b.finish([b.node(Add(), [b.input("left", (None, 4)), b.input("right", (None, 4))])])


def refused(source: object, graph: Graph) -> DataError:
    with pytest.raises(DataError) as caught:
        load_data(source, graph)
    assert caught.value.hint, "every refusal says what to do"
    return caught.value


def save_npz(path: Path, **arrays: NDArray[np.generic]) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


# Arrays


def test_arrays_tensors_sequences_and_data() -> None:
    graph = network(8, 6, 3)
    for source in (IMAGES, [IMAGES], (IMAGES,), torch.from_numpy(IMAGES).requires_grad_(), IMAGES.astype(np.float64), IMAGES.astype(">f4")):
        data = load_data(source, graph)
        assert data.inputs[0].dtype == np.float32 and data.labels is None and data.count == 5
        assert np.array_equal(data.inputs[0], IMAGES)
    assert load_data(IMAGES.astype(np.uint8), graph).inputs[0].max() == 255
    assert load_data(load_data(IMAGES, graph), graph).count == 5


def test_inputs_with_labels() -> None:
    graph = classifier(3)
    for labels in (np.array([0, 1, 2, 0, 1]), [0, 1, 2, 0, 1], np.array([0.0, 1.0, 2.0, 0.0, 1.0]), torch.tensor([0, 1, 2, 0, 1])):
        data = load_data((IMAGES, labels), graph)
        assert data.labels is not None and data.labels.dtype == np.int64 and data.labels.tolist() == [0, 1, 2, 0, 1]
    assert load_data(((IMAGES,), np.zeros(5, int)), graph).labels is not None
    part = load_data((IMAGES, np.arange(5) % 3), graph).take(slice(1, 3))
    assert part.count == 2 and part.labels is not None and part.labels.tolist() == [1, 2]


def test_two_inputs() -> None:
    left = np.ones((3, 4))
    assert load_data([left, left], pair()).count == 3
    assert load_data(((left, left), np.zeros(3, int)), pair()).labels is not None
    assert "2 arrays, 'net' takes 1 inputs" in refused([IMAGES, IMAGES], network(8, 6, 3)).message
    assert "differ in their number of samples: [3, 4]" in refused([left, np.ones((4, 4))], pair()).message


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((5, 3, 8, 6), (8, 6, 3)),  # channels first
        ((5, 1, 8, 6), (8, 6, 1)),
        ((5, 8, 6), (8, 6, 1)),  # no channel axis
        ((5, 8, 6, 1), (8, 6)),
        ((5, 144), (8, 6, 3)),  # flat
        ((8, 6, 3), (8, 6, 3)),  # one sample
        ((3, 8, 6), (8, 6, 3)),  # one sample, channels first
        ((5, 3, 16), (16, 3)),  # sequences, channels first
        ((5,), (1,)),
        ((49, 10, 1), (49, 10, 1)),
    ],
)
def test_arrangements_that_fit(given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    data = load_data(np.arange(np.prod(given), dtype=np.float32).reshape(given), network(*wanted))
    assert data.inputs[0].shape[1:] == wanted


def test_channels_move_and_do_not_just_reshape() -> None:
    moved = load_data(np.ascontiguousarray(np.moveaxis(IMAGES, -1, 1)), network(8, 6, 3)).inputs[0]
    assert np.array_equal(moved, IMAGES)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [((5, 10, 49), (49, 10, 1)), ((5, 6, 8, 3), (8, 6, 3)), ((5, 8, 6, 4), (8, 6, 3)), ((5, 143), (8, 6, 3)), ((), (8,))],
)
def test_shapes_that_do_not_fit(given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    error = refused(np.zeros(given), network(*wanted))
    assert f"has shape {list(given)}, the network takes N x {' x '.join(map(str, wanted))}" in error.message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((0, 8, 6, 3)), "no samples"),
        (np.full((1, 8, 6, 3), np.nan), "not finite"),
        (np.full((1, 8, 6, 3), 1e300), "not finite"),
        (np.zeros((1, 8, 6, 3), object), "expected numbers"),
        (np.zeros((1, 8, 6, 3), "U3"), "expected numbers"),
        (np.zeros((1, 8, 6, 3), complex), "expected numbers"),
        ([[1, 2], [3]], "2 arrays"),
        ([[[1, 2], [3]]], "cannot be taken as an array"),
        (object(), "object is not an array"),
        ({"x": 1}, "dict is not an array"),
        ((np.zeros((5, 8, 6, 3)), np.zeros(4, int)), "expected 5 class indices"),
        ((np.zeros((5, 8, 6, 3)), np.full(5, 0.5)), "expected 5 class indices"),
        ((np.zeros((5, 8, 6, 3)), np.array([0, 1, 2, 3, 0])), "labels go from 0 to 3, the network tells 3 classes apart"),
        ((np.zeros((5, 8, 6, 3)), np.array([0, 1, 2, -1, 0])), "labels go from -1"),
        ((np.zeros((5, 8, 6, 3)), np.array(list("abcde"))), "class indices"),
    ],
)
def test_values_that_cannot_be_taken(source: object, message: str) -> None:
    assert message in refused(source, classifier(3)).message


def test_a_fixed_batch_wants_multiples() -> None:
    assert load_data(np.ones((4, 3)), network(3, batch=2)).count == 4
    assert "'x' of the network takes 2 at a time" in refused(np.ones((3, 3)), network(3, batch=2)).message


# Files


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    (tmp_path / "a.npy").rename(tmp_path / "a.NPY")
    assert np.array_equal(load_data(str(tmp_path / "a.NPY"), network(8, 6, 3)).inputs[0], IMAGES)


def test_npz_by_names(tmp_path: Path) -> None:
    left, labels = np.ones((3, 4)), np.zeros(3, int)
    data = load_data(save_npz(tmp_path / "two.npz", right=2 * left, left=left, labels=labels), pair())
    assert data.inputs[0][0, 0] == 1 and data.inputs[1][0, 0] == 2 and data.labels is not None
    for name in ("inputs", "x", "anything", "made"):
        assert load_data(save_npz(tmp_path / "one.npz", **{name: IMAGES, "y": np.zeros(5, int)}), network(8, 6, 3)).labels is not None
    assert load_data(save_npz(tmp_path / "more.npz", inputs=IMAGES, classes=labels), network(8, 6, 3)).count == 5
    # An input may itself be called y, or labels.
    for name in ("y", "labels"):
        data = load_data(save_npz(tmp_path / "named.npz", **{name: IMAGES}), network(8, 6, 3, name=name))
        assert data.labels is None and data.count == 5
    data = load_data(save_npz(tmp_path / "both.npz", y=IMAGES, labels=np.zeros(5, int)), network(8, 6, 3, name="y"))
    assert data.labels is not None
    error = refused(save_npz(tmp_path / "wrong.npz", first=left, second=left), pair())
    assert "holds first, second, the network's inputs are left, right" in error.message
    assert "holds nothing" in refused(save_npz(tmp_path / "empty.npz", labels=labels), pair()).message


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    graph = network(8, 6, 3)
    assert "there is no data at" in refused(tmp_path / "none.npy", graph).message
    assert "there is no data at" in refused(str(tmp_path / "none.npz"), graph).message
    (tmp_path / "data.csv").write_text("1,2")
    assert "not a kind of data" in refused(tmp_path / "data.csv", graph).message


@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path, graph = tmp_path / name, network(8, 6, 3)
    stream = io.BytesIO()
    np.save(stream, IMAGES) if name.endswith("y") else np.savez(stream, inputs=IMAGES)
    whole = stream.getvalue()
    for contents in (b"", b"\0" * 100, b"PK\x03\x04", whole[: len(whole) // 2], whole[:20], b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"):
        path.write_bytes(contents)
        assert f"cannot read {path}" in refused(path, graph).message


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "o.npz", inputs=np.array([{"a": 1}], object))
    for name in ("o.npy", "o.npz"):
        assert "cannot read" in refused(tmp_path / name, network(8, 6, 3)).message


def test_a_header_that_claims_too_much(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8, 6, 3), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    claim = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64
    (tmp_path / "bomb.npy").write_bytes(claim)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("inputs.npy", claim)
    for name in ("bomb.npy", "bomb.npz"):
        assert "cannot read" in refused(tmp_path / name, network(8, 6, 3)).message


def test_more_samples_than_memory_are_refused_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MOST_BYTES", 1000)
    np.save(tmp_path / "a.npy", IMAGES)
    for path in (tmp_path / "a.npy", save_npz(tmp_path / "a.npz", inputs=IMAGES)):
        assert "GiB of samples" in refused(path, network(8, 6, 3)).message


def test_an_npz_called_npy(tmp_path: Path) -> None:
    save_npz(tmp_path / "a.npz", inputs=IMAGES).rename(tmp_path / "a.npy")
    assert "is an .npz file" in refused(tmp_path / "a.npy", network(8, 6, 3)).message


@pytest.mark.parametrize("name", ["data.npy", "data.npz"])
def test_mutated_files_never_crash(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    np.save(stream, IMAGES) if name.endswith("y") else np.savez_compressed(stream, inputs=IMAGES, labels=np.zeros(5, np.int64))
    whole, graph, pick = stream.getvalue(), network(8, 6, 3), random.Random(0)
    path = tmp_path / name
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(pick.randint(1, 4)):
            damaged[pick.randrange(min(len(damaged), 300))] = pick.randrange(256)
        path.write_bytes(bytes(damaged))
        try:
            load_data(path, graph)
        except DataError as error:
            assert error.hint


# Functions


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    (tmp_path / "samples_of_mine.py").write_text(
        "import numpy as np\n"
        "number = 3\n"
        "def images(): return np.ones((5, 8, 6, 3))\n"
        "def labelled(): return np.ones((5, 8, 6, 3)), [0, 1, 2, 0, 1]\n"
        "def path(): return 'a.npy'\n"
        "def loop(): return 'samples_of_mine:loop'\n"
        "def broken(): return 1 / 0\n"
        "def nothing(): return None\n"
    )
    monkeypatch.chdir(tmp_path)
    graph = classifier(3)
    try:
        assert load_data("samples_of_mine:images", graph).labels is None
        labelled = load_data("samples_of_mine:labelled", graph)
        assert labelled.labels is not None and labelled.count == 5
        assert load_data("samples_of_mine:path", graph).count == 5
        assert "which is no path" in refused("samples_of_mine:loop", graph).message
        assert "samples_of_mine:broken() failed: ZeroDivisionError: division by zero" in refused("samples_of_mine:broken", graph).message
        assert "NoneType is not an array" in refused("samples_of_mine:nothing", graph).message
        assert "is no function" in refused("samples_of_mine:number", graph).message
        assert "no such function" in refused("samples_of_mine:absent", graph).message
        assert "no such function" in refused("module_that_is_not_there:images", graph).message
        assert "no such function" in refused(":", graph).message
    finally:
        sys.modules.pop("samples_of_mine", None)
        sys.path[:] = [folder for folder in sys.path if folder != str(tmp_path)]


# Folders


def write_image(path: Path, value: int, mode: str = "RGB", size: tuple[int, int] = (12, 16)) -> None:
    need_module("PIL", "pip install 'edgewright[images]'")
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


def write_wav(path: Path, samples: NDArray[np.generic], *, width: int = 2, channels: int = 1, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())


def test_folders_of_images(tmp_path: Path) -> None:
    for index, (folder, name) in enumerate((("cat", "a.png"), ("cat", "b.JPG"), ("dog", "c.bmp"), ("ant", "d.png"))):
        write_image(tmp_path / folder / name, 10 * index)
    (tmp_path / "cat" / "._a.png").write_bytes(b"junk of another system")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    data = load_data(tmp_path, network(8, 6, 3))
    assert data.inputs[0].shape == (4, 8, 6, 3)
    assert data.labels is not None and data.labels.tolist() == [0, 1, 1, 2]  # ant, cat, cat, dog
    assert data.inputs[0][:, 0, 0, 0].round().tolist() == [30, 0, 10, 20]
    assert load_data(tmp_path / "cat", network(8, 6, 3)).labels is None
    assert load_data(tmp_path / "dog", network(8, 6, 1)).inputs[0].shape == (1, 8, 6, 1)


def test_images_of_other_kinds(tmp_path: Path) -> None:
    write_image(tmp_path / "grey.png", 77, mode="L")
    write_image(tmp_path / "clear.png", 77, mode="RGBA")
    assert load_data(tmp_path, network(8, 6, 3)).inputs[0].round().tolist()[0][0][0] == [77, 77, 77]
    assert "which is no image" in refused(tmp_path, network(8, 6, 4)).message
    assert "a folder feeds one input" in refused(tmp_path, pair()).message


def test_damaged_images(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 5)
    whole = (tmp_path / "a.png").read_bytes()
    pick = random.Random(0)
    for contents in (b"", b"no image", whole[:40], whole[:60]):
        (tmp_path / "a.png").write_bytes(contents)
        assert "a.png" in refused(tmp_path, network(8, 6, 3)).message
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[pick.randrange(len(whole))] = pick.randrange(256)
        (tmp_path / "a.png").write_bytes(bytes(damaged))
        try:
            load_data(tmp_path, network(8, 6, 3))
        except DataError as error:
            assert error.hint


def test_an_image_made_to_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", 5, size=(100, 100))
    from PIL import Image

    for limit in (6000, 1000):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "decompression bomb" in refused(tmp_path, network(8, 6, 3)).message


@pytest.mark.parametrize(
    ("width", "samples"),
    [
        (1, np.array([128, 192, 64], np.uint8)),
        (2, np.array([0, 1 << 14, -(1 << 14)], "<i2")),
        (3, np.array([0, 0, 0, 0, 0, 0x40, 0, 0, 0xC0], np.uint8)),
        (4, np.array([0, 1 << 30, -(1 << 30)], "<i4")),
    ],
)
def test_wav_of_every_width(tmp_path: Path, width: int, samples: NDArray[np.generic]) -> None:
    write_wav(tmp_path / "a.wav", samples, width=width)
    for shape in ((5,), (5, 1), (1, 5, 1)):
        data = load_data(tmp_path, network(*shape))
        assert data.inputs[0].reshape(-1).tolist() == [0.0, 0.5, -0.5, 0.0, 0.0]


def test_folders_of_wav(tmp_path: Path) -> None:
    write_wav(tmp_path / "yes" / "a.wav", np.array([1 << 14, 5, -(1 << 14), 6, 0, 0], "<i2"), channels=2)
    write_wav(tmp_path / "no" / "b.wav", np.zeros(99, "<i2"))
    data = load_data(tmp_path, network(2))
    assert data.inputs[0].tolist() == [[0.0, 0.0], [0.5, -0.5]]
    assert data.labels is not None and data.labels.tolist() == [0, 1]
    assert "which is no waveform" in refused(tmp_path, network(49, 10, 1)).message
    write_wav(tmp_path / "yes" / "c.wav", np.zeros(9, "<i2"), rate=16000)
    assert "samples a second" in refused(tmp_path, network(2)).message
    (tmp_path / "yes" / "c.wav").write_bytes((tmp_path / "yes" / "a.wav").read_bytes()[:30])
    assert "cannot read" in refused(tmp_path, network(2)).message
    write_wav(tmp_path / "yes" / "c.wav", np.zeros(0, "<i2"))
    assert load_data(tmp_path, network(2)).count == 3


def test_folders_without_samples_or_of_two_kinds(tmp_path: Path) -> None:
    assert "holds no images and no wav files" in refused(tmp_path, network(2)).message
    write_wav(tmp_path / "a.wav", np.zeros(9, "<i2"))
    (tmp_path / "b.png").write_bytes(b"")
    assert "1 wav files and 1 images" in refused(tmp_path, network(2)).message


def test_data_without_inputs_has_no_samples() -> None:
    assert Data(()).count == 0


def test_targets_and_groups_come_with_the_samples(tmp_path: Path) -> None:
    graph = ZOO["separable_keyword_spotter"]()
    (x,) = zoo_inputs(graph, 4)
    np.savez(tmp_path / "d.npz", inputs=x, targets=np.arange(8.0).reshape(4, 2), groups=np.array(["a", "a", "b", "c"]))
    data = load_data(tmp_path / "d.npz", graph)
    assert data.targets is not None and data.targets.shape == (4, 2) and data.groups is not None
    part = load_data(data.take(slice(1, 3)), graph)
    assert part.groups is not None and part.groups.tolist() == ["a", "b"] and part.targets is not None and part.targets[0, 0] == 2
    for wrong in (
        {"targets": np.array(["a"] * 3)},
        {"groups": np.arange(3)},
        {"targets": np.full(4, np.nan)},
        {"groups": np.zeros((4, 1))},
    ):
        np.savez(tmp_path / "w.npz", inputs=x, **wrong)
        with pytest.raises(DataError, match=r"w.npz: (targets|groups)"):
            load_data(tmp_path / "w.npz", graph)


def test_targets_may_be_text(tmp_path: Path) -> None:
    graph = ZOO["separable_keyword_spotter"]()
    np.savez(tmp_path / "d.npz", inputs=zoo_inputs(graph, 3)[0], targets=np.array(["yes", "no", "on and off"]))
    data = load_data(tmp_path / "d.npz", graph)
    assert data.targets is not None and data.take([2]).targets.tolist() == ["on and off"] and data.reals is None
