"""What examples/spoken_digits ships is what its README says, and its training script splits honestly."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime

from benchmarks.data import Utterances
from examples.train_spoken_digits import CALIBRATION_COUNT, COEFFICIENTS, FOLDER, FRAMES, STEP, fixed_length, split


def test_the_shipped_network_understands_as_much_as_it_says() -> None:
    with np.load(FOLDER / "test.npz", allow_pickle=False) as test:
        inputs, labels = test["inputs"], test["labels"]
    session = onnxruntime.InferenceSession(str(FOLDER / "spoken_digits.onnx"), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"mfcc": inputs})
    said = json.loads((FOLDER / "network.json").read_text())
    assert np.bincount(labels).tolist() == [60] * 10
    assert abs((logits.argmax(1) == labels).mean() - said["test_accuracy"]) < 1e-4


def test_the_shipped_data_fit_the_network_and_the_repository() -> None:
    for name, count in (("calibration", CALIBRATION_COUNT), ("test", 600)):
        with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
            assert file["inputs"].shape == (count, 1, FRAMES, COEFFICIENTS) and file["inputs"].dtype == np.float32
            assert file["labels"].shape == (count,) and file["labels"].dtype == np.int64
    assert sum((FOLDER / f"{name}.npz").stat().st_size for name in ("calibration", "test")) < 300_000


def test_calibration_and_test_share_no_utterance() -> None:
    with np.load(FOLDER / "calibration.npz") as calibration, np.load(FOLDER / "test.npz") as test:
        assert not {row.tobytes() for row in calibration["inputs"]} & {row.tobytes() for row in test["inputs"]}


def test_split_is_disjoint_complete_and_balanced() -> None:
    labels = np.repeat(np.arange(10), 50)
    parts = split(labels)
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.array_equal(np.sort(together), np.arange(500))
    for part, each in ((parts.train, 30), (parts.validation, 10), (parts.test, 10)):
        assert np.bincount(labels[part]).tolist() == [each] * 10


def test_fixed_length_pads_and_cuts_in_the_middle() -> None:
    lengths = np.array([2, FRAMES + 4])
    frames = np.repeat(np.arange(lengths.sum(), dtype=np.float32)[:, None], COEFFICIENTS, axis=1)
    features = fixed_length(Utterances(frames, lengths, np.array([0, 1])), np.float32([0] * COEFFICIENTS), np.float32([1] * COEFFICIENTS))
    assert features[0, 0, :, 0].tolist() == [0.0] * 19 + [0.0, 1.0] + [0.0] * 19
    assert features[1, 0, :, 5].tolist() == [float(value) for value in range(4, FRAMES + 4)]
    assert np.array_equal(features, np.round(features / STEP) * STEP)
