"""Muon: filters and matrices turn by orthogonalized steps, a share of their own size; everything else learns by Adam.

``torch.optim.Muon`` takes matrices alone: no filters, no vectors beside them, and no tables with sparse gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.9
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5
"""Of the iteration, and its coefficients: singular values come to lie between 0.7 and 1.2."""
SMALLEST = 0.1
"""Of the norm of a filter (1 at He's initialization, about) that a step is a share of, where the filters are smaller: they may be zero."""
LARGEST = 8192
"""Rows of a matrix; longer ones are tables, most of whose rows no batch looks at."""
REST = 1 / 3
"""Of the learning rate: what Adam gets."""
BETAS, TINY = (0.9, 0.99), 1e-8


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by Newton-Schulz for what has two axes or more, as (first axis, all others); Adam for the rest.

    ``lr``: what a step changes, as a share of the matrix's norm; Adam's rate is a third of it. ``weight_decay``: of matrices alone, as in
    AdamW. Tables of more than 8,192 rows learn by Adam; so do those with sparse gradients (``nn.Embedding(sparse=True)``), only the rows
    that have one.
    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon); steps
    relative to the norm: You et al. 2017 (arXiv:1708.03888).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float = 5e-3, weight_decay: float = 0.0) -> None:
        held = list(parameters)
        matrices = [parameter for parameter in held if _is_matrix(parameter)]
        rest = [parameter for parameter in held if not _is_matrix(parameter)]
        groups: list[dict[str, Any]] = [{"params": matrices, "lr": lr, "turned": True}, {"params": rest, "lr": lr * REST, "turned": False}]
        super().__init__([group for group in groups if group["params"]], {"weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step along the gradients at hand."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["turned"] and not parameter.grad.is_sparse:
                    self._turn(parameter, group["lr"], group["weight_decay"])
                else:
                    self._adam(parameter, group["lr"] * (REST if group["turned"] else 1.0))

    def _turn(self, parameter: Tensor, rate: float, decay: float) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(MOMENTUM).add_(parameter.grad)
        step = orthogonalized((parameter.grad + MOMENTUM * momentum).flatten(1)).reshape(parameter.shape)
        size = parameter.norm().clamp(min=SMALLEST * len(parameter) ** 0.5)
        parameter.mul_(1 - rate * decay).sub_(step * (rate * size / step.norm().clamp(min=TINY)))

    def _adam(self, parameter: Tensor, rate: float) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["step"], state["mean"], state["square"] = torch.zeros(()), torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        rows: Any = ...
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            rows, gradient = gradient.indices()[0], gradient.values()
        mean = torch.lerp(state["mean"][rows], gradient, 1 - BETAS[0])
        square = torch.lerp(state["square"][rows], gradient.square(), 1 - BETAS[1])
        state["mean"][rows], state["square"][rows] = mean, square
        first, second = (1 - beta ** float(state["step"]) for beta in BETAS)
        parameter[rows] -= rate / first * mean / ((square / second).sqrt() + TINY)


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and 1 < len(parameter) <= LARGEST and parameter[0].numel() > 1


def orthogonalized(matrix: Tensor) -> Tensor:
    """About U·Vᵀ of ``matrix`` = U·S·Vᵀ, (rows, columns), in its own type; computed in bfloat16, as the source does."""
    a, b, c = NEWTON_SCHULZ
    tall = len(matrix) > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = (x / x.norm().clamp(min=TINY)).bfloat16()
    for _ in range(STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result
