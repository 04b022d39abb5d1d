"""Quantization-aware training: the network learns with the integers that the device will compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from edgewright.errors import RecipeError
from edgewright.ir.edit import rebuild
from edgewright.ir.graph import Graph, Level
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.train.fit import fit, learns_labels
from edgewright.train.distillation import Labels, Logits, Outputs, Term
from edgewright.train.module import has_classes

BATCH = 64
TEMPERATURE = 2.0


@graph_pass(level="quantized", exact=False, needs_data=True)
def train_quantized(
    graph: Graph,
    ctx: Context,
    *,
    epochs: int = 2,
    learning_rate: float = 3e-3,
    learned_steps: str = "none",
    labels: float = 0.0,
    optimizer: str = "relative",
    augment: str = "none",
) -> Graph:
    """Train the weights of a quantized network through the device's own arithmetic, rounding by rounding.

    What is trained is what ships: outputs in training are those of the integer program, to the byte; gradients pass straight through the
    roundings (Jacob et al. 2018, arXiv:1712.05877). It learns to say what the network said as it came (``ctx.teacher``); ``labels`` is the
    weight of the labels' cross-entropy beside that. ``learned_steps``: none, weights, or all: step sizes trained too (LSQ,
    arXiv:1902.08153). ``optimizer``: adamw, sgd, or relative: AdamW whose steps are shares of each constant's own size, because folded
    batch norm leaves layers of very different size. ``augment``: flip, shift, both joined by a comma, or none. Masks and codebooks stay. A
    tenth of the data is held out to choose the epoch, by accuracy with labels of classes, else by the loss; the network stays as it was
    where none is better. Needs the extra ``train``.
    """
    if labels < 0:
        raise RecipeError(f"train_quantized got labels {labels}", hint="it is a weight of at least 0")
    data = ctx.calibration()
    bare = [name for name, value in graph.values.items() if value.quant is None]
    if bare:
        ctx.skipped(graph.name, f"{len(bare)} values are not quantized, {bare[0]!r} is the first: fine-tune it before quantizing")
        return graph
    teacher = _unrounded(graph) if ctx.teacher is None else ctx.teacher
    terms: tuple[Term, ...] = (Logits(TEMPERATURE) if has_classes(graph, data.labels is not None) else Outputs(),)
    if labels and (data.labels is None or not learns_labels(graph)):
        ctx.skipped(graph.name, "there are no labels to mix in")
    elif labels:
        terms = (*terms, Labels(labels))
    chosen = partial(_relative, learning_rate) if optimizer == "relative" else optimizer
    options: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "schedule": "one_cycle", "optimizer": chosen}
    return fit(graph, ctx, data, BATCH, teacher=teacher, terms=terms, learned_steps=learned_steps, augment=augment, cpu=True, **options)


def _relative(rate: float, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW with a learning rate for each parameter: ``rate`` of its root mean square, or ``rate`` where it is all zeros.

    AdamW's steps do not depend on the size of gradients; relative ones are those of Adafactor (Shazeer and Stern 2018, arXiv:1804.04235).
    """
    sizes = [(parameter, float(parameter.detach().square().mean().sqrt())) for parameter in parameters]
    groups = [{"params": [parameter], "lr": rate * (size if size > 0 else 1.0)} for parameter, size in sizes]
    return torch.optim.AdamW(groups, weight_decay=0.0)


def _unrounded(graph: Graph) -> Graph:
    """``graph`` in float, without its grids."""
    return rebuild(graph, values=[dataclasses.replace(value, quant=None) for value in graph.values.values()], level=Level.FLOAT)
