"""Whatever can be learned from, as one thing to ask: a graph, a torch module, an ONNX Runtime session, a function, stored outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgewright.errors import DataError, ModelError
from edgewright.ir.graph import Graph, Level, Value
from edgewright.ops.evaluate import evaluate, quantize_inputs
from edgewright.train.module import GraphModule, before_softmax, to_module

Seen = dict[str, Any]
"""Values by name; under "" what the network gives, before a softmax that ends it (a tuple of several outputs)."""
Teacher = Callable[[tuple[Tensor, ...], Sequence[str], Tensor | None, bool], Seen]
"""(inputs, names of values, numbers of the samples or None, whether they are validation data) → what it says of them."""
SMALLEST = 1e-8
"""Probabilities below count as this much."""


def make_teacher(source: Any) -> Teacher:
    """``source`` as a :data:`Teacher`; its numbers do not change, and no gradient goes into it.

    Graphs take and give what the student does, and their values have names. A torch module takes images channels-first, as torch has
    them; its sub-modules are the names of what they give (four axes come back channels-last). An ONNX Runtime session takes what its
    inputs say, channels-first or last. Stored outputs are an array, a row a sample of the training data, or a pair of them with a row a
    sample of the validation data in the second. Any other function is called with the inputs. Outputs that are probabilities count as
    their logarithms, which are logits. ModelError for what is none of these.
    """
    if isinstance(source, Graph):
        return _of_graph(source)
    if isinstance(source, GraphModule):
        return _of_graph_module(source)
    if isinstance(source, nn.Module):
        return _of_module(source)
    if hasattr(source, "get_inputs") and hasattr(source, "run"):
        return _of_session(source)
    if isinstance(source, (np.ndarray, Tensor)) or (isinstance(source, tuple) and len(source) == 2):
        return _of_stored(source)
    if callable(source):
        return _of_function(source)
    raise ModelError(f"a {type(source).__name__} cannot teach", hint="give a Graph, a torch module, an ONNX Runtime session or its outputs")


def _of_graph(graph: Graph) -> Teacher:
    if graph.level is Level.FLOAT:
        return _of_graph_module(to_module(graph))

    ends = tuple(before_softmax(graph, name) for name in graph.outputs)

    def ask(inputs: tuple[Tensor, ...], names: Sequence[str], rows: Tensor | None, validation: bool) -> Seen:
        found: dict[str, list[Tensor]] = {name: [] for name in (*ends, *names)}

        def look(value: Value, x: Tensor) -> None:
            if value.name in found:
                reals = x if x.is_floating_point() or value.quant is None else torch.from_numpy(value.quant.to_real(x.numpy()))
                found[value.name].append(reals.float())

        with torch.autocast("cpu", enabled=False):
            evaluate(graph, quantize_inputs(graph, [x.cpu().numpy() for x in inputs]), observe=look)
        seen = {name: torch.cat(parts).to(inputs[0].device) for name, parts in found.items() if parts}
        if missing := set(found) - set(seen):
            raise ModelError(f"graph {graph.name!r} has no value {min(missing)!r}", hint=f"it gives {', '.join(graph.values)}")
        return {"": seen[ends[0]] if len(ends) == 1 else tuple(seen[name] for name in ends), **seen}

    return ask


def _of_graph_module(module: GraphModule) -> Teacher:
    module.eval()

    def ask(inputs: tuple[Tensor, ...], names: Sequence[str], rows: Tensor | None, validation: bool) -> Seen:
        module.to(inputs[0].device)
        with torch.no_grad(), nullcontext() if module.integers is None else torch.autocast("cpu", enabled=False):
            return module.observe(names, *inputs)

    return ask


def _of_module(module: nn.Module) -> Teacher:
    parts = dict(module.named_modules())

    def ask(inputs: tuple[Tensor, ...], names: Sequence[str], rows: Tensor | None, validation: bool) -> Seen:
        seen: Seen = {}
        before = module.training
        with torch.no_grad(), ExitStack() as hooks:
            for name in names:
                if name not in parts:
                    raise ModelError(f"the teacher has no sub-module {name!r}", hint=f"it has {', '.join(part for part in parts if part)}")
                handle = parts[name].register_forward_hook(lambda _, __, x, name=name: seen.update({name: _channels_last(x)}))
                hooks.callback(handle.remove)
            output = module.to(inputs[0].device).eval()(*(x.movedim(-1, 1) if x.ndim == 4 else x for x in inputs))
        module.train(before)
        return seen | {"": _logits(output)}

    return ask


def _channels_last(x: Any) -> Any:
    return x.movedim(1, -1) if isinstance(x, Tensor) and x.ndim == 4 else x


def _of_session(session: Any) -> Teacher:
    wanted = session.get_inputs()

    def run(inputs: tuple[Tensor, ...]) -> list[Any]:
        feeds = {}
        for entry, x in zip(wanted, inputs, strict=True):
            last, first = tuple(x.shape[1:]), (*x.shape[-1:], *x.shape[1:-1])
            fixed = tuple(size if isinstance(size, int) else None for size in entry.shape[1:])
            moved = not _matches(fixed, last) and _matches(fixed, first)
            feeds[entry.name] = (x.movedim(-1, 1) if moved else x).cpu().numpy()
        return list(session.run(None, feeds))

    return _of_function(run)


def _matches(fixed: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(fixed) == len(shape) and all(size in (None, own) for size, own in zip(fixed, shape))


def _of_function(function: Callable[[tuple[Tensor, ...]], Any]) -> Teacher:
    def ask(inputs: tuple[Tensor, ...], names: Sequence[str], rows: Tensor | None, validation: bool) -> Seen:
        if names:
            raise ModelError(f"this teacher gives outputs only, not {names[0]!r}", hint="give it as a Graph or a torch module")
        with torch.no_grad():
            found = function(inputs)
        several = [torch.as_tensor(x, device=inputs[0].device) for x in (found if isinstance(found, (list, tuple)) else [found])]
        return {"": _logits(several[0] if len(several) == 1 else tuple(several))}

    return ask


def _of_stored(source: Any) -> Teacher:
    stored = tuple(torch.as_tensor(part) for part in (source if isinstance(source, tuple) else (source,)))

    def ask(inputs: tuple[Tensor, ...], names: Sequence[str], rows: Tensor | None, validation: bool) -> Seen:
        if names or rows is None or (validation and len(stored) < 2):
            what = names[0] if names else "the validation data" if rows is not None else "batches"
            raise DataError(f"stored outputs say nothing of {what}", hint="give Data, and a pair of arrays: for training, for validation")
        part = stored[1 if validation else 0]
        if len(rows) and int(rows.max()) >= len(part):
            raise DataError(f"{len(part)} stored outputs are fewer than the samples", hint="give a row a sample, in the order of the data")
        return {"": _logits(part[rows].to(inputs[0].device))}

    return ask


def _logits(output: Any) -> Any:
    """``output``, or its logarithm where every row along the last axis is a probability distribution."""
    if not isinstance(output, Tensor):
        return tuple(_logits(x) for x in output)
    wide = output.float()
    if wide.ndim < 2 or wide.shape[-1] < 2 or bool((wide < 0).any()) or bool(((wide.sum(-1) - 1).abs() > 1e-3).any()):
        return wide
    return wide.clamp(min=SMALLEST).log()
