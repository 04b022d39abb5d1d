"""Training that lets the channels fade that the network can do without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewright.analysis.channels import channel_groups
from edgewright.errors import RecipeError
from edgewright.ir.graph import Graph
from edgewright.ops.batch_norm import BatchNorm
from edgewright.passes.registry import Context, graph_pass
from edgewright.passes.train.fit import fit, learns_labels
from edgewright.train.distillation import Labels, Logits, Outputs, Term
from edgewright.train.module import GraphModule, has_classes

BATCH = 64
FADED = 0.1
"""A channel whose scale fell below this share of what it was counts as faded."""


@graph_pass(level="float", exact=False, needs_data=True)
def slim_channels(
    graph: Graph, ctx: Context, *, epochs: int = 10, learning_rate: float = 1e-2, strength: float = 1.0, augment: str = "none"
) -> Graph:
    """Train with a group lasso on the scales of batch norm, so that channels fade one by one: what prune_channels takes afterwards.

    A group is a channel with all its partners (residual additions, concatenations …); its norm over the scales of all batch norms that it
    runs through is pulled to zero, relative to what the norms were, by ``strength`` times their mean beside the loss of the task: the
    labels' cross-entropy and, where it is known, agreement with the network as it came (``ctx.teacher``). Without labels, agreement alone.
    Put insert_batchnorm before, where batch norm is folded. Then ``prune_channels`` with importance "batchnorm". Network Slimming (Liu et
    al. 2017, arXiv:1708.06519) with groups as in DepGraph (arXiv:2301.12900). Needs the extra ``train``.
    """
    if strength < 0:
        raise RecipeError(f"slim_channels has strength {strength}", hint="1 pulls as hard as a loss of 1, 0 not at all")
    lasso = _groups(graph)
    if lasso is None:
        ctx.skipped(graph.name, "it has no batch norm whose channels could leave: put insert_batchnorm before")
        return graph
    data, teacher = ctx.calibration(), ctx.teacher or graph
    labelled = data.labels is not None and learns_labels(graph)
    terms: tuple[Term, ...] = (Logits() if has_classes(graph, data.labels is not None) else Outputs(),)
    if labelled:
        terms = (*terms, Labels()) if ctx.teacher is not None else (Labels(),)

    def all_terms(module: GraphModule) -> tuple[Term, ...]:
        return (*terms, _Lasso(lambda: lasso.norm(module), strength))

    def optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Steps in proportion to what is there: scales stand for deviations of activations, and may be large."""
        sizes = [(parameter, float(parameter.detach().abs().mean())) for parameter in parameters]
        rates = [{"params": [parameter], "lr": learning_rate * max(1.0, size if parameter.ndim == 1 else 1.0)} for parameter, size in sizes]
        return torch.optim.AdamW(rates)

    options: dict[str, Any] = {"epochs": epochs, "optimizer": optimizer, "schedule": "one_cycle", "augment": augment}
    result = fit(graph, ctx, data, BATCH, teacher=teacher, terms=all_terms, **options)
    if result is not graph:
        ctx.did(graph.name, f"{lasso.faded(result)} of {lasso.count} groups of channels faded")
    return result


@dataclass(frozen=True)
class _Groups:
    """Scales of batch norm whose channels may leave: names, for each number its group (or -1), and the groups' norms as they were."""

    names: tuple[str, ...]
    labels: tuple[Tensor, ...]
    start: Tensor

    @property
    def count(self) -> int:
        return len(self.start)

    def norms(self, scale: Callable[[str], Tensor]) -> Tensor:
        """The norm of each group's scales: (count,)."""
        total = torch.zeros(self.count)
        for name, labels in zip(self.names, self.labels, strict=True):
            squares = scale(name).square()
            own = labels.to(squares.device)
            total = total.to(squares.device).index_add(0, own.clamp(min=0), squares * (own >= 0))
        return (total + 1e-12).sqrt()

    def norm(self, module: GraphModule) -> Tensor:
        """The mean of the norms as shares of what they were."""
        norms = self.norms(module.constant)
        return (norms / self.start.to(norms.device)).mean()

    def faded(self, graph: Graph) -> int:
        norms = self.norms(lambda name: torch.from_numpy(np.array(graph.array(name))))
        return int((norms < FADED * self.start).sum())


@dataclass(frozen=True)
class _Lasso:
    """The group lasso as a term of the loss; it looks at the network, not at what it says."""

    norm: Callable[[], Tensor]
    weight: float
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        return self.norm()


def _groups(graph: Graph) -> _Groups | None:
    """None where no batch norm has a channel that may leave."""
    groups = channel_groups(graph)
    norms = [node for node in graph.nodes if isinstance(node.op, BatchNorm) and graph.is_constant(node.inputs[1])]
    names = tuple(dict.fromkeys(node.inputs[1] for node in norms))
    free = sorted({int(group) for name in names for group in groups.labels[name, 0] if not groups.pinned[group]})
    if not free:
        return None
    place = np.full(groups.count, -1, np.int64)
    place[free] = np.arange(len(free))
    labels = tuple(torch.from_numpy(place[groups.labels[name, 0]]) for name in names)
    blank = _Groups(names, labels, torch.ones(len(free)))
    start = blank.norms(lambda name: torch.from_numpy(np.array(graph.array(name))))
    return _Groups(names, labels, torch.full_like(start, float(start.mean())).maximum(start))
