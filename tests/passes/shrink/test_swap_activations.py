"""SiLU and GELU become clamps that are near them."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import RecipeError
from edgewright.ir.edit import GraphBuilder
from edgewright.ops import GELU, SiLU
from edgewright.ops.evaluate import evaluate
from edgewright.passes import load_passes
from edgewright.passes.registry import Context

SWAP = load_passes()["swap_activations"].function
X = np.linspace(-8, 8, 801, dtype=np.float32)[:, None]


@pytest.mark.parametrize(("op", "option", "chosen", "most"), [
    (SiLU(), "silu", "hard_swish", 0.2), (SiLU(), "silu", "relu", 0.3), (GELU(), "gelu", "hard_swish", 0.12), (GELU(), "gelu", "relu", 0.2)
])
def test_how_near_they_are(op, option, chosen, most):
    b = GraphBuilder("one")
    graph = b.finish([b.node(op, [b.input("x", (None, 1))], name="act")])
    ctx = Context()
    result = SWAP(graph, ctx, **{option: chosen})
    assert np.abs(evaluate(graph, [X])[0] - evaluate(result, [X])[0]).max() < most
    assert ctx.lines[0].detail == f"{op.kind} made {chosen}"
    assert SWAP(graph, Context(), silu="keep", gelu="keep") is graph
    with pytest.raises(RecipeError, match="unknown activation 'mish'"):
        SWAP(graph, Context(), silu="mish")
