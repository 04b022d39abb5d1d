"""A small training loop: any number of GPUs or none, resumed after a kill to the same bits, stopped early, never diverging in silence."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewright.data import Data
from edgewright.errors import DataError, EdgewrightError, ModelError, RecipeError, ToolError
from edgewright.train.checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, restore_weights, save_checkpoint
from edgewright.train.module import GraphModule

Batch = tuple[tuple[Tensor, ...], Tensor]
Loss = Callable[[Any, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "cross_entropy": lambda output, target: F.cross_entropy(output.movedim(-1, 1), target),
    "mse": lambda output, target: F.mse_loss(output, target.to(output.dtype).reshape(output.shape)),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, nesterov=True, **options),
}
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "cosine": lambda share: 0.5 * (1 + math.cos(math.pi * share)),
}
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class History:
    """What a training run came to: a row an epoch (loss, validation loss, metrics), the best one's number from 0, and why it ended."""

    epochs: tuple[dict[str, float], ...]
    best: int | None
    stopped: str


@dataclass
class _Position:
    """Where a run stands; all of it is in the checkpoint."""

    epoch: int = 0
    batch: int = 0
    total: float = 0.0
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: int | None = None


def train(
    module: nn.Module,
    data: Data | Iterable[Any],
    *,
    epochs: int = 10,
    batch_size: int = 32,
    loss: str | Loss = "cross_entropy",
    optimizer: str | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] = "adamw",
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    schedule: str | Callable[[float], float] = "cosine",
    validation: Data | Iterable[Any] | None = None,
    patience: int | None = None,
    metrics: Mapping[str, Any] | None = None,
    augment: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] | None = None,
    precision: str = "no",
    cpu: bool = False,
    folder: str | Path | None = None,
    checkpoint_batches: int | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> History:
    """Train ``module`` in place; it ends with the weights of the epoch of least validation loss (the last one without ``validation``).

    ``data``: :class:`Data` with labels (without: the input is the target of mse), shuffled by ``seed``; or an iterable of batches
    (inputs, target), gone through once an epoch. A network that ends in a softmax is trained on what goes into it. ``loss``, ``schedule``
    (of the share of all steps done): a name or a function. ``metrics``: torchmetrics by name; accuracy for cross-entropy. ``patience``:
    epochs without a better validation loss before the end. ``augment`` draws from torch alone. ``folder``: keeps ``best.safetensors`` and
    ``last.safetensors``, the latter every epoch and every ``checkpoint_batches``; a run that finds one goes on from there, to the bits that
    it would have come to. Ctrl-C leaves the best weights. ModelError names the layer where the loss is not finite.
    """
    _check(data, epochs, batch_size, precision)
    named = (_pick(LOSSES, loss, "loss"), _pick(OPTIMIZERS, optimizer, "optimizer"), _pick(SCHEDULES, schedule, "schedule"))
    options = {"lr": learning_rate, "weight_decay": weight_decay}
    run = _Run(module, data, validation, named, isinstance(optimizer, str), options, augment, seed)
    run.epochs, run.batch_size, run.patience, run.every, run.progress = epochs, batch_size, patience, checkpoint_batches, progress
    with torch.random.fork_rng():
        run.prepare(precision, cpu)
        run.metrics = dict(metrics or {}) or run.accuracy(loss)
        run.folder = None if folder is None else Path(folder)
        run.facts = {"epochs": epochs, "batch size": batch_size, "learning rate": learning_rate, "weight decay": weight_decay, "seed": seed,
                     "loss": str(loss) if isinstance(loss, str) else "own", "precision": precision,
                     "optimizer": optimizer if isinstance(optimizer, str) else "own"}
        return run.go()


def _check(data: Any, epochs: int, batch_size: int, precision: str) -> None:
    if epochs < 1 or batch_size < 1:
        raise RecipeError(f"epochs is {epochs} and batch_size {batch_size}", hint="both count from 1")
    if precision not in PRECISIONS:
        raise RecipeError(f"unknown precision {precision!r}", hint=f"one of {', '.join(PRECISIONS)}")
    if isinstance(data, Iterator):
        raise DataError("the batches can be gone through only once", hint="give a list or a DataLoader, which start anew every epoch")


def _pick(table: Mapping[str, Any], chosen: Any, what: str) -> Any:
    if callable(chosen):
        return chosen
    if chosen not in table:
        raise RecipeError(f"unknown {what} {chosen!r}", hint=f"one of {', '.join(table)}, or a function")
    return table[chosen]


class _Trained(nn.Module):
    """The module as the loss sees it: before a softmax that ends it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module

    def forward(self, *inputs: Tensor) -> Any:
        return self.inner.logits(*inputs) if isinstance(self.inner, GraphModule) else self.inner(*inputs)


class _Run:
    """One training run: its parts, and the position that a checkpoint keeps."""

    epochs: int
    batch_size: int
    patience: int | None
    every: int | None
    progress: Callable[[str, int, int], None] | None
    metrics: dict[str, Any]
    folder: Path | None
    facts: dict[str, Any]

    def __init__(self, module: nn.Module, data: Any, validation: Any, named: tuple[Any, Any, Any], plain: bool, options: dict[str, float],
                 augment: Any, seed: int) -> None:
        self.module, self.data, self.validation, self.augment, self.seed = module, data, validation, augment, seed
        self.loss, make, self.schedule = named
        learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not learned:
            raise ModelError("the network has nothing to train", hint="name constants with to_module(graph, trainable=…)")
        self.optimizer = make(learned, **options) if plain else make(learned)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.home = learned[0].device
        self.at = _Position()

    def prepare(self, precision: str, cpu: bool) -> None:
        """Hand module and optimizer to accelerate, which knows the devices."""
        try:
            from accelerate import Accelerator
            from accelerate.state import AcceleratorState
        except ImportError as error:
            raise ToolError("training needs accelerate", hint="pip install 'edgewright[train]'") from error
        AcceleratorState._reset_state()  # the precision of an earlier run in this process
        self.accelerator: Any = Accelerator(mixed_precision=precision, cpu=cpu)
        self.model, self.stepper = self.accelerator.prepare(_Trained(self.module), self.optimizer)

    def accuracy(self, loss: Any) -> dict[str, Any]:
        if loss != "cross_entropy" or self.validation is None or not isinstance(self.module, GraphModule):
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
        return History(tuple(self.at.rows), self.at.best, stopped)

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
        for inputs, target in islice(self.batches(self.data, self.at.epoch), self.at.batch, None):
            self.step(inputs, target, count)
            if self.every is not None and self.at.batch % self.every == 0:
                self.save()
        if self.at.batch == 0:
            raise DataError("there are no batches to train on", hint="give samples")
        row = {"loss": self.at.total / self.at.batch}
        if self.validation is not None:
            row |= self.validate()
        self.at.rows.append(row)
        self.at.epoch, self.at.batch, self.at.total = self.at.epoch + 1, 0, 0.0
        least = min((old.get("validation loss", math.inf) for old in self.at.rows[:-1]), default=math.inf)
        if self.validation is None or row["validation loss"] < least:
            self.at.best, self.best = self.at.epoch - 1, self.weights()
            self.write("best", self.best, {"epoch": self.at.best, **row})
        self.save()

    def step(self, inputs: tuple[Tensor, ...], target: Tensor, count: int) -> None:
        at = self.at
        torch.manual_seed(hash((self.seed, at.epoch, at.batch, self.accelerator.process_index)) & 0x7FFFFFFFFFFFFFFF)
        if self.augment is not None:
            inputs = self.augment(inputs)
        share = (at.epoch + (at.batch / count if count else 0.0)) / self.epochs
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(share)
        with self.accelerator.autocast():
            loss = self.loss(self.model(*inputs), target)
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
            parts: Iterable[Any] = (([array[rows] for array in arrays], wanted[rows]) for rows in torch.split(order, self.batch_size))
        else:
            parts = data
        rank, world, device = self.accelerator.process_index, self.accelerator.num_processes, self.accelerator.device
        for inputs, target in parts:
            tensors = [torch.as_tensor(x) for x in (inputs if isinstance(inputs, (tuple, list)) else [inputs])]
            target = torch.as_tensor(target)
            own = torch.arange(rank, max(len(target), world), world) % len(target)
            yield tuple(x[own].to(device) for x in tensors), target[own].to(device)

    def validate(self) -> dict[str, float]:
        """Mean loss and the metrics over the validation data."""
        self.model.eval()
        total, samples = torch.zeros((), dtype=torch.float64), 0
        metrics = {name: metric.to(self.accelerator.device) for name, metric in self.metrics.items()}
        for metric in metrics.values():
            metric.reset()
        with torch.no_grad():
            for inputs, target in self.batches(self.validation, None):
                output = self.model(*inputs)
                total += float(self.loss(output, target)) * len(target)
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
            self.best = {name.removeprefix("best."): tensor for name, tensor in tensors.items() if name.startswith("best.")}
            if facts["scaler"] is not None and getattr(self.accelerator, "scaler", None) is not None:
                self.accelerator.scaler.load_state_dict(facts["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"checkpoint {path} is damaged: {error}", hint="remove it to start anew") from error
