"""Networks from torch: what comes in computes what torch computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewright.errors import EdgewrightError, ModelError, UnsupportedError
from edgewright.frontends.torch import load_torch
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import evaluate
from tests.frontends.networks import CASES, Case, to_graph_axes, torch_outputs


def outputs_of(graph: Graph, inputs: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    return evaluate(graph, to_graph_axes(inputs, [graph.value(name).shape for name in graph.inputs]))


def assert_same(graph: Graph, case: Case, batch: int) -> None:
    inputs = case.inputs(batch)
    expected = to_graph_axes(torch_outputs(case.network(), inputs), [graph.value(name).shape for name in graph.outputs])
    for ours, theirs in zip(outputs_of(graph, inputs), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_networks_compute_the_same(name: str) -> None:
    case = CASES[name]
    graph = load_torch(case.network(), case.inputs())
    assert all(graph.value(value).shape[0] is None for value in (*graph.inputs, *graph.outputs))
    assert_same(graph, case, batch=3)


def test_names_are_those_of_the_model() -> None:
    case = CASES["inverted_residual"]
    graph = load_torch(case.network(), case.inputs())
    assert graph.name == "InvertedResidual" and graph.inputs == ("x",)
    assert {"stem.0.weight", "conv.2.bias", "classifier.1.weight", "stem.1.running_var"} <= set(graph.constants)
    assert {"stem.0", "conv.3", "add", "classifier.1"} <= {node.name for node in graph}


def test_the_modes_of_the_module_stay() -> None:
    network = CASES["in_place"].network()
    network.train()
    network.conv1.eval()  # type: ignore[union-attr, operator]
    load_torch(network, CASES["in_place"].inputs())
    assert network.training and not network.conv1.training  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["shuffle", "flattened", "keras"])
def test_exported_programs_with_a_dynamic_batch(name: str) -> None:
    case = CASES[name]
    exported = torch.export.export(case.network(), case.inputs(4), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert_same(load_torch(exported), case, batch=3)


def test_weights_are_permuted_where_an_image_is_flattened() -> None:
    graph = load_torch(CASES["flattened"].network(), CASES["flattened"].inputs())
    assert not [node.name for node in graph if node.op.kind == "Transpose"]


class Wanting(nn.Module):
    """Three things that are not supported, and one in an operator that is."""

    def __init__(self) -> None:
        super().__init__()
        self.log, self.soft = nn.LogSigmoid(), nn.Softshrink()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.soft(self.log(x))
        x = F.max_pool2d(x, 2, dilation=2, padding=1)
        return torch.cumsum(x, 1) * torch.sort(x, 1)[0]


def test_the_audit_lists_everything_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        load_torch(Wanting(), torch.zeros(1, 3, 8, 6))
    for word in ("aten.log_sigmoid", "'log'", "aten.softshrink", "aten.cumsum", "aten.sort", "Wanting"):
        assert word in str(caught.value)


class Mixing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, 6) * torch.arange(8.0).reshape(8, 1)


def test_a_network_that_mixes_the_batch_keeps_it_fixed() -> None:
    graph = load_torch(Mixing(), torch.zeros(2, 4, 6))
    assert graph.value(graph.inputs[0]).shape[0] == 2
    x = torch.randn(2, 4, 6)
    shape = graph.value(graph.inputs[0]).shape
    held = x if tuple(shape) == (2, 4, 6) else x.permute(0, 2, 1)
    np.testing.assert_allclose(evaluate(graph, [held.contiguous().numpy()])[0], Mixing()(x).numpy(), rtol=1e-5)


class ThroughAView(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        part = y[:, :1]
        part.add_(1.0)
        return y


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(1, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept.copy_(x)
        return x + self.kept


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Indices(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(x, 2, return_indices=True)[1].float()


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (ThroughAView(), (1, 3, 4), "in place"),
        (Stateful(), (1, 4), "copy"),
        (Branching(), (1, 4), "cannot trace"),
        (Indices(), (1, 3, 4, 4), "indices or another result"),
        (nn.BatchNorm2d(3).train(), (2, 3, 4, 4), ""),
    ],
)
def test_what_cannot_be_right_is_refused(network: nn.Module, shape: tuple[int, ...], message: str) -> None:
    if isinstance(network, nn.BatchNorm2d):
        exported = torch.export.export(network, (torch.randn(shape),))
        with pytest.raises(UnsupportedError, match="training mode"):
            load_torch(exported)
        return
    with pytest.raises(EdgewrightError, match=message) as caught:
        load_torch(network, torch.zeros(shape))
    assert caught.value.hint


def test_sources_that_are_none() -> None:
    with pytest.raises(ModelError, match="example inputs"):
        load_torch(nn.Linear(3, 2))
    with pytest.raises(ModelError, match="got ScriptModule|got RecursiveScriptModule|must be"):
        load_torch(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), torch.zeros(1, 3))
    with pytest.raises(ModelError, match="int"):
        load_torch(3)  # type: ignore[arg-type]
