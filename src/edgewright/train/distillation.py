"""What a student learns from a teacher: a list of terms, each a loss between what the two say, and how they are weighed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewright.errors import DataError, ModelError, RecipeError
from edgewright.ir.graph import Graph, Level
from edgewright.train.teacher import Seen

BALANCES = ("weights", "uncertainty", "gradients")
GRADIENT_STEPS = 10
"""How often the norms of the terms' gradients are looked at."""
TINY = 1e-12


class Term(Protocol):
    """One loss. ``reads``: the names of the values that it takes of the student, and of the teacher ("" are the outputs)."""

    @property
    def weight(self) -> float: ...

    @property
    def reads(self) -> tuple[str, str]: ...

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Labels:
    """The labels' cross-entropy; where there is one output number, its squared error."""

    weight: float = 1.0
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        if target.is_floating_point():
            raise DataError("there are no labels to learn from", hint="give labels, or leave the term out")
        if student.shape[-1] == 1:
            return F.mse_loss(student.reshape(target.shape), target.to(student.dtype))
        return F.cross_entropy(student.movedim(-1, 1), target)


@dataclass(frozen=True)
class Logits:
    """Kullback-Leibler divergence of the softened outputs, times the squared temperature (Hinton et al. 2015, arXiv:1503.02531)."""

    temperature: float = 4.0
    weight: float = 1.0
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = _softened(student, teacher, self.temperature)
        return F.kl_div(mine, other, log_target=True, reduction="batchmean") * self.temperature**2


@dataclass(frozen=True)
class DecoupledLogits:
    """As :class:`Logits` in two parts of their own weight: target against the rest, and the rest among itself (Zhao et al. 2022,
    arXiv:2203.08679). The target is the label, or the teacher's first choice where there are none."""

    temperature: float = 4.0
    target: float = 1.0
    rest: float = 8.0
    weight: float = 1.0
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = _softened(student, teacher, self.temperature)
        labelled = not target.is_floating_point() and target.numel() == len(mine)
        chosen = F.one_hot(target.reshape(-1) if labelled else other.argmax(-1), mine.shape[-1]).bool()
        pairs = [torch.stack((x[chosen], x.masked_fill(chosen, -math.inf).logsumexp(-1)), -1) for x in (mine, other)]
        against = F.kl_div(pairs[0], pairs[1], log_target=True, reduction="batchmean")
        rests = [x[~chosen].reshape(len(x), -1).log_softmax(-1) for x in (mine, other)]
        among = F.kl_div(rests[0], rests[1], log_target=True, reduction="batchmean")
        return (self.target * against + self.rest * among) * self.temperature**2


@dataclass(frozen=True)
class Outputs:
    """Squared error of all outputs as they are, relative to the teacher's power: for regression, and for networks of several outputs."""

    weight: float = 1.0
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = (x if isinstance(x, tuple) else (x,) for x in (student, teacher))
        if [x.shape for x in mine] != [x.shape for x in other]:
            shapes = [list(x.shape) for x in mine], [list(x.shape) for x in other]
            raise ModelError(f"the student gives {shapes[0]}, the teacher {shapes[1]}", hint="take a teacher of the same outputs")
        return sum((_relative_error(x, y) for x, y in zip(mine, other)), torch.zeros((), device=mine[0].device)) / len(mine)


@dataclass(frozen=True)
class Directions:
    """One minus the cosine of each sample's output with the teacher's: for embeddings, whose length says nothing."""

    weight: float = 1.0
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = _directions(student, teacher)
        return 1 - (mine * other).sum(-1).mean()


@dataclass(frozen=True)
class Similarities:
    """Squared error of the cosines of every two samples of a batch, relative to the spread of the teacher's (Tung and Mori 2019,
    arXiv:1907.09682): what an embedding is for."""

    weight: float = 1.0
    reads: tuple[str, str] = ("", "")

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = _directions(student, teacher, same=False)
        if len(mine) < 2:
            return mine.sum() * 0
        pairs = ~torch.eye(len(mine), dtype=torch.bool, device=mine.device)
        errors, wanted = (mine @ mine.T - other @ other.T)[pairs], (other @ other.T)[pairs]
        return errors.square().mean() / wanted.var(correction=0).clamp(min=TINY)


@dataclass(frozen=True)
class Features:
    """Squared error of value ``student`` against the teacher's, relative to its power (FitNets, Romero et al. 2015, arXiv:1412.6550).

    Where the channels differ, a learned linear map (1x1) brings the student's to the teacher's; where the sizes along other axes differ,
    the larger is averaged to the smaller.
    """

    student: str
    teacher: str
    weight: float = 1.0

    @property
    def reads(self) -> tuple[str, str]:
        return self.student, self.teacher

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = _same_places(student, teacher, self.reads)
        return _relative_error(mine, other)


@dataclass(frozen=True)
class Attention:
    """Where the activity is: sums of squares along the channels, as directions (Zagoruyko and Komodakis 2017, arXiv:1612.03928)."""

    student: str
    teacher: str
    weight: float = 1.0

    @property
    def reads(self) -> tuple[str, str]:
        return self.student, self.teacher

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        mine, other = _same_places(student, teacher, self.reads)
        maps = [F.normalize(x.square().sum(-1).flatten(1), dim=1, eps=TINY) for x in (mine, other)]
        return (maps[0] - maps[1]).square().sum(1).mean()


@dataclass(frozen=True)
class AttentionMaps:
    """Divergence of a transformer's attention (N, heads, queries, keys; what its softmax gives), averaged over heads where their numbers
    differ (MiniLM, Wang et al. 2020, arXiv:2002.10957)."""

    student: str
    teacher: str
    weight: float = 1.0

    @property
    def reads(self) -> tuple[str, str]:
        return self.student, self.teacher

    def loss(self, student: Any, teacher: Any, target: Tensor) -> Tensor:
        maps = [x if x.ndim > 3 else x[:, None] for x in (student, teacher)]
        if maps[0].shape[1] != maps[1].shape[1]:
            maps = [x.mean(1, keepdim=True) for x in maps]
        if maps[0].shape != maps[1].shape:
            shapes = f"{list(student.shape)} and {list(teacher.shape)}"
            raise ModelError(f"attention maps {self.student!r} and {self.teacher!r} are {shapes}", hint="name the outputs of the softmax")
        mine, other = (x.flatten(0, -2).clamp(min=TINY).log() for x in maps)
        return F.kl_div(mine, other, log_target=True, reduction="batchmean")


def layer_terms(student: Graph, teacher: Graph, weight: float = 1.0) -> tuple[Features, ...]:
    """Layer by layer: a term for every layer with weights whose output has the same name and shape in both graphs."""
    names = [name for node in student.nodes if node.op.weight_inputs for name in node.outputs if name not in student.outputs]
    shared = [name for name in names if name in teacher.values and name not in teacher.constants and teacher.level is Level.FLOAT]
    same = [name for name in shared if student.value(name).shape[1:] == teacher.value(name).shape[1:]]
    return tuple(Features(name, name, weight / len(same)) for name in same)


def _softened(student: Any, teacher: Any, temperature: float) -> tuple[Tensor, Tensor]:
    """Logarithms of probabilities, (rows, classes)."""
    if isinstance(student, tuple) or student.shape[1:] != teacher.shape[1:] or student.shape[-1] < 2:
        shapes = "several outputs" if isinstance(student, tuple) else f"{list(student.shape)} and {list(teacher.shape)}"
        hint = "logits are distilled between networks with the same classes; Outputs takes any outputs of equal shape"
        raise ModelError(f"these are no logits to compare: {shapes}", hint=hint)
    mine, other = ((x.float() / temperature).log_softmax(-1).flatten(0, -2) for x in (student, teacher))
    return mine, other


def _directions(student: Any, teacher: Any, same: bool = True) -> tuple[Tensor, Tensor]:
    """Both as vectors of length 1, (samples, numbers); of equal size where they have to be the ``same``."""
    if isinstance(student, tuple) or isinstance(teacher, tuple) or (same and student.shape[1:] != teacher.shape[1:]):
        shapes = "several outputs" if isinstance(student, tuple) else f"{list(student.shape)} and {list(teacher.shape)}"
        raise ModelError(f"these are no embeddings to compare: {shapes}", hint="Similarities compares embeddings of different sizes")
    mine, other = (F.normalize(x.float().flatten(1), dim=1, eps=TINY) for x in (student, teacher))
    return mine, other


def _relative_error(mine: Tensor, other: Tensor) -> Tensor:
    return (mine - other).square().mean() / other.square().mean().clamp(min=TINY)


def _same_places(mine: Tensor, other: Tensor, names: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """Both with the same sizes between batch and channels: the larger averaged."""
    if mine.shape[1:-1] == other.shape[1:-1]:
        return mine, other
    if mine.ndim != 4 or other.ndim != 4:
        message = f"values {names[0]!r} {list(mine.shape)} and {names[1]!r} {list(other.shape)} cannot be compared"
        raise ModelError(message, hint="name values with the same axes")
    size = (min(mine.shape[1], other.shape[1]), min(mine.shape[2], other.shape[2]))
    small = [F.adaptive_avg_pool2d(x.movedim(-1, 1), size).movedim(1, -1) for x in (mine, other)]
    return small[0], small[1]


class Distillation(nn.Module):
    """The terms as one loss, with what is learned beside the student: adapters, and the weights of terms balanced by uncertainty.

    ``balance``: "weights" as the terms have them; "uncertainty" learns a variance for each (Kendall et al. 2018, arXiv:1705.07115);
    "gradients" lets each term pull as hard on the student's weights as its weight says (GradNorm without its training rates, Chen et al.
    2018, arXiv:1711.02257).
    """

    scales: Tensor
    steps: Tensor

    def __init__(self, terms: Sequence[Term], balance: str, student: Seen, teacher: Seen, learned: Sequence[nn.Parameter]) -> None:
        super().__init__()
        if balance not in BALANCES:
            raise RecipeError(f"unknown balance {balance!r}", hint=f"one of {', '.join(BALANCES)}")
        self.terms, self.balance, self._learned = tuple(terms), balance, list(learned)
        self.adapters = nn.ModuleDict()
        for index, term in enumerate(self.terms):
            if isinstance(term, Features) and student[term.student].shape[-1] != teacher[term.teacher].shape[-1]:
                self.adapters[str(index)] = nn.Linear(student[term.student].shape[-1], teacher[term.teacher].shape[-1])
        if balance == "uncertainty":
            self.log_variances = nn.Parameter(torch.zeros(len(self.terms)))
        self.register_buffer("scales", torch.ones(len(self.terms)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, student: Seen, teacher: Seen, target: Tensor) -> Tensor:
        losses = []
        for index, term in enumerate(self.terms):
            own, other = term.reads
            mine = self.adapters[str(index)](student[own]) if str(index) in self.adapters else student[own]
            losses.append(term.loss(mine, teacher[other], target))
        weights = [term.weight for term in self.terms]
        if self.balance == "uncertainty" and self.training:
            pairs = zip(weights, losses, self.log_variances)
            return sum((weight * (loss * (-spread).exp() + spread) for weight, loss, spread in pairs), torch.zeros_like(losses[0]))
        if self.balance == "gradients" and self.training and torch.is_grad_enabled():
            if int(self.steps) % GRADIENT_STEPS == 0:
                self._weigh(losses)
            self.steps += 1
        scales = self.scales if self.balance == "gradients" else torch.ones_like(self.scales)
        return sum((weight * scale * loss for weight, scale, loss in zip(weights, scales, losses)), torch.zeros_like(losses[0]))

    def _weigh(self, losses: Sequence[Tensor]) -> None:
        """Scales that make the norms of all terms' gradients their mean."""
        norms = torch.stack([self._norm(loss) for loss in losses])
        felt = norms > TINY
        fresh = torch.where(felt, norms[felt].mean() / norms.clamp(min=TINY), torch.ones_like(norms)) if bool(felt.any()) else self.scales
        self.scales.copy_(fresh if int(self.steps) == 0 else 0.5 * (self.scales + fresh))

    def _norm(self, loss: Tensor) -> Tensor:
        if not loss.requires_grad:
            return torch.zeros((), device=loss.device)
        found: Iterator[Tensor | None] = iter(torch.autograd.grad(loss, self._learned, retain_graph=True, allow_unused=True))
        squares = [gradient.square().sum() for gradient in found if gradient is not None]
        return torch.stack(squares).sum().sqrt() if squares else torch.zeros((), device=loss.device)


class Plain(nn.Module):
    """A loss of outputs and target alone."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, student: Seen, teacher: Seen, target: Tensor) -> Tensor:
        return self.function(student[""], target)
