"""Weights that .tflite stores as tables or without zeros: what other writers make of them, and what damaged files claim."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgewright.emit.tflite import emit_tflite
from edgewright.emit.tflite_tables import KEY, table_of
from edgewright.errors import ModelError, UnsupportedError
from edgewright.frontends.tflite import load_tflite
from edgewright.frontends.tflite_tables import unpack_table
from edgewright.ir.edit import GraphBuilder
from edgewright.ir.graph import Graph
from edgewright.ops.dense import Dense
from edgewright.run.litert import run_litert
from tests.frontends.tflite_files import File
from tests.zoo import zoo_inputs

Array = np.ndarray[Any, Any]


def level(size: int | None = None, starts: Any = (), places: Any = ()) -> Any:
    metadata = schema.DimensionMetadataT()
    if size is not None:
        metadata.format, metadata.denseSize = schema.DimensionType.DENSE, size
        return metadata
    metadata.format = schema.DimensionType.SPARSE_CSR
    for name, numbers in (("arraySegments", starts), ("arrayIndices", places)):
        vector = schema.Int32VectorT()
        vector.values = np.asarray(numbers, np.int32)
        setattr(metadata, name, vector)
        setattr(metadata, f"{name}Type", schema.SparseIndexVector.Int32Vector)
    return metadata


def sparse_network(shape: list[int], numbers: Array, order: list[int], blocked: list[int], levels: list[Any]) -> bytes:
    """A dense layer whose weight of ``shape`` is stored as given."""
    file = File()
    x = file.tensor([1, shape[1]])
    stored, dense = file.tensor(shape, "FLOAT32", data=np.asarray(numbers, np.float32)), file.tensor(shape)
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder, sparsity.blockMap, sparsity.dimMetadata = np.asarray(order, np.int32), np.asarray(blocked, np.int32), levels
    file.graph.tensors[stored].sparsity = sparsity
    y = file.tensor([1, shape[0]])
    file.operator("DENSIFY", [stored], [dense], schema.DensifyOptionsT)
    file.operator("FULLY_CONNECTED", [x, dense, file.reals(np.zeros(shape[0]))], [y], schema.FullyConnectedOptionsT)
    return file.build([x], [y])


def weight_of(graph: Graph) -> Array:
    return np.asarray(graph.array(next(node for node in graph.nodes if node.op.kind == "Dense").inputs[1]))


BLOCKED = np.zeros((4, 8), np.float32)
BLOCKED[0, 4:8], BLOCKED[2, 0:4], BLOCKED[3, 4:8] = (1, 2, 3, 4), (5, 6, 0, 8), (9, 10, 11, 12)
FILES = {
    "blocks of 1 x 4": (BLOCKED, [0, 1, 2], [1], [level(4), level(starts=[0, 1, 1, 2, 3], places=[1, 0, 1]), level(4)],
                        BLOCKED[[0, 2, 3]].reshape(3, 2, 4)[[0, 1, 2], [1, 0, 1]]),
    "columns first": (BLOCKED, [1, 0], [], [level(8), level(starts=np.concatenate([[0], np.cumsum((BLOCKED != 0).sum(0))]),
                                                            places=np.nonzero(BLOCKED.T)[1])], BLOCKED.T[BLOCKED.T != 0]),
    "both axes sparse": (BLOCKED, [0, 1], [], [level(starts=[0, 3], places=[0, 2, 3]),
                                               level(starts=[0, 4, 7, 11], places=[4, 5, 6, 7, 0, 1, 3, 4, 5, 6, 7])],
                         BLOCKED[BLOCKED != 0]),
    "dense": (BLOCKED, [0, 1], [], [level(4), level(8)], BLOCKED),
}


@pytest.mark.parametrize("name", FILES)
def test_sparse_tensors_are_read_as_litert_reads_them(name: str) -> None:
    want, order, blocked, levels, numbers = FILES[name]
    data = sparse_network([4, 8], numbers, order, blocked, levels)
    graph = load_tflite(data)
    np.testing.assert_array_equal(weight_of(graph), want)
    inputs = zoo_inputs(graph, 3)
    got = run_litert({"net.tflite": data}, inputs).outputs[0]
    np.testing.assert_allclose(got, inputs[0] @ want.T, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("change", "message"), [
    ({"order": [0, 0]}, "order"),
    ({"order": [0, 1, 2]}, "order"),
    ({"levels": [level(4)]}, "order"),
    ({"levels": [level(4), level(starts=[0, 1, 1, 2, 3], places=[9, 0, 1])], "numbers": np.ones(3)}, "outside along axis 1"),
    ({"levels": [level(4), level(starts=[0, 1, 1, 2, 3], places=[-1, 0, 1])], "numbers": np.ones(3)}, "outside along axis 1"),
    ({"levels": [level(4), level(starts=[0, 3, 1, 2, 3], places=[1, 0, 1])], "numbers": np.ones(3)}, "5 starts and 3 places"),
    ({"levels": [level(4), level(starts=[0, 1, 1, 2, 3, 3], places=[1, 0, 1])], "numbers": np.ones(3)}, "6 starts and 3 places"),
    ({"levels": [level(1 << 30), level(8)]}, "more at level 0"),
    ({"levels": [level(-4), level(8)]}, "more at level 0"),
    ({"numbers": np.ones(31)}, "stores 31 numbers and 32 places"),
    ({"blocked": [0, 0], "order": [0, 1, 2, 3], "levels": [level(2), level(8), level(2), level(1)]}, "two blocks along one axis"),
    ({"blocked": [5], "order": [0, 1, 2], "levels": [level(4), level(2), level(4)]}, "blocks along"),
])
def test_sparse_tensors_that_contradict_themselves(change: dict[str, Any], message: str) -> None:
    given = {"numbers": np.ones(32), "order": [0, 1], "blocked": [], "levels": [level(4), level(8)], **change}
    with pytest.raises(ModelError, match=message) as found:
        load_tflite(sparse_network([4, 8], given["numbers"], given["order"], given["blocked"], given["levels"]))
    assert found.value.hint


def test_a_small_file_cannot_ask_for_much_memory() -> None:
    empty = np.zeros(0)
    with pytest.raises(ModelError, match="far more memory than the file is long"):
        load_tflite(sparse_network([1 << 14, 1 << 14], np.ones(1), [0, 1], [], [level(1 << 14), level(starts=empty, places=empty)]))


def test_tables_are_read_by_an_own_decoder() -> None:
    rng = np.random.default_rng(0)
    for axis in (None, 0, 3):
        for bits in range(1, 8):
            array = rng.integers(-(1 << bits) // 2, (1 << bits) // 2, size=(6, 3, 5, 7)).astype(np.int8)
            table = table_of(array, axis)
            assert table is not None and table.bits <= bits
            got = unpack_table(memoryview(table.indices), memoryview(table.values.tobytes()), table.bits, "INT8", array.shape, axis)
            np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(("place", "value", "message"), [
    (0, 2, "by method \\[2\\]"), (1, 9, "unknown version"), (4, 0, "unknown version"), (5, 0, "indices of 0 bits"),
    (5, 7, "bytes of indices"), (6, 4, "bytes of values for 1 channels of 4"),
])
def test_decode_operators_that_contradict_themselves(place: int, value: int, message: str) -> None:
    model = packed_file("decode")
    assert len(load_tflite(built(model)).nodes) == 1
    table = next(tensor for tensor in model.subgraphs[0].tensors if tensor.name.startswith(b"table"))
    data = np.array(model.buffers[table.buffer].data, np.uint8)
    data[place] = value
    model.buffers[table.buffer].data = data
    with pytest.raises((ModelError, UnsupportedError), match=message) as found:
        load_tflite(built(model))
    assert found.value.hint


def packed_file(form: str = "tables") -> schema.ModelT:
    rng = np.random.default_rng(0)
    b = GraphBuilder("net")
    weight = b.constant("weight", rng.choice(np.asarray([-1.5, 0.25, 2.0], np.float32), size=(16, 32)))
    graph = b.finish([b.node(Dense(), [b.input("x", (None, 32)), weight])])
    model = schema.ModelT.InitFromPackedBuf(emit_tflite(graph, weights=form)["net.tflite"], 0)
    assert form == "decode" or any(metadata.name == KEY.encode() for metadata in model.metadata)
    return model


def built(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def metadata_buffer(model: schema.ModelT) -> Any:
    return model.buffers[next(metadata.buffer for metadata in model.metadata if metadata.name == KEY.encode())]


def test_damaged_tables_are_refused() -> None:
    """Every byte of the metadata changed, and indices and values cut: an error or a network, and nothing else."""
    good = load_tflite(built(packed_file()))
    refused = 0
    for place in range(len(metadata_buffer(packed_file()).data)):
        for mask in (0x01, 0x80, 0xFF):
            model = packed_file()
            buffer = metadata_buffer(model)
            data = np.array(buffer.data, np.uint8)
            data[place] ^= mask
            buffer.data = data
            try:
                graph = load_tflite(built(model))
            except ModelError as error:
                assert error.hint
                refused += 1
            else:
                assert len(graph.nodes) == len(good.nodes)
    assert refused > 20


def test_cut_indices() -> None:
    model = packed_file()
    weight = next(tensor for tensor in model.subgraphs[0].tensors if list(tensor.shape) == [16, 32])
    model.buffers[weight.buffer].data = np.zeros(2, np.uint8)
    with pytest.raises(ModelError, match="2 bytes of indices, 512 of 2 bits are needed"):
        load_tflite(built(model))


def test_an_index_beyond_the_table() -> None:
    model = packed_file()
    weight = next(tensor for tensor in model.subgraphs[0].tensors if list(tensor.shape) == [16, 32])
    model.buffers[weight.buffer].data = np.full(128, 255, np.uint8)
    with pytest.raises(ModelError, match="index 3 into a table of 3 values"):
        load_tflite(built(model))
