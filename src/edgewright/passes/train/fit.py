"""One training run over the user's data: a part held out to choose the epoch by, and the graph left alone where no epoch was better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.data import Data
from edgewright.errors import DataError
from edgewright.ir.graph import Graph
from edgewright.ops.evaluate import dequantize_outputs, evaluate, quantize_inputs
from edgewright.passes.registry import Context
from edgewright.train.distillation import Labels, Term
from edgewright.train.loop import History, merit, train
from edgewright.train.module import GraphModule, from_module, has_classes, to_module

Terms = Callable[[GraphModule], Sequence[Term]]

HELD_OUT = 0.1
"""Share of the samples that the epoch is chosen by."""
CHECKPOINT_BATCHES = 100
NO_CLASSES = "its outputs are neither classes nor one number a sample, which labels could be compared with"


def learns_labels(graph: Graph) -> bool:
    """Whether the output is one of classes, or one number a sample: what labels can be compared with."""
    return len(graph.outputs) == 1 and graph.value(graph.outputs[0]).rank == 2


def fit(
    graph: Graph, ctx: Context, data: Data, batch: int, *, teacher: Graph | None = None, terms: Sequence[Term] | Terms = (),
    learned_steps: str = "none", **options: Any
) -> Graph:
    """``graph`` with the weights of the best epoch, or itself where that is no better than the start; ``options``: those of train.

    ``terms``: of the loss, or a function that makes them of the network in training, where they look at its weights. Where classes are
    learned from labels, accuracy decides: the loss on samples that the teacher knows by heart is least where nothing is changed.
    """
    if graph.states:
        ctx.skipped(graph.name, "it keeps state from call to call: train it with a loop of your own, edgewright.to_module")
        return graph
    fixed = next((graph.value(name).shape[0] for name in graph.inputs if graph.value(name).shape[0] is not None), None)
    samples, judges = _held_out(data, ctx.seed, fixed)
    module = to_module(graph, learned_steps=learned_steps)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        ctx.skipped(graph.name, "it has no weights to train")
        return graph
    if ctx.checkpoints is not None:
        options |= {"folder": ctx.checkpoints / f"{ctx.technique}-{graph.digest[:16]}", "checkpoint_batches": CHECKPOINT_BATCHES}
    say = ctx.say
    options["progress"] = None if say is None else lambda text, step, steps: say(text)
    options["choose_by"] = choose_by = "accuracy" if _learns_classes(graph, terms, options) else "loss"
    terms = terms(module) if callable(terms) else terms
    history = train(module, samples, validation=judges, batch_size=fixed or batch, seed=ctx.seed, teacher=teacher, terms=terms, **options)
    best = None if history.best is None else history.epochs[history.best]
    if best is None or not merit(best, choose_by) > merit(history.start, choose_by):
        ctx.skipped(graph.name, f"none of {len(history.epochs)} epochs was better on {judges.count} samples held out")
        return graph
    result = from_module(module)
    if result is graph:
        return graph
    ctx.did(graph.name, _told(history, best, samples, judges) + _agreement(graph, result, teacher, judges))
    return result


def _learns_classes(graph: Graph, terms: Sequence[Term] | Terms, options: Mapping[str, Any]) -> bool:
    """Whether labels of classes are part of the loss; terms made of the weights pull at more than what the network says."""
    labelled = options.get("loss") == "cross_entropy" or (not callable(terms) and any(isinstance(term, Labels) for term in terms))
    return labelled and has_classes(graph, True)


def _held_out(data: Data, seed: int, fixed: int | None) -> tuple[Data, Data]:
    """Samples to train on, and to choose by; whole batches where the network's batch is ``fixed``."""
    unit = fixed or 1
    groups = data.count // unit
    if groups < 2:
        raise DataError(f"{data.count} samples are too few to train on", hint="give thousands: a part is held out to choose the epoch by")
    order = np.random.default_rng(seed).permutation(groups)
    count = max(1, round(groups * HELD_OUT))
    parts = [(part[:, None] * unit + np.arange(unit)).reshape(-1) for part in (np.sort(order[count:]), np.sort(order[:count]))]
    return data.take(parts[0]), data.take(parts[1])


def _told(history: History, best: dict[str, float], samples: Data, judges: Data) -> str:
    """What the report says: before and after, on the samples held out."""
    words = [f"{len(history.epochs)} epochs of {samples.count} samples, the best is number {(history.best or 0) + 1}"]
    words.append(f"on {judges.count} held out: loss {history.start['validation loss']:.4g} → {best['validation loss']:.4g}")
    words += [] if history.stopped == "finished" else [f"ended by {history.stopped}"]
    if "accuracy" in best:
        words.append(f"accuracy {history.start['accuracy']:.2%} → {best['accuracy']:.2%}")
    return ", ".join(words)


def _agreement(before: Graph, after: Graph, teacher: Graph | None, judges: Data) -> str:
    """How often the first choice is the teacher's, where there are several."""
    if teacher is None or len(after.outputs) != 1 or (after.value(after.outputs[0]).shape[-1] or 1) < 2:
        return ""
    inputs = list(judges.inputs)
    wanted = dequantize_outputs(teacher, evaluate(teacher, quantize_inputs(teacher, inputs)))[0].argmax(-1)
    shares = [float((evaluate(graph, inputs)[0].argmax(-1) == wanted).mean()) for graph in (before, after)]
    return f", agreement with the teacher {shares[0]:.2%} → {shares[1]:.2%}"
