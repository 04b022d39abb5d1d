"""Augmented images are the images, moved and turned; the seed decides how."""

from __future__ import annotations

import pytest
import torch

from edgewright.errors import RecipeError
from edgewright.train.augment import augmentation


def test_images_are_flipped_and_shifted():
    images = torch.arange(64 * 16 * 8, dtype=torch.float32).reshape(64, 16, 8, 1)
    flip, shift, both = (augmentation(names) for names in ("flip", "shift", "flip, shift"))
    assert flip is not None and shift is not None and both is not None
    (turned,) = flip((images,))
    kinds = {bool((a == b).all()) and not bool((a == b.flip(1)).all()) for a, b in zip(turned, images)}
    assert kinds == {True, False}
    assert all(bool((a == b).all()) or bool((a == b.flip(1)).all()) for a, b in zip(turned, images))
    (moved,) = shift((images,))
    offsets = moved[:, 8, 4, 0] - images[:, 8, 4, 0]
    assert set(offsets.tolist()) == {8.0 * rows + columns for rows in (-2, -1, 0, 1, 2) for columns in (-1, 0, 1)}
    assert set(moved[0].flatten().tolist()) <= set(images[0].flatten().tolist()), "what comes in is the edge"
    torch.manual_seed(1)
    first = both((images,))[0]
    torch.manual_seed(1)
    assert torch.equal(first, both((images,))[0])


def test_what_is_no_image_stays():
    rows = torch.ones(3, 5)
    apply = augmentation("shift")
    assert apply is not None and apply((rows,))[0] is rows
    assert augmentation("none") is None and augmentation("") is None
    with pytest.raises(RecipeError, match="unknown augmentation 'mixup'"):
        augmentation("flip,mixup")
