"""`edgewright evaluate`: one table of figures, verdicts, worst cases, scenarios and runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright import pipeline
from edgewright.errors import DataError, RecipeError
from edgewright.report.evaluation import worst_confusions
from edgewright.verbs.evaluate import evaluate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "spoken_digits"


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> str:
    result = pipeline.optimize(EXAMPLE / "spoken_digits.onnx", data=EXAMPLE / "calibration.npz")
    (path,) = pipeline.write_files(pipeline.emit(result, ["tflite"]), tmp_path_factory.mktemp("quantized"))
    return str(path)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> str:
    """150 test utterances in 15 recordings."""
    path = tmp_path_factory.mktemp("samples") / "grouped.npz"
    with np.load(EXAMPLE / "test.npz", allow_pickle=False) as file:
        np.savez(path, inputs=file["inputs"][:150], labels=file["labels"][:150], groups=np.repeat(np.arange(15), 10))
    return str(path)


def test_two_networks_beside_each_other(quantized: str, samples: str) -> None:
    answer = evaluate(
        [str(EXAMPLE / "spoken_digits.onnx"), quantized], data=samples, metrics=["accuracy", "top-2", "f1"], corruptions="features",
        runtimes="simulated,evaluate,host,litert,onnxruntime", folds=2,
    )  # fmt: skip
    first, second = answer.data["models"]
    assert [figure["metric"] for figure in first["figures"]] == ["accuracy", "top-2", "f1"] and first["figures"][0]["change"] is None
    accuracy = second["figures"][0]
    assert accuracy["value"] > 0.98 and accuracy["interval"][0] <= accuracy["change"] <= accuracy["interval"][1]
    assert len(second["groups"]) == 15 and np.sum(second["confusion"]) == 150
    assert [scenario["name"] for scenario in second["scenarios"]] == ["noise", "level", "shift", "gap", "missing_band"]
    rows = {(row["model"], row["runtime"]): row for row in answer.data["runtimes"]}
    assert rows["spoken_digits.tflite", "C on the host"]["unequal"] == 0
    assert rows["spoken_digits.tflite", "ONNX Runtime"]["most_steps"] <= 5
    assert rows["spoken_digits.onnx", "ONNX Runtime"]["same_answer"] == 1.0
    assert all(row["same_answer"] > 0.97 for row in rows.values())
    assert len(answer.data["folds"]) == 2 and all(len(figures) == 2 for figures in answer.data["folds"].values())
    assert "samples in groups that stay together" in answer.text and "features scenario" in answer.text


def test_a_verdict_without_groups(quantized: str) -> None:
    answer = evaluate([str(EXAMPLE / "spoken_digits.onnx"), quantized], data=str(EXAMPLE / "test.npz"), metrics=["accuracy"])
    assert answer.data["models"][1]["figures"][0]["verdict"].startswith("no significant loss at 95 % (at most 0.")


def test_what_is_refused(quantized: str, samples: str, tmp_path: Path) -> None:
    for options, message in (
        ({"runtimes": "tensorrt"}, "unknown runtime 'tensorrt'"),
        ({"corruptions": "rain"}, "unknown kind of corruptions 'rain'"),
        ({"tolerance": 2.0}, "--tolerance is a share of 1"),
        ({"metrics": ["speed"]}, "there is no metric 'speed'"),
    ):
        with pytest.raises(RecipeError, match=message):
            evaluate([quantized], data=samples, **options)
    with pytest.raises(DataError, match="is no .npy file"):
        evaluate([quantized], data=samples, groups="nowhere.npy")
    np.save(tmp_path / "groups.npy", np.arange(3))
    with pytest.raises(DataError, match="groups are int64"):
        evaluate([quantized], data=samples, groups=str(tmp_path / "groups.npy"))


def test_the_most_frequent_mistakes() -> None:
    assert worst_confusions([[5, 2, 0], [1, 7, 3], [0, 0, 9]]) == [(1, 2, 3), (0, 1, 2), (1, 0, 1)]
