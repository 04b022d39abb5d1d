from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType
from edgewright.ir.graph import Constant, State, Structure, Value
from tests.ir.graphs import float_graph, integer_graph, with_constant, with_value


def test_values_know_their_size():
    value = Value("x", (None, 3, 5), DType.INT4)
    assert (value.elements, value.bytes, value.rank) == (15, 8, 3)
    assert Value("scalar", ()).elements == 1
    assert Value("large", (None, 1 << 20, 1 << 20)).elements == 1 << 40


def test_a_graph_cannot_be_changed():
    graph = float_graph()
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.name = "other"
    with pytest.raises(TypeError):
        graph.values["x"] = Value("x", ())
    with pytest.raises(ValueError, match="read-only"):
        graph.constants["weight"].array[0] = 1


def test_a_constant_does_not_freeze_its_source():
    source = np.zeros((2, 3), np.float32)
    for view in (source, source.T, source[:, ::2]):
        constant = Constant(view)
        assert not constant.array.flags.writeable and constant.array.shape == view.shape
    source[0, 0] = 1.0
    assert constant.array[0, 0] == 0.0
    assert Constant(np.float32(3)).array.shape == ()


def test_index():
    graph = float_graph()
    assert graph.producers["relu"].name == "relu"
    assert [node.name for node in graph.consumers["conv"]] == ["relu", "add"]
    assert graph.sole_consumer("relu").name == "add"
    assert graph.sole_consumer("conv") is None
    assert graph.sole_consumer("mixed") is None, "a state keeps it"
    assert graph.kept == {"head", "mixed"}
    assert graph.is_constant("bias") and not graph.is_constant("x")
    assert [node.name for node in graph] == ["conv", "relu", "add", "mean", "mixed", "head"]


def test_what_is_missing_is_named():
    graph = float_graph()
    with pytest.raises(ModelError, match="no value 'ghost'"):
        graph.value("ghost")
    with pytest.raises(ModelError, match="'x' of graph 'small' is not a constant"):
        graph.array("x")


def test_the_digest_sees_everything():
    graph = float_graph()
    assert graph.digest == float_graph().digest
    weight = graph.array("weight").copy()
    weight.flat[5] += 1e-7
    structure = graph.constants["weight"].structure
    variants = [
        dataclasses.replace(graph, name="other"),
        dataclasses.replace(graph, outputs=("mixed",)),
        dataclasses.replace(graph, nodes=graph.nodes[::-1]),
        dataclasses.replace(graph, states=(State("past", "mean", "start"),)),
        with_value(graph, "x", shape=(1, 4, 4, 2)),
        with_constant(graph, "weight", weight),
        with_constant(graph, "weight", graph.array("weight")),
    ]
    for part in ({"mask": ~structure.mask}, {"pattern": (1, 4)}, {"codebook": structure.codebook + 1}, {"bits": 3}, {"mask": None}):
        constant = Constant(graph.array("weight"), dataclasses.replace(structure, **part))
        variants.append(dataclasses.replace(graph, constants={**graph.constants, "weight": constant}))
    digests = [graph.digest, integer_graph().digest, *(variant.digest for variant in variants)]
    assert len(set(digests)) == len(digests)


def test_masks_and_codebooks_are_not_confused():
    array, bits = np.zeros(4, np.float32), np.zeros(4, bool)
    first, second = Structure(mask=bits), Structure(codebook=bits)
    graph = float_graph()
    digests = {dataclasses.replace(graph, constants={**graph.constants, "bias": Constant(array[:3], s)}).digest for s in (first, second)}
    assert len(digests) == 2
