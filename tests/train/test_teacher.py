"""Every kind of teacher says the same of the same network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import edgewright
from edgewright.data import Data
from edgewright.emit.onnx import emit_onnx
from edgewright.errors import DataError, ModelError
from edgewright.ir.serial import save_graph
from edgewright.lower.integer import lower_integer
from edgewright.ops.evaluate import evaluate
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from edgewright.targets.target import load_target
from edgewright.train.loop import train
from edgewright.train.module import from_module, to_module
from edgewright.train.teacher import make_teacher
from tests.conftest import need_module
from tests.train.digits import digit_images, digit_network, need_training, trained_digits
from tests.zoo import quantize_zoo


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def probabilities(output: torch.Tensor) -> np.ndarray:
    return torch.softmax(output, -1).numpy()


class Torch(nn.Module):
    """The network in torch, channels first."""

    def __init__(self) -> None:
        super().__init__()
        graph = trained_digits()
        self.first, self.second = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 12, 3, 2, padding=1)
        self.head = nn.Linear(12, 10)
        with torch.no_grad():
            for name, layer in (("first", self.first), ("second", self.second), ("head", self.head)):
                weight = torch.from_numpy(np.array(graph.array(f"{name}.weight")))
                layer.weight.copy_(weight.movedim(-1, 1) if weight.ndim == 4 else weight)
                layer.bias.copy_(torch.from_numpy(np.array(graph.array(f"{name}.bias"))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))


def test_all_teachers_say_the_same():
    graph = trained_digits()
    inputs = digit_images()[1].inputs[0][:40]
    x, rows = (torch.from_numpy(inputs),), torch.arange(40)
    wanted = evaluate(graph, (inputs,))[0]
    own = Torch().train()
    sources = [graph, to_module(graph), own, lambda inputs: evaluate(graph, [inputs[0].numpy()])[0], wanted, torch.from_numpy(wanted)]
    for source in sources:
        np.testing.assert_allclose(probabilities(make_teacher(source)(x, (), rows, False)[""]), wanted, atol=1e-5)
    assert own.training, "a module is left as it was"
    integers = make_teacher(quantize_zoo(graph))(x, (), rows, False)[""]
    assert float(np.abs(probabilities(integers) - wanted).max()) < 0.1


def test_integers_teach_the_same_in_half_precision():
    x, rows = (torch.from_numpy(digit_images()[1].inputs[0][:40]),), torch.arange(40)
    quantized = find_pass("quantize_static").function(trained_digits(), Context(data=digit_images()[0].take(slice(0, 50))))
    for source in (quantized, to_module(quantized), lower_integer(quantized, load_target("cortex-m4"))):
        teacher = make_teacher(source)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            halves = teacher(x, (), rows, False)[""]
        assert torch.equal(halves, teacher(x, (), rows, False)[""])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        floats = make_teacher(trained_digits())(x, (), rows, False)[""]
    assert floats.dtype == torch.bfloat16, "floats are computed as the student computes them: twice as fast"


def test_an_onnx_runtime_session_teaches():
    need_module("onnxruntime", "pip install onnxruntime")
    import onnxruntime

    graph = trained_digits()
    inputs = digit_images()[1].inputs[0][:40]
    session = onnxruntime.InferenceSession(*emit_onnx(graph).values(), providers=["CPUExecutionProvider"])
    found = make_teacher(session)((torch.from_numpy(inputs),), (), None, False)[""]
    np.testing.assert_allclose(probabilities(found), evaluate(graph, (inputs,))[0], atol=1e-5)


def test_the_path_of_a_model_teaches(tmp_path):
    data = digit_images()[0].take(slice(0, 100))
    save_graph(trained_digits(), tmp_path / "teacher.npz")
    options = {"epochs": 1, "batch_size": 50, "cpu": True}
    by_path, by_graph = to_module(digit_network()), to_module(digit_network())
    edgewright.train(by_path, data, teacher=str(tmp_path / "teacher.npz"), **options)
    train(by_graph, data, teacher=trained_digits(), **options)
    assert from_module(by_path).digest == from_module(by_graph).digest
    with pytest.raises(ModelError, match="there is no model at"):
        edgewright.train(by_path, data, teacher=tmp_path / "none.onnx", **options)


def test_values_by_name():
    x = (torch.from_numpy(digit_images()[1].inputs[0][:8]),)
    graph = trained_digits()
    of_graph = make_teacher(graph)(x, ("second", "pool"), None, False)
    of_torch = make_teacher(Torch())(x, ("second",), None, False)
    assert of_graph["pool"].shape == (8, 12)
    torch.testing.assert_close(of_torch["second"].relu(), of_graph["second"])
    with pytest.raises(ModelError, match="no value 'third'"):
        make_teacher(graph)(x, ("third",), None, False)
    with pytest.raises(ModelError, match="no sub-module 'third'"):
        make_teacher(Torch())(x, ("third",), None, False)


def test_stored_outputs_know_their_rows():
    data, test = digit_images()
    data = dataclasses.replace(data, labels=None)
    stored = tuple(evaluate(trained_digits(), part.inputs)[0] for part in (data, test))
    options = {"epochs": 2, "learning_rate": 0.02, "batch_size": 50, "cpu": True}
    by_rows, by_graph = to_module(digit_network()), to_module(digit_network())
    train(by_rows, data, validation=Data(test.inputs), teacher=stored, **options)
    train(by_graph, data, validation=Data(test.inputs), teacher=trained_digits(), **options)
    first, second = (evaluate(from_module(module), test.inputs)[0] for module in (by_rows, by_graph))
    assert float(np.abs(first - second).max()) < 0.01, "rows are shuffled with their samples"
    with pytest.raises(DataError, match="fewer than the samples"):
        train(to_module(digit_network()), data, teacher=stored[1], **options)
    with pytest.raises(DataError, match="nothing of the validation data"):
        train(to_module(digit_network()), data, validation=test, teacher=stored[0], **options)
    with pytest.raises(DataError, match="nothing of batches"):
        train(to_module(digit_network()), [(data.inputs[0][:10], np.zeros(10, np.int64))], teacher=stored[0], **options)


def test_what_cannot_teach():
    with pytest.raises(ModelError, match="a int cannot teach"):
        make_teacher(3)
