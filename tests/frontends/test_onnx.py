"""Networks from ONNX files of both of torch's exporters: they compute what torch computes, at the same cost as by torch.export."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import pytest
import torch

from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.torch import load_torch
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from tests.frontends.networks import CASES, Case, to_graph_axes, torch_outputs

QUICK = ("squeeze_excite_hard", "shuffle", "flattened", "conv_next", "by_hand", "decode")
"""Cases for torch's newer exporter, which takes a second for each; the others are slow tests."""


def export_legacy(case: Case, opset: int, *, dynamic: bool = True) -> bytes:
    names = [f"x{index}" for index in range(len(case.shapes))]
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            case.network(),
            case.inputs(),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names} if dynamic else None,
        )
    return file.getvalue()


def export_dynamo(case: Case, opset: int) -> bytes:
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(case.network(), case.inputs(), dynamo=True, opset_version=opset, verbose=False)
    finally:
        logging.disable(logging.NOTSET)
    assert program is not None
    return program.model_proto.SerializeToString()


def assert_same(graph: Graph, case: Case, batch: int) -> None:
    inputs = case.inputs(batch)
    expected = to_graph_axes(torch_outputs(case.network(), inputs), [graph.value(name).shape for name in graph.outputs])
    found = evaluate(graph, to_graph_axes(inputs, [graph.value(name).shape for name in graph.inputs]))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("opset", [13, 17])
def test_legacy_exports_compute_the_same(name: str, opset: int) -> None:
    case = CASES[name]
    if opset < case.opset:
        pytest.skip(f"the exporter needs opset {case.opset}")
    graph = load_onnx(export_legacy(case, opset))
    assert all(graph.value(value).shape[0] is None for value in (*graph.inputs, *graph.outputs))
    assert_same(graph, case, batch=3)


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES])
def test_dynamo_exports_compute_the_same(name: str) -> None:
    case = CASES[name]
    graph = load_onnx(export_dynamo(case, 18))
    assert_same(graph, case, batch=2)


@pytest.mark.parametrize("name", CASES)
def test_all_roads_cost_the_same(name: str) -> None:
    case = CASES[name]
    costs = {cost(load_torch(case.network(), case.inputs())).macs, cost(load_onnx(export_legacy(case, 17))).macs}
    assert len(costs) == 1
