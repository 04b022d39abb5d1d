"""Weights without their zeros in .tflite: LiteRT gives the same outputs, our reader the same weights and their masks."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.errors import ToolError
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops.dense import Dense
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from edgewright.pipeline import run_recipe
from edgewright.recipe import RECIPES
from edgewright.run.litert import KERNELS, run_litert
from edgewright.run.tflm import run_tflm
from edgewright.steps import integer_graph
from edgewright.targets.target import load_target
from tests.zoo import ZOO, zoo_inputs

NAMES = ("residual_batch_norm", "dense_autoencoder", "conv_same_relu", "inverted_bottleneck")


def pruned(graph: Graph, sparsity: float) -> Graph:
    ctx = Context(data=Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 8))), target=load_target("host"))
    return find_pass("prune_weights").function(run_recipe(graph, RECIPES["clean"], ctx), ctx, sparsity=sparsity)


def file_of(files: dict[str, bytes]) -> bytes:
    return next(iter(files.values()))


def operators(data: bytes) -> list[int]:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    return [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize("kernels", sorted(KERNELS))
@pytest.mark.parametrize("sparsity", [0.8, 0.95])
@pytest.mark.parametrize("name", NAMES)
def test_litert_gives_the_same_outputs(name: str, sparsity: float, kernels: str) -> None:
    graph = pruned(ZOO[name](), sparsity)
    plain, packed = emit_tflite(graph), emit_tflite(graph, weights="sparse")
    if name != "inverted_bottleneck":
        assert len(file_of(packed)) < 0.9 * len(file_of(plain))
    inputs = zoo_inputs(graph, 4)
    for dense, sparse in zip(run_litert(plain, inputs, kernels=kernels).outputs, run_litert(packed, inputs, kernels=kernels).outputs,
                             strict=True):
        np.testing.assert_allclose(sparse, dense, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_reading_gives_weights_and_masks(name: str) -> None:
    graph = pruned(ZOO[name](), 0.9)
    plain, packed = load_tflite(file_of(emit_tflite(graph))), load_tflite(file_of(emit_tflite(graph, weights="sparse")))
    assert [node.op for node in plain.nodes] == [node.op for node in packed.nodes]
    masks = 0
    for ours, theirs in zip(plain.nodes, packed.nodes, strict=True):
        for one, other in zip(ours.inputs, theirs.inputs, strict=True):
            if one not in plain.constants:
                continue
            np.testing.assert_array_equal(plain.array(one), packed.array(other))
            structure = packed.constants[other].structure
            if structure is not None:
                np.testing.assert_array_equal(structure.mask, plain.array(one) != 0)
                masks += 1
    assert masks


def dense(sparsity: float, rank: int = 2) -> Graph:
    rng = np.random.default_rng(0)
    b = GraphBuilder("dense")
    weight = rng.normal(size=(90, 300)).astype(np.float32)
    weight[rng.random(weight.shape) < sparsity] = 0
    x = b.input("x", (None, 300) if rank == 2 else (None, 5, 300))
    constants = [b.constant("weight", weight), b.constant("bias", rng.normal(size=90).astype(np.float32))]
    return b.finish([b.node(Dense(activation="relu"), [x, *constants])])


@pytest.mark.parametrize(("sparsity", "rank", "unpacked"), [(0.8, 2, True), (0.95, 2, False), (0.95, 3, False)])
def test_dense_layers_skip_zeros_where_that_is_faster(sparsity: float, rank: int, unpacked: bool) -> None:
    graph = dense(sparsity, rank)
    packed = emit_tflite(graph, weights="sparse")
    assert (schema.BuiltinOperator.DENSIFY in operators(file_of(packed))) == unpacked
    inputs = zoo_inputs(graph, 3)
    for kernels in KERNELS:
        want, got = run_litert(emit_tflite(graph), inputs, kernels=kernels), run_litert(packed, inputs, kernels=kernels)
        np.testing.assert_allclose(got.outputs[0], want.outputs[0], rtol=1e-5, atol=1e-5)


def test_a_weight_of_zeros_stays_dense() -> None:
    """A buffer without bytes is no constant."""
    graph = dense(1.0)
    assert emit_tflite(graph, weights="sparse") == emit_tflite(graph)


def test_integer_weights_stay_dense() -> None:
    """LiteRT's default, XNNPACK, refuses a DENSIFY of int8."""
    graph = pruned(ZOO["residual_batch_norm"](), 0.95)
    ctx = Context(data=Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 8))), target=load_target("host"))
    graph = integer_graph(run_recipe(graph, RECIPES["w8a8"], ctx), load_target("host"), ctx)
    assert emit_tflite(graph, weights="sparse") == emit_tflite(graph)


def test_micro_refuses_what_is_unpacked(needs_tflite_micro: None) -> None:
    graph = pruned(ZOO["residual_batch_norm"](), 0.8)
    with pytest.raises(ToolError, match="TensorFlow Lite Micro does not run this network"):
        run_tflm(emit_tflite(graph, weights="sparse"), zoo_inputs(graph, 1))
