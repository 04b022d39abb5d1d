"""Distillation repairs without labels, by whatever the teacher says, from the command line too."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.cli import main
from edgewright.data import Data
from edgewright.errors import RecipeError
from edgewright.ir.serial import save_graph
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from tests.passes.train.test_fine_tune import accuracy, pruned
from tests.train.digits import digit_images, need_training, trained_digits

PASSES = load_passes()


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


@pytest.mark.parametrize("loss", ["auto", "dkd", "layers", "outputs"])
def test_a_pruned_network_learns_from_what_it_was(loss):
    data, test = digit_images()
    data = dataclasses.replace(data, labels=None)
    teacher = trained_digits()
    sparse = pruned(teacher)
    ctx = Context(data=data, teacher=teacher)
    student = PASSES["distill"].function(sparse, ctx, epochs=3, learning_rate=0.01, loss=loss)
    wanted = evaluate(teacher, test.inputs)[0].argmax(-1)
    before, after = ((evaluate(graph, test.inputs)[0].argmax(-1) == wanted).mean() for graph in (sparse, student))
    assert after > before + 0.05
    assert "agreement with the teacher" in ctx.lines[-1].detail
    structure = student.constants["second.weight"].structure
    assert structure is not None and not np.any(np.asarray(student.array("second.weight"))[~structure.mask])


def test_labels_mix_in_and_are_missed():
    data, test = digit_images()
    sparse = pruned(trained_digits())
    ctx = Context(data=data, teacher=trained_digits())
    student = PASSES["distill"].function(sparse, ctx, epochs=2, learning_rate=0.01, labels=0.5)
    assert accuracy(student, test) > accuracy(sparse, test) + 0.05 and "accuracy" in ctx.lines[-1].detail
    without = Context(data=dataclasses.replace(data, labels=None), teacher=trained_digits())
    PASSES["distill"].function(sparse, without, epochs=1, labels=0.5)
    assert without.lines[0].action == "skipped" and "no labels" in without.lines[0].detail


def test_what_it_refuses():
    data = Data(digit_images()[0].inputs)
    graph = trained_digits()
    with pytest.raises(RecipeError, match="no teacher"):
        PASSES["distill"].function(graph, Context(data=data))
    for options in ({"loss": "cosine"}, {"temperature": 0.0}, {"labels": -1.0}):
        with pytest.raises(RecipeError):
            PASSES["distill"].function(graph, Context(data=data, teacher=graph), **options)
    ctx = Context(data=data, teacher=graph)
    assert PASSES["distill"].function(graph, ctx, epochs=1) is graph, "it is its own teacher already"


def test_a_recipe_on_the_command_line(tmp_path, capsys):
    data, _ = digit_images()
    save_graph(pruned(trained_digits()), tmp_path / "digits.npz")
    np.savez(tmp_path / "data.npz", x=data.inputs[0], labels=data.labels)
    (tmp_path / "recipe.toml").write_text(
        'steps = ["clean", "insert_batchnorm", { pass = "distill", options = { epochs = 1, labels = 1.0 } },'
        ' { pass = "fine_tune", options = { epochs = 1 } }, "w8a8"]\n'
    )
    words = ["optimize", tmp_path / "digits.npz", "--recipe", tmp_path / "recipe.toml", "--data", tmp_path / "data.npz", "--no-measure"]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--out", str(tmp_path / "out"), "--formats", "tflite"])
    assert not ended.value.code
    capsys.readouterr()
    report = (tmp_path / "out" / "report.json").read_text()
    assert "distill" in report and "agreement with the teacher" in report and "fine_tune" in report
