"""Fused activations, as TensorFlow Lite has them: the names that ``activation`` attributes take."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewright.errors import ModelError

ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")


def check_activation(name: str) -> None:
    """Raise a ModelError unless ``name`` is one of ACTIVATIONS."""
    if name not in ACTIVATIONS:
        raise ModelError(f"unknown fused activation {name!r}", hint=f"one of {', '.join(ACTIVATIONS)}")


def apply_activation(x: Tensor, name: str) -> Tensor:
    """The fused activation ``name`` on floats. (Of what torch has, the functions with the quickest gradients.)"""
    if name == "relu":
        return torch.relu(x)
    if name == "relu6":
        return F.relu6(x)
    if name == "relu_n1_to_1":
        return x.clamp(-1.0, 1.0)
    return x
