"""Training through the device's arithmetic wins back what narrow weights cost; a run killed by the system goes on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from edgewright.data import Data
from edgewright.errors import ModelError, RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.passes import load_passes
from edgewright.passes.registry import Context
from edgewright.passes.train import fit
from edgewright.targets.target import load_target
from edgewright.train.loop import History, train
from edgewright.train.module import from_module, to_module
from tests.train.digits import digit_images, need_training, trained_digits

PASSES = load_passes()
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def narrow(bits: int = 2) -> Graph:
    return PASSES["quantize_static"].function(trained_digits(), Context(data=digit_images()[0]), weight_bits=bits, weight_ranges="mse")


def on_device(graph: Graph, data: Data) -> np.ndarray:
    integer = lower_integer(graph, load_target("host"))
    return dequantize_outputs(integer, evaluate(integer, quantize_inputs(integer, data.inputs)))[0]


@pytest.mark.parametrize("labels", [0.0, 1.0])
def test_two_bits_are_learned_and_the_module_is_the_device(labels):
    data, test = digit_images()
    graph = narrow()
    ctx = Context(data=data, teacher=trained_digits())
    trained = PASSES["train_quantized"].function(graph, ctx, epochs=4, learning_rate=0.01, labels=labels, learned_steps="weights")
    before, after = ((on_device(found, test).argmax(1) == test.labels).mean() for found in (graph, trained))
    assert after > before + 0.05 and "agreement with the teacher" in ctx.lines[-1].detail
    with torch.no_grad():
        ours = to_module(trained)(torch.from_numpy(test.inputs[0])).numpy()
    np.testing.assert_array_equal(ours, on_device(trained, test))


@pytest.mark.parametrize(("labels", "taken"), [(1.0, True), (0.0, False)])
def test_accuracy_decides_where_labels_are_learned(labels, taken, monkeypatch):
    """A network that answers as its teacher does has the least loss where the teacher knows the samples by heart."""
    def learned(module, *args, **options):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(1.5)
        return History(({"validation loss": 0.35, "accuracy": 0.92},), 0, "finished", {"validation loss": 0.30, "accuracy": 0.91})

    monkeypatch.setattr(fit, "train", learned)
    graph = narrow()
    ctx = Context(data=digit_images()[0], teacher=trained_digits())
    trained = PASSES["train_quantized"].function(graph, ctx, labels=labels)
    assert (trained.digest != graph.digest) == taken
    assert ("none of 1 epochs was better" in ctx.lines[-1].detail) != taken


def test_without_a_teacher_it_learns_from_its_own_weights_before_rounding():
    trained = PASSES["train_quantized"].function(narrow(), Context(data=digit_images()[0]), learning_rate=0.01)
    assert trained.digest != narrow().digest


def test_layers_of_very_different_size_learn_alike():
    """The first layer takes pixels up to 255, so that its weights are small: steps of one size for all would ruin it."""
    data, test = digit_images()
    graph = trained_digits()
    name = graph.nodes[0].inputs[1]
    graph = rebuild(graph, constants={name: Constant(np.asarray(graph.array(name) / np.float32(255), np.float32))})
    data, test = (Data((part.inputs[0] * np.float32(255),), part.labels) for part in (data, test))
    small = PASSES["quantize_static"].function(graph, Context(data=data), weight_bits=2, weight_ranges="mse")
    trained = PASSES["train_quantized"].function(small, Context(data=data, teacher=graph), epochs=4, learning_rate=0.03)
    before, after = ((on_device(found, test).argmax(1) == test.labels).mean() for found in (small, trained))
    assert after > before + 0.05


def test_what_it_refuses_and_leaves_alone():
    data = digit_images()[0]
    with pytest.raises(RecipeError, match="got labels -1"):
        PASSES["train_quantized"].function(narrow(), Context(data=data), labels=-1.0)
    dynamic = PASSES["quantize_dynamic"].function(trained_digits(), Context())
    ctx = Context(data=data)
    assert PASSES["train_quantized"].function(dynamic, ctx) is dynamic and "not quantized" in ctx.lines[-1].detail


RUN = """
import sys
from pathlib import Path
from tests.passes.train.test_train_quantized import long_run
long_run(Path(sys.argv[1]))
"""


def long_run(folder: Path | None) -> Graph:
    """A training of the narrow network that checkpoints every few batches."""
    module = to_module(narrow(), learned_steps="all")
    train(module, digit_images()[0], epochs=4, batch_size=20, learning_rate=0.01, cpu=True, folder=folder, checkpoint_batches=3)
    return from_module(module)


@pytest.mark.slow
def test_a_run_killed_by_the_system_goes_on_to_the_same_weights(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)]), "OMP_NUM_THREADS": "1"}
    killed = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], env=environment, cwd=REPOSITORY)
    last = tmp_path / "last.safetensors"
    deadline = time.monotonic() + 120
    while not last.exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL and last.exists()
    assert long_run(tmp_path).digest == long_run(None).digest


def test_interruption_leaves_the_best_weights_and_divergence_names_the_constant():
    data, test = digit_images()
    module = to_module(narrow())

    def interrupt(what: str, step: int, steps: int) -> None:
        if step == 30:
            raise KeyboardInterrupt

    history = train(module, data, validation=test, epochs=3, batch_size=50, learning_rate=0.01, cpu=True, progress=interrupt)
    assert history.stopped == "interrupted" and history.best == 0
    with torch.no_grad():
        module.raw("second.weight")[0] = float("nan")
    with pytest.raises(ModelError, match="'second.weight' is the first that is not finite"):
        train(module, data, epochs=1, cpu=True)
