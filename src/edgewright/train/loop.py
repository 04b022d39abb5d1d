"""A small training loop: any number of GPUs or none, resumed after a kill to the same bits, stopped early, never diverging in silence."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewright.data import Data
from edgewright.errors import DataError, EdgewrightError, ModelError, RecipeError, ToolError
from edgewright.train.augment import Augment, augmentation
from edgewright.train.checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, restore_weights, save_checkpoint
from edgewright.train.distillation import Distillation, Labels, Logits, Outputs, Plain, Term
from edgewright.train.module import GraphModule, has_classes
from edgewright.train.options import LOSSES, OPTIMIZERS, SCHEDULES, Loss, pick
from edgewright.train.teacher import Seen, Teacher, make_teacher

Batch = tuple[tuple[Tensor, ...], Tensor, Tensor | None]
"""Inputs, target, and the numbers of the samples where they are known."""
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class History:
    """What a training run came to: a row an epoch (loss, validation loss, metrics), the best one's number from 0, and why it ended.

    ``start``: the validation row of the weights that training began with; empty without validation data.
    """

    epochs: tuple[dict[str, float], ...]
    best: int | None
    stopped: str
    start: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclass
class _Position:
    """Where a run stands; all of it is in the checkpoint."""

    epoch: int = 0
    batch: int = 0
    total: float = 0.0
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: int | None = None
    start: dict[str, float] = dataclasses.field(default_factory=dict)


def train(
    module: nn.Module,
    data: Data | Iterable[Any],
    *,
    epochs: int = 10,
    batch_size: int = 32,
    loss: str | Loss = "cross_entropy",
    teacher: Any = None,
    terms: Sequence[Term] = (),
    balance: str = "weights",
    optimizer: str | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = "adamw",
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    schedule: str | Callable[[float], float] = "cosine",
    validation: Data | Iterable[Any] | None = None,
    choose_by: str = "loss",
    patience: int | None = None,
    metrics: Mapping[str, Any] | None = None,
    augment: str | Augment | None = None,
    precision: str = "no",
    cpu: bool = False,
    folder: str | Path | None = None,
    checkpoint_batches: int | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> History:
    """Train ``module`` in place; it ends with the weights of the epoch that is best on ``validation`` (the last one without it).

    The best epoch is that of least loss; with the name of a metric for ``choose_by``, that of the highest metric, of those the least loss.

    ``data``: :class:`Data` with labels (without: the input is the target of mse), shuffled by ``seed``; or an iterable of batches
    (inputs, target), gone through once an epoch. A network that ends in a softmax is trained on what goes into it. ``loss``, ``schedule``
    (of the share of all steps done): a name or a function. ``metrics``: torchmetrics by name; accuracy for cross-entropy. ``patience``:
    epochs without a better one before the end. ``augment``: a function of the inputs that draws from torch alone, or "flip",
    "shift" or both for images. ``folder``: keeps ``best.safetensors`` and ``last.safetensors``, the latter every epoch and every
    ``checkpoint_batches``; a run that finds one goes on from there, to the bits that it would have come to. Ctrl-C leaves the best
    weights. ModelError names the layer where the loss is not finite.

    ``teacher``: what :func:`edgewright.train.teacher.make_teacher` takes (``edgewright.train`` takes the path of a model as well); then
    ``terms`` (of :mod:`edgewright.train.distillation`) stand for ``loss``, weighed by ``balance``. Without terms: the teacher's softened
    logits, or its outputs where these are no classes.
    """
    _check(data, epochs, batch_size, precision)
    named = (pick(LOSSES, loss, "loss"), pick(OPTIMIZERS, optimizer, "optimizer"), pick(SCHEDULES, schedule, "schedule"))
    options = {"lr": learning_rate, "weight_decay": weight_decay}
    augment = augmentation(augment) if isinstance(augment, str) else augment
    run = _Run(module, data, validation, named, isinstance(optimizer, str), options, augment, seed)
    run.teach(teacher, terms, balance)
    run.epochs, run.batch_size, run.patience, run.every, run.progress = epochs, batch_size, patience, checkpoint_batches, progress
    with torch.random.fork_rng():
        run.prepare(precision, cpu)
        run.metrics, run.choose_by = dict(metrics or {}) or run.accuracy(loss), choose_by
        if validation is not None and choose_by not in ("loss", *run.metrics):
            raise RecipeError(f"there is no metric {choose_by!r} to choose by", hint=f"one of {', '.join(('loss', *run.metrics))}")
        run.folder = None if folder is None else Path(folder)
        run.facts = {"epochs": epochs, "batch size": batch_size, "learning rate": learning_rate, "weight decay": weight_decay, "seed": seed,
                     "loss": repr((run.terms, balance)) if run.terms else loss if isinstance(loss, str) else "own", "precision": precision,
                     "optimizer": optimizer if isinstance(optimizer, str) else "own", "choose by": choose_by}
        return run.go()


def merit(row: Mapping[str, float], choose_by: str) -> tuple[float, ...]:
    """What orders epochs by their validation ``row``, the best one last; what is no number is worst."""
    found = (-row["validation loss"],) if choose_by == "loss" else (row[choose_by], -row["validation loss"])
    return tuple(-math.inf if math.isnan(number) else number for number in found)


def _check(data: Any, epochs: int, batch_size: int, precision: str) -> None:
    if epochs < 1 or batch_size < 1:
        raise RecipeError(f"epochs is {epochs} and batch_size {batch_size}", hint="both count from 1")
    if precision not in PRECISIONS:
        raise RecipeError(f"unknown precision {precision!r}", hint=f"one of {', '.join(PRECISIONS)}")
    if isinstance(data, Iterator):
        raise DataError("the batches can be gone through only once", hint="give a list or a DataLoader, which start anew every epoch")


class _Trained(nn.Module):
    """The module and its loss as one: (inputs, what the teacher says, target) → loss and outputs, these before a softmax that ends it."""

    def __init__(self, module: nn.Module, objective: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.inner, self.objective, self.names = module, objective, names

    def forward(self, inputs: tuple[Tensor, ...], taught: Seen, target: Tensor) -> tuple[Tensor, Any]:
        seen = observe(self.inner, self.names, inputs)
        return self.objective(seen, taught, target), seen[""]


def observe(module: nn.Module, names: Sequence[str], inputs: tuple[Tensor, ...]) -> Seen:
    """The values ``names`` of the student, and its outputs before a softmax that ends it."""
    if isinstance(module, GraphModule):
        return module.observe(names, *inputs)
    if names:
        raise ModelError(f"a {type(module).__name__} has no value {names[0]!r}", hint="train what edgewright.to_module makes of a graph")
    return {"": module(*inputs)}


class _Run:
    """One training run: its parts, and the position that a checkpoint keeps."""

    epochs: int
    batch_size: int
    patience: int | None
    every: int | None
    progress: Callable[[str, int, int], None] | None
    metrics: dict[str, Any]
    choose_by: str
    folder: Path | None
    facts: dict[str, Any]

    def __init__(self, module: nn.Module, data: Any, validation: Any, named: tuple[Any, Any, Any], plain: bool, options: dict[str, float],
                 augment: Any, seed: int) -> None:
        self.module, self.data, self.validation, self.augment, self.seed = module, data, validation, augment, seed
        self.loss, make, self.schedule = named
        self.make = (lambda parameters: make(parameters, **options)) if plain else make
        self.learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not self.learned:
            raise ModelError("the network has nothing to train", hint="name constants with to_module(graph, trainable=…)")
        self.home = self.learned[0].device
        self.at = _Position()

    def teach(self, teacher: Any, terms: Sequence[Term], balance: str) -> None:
        """Take ``terms`` for the loss where there is a teacher, or where they need none."""
        self.teacher: Teacher | None = None if teacher is None else make_teacher(teacher)
        if teacher is None and any(not isinstance(term, Labels) for term in terms):
            raise RecipeError("terms of distillation need a teacher", hint="give train a teacher: a graph, a module, a session")
        self.terms, self.balance = tuple(terms), balance
        if teacher is not None and not terms:
            self.terms = (Logits() if self.tells_classes() else Outputs(),)
        self.names = tuple(dict.fromkeys(term.reads[0] for term in self.terms if term.reads[0]))
        self.asked = tuple(dict.fromkeys(term.reads[1] for term in self.terms if term.reads[1]))

    def tells_classes(self) -> bool:
        """Whether the outputs are those of classes: a softmax at the end says so, or labels."""
        labelled = getattr(self.data, "labels", None) is not None
        return has_classes(self.module.graph, labelled) if isinstance(self.module, GraphModule) else labelled

    def objective(self) -> nn.Module:
        """The loss as a module; terms look at one batch to see what adapters they need."""
        if not self.terms:
            return Plain(self.loss)
        inputs, _, rows = next(iter(self.batches(self.data, None)))
        inputs, rows = tuple(x[:2] for x in inputs), None if rows is None else rows[:2]
        self.module.to(self.accelerator.device)
        before = self.module.training
        with torch.no_grad():
            student = observe(self.module.eval(), self.names, inputs)
        self.module.train(before)
        torch.manual_seed(self.seed)
        return Distillation(self.terms, self.balance, student, self.ask(inputs, rows), self.learned)

    def ask(self, inputs: tuple[Tensor, ...], rows: Tensor | None, validation: bool = False) -> Seen:
        return {"": None} if self.teacher is None else self.teacher(inputs, self.asked, rows, validation)

    def prepare(self, precision: str, cpu: bool) -> None:
        """Hand module and optimizer to accelerate, which knows the devices."""
        try:
            from accelerate import Accelerator
            from accelerate.state import AcceleratorState
        except ImportError as error:
            raise ToolError("training needs accelerate", hint="pip install 'edgewright[train]'") from error
        AcceleratorState._reset_state()  # the precision of an earlier run in this process
        self.accelerator: Any = Accelerator(mixed_precision=precision, cpu=cpu)
        self.lessons = self.objective()
        self.optimizer = self.make([*self.learned, *self.lessons.parameters()])
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        trained = _Trained(self.module, self.lessons, self.names)
        self.model, self.stepper = self.accelerator.prepare(trained, self.optimizer)

    def accuracy(self, loss: Any) -> dict[str, Any]:
        if loss != "cross_entropy" or self.validation is None or not isinstance(self.module, GraphModule):
            return {}
        if self.terms and (not isinstance(self.validation, Data) or self.validation.labels is None or not self.tells_classes()):
            return {}
        try:
            from torchmetrics.classification import MulticlassAccuracy
        except ImportError as error:
            raise ToolError("training needs torchmetrics", hint="pip install 'edgewright[train]'") from error
        classes = self.module.graph.value(self.module.graph.outputs[0]).shape[-1] or 2
        return {"accuracy": MulticlassAccuracy(classes, average="micro")}

    def go(self) -> History:
        self.best = self.weights()
        self.resume()
        if self.validation is not None and not self.at.start:
            self.at.start = self.validate()
        self.started, self.done_before = time.monotonic(), self.at.epoch * self.count() + self.at.batch
        stopped = "finished"
        try:
            while self.at.epoch < self.epochs:
                if self.out_of_patience():
                    stopped = "patience"
                    break
                self.epoch()
        except KeyboardInterrupt:
            stopped = "interrupted"
        self.module.load_state_dict(self.best)
        self.module.to(self.home).eval()
        return History(tuple(self.at.rows), self.at.best, stopped, self.at.start)

    def out_of_patience(self) -> bool:
        best = self.at.best
        return self.patience is not None and best is not None and self.at.epoch - 1 - best >= self.patience

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}

    def count(self) -> int:
        """Batches in an epoch; 0 where that is not known beforehand."""
        if isinstance(self.data, Data):
            return -(-self.data.count // self.batch_size)
        return len(self.data) if hasattr(self.data, "__len__") else 0

    def epoch(self) -> None:
        """The rest of the epoch at hand, its validation, and the checkpoints."""
        count = self.count()
        self.model.train()
        for batch in islice(self.batches(self.data, self.at.epoch), self.at.batch, None):
            self.step(batch, count)
            if self.every is not None and self.at.batch % self.every == 0:
                self.save()
        if self.at.batch == 0:
            raise DataError("there are no batches to train on", hint="give samples")
        row = {"loss": self.at.total / self.at.batch}
        if self.validation is not None:
            row |= self.validate()
        self.at.rows.append(row)
        self.at.epoch, self.at.batch, self.at.total = self.at.epoch + 1, 0, 0.0
        if self.validation is None or self.better(row):
            self.at.best, self.best = self.at.epoch - 1, self.weights()
            self.write("best", self.best, {"epoch": self.at.best, **row})
        self.save()

    def better(self, row: Mapping[str, float]) -> bool:
        """Whether ``row`` is better than the best so far, or is the first to be of numbers."""
        own, best = merit(row, self.choose_by), self.at.best
        return own > ((-math.inf,) * len(own) if best is None else merit(self.at.rows[best], self.choose_by))

    def step(self, batch: Batch, count: int) -> None:
        at, (inputs, target, rows) = self.at, batch
        torch.manual_seed(hash((self.seed, at.epoch, at.batch, self.accelerator.process_index)) & 0x7FFFFFFFFFFFFFFF)
        if self.augment is not None:
            inputs = self.augment(inputs)
        share = (at.epoch + (at.batch / count if count else 0.0)) / self.epochs
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(share)
        with self.accelerator.autocast():
            taught = self.ask(inputs, rows)
            loss, _ = self.model(inputs, taught, target)
        number = float(loss.detach())
        if not math.isfinite(number):
            raise self.diverged(inputs, number)
        self.stepper.zero_grad()
        self.accelerator.backward(loss)
        self.stepper.step()
        at.batch, at.total = at.batch + 1, at.total + number
        if self.progress is not None:
            self.tell(count, number)

    def diverged(self, inputs: tuple[Tensor, ...], number: float) -> EdgewrightError:
        where = self.module.first_not_finite(*inputs) if isinstance(self.module, GraphModule) else None
        culprit = "all layers give finite numbers, the loss does not" if where is None else f"{where!r} is the first that is not finite"
        hint = "lower the learning rate, or look at the data of that batch"
        return ModelError(f"the loss is {number} in epoch {self.at.epoch + 1}, batch {self.at.batch + 1}: {culprit}", hint=hint)

    def tell(self, count: int, number: float) -> None:
        assert self.progress is not None
        done, steps = self.at.epoch * count + self.at.batch, self.epochs * count
        spent = time.monotonic() - self.started
        left = spent / max(1, done - self.done_before) * max(0, steps - done)
        self.progress(f"epoch {self.at.epoch + 1} of {self.epochs}, loss {number:.4f}, {left:.0f} s left", done, steps)

    def batches(self, data: Any, epoch: int | None) -> Iterator[Batch]:
        """Batches of one epoch on the device, this process's share of each; the order is a function of seed and epoch."""
        if isinstance(data, Data):
            order = torch.arange(data.count)
            if epoch is not None:
                order = torch.randperm(data.count, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
            wanted = torch.from_numpy(data.inputs[0] if data.labels is None else data.labels)
            arrays = [torch.from_numpy(array) for array in data.inputs]
            parts: Iterable[Any] = (([array[rows] for array in arrays], wanted[rows], rows) for rows in torch.split(order, self.batch_size))
        else:
            parts = ((inputs, target, None) for inputs, target in data)
        rank, world, device = self.accelerator.process_index, self.accelerator.num_processes, self.accelerator.device
        for inputs, target, rows in parts:
            tensors = [torch.as_tensor(x) for x in (inputs if isinstance(inputs, (tuple, list)) else [inputs])]
            target = torch.as_tensor(target)
            own = torch.arange(rank, max(len(target), world), world) % len(target)
            yield tuple(x[own].to(device) for x in tensors), target[own].to(device), None if rows is None else rows[own]

    def validate(self) -> dict[str, float]:
        """Mean loss and the metrics over the validation data."""
        self.model.eval()
        total, samples = torch.zeros((), dtype=torch.float64), 0
        metrics = {name: metric.to(self.accelerator.device) for name, metric in self.metrics.items()}
        for metric in metrics.values():
            metric.reset()
        with torch.no_grad():
            for inputs, target, rows in self.batches(self.validation, None):
                loss, output = self.model(inputs, self.ask(inputs, rows, True), target)
                total += float(loss) * len(target)
                samples += len(target)
                for metric in metrics.values():
                    metric.update(output, target)
        sums = self.accelerator.reduce(torch.tensor([float(total), samples], device=self.accelerator.device), "sum")
        return {"validation loss": float(sums[0] / sums[1]), **{name: float(metric.compute()) for name, metric in metrics.items()}}

    def write(self, name: str, weights: Mapping[str, Tensor], facts: Mapping[str, Any], more: Mapping[str, Tensor] | None = None) -> None:
        if self.folder is not None and self.accelerator.is_main_process:
            tensors = {f"model.{key}": tensor for key, tensor in weights.items()}
            save_checkpoint(self.folder / f"{name}.safetensors", {**tensors, **(more or {})}, facts)

    def save(self) -> None:
        """Everything that the rest of the run depends on."""
        if self.folder is None:
            return
        more = optimizer_tensors(self.optimizer) | {f"best.{name}": tensor for name, tensor in self.best.items()}
        more |= {f"lessons.{name}": tensor for name, tensor in self.lessons.state_dict().items()}
        scaler = getattr(self.accelerator, "scaler", None)
        facts = {"options": self.facts, "at": dataclasses.asdict(self.at), "scaler": scaler.state_dict() if scaler is not None else None}
        self.write("last", self.weights(), facts, more)

    def resume(self) -> None:
        """Go on from ``last.safetensors``, where there is one."""
        path = None if self.folder is None else self.folder / "last.safetensors"
        if path is None or not path.exists():
            return
        tensors, facts = load_checkpoint(path)
        if facts.get("options") != self.facts:
            raise RecipeError(f"checkpoint {path} was made with other options: {facts.get('options')}", hint="repeat them, or remove it")
        restore_weights(self.module, tensors, path)
        try:
            self.at = _Position(**facts["at"])
            restore_optimizer(self.optimizer, tensors)
            lessons = {name.removeprefix("lessons."): tensor for name, tensor in tensors.items() if name.startswith("lessons.")}
            self.lessons.load_state_dict(lessons)
            self.best = {name.removeprefix("best."): tensor for name, tensor in tensors.items() if name.startswith("best.")}
            if facts["scaler"] is not None and getattr(self.accelerator, "scaler", None) is not None:
                self.accelerator.scaler.load_state_dict(facts["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"checkpoint {path} is damaged: {error}", hint="remove it to start anew") from error
