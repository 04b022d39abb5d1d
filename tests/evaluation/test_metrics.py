"""Metrics against torchmetrics and by hand; what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as peer

from edgewright.data import Data
from edgewright.errors import DataError, RecipeError
from edgewright.evaluation.metrics import METRICS, confusion, default_metrics, find_metric, per_class, right_of_each, scores

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 400)
LOGITS = (RNG.normal(0, 1, (400, 5)) + 1.5 * np.eye(5)[LABELS]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("accuracy", lambda x, y: peer.multiclass_accuracy(x, y, 5, average="micro")),
        ("top-3", lambda x, y: peer.multiclass_accuracy(x, y, 5, average="micro", top_k=3)),
        ("precision", lambda x, y: peer.multiclass_precision(x, y, 5)),
        ("recall", lambda x, y: peer.multiclass_recall(x, y, 5)),
        ("f1", lambda x, y: peer.multiclass_f1_score(x, y, 5)),
        ("auroc", lambda x, y: peer.multiclass_auroc(x, y, 5)),
        ("average_precision", lambda x, y: peer.multiclass_average_precision(x, y, 5)),
    ],
)
def test_metrics_are_those_of_torchmetrics(name, theirs) -> None:
    wanted = float(theirs(torch.from_numpy(LOGITS), torch.from_numpy(LABELS)))
    assert find_metric(name).of(LOGITS, LABELS) == pytest.approx(wanted, abs=1e-5)


def test_the_confusion_matrix_and_its_classes() -> None:
    table = confusion(LOGITS, LABELS)
    assert table.tolist() == peer.multiclass_confusion_matrix(torch.from_numpy(LOGITS), torch.from_numpy(LABELS), 5).tolist()
    for row in per_class(LOGITS, LABELS):
        assert row.samples == table[row.index].sum() and row.recall == pytest.approx(table[row.index, row.index] / row.samples)


def test_regression() -> None:
    outputs, targets = np.float32([[1, 2], [3, 5]]), np.float32([[1, 1], [4, 5]])
    assert METRICS["mae"].of(outputs, targets) == pytest.approx(0.5)
    assert METRICS["rmse"].of(outputs, targets) == pytest.approx(np.sqrt(0.5))
    assert METRICS["r2"].of(outputs, targets) == pytest.approx(np.mean([1 - 1 / 4.5, 1 - 1 / 8]))
    with pytest.raises(DataError, match="targets have 1 numbers"):
        METRICS["mae"].of(outputs, targets[:, :1])


def test_one_score_of_two_classes() -> None:
    labels = np.array([0, 1, 1, 0])
    assert right_of_each(np.float32([[0.2], [0.9], [0.4], [0.6]]), labels).tolist() == [1, 1, 0, 0]
    assert right_of_each(np.float32([[-2], [3], [0.1], [-0.1]]), labels).tolist() == [1, 1, 1, 1]
    assert scores(np.zeros((3, 1, 1, 4), np.float32)).shape == (3, 4)


def test_a_class_alone_has_no_auroc() -> None:
    assert np.isnan(METRICS["auroc"].of(LOGITS, np.zeros(400, np.int64)))


def test_the_users_own_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "word_rate.py").write_text(
        "def first(outputs, truth):\n    return (outputs[:, 0] > truth).mean()\ndef bad(o, t):\n    return 1 / 0\n"
    )
    monkeypatch.chdir(tmp_path)
    assert find_metric("word_rate:first").of(LOGITS, LABELS) == np.mean(LOGITS[:, 0] > LABELS)
    with pytest.raises(DataError, match="word_rate:bad failed: ZeroDivisionError"):
        find_metric("word_rate:bad").of(LOGITS, LABELS)
    with pytest.raises(RecipeError, match="there is no metric 'word_rate:none'"):
        find_metric("word_rate:none")


def test_what_is_refused_says_what_to_do() -> None:
    with pytest.raises(RecipeError) as error:
        find_metric("acuracy")
    assert error.value.hint == "did you mean 'accuracy'?"
    data = Data((LOGITS,), source="d.npz")
    with pytest.raises(DataError, match="d.npz has no targets, which metric 'mae' needs"):
        METRICS["mae"].truth_of(data)
    assert default_metrics(data) == [] and [m.name for m in default_metrics(Data((LOGITS,), LABELS))] == ["accuracy", "f1"]


def test_sentences_are_compared_by_the_user_s_own_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["WORDS = 'zero one two'.split()", "def sentences(outputs, truth):"]
    lines += ["    said = [' '.join(WORDS[word] for word in row) for row in outputs.argmax(-1)]"]
    lines += ["    return sum(text == right for text, right in zip(said, truth)) / len(truth)"]
    (tmp_path / "spoken_words.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    data = Data((np.zeros((2, 1), np.float32),), targets=np.asarray(["one two", "zero zero"]))
    outputs = np.eye(3, dtype=np.float32)[np.asarray([[1, 2], [0, 1]])]
    metric = find_metric("spoken_words:sentences")
    assert metric.of(outputs, metric.truth_of(data)) == 0.5
    assert default_metrics(data) == []
    with pytest.raises(DataError, match="targets of the data are text, metric 'mae' compares numbers"):
        METRICS["mae"].truth_of(data)
