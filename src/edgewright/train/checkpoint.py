"""The state of a training run in one file: safetensors with JSON beside the tensors, replaced as a whole. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgewright.errors import ModelError, ToolError


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write ``tensors`` and the plain ``facts`` to ``path``: under a temporary name, synced, then renamed."""
    from safetensors.torch import save

    partial = path.with_name(f".{path.name}.partial")
    contents = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, {"facts": json.dumps(facts)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise ToolError(f"cannot write {path}: {error.strerror or error}", hint="is the disk full, or the folder not yours?") from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save_checkpoint` wrote; ModelError where ``path`` is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            facts = json.loads((file.metadata() or {})["facts"])
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read checkpoint {path}: {error}", hint="remove it to start anew") from error
    if not isinstance(facts, dict):
        raise ModelError(f"cannot read checkpoint {path}: its facts are no table", hint="remove it to start anew")
    return tensors, facts


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of ``optimizer`` as tensors, named by parameter number and entry; numbers become float64."""
    found = {}
    for number, entries in optimizer.state_dict()["state"].items():
        for key, entry in entries.items():
            if entry is not None:
                found[f"optimizer.{number}.{key}"] = entry if isinstance(entry, Tensor) else torch.tensor(entry, dtype=torch.float64)
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took; options such as the learning rate stay those of ``optimizer``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def restore_weights(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the tensors named ``model.…`` into ``module``; ModelError where they are those of another network."""
    try:
        module.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")})
    except RuntimeError as error:
        raise ModelError(f"checkpoint {path} is of another network", hint="give an empty folder") from error
