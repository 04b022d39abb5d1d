"""What training does to inputs so that a network does not learn them by heart; all chance is torch's, so that a seed decides it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgewright.errors import RecipeError

Augment = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
MOST_SHIFT = 8
"""Images shift by up to a share of 1 / MOST_SHIFT of their size."""


def augmentation(names: str) -> Augment | None:
    """``names``, joined by commas, as one function of the inputs: "flip" (left to right, half of the images), "shift", "none".

    Inputs of four axes (images, N x H x W x C) change, an image at a time; all others stay as they are.
    """
    chosen = [name.strip() for name in names.split(",") if name.strip() not in ("", "none")]
    unknown = sorted(set(chosen) - set(AUGMENTATIONS))
    if unknown:
        raise RecipeError(f"unknown augmentation {unknown[0]!r}", hint=f"one or more of {', '.join(AUGMENTATIONS)}, joined by commas")

    def apply(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        for name in chosen:
            inputs = tuple(AUGMENTATIONS[name](x) if x.ndim == 4 else x for x in inputs)
        return inputs

    return apply if chosen else None


def _flip(images: Tensor) -> Tensor:
    turned = torch.rand(len(images)) < 0.5
    return torch.where(turned.to(images.device)[:, None, None, None], images.flip(2), images)


def _shift(images: Tensor) -> Tensor:
    """Each image moved along both axes; what comes in from outside is the edge, repeated."""
    count = len(images)
    places = []
    for size in images.shape[1:3]:
        most = size // MOST_SHIFT
        by = torch.randint(-most, most + 1, (count, 1))
        places.append((torch.arange(size) + by).clamp(0, size - 1).to(images.device))
    return images[torch.arange(count, device=images.device)[:, None, None], places[0][:, :, None], places[1][:, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor], Tensor]] = {"flip": _flip, "shift": _shift}
