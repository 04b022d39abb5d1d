"""Training learns, resumes to the same bits after a kill at any batch, and says what went wrong."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch

from edgewright.data import Data
from edgewright.errors import DataError, ModelError, RecipeError
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Constant, Graph
from edgewright.ops import BatchNorm, Dense, Relu, Softmax
from edgewright.train.loop import train
from edgewright.train.module import from_module, to_module
from tests.conftest import need_module


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    for module in ("accelerate", "torchmetrics", "safetensors"):
        need_module(module, "pip install 'edgewright[train]'")


def network() -> Graph:
    rng = np.random.default_rng(0)
    b = GraphBuilder("digits")
    x = b.input("x", (None, 64))
    x = b.node(Dense(), [x, b.constant("hidden.weight", (rng.normal(size=(32, 64)) / 8).astype(np.float32))], name="hidden")
    norms = [b.constant(f"norm.{name}", np.full(32, value, np.float32))
             for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1))]
    x = b.node(Relu(), [b.node(BatchNorm(), [x, *norms], name="norm")])
    x = b.node(Dense(), [x, b.constant("head.weight", (rng.normal(size=(10, 32)) / 6).astype(np.float32))], name="head")
    return b.finish([b.node(Softmax(), [x])])


def digits() -> tuple[Data, Data]:
    need_module("sklearn", "pip install scikit-learn")
    from sklearn.datasets import load_digits

    found = load_digits()
    data = Data(((found.data / 16).astype(np.float32),), found.target.astype(np.int64))
    return data.take(slice(0, 1200)), data.take(slice(1200, None))


def noise(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(x + 0.01 * torch.randn_like(x) for x in inputs)


OPTIONS = {"epochs": 3, "batch_size": 100, "learning_rate": 0.01, "augment": noise, "seed": 3, "cpu": True}


def test_training_learns_and_ends_with_the_best_epoch():
    samples, test = digits()
    module = to_module(network())
    seen: list[tuple[str, int, int]] = []
    history = train(module, samples, validation=test, progress=lambda *line: seen.append(line), **OPTIONS)
    assert history.stopped == "finished" and len(history.epochs) == 3
    losses = [row["validation loss"] for row in history.epochs]
    assert history.best == int(np.argmin(losses)) and history.epochs[history.best]["accuracy"] > 0.85
    assert seen[-1][1:] == (36, 36) and seen[-1][0].endswith("0 s left")
    again = to_module(network())
    train(again, samples, validation=test, **OPTIONS)
    assert from_module(again).digest == from_module(module).digest


class Count:
    """A metric that is lower in every epoch, but as high in the second as in the first; in the last it is no number."""

    def __init__(self) -> None:
        self.asked = -1

    def to(self, device: torch.device) -> Count:
        return self

    def reset(self) -> None:
        self.asked += 1

    def update(self, output: torch.Tensor, target: torch.Tensor) -> None:
        assert len(output) == len(target)

    def compute(self) -> float:
        return (9.0, 5.0, 5.0, 4.0, float("nan"))[self.asked]


def test_a_metric_chooses_the_epoch_and_the_loss_among_equals(tmp_path):
    samples, test = digits()
    options = OPTIONS | {"epochs": 4, "validation": test, "folder": tmp_path}
    history = train(to_module(network()), samples, choose_by="count", metrics={"count": Count()}, **options)
    losses = [row["validation loss"] for row in history.epochs]
    assert losses[1] < losses[0] and min(losses) < losses[1], "otherwise this test says nothing"
    assert history.best == 1 and history.start["count"] == 9.0
    with pytest.raises(RecipeError, match="other options"):
        train(to_module(network()), samples, choose_by="accuracy", **options)


class Killed(BaseException):
    """What a kill leaves behind is what is on disk; nothing is caught."""


@pytest.mark.parametrize(("optimizer", "kill_at"), [
    ("adamw", 13), ("muon", 13), *(pytest.param(*case, marks=pytest.mark.slow) for case in (("adamw", 1), ("sgd", 12), ("sgd", 31)))
])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, optimizer, kill_at):
    samples, test = digits()
    whole = to_module(network())
    straight = train(whole, samples, validation=test, optimizer=optimizer, **OPTIONS)

    options = {**OPTIONS, "validation": test, "optimizer": optimizer, "folder": tmp_path, "checkpoint_batches": 5}

    def kill(what: str, step: int, steps: int) -> None:
        if step == kill_at:
            raise Killed

    with pytest.raises(Killed):
        train(to_module(network()), samples, progress=kill, **options)
    resumed = to_module(network())
    history = train(resumed, samples, **options)
    assert history == straight
    assert from_module(resumed).digest == from_module(whole).digest
    assert not list(tmp_path.glob(".*"))


def test_interruption_leaves_the_best_weights(tmp_path):
    samples, test = digits()
    module = to_module(network())

    def interrupt(what: str, step: int, steps: int) -> None:
        if step == 20:
            raise KeyboardInterrupt

    history = train(module, samples, validation=test, folder=tmp_path, progress=interrupt, **OPTIONS)
    assert history.stopped == "interrupted" and history.best == 0 and (tmp_path / "best.safetensors").exists()
    other = to_module(network())
    train(other, samples, validation=test, folder=tmp_path, **OPTIONS)
    whole = to_module(network())
    train(whole, samples, validation=test, **OPTIONS)
    assert from_module(other).digest == from_module(whole).digest


def test_patience_ends_a_run_that_gets_no_better():
    samples, test = digits()
    options = {"epochs": 20, "cpu": True, "loss": lambda output, target: output.sum() * 0 + 1.0}
    history = train(to_module(network()), samples, validation=test, patience=1, **options)
    assert history.stopped == "patience" and len(history.epochs) == 2 and history.best == 0


def test_a_loss_that_is_not_finite_names_the_layer():
    samples, _ = digits()
    graph = rebuild(network(), constants={"norm.weight": Constant(np.full(32, 3e38, np.float32))})
    with pytest.raises(ModelError, match="the loss is nan in epoch 1, batch 1: 'head' is the first that is not finite|'norm' is the first"):
        train(to_module(graph), samples, epochs=1, cpu=True)


def test_batches_and_reconstruction():
    samples, _ = digits()
    batches = [(samples.inputs[0][i : i + 50], samples.labels[i : i + 50]) for i in range(0, 200, 50)]
    module = to_module(network())
    assert train(module, batches, epochs=2, cpu=True, precision="bf16").epochs[1]["loss"] < 2.3
    b = GraphBuilder("autoencoder")
    x = b.input("x", (None, 64))
    graph = b.finish([b.node(Dense(), [x, b.constant("w", np.zeros((64, 64), np.float32))])])
    rows = train(to_module(graph), Data(samples.inputs), loss="mse", epochs=3, learning_rate=0.01, cpu=True).epochs
    assert rows[2]["loss"] < rows[0]["loss"]


def test_refusals(tmp_path):
    with pytest.raises(RecipeError, match=r"no metric 'recall' to choose by.*\n?.*loss, accuracy"):
        train(to_module(network()), digits()[0], validation=digits()[1], choose_by="recall", **OPTIONS)
    samples, _ = digits()
    with pytest.raises(RecipeError, match="unknown loss 'hinge'"):
        train(to_module(network()), samples, loss="hinge")
    with pytest.raises(RecipeError, match="epochs is 0"):
        train(to_module(network()), samples, epochs=0)
    with pytest.raises(RecipeError, match="unknown precision 'int8'"):
        train(to_module(network()), samples, precision="int8")
    with pytest.raises(DataError, match="gone through only once"):
        train(to_module(network()), iter([]))
    with pytest.raises(ModelError, match="nothing to train"):
        train(to_module(network(), trainable=[]), samples)
    train(to_module(network()), samples, epochs=1, folder=tmp_path, cpu=True)
    with pytest.raises(RecipeError, match="made with other options"):
        train(to_module(network()), samples, epochs=2, folder=tmp_path, cpu=True)
    for damaged in (b"", b"garbage", struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"{}"):
        (tmp_path / "last.safetensors").write_bytes(damaged)
        with pytest.raises(ModelError, match="cannot read checkpoint"):
            train(to_module(network()), samples, epochs=1, folder=tmp_path, cpu=True)
    header = json.dumps({"__metadata__": {"facts": "[]"}}).encode()
    (tmp_path / "last.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelError, match="its facts are no table"):
        train(to_module(network()), samples, epochs=1, folder=tmp_path, cpu=True)
