"""Tables of values in .tflite: TensorFlow Lite Micro unpacks them to the same bytes, our reader to the same weights and codebooks."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.emit.tflite import emit_tflite
from edgewright.emit.tflite_tables import KEY, MOST_VALUES, table_of
from edgewright.errors import RecipeError, ToolError
from edgewright.frontends.tflite import load_tflite
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.dense import Dense
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from edgewright.ops.evaluate import evaluate
from edgewright.ops.mean import Mean
from edgewright.passes import find_pass
from edgewright.passes.registry import Context
from edgewright.pipeline import emit, run_recipe
from edgewright.recipe import RECIPES
from edgewright.run.litert import run_litert
from edgewright.run.tflm import run_tflm
from edgewright.steps import integer_graph
from edgewright.targets.target import load_target
from tests.zoo import ZOO, integer_inputs, zoo_inputs

BOARD = load_target("cortex-m4")


def clustered(graph: Graph, recipe: str = "w8a8", clusters: int = 8) -> Graph:
    ctx = Context(data=Data(tuple(np.asarray(array, np.float32) for array in zoo_inputs(graph, 32))), target=BOARD)
    graph = find_pass("cluster_weights").function(graph, ctx, clusters=clusters)
    graph = run_recipe(graph, RECIPES[recipe], ctx)
    return graph if recipe == "clean" else integer_graph(graph, BOARD, ctx)


def wide() -> Graph:
    """A convolution, a depthwise one whose channels lie last in the file, and a dense layer, each large enough for a table."""
    rng = np.random.default_rng(3)
    b = GraphBuilder("wide")
    x = b.input("x", (None, 8, 8, 12))

    def weight(name: str, *shape: int) -> str:
        return b.constant(name, rng.normal(size=shape).astype(np.float32))

    x = b.node(Conv2D(activation="relu"), [x, weight("conv", 24, 3, 3, 12), weight("b0", 24)])
    x = b.node(DepthwiseConv2D(), [x, weight("depthwise", 24, 5, 5, 1), weight("b1", 24)])
    x = b.node(Mean((1, 2)), [x])
    return b.finish([b.node(Dense(), [x, weight("dense", 40, 24), weight("b2", 40)])])


def file_of(files: dict[str, bytes]) -> bytes:
    return next(iter(files.values()))


@pytest.mark.parametrize("form", ["tables", "decode"])
@pytest.mark.parametrize(("recipe", "most"), [("w8a8", 0.87), ("w8a16", 0.85), ("clean", 0.62)])
def test_micro_runs_tables_to_the_same_bytes(recipe: str, most: float, form: str, needs_tflite_micro: None) -> None:
    source = wide()
    graph = clustered(source, recipe)
    plain, packed = emit_tflite(graph), emit_tflite(graph, weights=form)
    assert len(file_of(packed)) < most * len(file_of(plain))
    key = KEY.encode() if form == "tables" else b"TFLM_DECODE"
    assert key in file_of(packed) and key not in file_of(plain)
    inputs = zoo_inputs(source, 4) if recipe == "clean" else integer_inputs(source, graph, 4)
    got = run_tflm(packed, inputs).outputs
    for own, theirs in zip(evaluate(graph, inputs), got, strict=True):
        if recipe == "clean":
            np.testing.assert_allclose(own, theirs, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(own, theirs)


@pytest.mark.parametrize("name", ["residual_batch_norm", "dense_autoencoder", "conv_same_relu", "inverted_bottleneck"])
@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "binary-a8", "clean"])
@pytest.mark.parametrize("form", ["tables", "decode"])
def test_reading_gives_the_same_weights(name: str, form: str, recipe: str) -> None:
    graph = clustered(ZOO[name](), recipe)
    plain, packed = load_tflite(file_of(emit_tflite(graph))), load_tflite(file_of(emit_tflite(graph, weights=form)))
    assert len(plain.nodes) == len(packed.nodes)
    for ours, theirs in zip(plain.nodes, packed.nodes, strict=True):
        for one, other in zip(ours.inputs, theirs.inputs, strict=True):
            if one in plain.constants:
                np.testing.assert_array_equal(plain.array(one), packed.array(other))
                assert plain.value(one).quant == packed.value(other).quant or plain.value(one).dtype.bits < 8


@pytest.mark.parametrize("form", ["tables", "decode"])
def test_a_codebook_comes_back(form: str) -> None:
    graph = clustered(wide(), "clean")
    back = load_tflite(file_of(emit_tflite(graph, weights=form)))
    weight = back.constants[next(node for node in back.nodes if node.op.kind == "Dense").inputs[1]]
    assert weight.structure is not None and weight.structure.codebook is not None
    np.testing.assert_array_equal(weight.structure.codebook, np.unique(weight.array))


def test_a_file_that_would_not_shrink_stays_plain() -> None:
    graph = clustered(ZOO["conv_same_relu"](), "w4a8")
    assert emit_tflite(graph, weights="tables") == emit_tflite(graph)


@pytest.mark.parametrize("form", ["tables", "decode"])
def test_litert_refuses_tables(form: str) -> None:
    graph = clustered(wide())
    with pytest.raises(ToolError, match="LiteRT does not run this network"):
        run_litert(emit_tflite(graph, weights=form), integer_inputs(wide(), graph, 1))


def test_indices_by_hand() -> None:
    """The example of the format's documentation: per tensor and per channel."""
    array = np.asarray([2, 4, 4, 10, 1, 7, 99, 10, 2, 4], np.int16)
    table = table_of(array, None)
    assert table is not None and table.bits == 3 and table.values.tolist() == [[1, 2, 4, 7, 10, 99]]
    bits = "".join(f"{byte:08b}" for byte in table.indices)
    assert [int(bits[3 * place : 3 * place + 3], 2) for place in range(10)] == [1, 2, 2, 4, 0, 3, 5, 4, 1, 2] and bits[30:] == "00"
    rows = table_of(array.reshape(2, 5), 0)
    assert rows is not None and rows.bits == 3 and rows.values.tolist() == [[1, 2, 4, 10, 0], [2, 4, 7, 10, 99]]
    columns = table_of(array.reshape(5, 2), 1)
    assert columns is not None and columns.bits == 2 and columns.values.tolist() == [[1, 2, 4, 99], [4, 7, 10, 0]]
    assert columns.indices == bytes([0b01001010, 0b00011110, 0b01000000])


def test_narrow_weights_become_bytes_where_a_table_is_smaller(needs_tflite_micro: None) -> None:
    source = ZOO["residual_batch_norm"]()
    graph = clustered(source, "binary-a8")
    plain, packed = emit_tflite(graph), emit_tflite(graph, weights="tables")
    assert len(file_of(packed)) < 0.95 * len(file_of(plain))
    inputs = integer_inputs(source, graph, 4)
    np.testing.assert_array_equal(run_tflm(packed, inputs).outputs[0], evaluate(graph, inputs)[0])


def test_too_many_values_make_no_table() -> None:
    assert table_of(np.arange(MOST_VALUES + 1, dtype=np.int16), None) is None
    full = table_of(np.arange(MOST_VALUES, dtype=np.int16), None)
    assert full is not None and full.bits == 7


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(RecipeError, match="unknown storage 'zip' of weights in .tflite") as found:
        emit(wide(), ["tflite"], tflite_weights="zip")
    assert found.value.hint == "one of plain, tables, decode, sparse"
