from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import DataError, ModelError
from edgewright.ir.dtype import INDEX_QUANT, DType
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis
from edgewright.ops.embedding import Embedding
from edgewright.ops.evaluate import check_inputs, evaluate
from tests.zoo import ZOO, quantize_zoo, zoo_inputs

TABLE, INDICES = Value("table", (11, 8)), Value("tokens", (None, 5))


def test_rows_are_chosen_and_what_lies_outside_counts_as_the_nearest() -> None:
    table = torch.arange(12.0).reshape(4, 3)
    indices = torch.tensor([[0, 3, 1], [-2, 4, 100]])
    expected = table[torch.tensor([[0, 3, 1], [0, 3, 3]])]
    for given in (indices, indices.to(torch.float32), indices.to(torch.int32)):
        torch.testing.assert_close(Embedding().evaluate([table, given])[0], expected)
    integers = Embedding().evaluate_integer([table.to(torch.int32), indices.to(torch.int32)], [], [])[0]
    torch.testing.assert_close(integers, expected.to(torch.int32))


def test_shapes_bounds_and_couplings() -> None:
    assert Embedding().infer((TABLE, INDICES)) == ((None, 5, 8),)
    assert Embedding().infer((TABLE, Value("one", (None,)))) == ((None, 8),)
    assert Embedding().bounds([(-1.0, 2.0), (0.0, 10.0)]) == (-1.0, 2.0)
    found = Embedding().couplings((TABLE, INDICES), (Value("out", (None, 5, 8)),)) or ()
    pairs = {(entry.first, entry.second) for entry in found}
    assert pairs == {(Axis("in", 0, 1), Axis("out", 0, 2)), (Axis("in", 1, 1), Axis("out", 0, 1))}
    with pytest.raises(ModelError, match="a table has two axes"):
        Embedding().infer((Value("table", (3, 4, 5)), INDICES))


def test_the_gradient_reaches_the_rows_that_were_chosen() -> None:
    table = torch.zeros(4, 3, requires_grad=True)
    Embedding().evaluate([table, torch.tensor([[1.0, 1.0]])])[0].sum().backward()
    assert table.grad is not None and table.grad[:, 0].tolist() == [0.0, 2.0, 0.0, 0.0]


def test_indices_stay_whole_numbers_at_every_level() -> None:
    graph = ZOO["sentence"]()
    integer = quantize_zoo(graph)
    assert graph.indices == {"tokens"} and integer.value("tokens").quant == INDEX_QUANT
    assert integer.value("tokens").dtype is DType.INT32 and integer.value("mask").dtype is DType.INT8
    lookup = next(node for node in integer.nodes if node.op.index_inputs)
    table, out = integer.value(lookup.inputs[0]), integer.value(lookup.outputs[0])
    assert table.dtype is out.dtype is DType.INT8 and table.quant == out.quant


@pytest.mark.parametrize(("tokens", "said"), [(0.5, "not whole"), (11, "rows 0 to 11 of a table of 11"), (-1, "rows -1 to 0")])
def test_what_is_no_index_is_refused(tokens: float, said: str) -> None:
    graph = ZOO["sentence"]()
    inputs = [np.array(array, np.float32) for array in zoo_inputs(graph, 2)]
    inputs[0][:] = 0
    inputs[0][1, 2] = tokens
    with pytest.raises(DataError, match=said):
        evaluate(graph, inputs)
    assert len(check_inputs(graph, zoo_inputs(graph, 2))) == 2
