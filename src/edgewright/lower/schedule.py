"""The batch is fixed to one sample, as a device runs it."""

from __future__ import annotations

import dataclasses

from edgewright.errors import ModelError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph
from edgewright.ir.verify import verify


def single_sample(graph: Graph) -> Graph:
    """``graph`` with every symbolic batch axis set to 1; the operators' own facts about the batch follow."""
    values = [dataclasses.replace(value, shape=(1, *value.shape[1:])) for value in graph.values.values() if value.shape[:1] == (None,)]
    if not values:
        return graph
    nodes = [dataclasses.replace(node, op=node.op.with_batch(1)) for node in graph.nodes]
    try:
        return verify(rebuild(graph, nodes=nodes, values=values))
    except ModelError as error:
        raise ModelError(f"{graph.name!r} cannot run one sample at a time: {error.message}") from error
