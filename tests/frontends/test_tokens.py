"""Networks that read tokens: integers choose rows of a table, masks come as integers, in the forms that exporters write."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper
from torch import Tensor, nn

from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.tflite import load_tflite
from edgewright.frontends.torch import load_torch
from edgewright.ops.evaluate import evaluate
from tests.frontends.tflite_files import File

LENGTH, WIDTH = 6, 8


class Encoder(nn.Module):
    """As sentence encoders are written: an integer mask, made large and negative for attention, expanded to weigh the mean."""

    def __init__(self, least: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.tokens, self.kinds, self.places = nn.Embedding(20, WIDTH), nn.Embedding(2, WIDTH), nn.Embedding(10, WIDTH)
        self.joined, self.least = nn.Linear(WIDTH, WIDTH), least

    def forward(self, ids: Tensor, kinds: Tensor, mask: Tensor) -> Tensor:
        x = self.tokens(ids) + self.kinds(kinds) + self.places(torch.arange(ids.shape[1]).unsqueeze(0))
        far = (1.0 - mask[:, None, None, :].to(torch.float32)) * self.least
        heads = x.reshape(x.shape[0], LENGTH, 2, WIDTH // 2).transpose(1, 2)
        scores = heads @ heads.transpose(2, 3) / 2.0 + far
        x = x + self.joined((scores.softmax(-1) @ heads).transpose(1, 2).reshape(x.shape[0], LENGTH, WIDTH))
        there = mask.unsqueeze(-1).expand(x.size()).float()
        mean = (x * there).sum(1) / torch.clamp(there.sum(1), min=1e-9)
        return F.normalize(mean, p=2.0, dim=1)


def sample(count: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    ids, kinds = (torch.randint(0, most, (count, LENGTH), generator=rng) for most in (20, 2))
    lengths = torch.randint(1, LENGTH + 1, (count, 1), generator=rng)
    return ids, kinds, (torch.arange(LENGTH)[None] < lengths).to(torch.int64)


def exported(network: nn.Module) -> bytes:
    file, names = io.BytesIO(), ["ids", "kinds", "mask"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {name: {0: "batch"} for name in names}
        torch.onnx.export(network, sample(2), file, dynamo=False, opset_version=17, input_names=names, dynamic_axes=axes)
    return file.getvalue()


@pytest.mark.parametrize("road", ["torch", "onnx"])
@pytest.mark.parametrize("least", [-10000.0, float(torch.finfo(torch.float32).min)])
def test_sentence_encoders_compute_the_same(road: str, least: float) -> None:
    network = Encoder(least).eval()
    graph = load_torch(network, sample(2)) if road == "torch" else load_onnx(exported(network))
    assert [graph.value(name).shape for name in graph.inputs] == [(None, LENGTH)] * 3
    inputs = sample(9)
    got = evaluate(graph, [tensor.numpy() for tensor in inputs])[0]
    np.testing.assert_allclose(got, network(*inputs).detach().numpy(), rtol=1e-5, atol=1e-6)
    # What is repeated along axes of size 1 is not made: what it is multiplied by repeats it.
    assert not any("ones" in name for name in graph.constants)


def fill(mask: Tensor, scores: Tensor) -> Tensor:
    return scores.masked_fill(mask[:, None, :] == 0, float("-inf"))


def where(mask: Tensor, scores: Tensor) -> Tensor:
    return torch.where(mask[:, None, :].bool(), scores, torch.tensor(torch.finfo(torch.float32).min))


def additive(mask: Tensor, scores: Tensor) -> Tensor:
    wide = mask[:, None, :].expand(-1, LENGTH, -1).to(torch.bool)
    return scores + torch.where(~wide, float("-inf"), 0.0)


def finite(mask: Tensor, scores: Tensor) -> Tensor:
    return scores.masked_fill(mask[:, None, :] != 1, -3.5)


@pytest.mark.parametrize("road", ["torch", "onnx"])
@pytest.mark.parametrize("form", [fill, where, additive, finite])
def test_forms_of_masks(road: str, form: Callable[[Tensor, Tensor], Tensor]) -> None:
    class Masked(nn.Module):
        def forward(self, mask: Tensor, scores: Tensor) -> Tensor:
            return form(mask, scores).softmax(-1)

    mask = sample(9)[2]
    inputs = (mask, torch.randn(9, LENGTH, LENGTH, generator=torch.Generator().manual_seed(1)))
    if road == "torch":
        graph = load_torch(Masked(), tuple(x[:2] for x in inputs))
    else:
        file, names = io.BytesIO(), ["mask", "scores"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            axes = {name: {0: "batch"} for name in names}
            given = tuple(x[:2] for x in inputs)
            torch.onnx.export(Masked(), given, file, dynamo=False, opset_version=17, input_names=names, dynamic_axes=axes)
        graph = load_onnx(file.getvalue())
    got = evaluate(graph, [x.numpy() for x in inputs])[0]
    np.testing.assert_allclose(got, Masked()(*inputs).numpy(), rtol=1e-5, atol=1e-6)


def test_activations_are_no_masks() -> None:
    class Chosen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.masked_fill(x == 0, 1.0)

    with pytest.raises(UnsupportedError, match="it compares activations"):
        load_torch(Chosen(), (torch.ones(2, 3),))


def network(node: onnx.NodeProto, dtype: int = TensorProto.INT64, out: int = TensorProto.FLOAT) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", dtype, ["n", 3])]
    outputs = [helper.make_tensor_value_info("y", out, None)]
    table = helper.make_tensor("table", TensorProto.FLOAT, [4, 2], np.arange(8.0).tolist())
    return helper.make_model(helper.make_graph([node], "tokens", inputs, outputs, [table]), opset_imports=[helper.make_opsetid("", 17)])


def test_a_look_up_of_rows_and_what_is_none() -> None:
    graph = load_onnx(network(helper.make_node("Gather", ["table", "x"], ["y"])))
    rows = np.array([[0, 3, 1]])
    assert evaluate(graph, [rows])[0].tolist() == np.arange(8.0).reshape(4, 2)[rows].tolist()
    with pytest.raises(UnsupportedError, match="columns of a constant"):
        load_onnx(network(helper.make_node("Gather", ["table", "x"], ["y"], axis=1)))
    with pytest.raises(UnsupportedError, match="integers that the network computes with"):
        load_onnx(network(helper.make_node("Add", ["x", "x"], ["y"]), out=TensorProto.INT64))


@pytest.mark.parametrize("kind", ["GATHER", "EMBEDDING_LOOKUP"])
def test_both_look_ups_of_tflite(kind: str) -> None:
    file = File()
    table, tokens, out = file.tensor([4, 2], data=np.arange(8.0)), file.tensor([3], "INT32", name="tokens"), file.tensor([3, 2])
    inputs, options = ([table, tokens], schema.GatherOptionsT) if kind == "GATHER" else ([tokens, table], None)
    file.operator(kind, inputs, [out], options)
    graph = load_tflite(file.build([tokens], [out]))
    assert graph.indices == {"tokens"}
    assert evaluate(graph, [np.array([2, 0, 1])])[0].tolist() == [[4.0, 5.0], [0.0, 1.0], [2.0, 3.0]]
