"""The network learns to say what the one it came from says: the repair after any other technique, without labels."""

from __future__ import annotations

from typing import Any

from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.train.fit import NO_CLASSES, fit, learns_labels
from edgewright.train.distillation import DecoupledLogits, Labels, Logits, Outputs, Term, layer_terms
from edgewright.train.module import has_classes

BATCH = 64
LOSSES = ("auto", "kd", "dkd", "outputs", "layers")


@graph_pass(level="float", exact=False, needs_data=True)
def distill(
    graph: Graph,
    ctx: Context,
    *,
    epochs: int = 10,
    learning_rate: float = 3e-3,
    loss: str = "auto",
    temperature: float = 4.0,
    labels: float = 0.0,
    augment: str = "none",
) -> Graph:
    """Train the weights to give what the network gave as it came (``ctx.teacher``); structures are kept, labels are not needed.

    By Muon (``edgewright.train.muon``): ``learning_rate`` is what a step changes of each filter's norm.

    ``loss``: "kd" softened logits (arXiv:1503.02531), "dkd" decoupled ones (arXiv:2203.08679), "outputs" squared error, "layers" the
    outputs of all layers that both have in the same shape, and the logits or outputs; "auto": kd where the outputs are classes, else
    outputs. ``labels``: weight of the labels' cross-entropy beside it. ``augment``: flip, shift, both joined by a comma, or none. A tenth
    of the data is held out to choose the epoch, by accuracy with labels of classes, else by the loss; the network stays as it was where
    none is better. Needs the extra ``train``.
    """
    teacher = ctx.teacher
    if teacher is None:
        raise RecipeError("distill has no teacher", hint="give Context(teacher=graph); optimize takes the network as it came")
    if loss not in LOSSES:
        raise RecipeError(f"unknown loss {loss!r} of distill", hint=f"one of {', '.join(LOSSES)}")
    if not temperature > 0 or labels < 0:
        raise RecipeError(f"distill got temperature {temperature} and labels {labels}", hint="the first is above 0, the second at least 0")
    chosen = _terms(graph, ctx, teacher, loss, temperature)
    if labels and (ctx.calibration().labels is None or not learns_labels(graph)):
        ctx.skipped(graph.name, "there are no labels to mix in" if learns_labels(graph) else NO_CLASSES)
    elif labels:
        chosen = (*chosen, Labels(labels))
    options: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "schedule": "one_cycle"}
    options |= {"optimizer": "muon", "augment": augment}
    return fit(graph, ctx, ctx.calibration(), BATCH, teacher=teacher, terms=chosen, **options)


def _terms(graph: Graph, ctx: Context, teacher: Graph, loss: str, temperature: float) -> tuple[Term, ...]:
    classes = has_classes(graph, ctx.calibration().labels is not None)
    if loss == "dkd":
        return (DecoupledLogits(temperature),)
    last: Term = Logits(temperature) if loss == "kd" or (loss != "outputs" and classes) else Outputs()
    if loss != "layers":
        return (last,)
    layers = layer_terms(graph, teacher)
    if not layers:
        ctx.skipped(graph.name, "no layer has its name and shape in the teacher: outputs only")
    return (last, *layers)
