"""The network trained on, with labels: what surgery cost is learned back."""

from __future__ import annotations

from typing import Any

from edgewright.data import Data
from edgewright.errors import DataError
from edgewright.ir.graph import Graph
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.train.fit import NO_CLASSES, fit, learns_labels


@graph_pass(level="float", exact=False, needs_data=True)
def fine_tune(
    graph: Graph,
    ctx: Context,
    *,
    epochs: int = 10,
    learning_rate: float = 1e-3,
    batch: int = 64,
    schedule: str = "one_cycle",
    optimizer: str = "adamw",
    augment: str = "none",
) -> Graph:
    """Train the weights on the labels of the data; structures are kept, batch norm is trained where it is present.

    A tenth of the data is held out: the epoch that is best on it is taken, and the network stays as it was where none is better than
    before. Class indices are learned by cross-entropy, one output number by squared error; a network whose output has its input's shape
    needs no labels: it learns to reproduce it. ``schedule``: one_cycle, cosine, constant; ``optimizer``: adamw, sgd, muon; ``augment``:
    flip, shift, both joined by a comma, or none. Needs the extra ``train``. Without labels: distill.
    """
    data = ctx.calibration()
    if [graph.value(name).shape for name in graph.outputs] == [graph.value(name).shape for name in graph.inputs]:
        loss = "mse"
        data = Data(data.inputs, None, data.source)
    elif data.labels is None:
        raise DataError("fine_tune needs labels, the data have none", hint="give labelled data, or use distill, which needs none")
    elif not learns_labels(graph):
        ctx.skipped(graph.name, NO_CLASSES)
        return graph
    else:
        loss = "mse" if graph.value(graph.outputs[0]).shape[-1] == 1 else "cross_entropy"
    options: dict[str, Any] = {"learning_rate": learning_rate, "schedule": schedule, "optimizer": optimizer, "augment": augment}
    return fit(graph, ctx, data, batch, loss=loss, epochs=epochs, **options)
