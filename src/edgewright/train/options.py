"""What a training run can be told by name: losses, optimizers, schedules of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.errors import RecipeError
from edgewright.train.muon import Muon

WARM_SHARE, COLD_RATE = 0.3, 0.04
"""Of a one-cycle schedule (Smith and Topin 2017, arXiv:1708.07120): the share of steps that rise, and the rate that they rise from."""


def one_cycle(share: float) -> float:
    """Up from COLD_RATE, then down to nothing, along cosines."""
    if share < WARM_SHARE:
        return COLD_RATE + (1 - COLD_RATE) * 0.5 * (1 - math.cos(math.pi * share / WARM_SHARE))
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_SHARE) / (1 - WARM_SHARE)))


Loss = Callable[[Any, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "cross_entropy": lambda output, target: F.cross_entropy(output.movedim(-1, 1), target),
    "mse": lambda output, target: F.mse_loss(output, target.to(output.dtype).reshape(output.shape)),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "muon": Muon,
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, nesterov=True, **options),
}
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "cosine": lambda share: 0.5 * (1 + math.cos(math.pi * share)),
    "one_cycle": lambda share: one_cycle(share),
}


def pick(table: Mapping[str, Any], chosen: Any, what: str) -> Any:
    """``chosen`` itself where it is a function, else what ``table`` has under that name."""
    if callable(chosen):
        return chosen
    if chosen not in table:
        raise RecipeError(f"unknown {what} {chosen!r}", hint=f"one of {', '.join(table)}, or a function")
    return table[chosen]
