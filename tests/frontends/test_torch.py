"""Networks from torch: what comes in computes what torch computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

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
