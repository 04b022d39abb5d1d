"""Networks from ONNX files of both of torch's exporters: they compute what torch computes, at the same cost as by torch.export."""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from benchmarks.networks import MobileNetV2, ResNet8
from edgewright.errors import UnsupportedError
from edgewright.frontends.onnx import load_onnx
from edgewright.frontends.torch import load_torch
from edgewright.ir.graph import Graph
from edgewright.ops.cost import cost
from edgewright.ops.evaluate import evaluate
from edgewright.run.onnxruntime import run_onnxruntime
from tests.frontends.networks import CASES, Case, to_graph_axes, torch_outputs
from tests.zoo import clean_zoo

QUICK = ("squeeze_excite_hard", "shuffle", "flattened", "by_hand")
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
def test_both_roads_cost_the_same(name: str) -> None:
    """After clean-up: multiply-accumulates, parameters, and the operators themselves."""
    case = CASES[name]
    graphs = [clean_zoo(load_torch(case.network(), case.inputs())), clean_zoo(load_onnx(export_legacy(case, 17)))]
    first, other = (
        (cost(graph).macs, cost(graph).parameters, Counter(node.op.kind for node in graph.nodes), graph.outputs) for graph in graphs
    )
    assert first[:3] == other[:3]


@pytest.mark.slow
@pytest.mark.parametrize("network", [MobileNetV2, ResNet8])
def test_real_networks_are_the_same_by_all_three_roads(network: type[torch.nn.Module]) -> None:
    torch.manual_seed(1)
    case = Case(network, ((1, 3, 64, 64) if network is MobileNetV2 else (1, 3, 32, 32),))
    roads = [load_torch(case.network(), case.inputs()), load_onnx(export_legacy(case, 13)), load_onnx(export_dynamo(case, 18))]
    costs = set()
    for graph in roads:
        graph = clean_zoo(graph)
        assert_same(graph, case, batch=2)
        costs.add((cost(graph).macs, cost(graph).parameters))
    assert len(costs) == 1


def test_a_fixed_batch_of_1_becomes_symbolic_too() -> None:
    graph = load_onnx(export_legacy(CASES["flattened"], 13, dynamic=False))
    assert graph.value(graph.inputs[0]).shape == (None, 22, 18, 1)
    assert_same(graph, CASES["flattened"], batch=3)


def test_names_are_those_of_the_model() -> None:
    graph = load_onnx(export_legacy(CASES["dense_net"], 17))
    assert graph.inputs == ("x0",)
    assert {"c.weight", "c.bias", "bn.running_mean"} <= set(graph.constants)


MIXED = """
<ir_version: 8, opset_import: ["" : 13]>
mixed (float[N, 4, 6] x) => (float[M, 6] y)
<int64[2] shape = {-1, 6}>
{ y = Reshape (x, shape) }
"""


def test_a_network_that_mixes_the_batch_keeps_it_fixed() -> None:
    graph = load_onnx(onnx.parser.parse_model(MIXED))
    assert graph.value(graph.inputs[0]).shape in ((1, 6, 4), (1, 4, 6))
    assert graph.value(graph.outputs[0]).shape == (4, 6)


IDIOMS = """
<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
idioms (float[N, 6, 8, 10] x) => (float[N, 3, 8, 10] a, float[N, 6, 4, 5] b, float[N, 6, 8, 10] c, float[N, 6, 16, 20] d, float[N, 480] e)
<int64[1] one = {1}, int64[1] two = {2}, int64[1] minus = {-1}, int64 zero = {0}, float[1] half = {0.5}, float[4] scales = {1, 1, 2, 2},
 int64[2] pick = {0, 2}, int64[3] every = {1, 3, 5}, float f0 = {0}, float f6 = {6}, bool yes = {1}>
{
  a = Gather <axis = 1> (x, every)
  b = AveragePool <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_LOWER"> (x)
  low = Max (x, f0)
  capped = Min (low, f6)
  c = If (yes) <then_branch = then () => (float[N, 6, 8, 10] t) { t = Mul (capped, half) },
                else_branch = other () => (float[N, 6, 8, 10] u) { u = Relu (capped) }>
  d = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, , scales)
  shape = Shape (x)
  batch = Gather (shape, zero)
  batch1 = Unsqueeze (batch, minus0)
  target = Concat <axis = 0> (batch1, minus)
  e = Reshape (x, target)
}
"""


def test_idioms_compute_what_onnx_runtime_computes() -> None:
    """Gather as a slice, auto_pad, Max and Min as clamps, a branch that is known, a shape computed at run time."""
    model = onnx.parser.parse_model(IDIOMS)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray([0], np.int64), "minus0"))
    graph = load_onnx(model.SerializeToString())
    x = np.random.default_rng(0).normal(size=(3, 6, 8, 10)).astype(np.float32)
    expected = run_onnxruntime({"idioms.onnx": model.SerializeToString()}, [x]).outputs
    shapes = [graph.value(name).shape for name in graph.outputs]
    for ours, theirs in zip(evaluate(graph, [x.transpose(0, 2, 3, 1)]), to_graph_axes(expected, shapes), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


UNSUPPORTED = """
<ir_version: 8, opset_import: ["" : 17]>
wanting (float[N, 6, 8, 10] x) => (float[N, 6, 8, 10] y)
<float[10] scale, float[10] bias, int64[1] axis = {-1}, float[6, 6, 3, 3] kernel>
{
  normal = LayerNormalization <axis = 0> (x, scale, bias)
  soft = Hardmax (normal)
  wide = MaxPool <kernel_shape = [2, 2], dilations = [2, 2]> (x)
  ordered = CumSum (x, axis)
  y = Add (soft, ordered)
}
"""


def test_the_audit_lists_everything_at_once() -> None:
    model = onnx.parser.parse_model(UNSUPPORTED)
    for name, shape in (("scale", (10,)), ("bias", (10,)), ("kernel", (6, 6, 3, 3))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    with pytest.raises(UnsupportedError) as caught:
        load_onnx(model)
    for word in ("LayerNormalization", "Hardmax", "MaxPool", "pooling with dilation", "CumSum", "4 things"):
        assert word in str(caught.value)
