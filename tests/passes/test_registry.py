"""The registry of passes: what the decorator reads, refuses and checks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgewright.data import Data
from edgewright.errors import ModelError, RecipeError
from edgewright.ir.edit import GraphBuilder, rebuild
from edgewright.ir.graph import Graph, Level
from edgewright.ops.relu import Relu
from edgewright.passes.registry import PASSES, Context, Line, graph_pass


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    before = dict(PASSES)
    yield
    PASSES.clear()
    PASSES.update(before)


def graph() -> Graph:
    b = GraphBuilder("net")
    return b.finish([b.node(Relu(), [b.input("x", (None, 2))], name="y")])


def test_the_decorator_reads_name_group_options_and_summary() -> None:
    @graph_pass(level="float|integer", exact=True, needs_data=True)
    def shine(graph: Graph, ctx: Context, *, times: int = 2, how: str = "much") -> Graph:
        """Make it shine.

        Source: nobody.
        """
        ctx.did(graph.name, f"{times} {how}")
        return graph

    entry = PASSES["shine"]
    assert (entry.name, entry.level, entry.exact, entry.needs_data, entry.summary) == (
        "shine",
        "float|integer",
        True,
        True,
        "Make it shine.",
    )
    assert {name: parameter.default for name, parameter in entry.parameters.items()} == {"times": 2, "how": "much"}
    assert [entry.takes(level) for level in Level] == [True, False, True]
    ctx = Context()
    net = graph()
    assert shine(net, ctx, times=3) is net
    assert ctx.lines == [Line("shine", "did", "net", "3 much")] and ctx.technique == ""
    with pytest.raises(RecipeError, match="pass 'shine' has no option 'time'") as caught:
        shine(net, ctx, time=3)
    assert caught.value.hint == "its options are times, how"


def test_a_level_that_the_pass_does_not_take() -> None:
    @graph_pass(level="integer", exact=True)
    def polish(graph: Graph, ctx: Context) -> Graph:
        return graph

    with pytest.raises(ModelError, match="pass 'polish' takes a integer graph, got a float one"):
        polish(graph(), Context())
    assert PASSES["polish"].summary == ""


def test_a_result_that_breaks_a_rule_is_caught() -> None:
    @graph_pass(level="any", exact=True)
    def spoil(graph: Graph, ctx: Context) -> Graph:
        return rebuild(graph, nodes=[*graph.nodes, *graph.nodes])

    with pytest.raises(ModelError, match="not well formed"):
        spoil(graph(), Context())


def test_the_technique_is_restored_after_a_failure_and_within_another_pass() -> None:
    @graph_pass(level="any", exact=True)
    def inner(graph: Graph, ctx: Context) -> Graph:
        ctx.skipped("x", "because")
        return graph

    @graph_pass(level="any", exact=True)
    def outer(graph: Graph, ctx: Context, *, fail: bool = False) -> Graph:
        inner(graph, ctx)
        ctx.did("y", "done")
        if fail:
            ctx.calibration()
        return graph

    ctx = Context(data=Data((np.zeros((0, 2), np.float32),)))
    with pytest.raises(RecipeError, match="outer needs calibration data and got none"):
        outer(graph(), ctx, fail=True)
    assert [(line.technique, line.action) for line in ctx.lines] == [("inner", "skipped"), ("outer", "did")]
    assert ctx.technique == ""
