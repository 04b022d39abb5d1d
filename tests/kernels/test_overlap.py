"""The batteries lay outputs over inputs as far as they may; here further: then kernels read what they have overwritten."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.ir.graph import Graph
from edgewright.lower.memory import Slide
from edgewright.ops.conv2d import Conv2D
from edgewright.ops.depthwise_conv2d import DepthwiseConv2D
from tests.kernels import harness
from tests.kernels.harness import Batch
from tests.kernels.test_convolution import weights

SAME = ((1, 1), (1, 1))


@pytest.mark.parametrize("folder", ["dsp", "portable", "size"])
def test_further_is_too_far(folder: str, needs_cc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = harness.all_slides

    def further(graph: Graph, *others: object) -> dict[str, Slide]:
        slides = found(graph, *others).items()  # type: ignore[arg-type]
        return {name: dataclasses.replace(slide, least=slide.least // 2 // slide.step * slide.step) for name, slide in slides}

    monkeypatch.setattr(harness, "is_safe", lambda *_: True)
    for op, channels, outputs in ((Conv2D((1, 1), SAME), 4, 4), (Conv2D(), 4, 8), (DepthwiseConv2D((1, 1), SAME), 4, 4)):
        for less in (False, True):
            batch = Batch(np.random.default_rng(0))
            for _ in range(6):
                x = batch.input((40, 40, channels), batch.quant(zero_point=3))
                depthwise = isinstance(op, DepthwiseConv2D)
                kernel = (outputs, 3, 3, 1 if depthwise else channels) if op.padding == SAME else (outputs, 1, 1, channels)
                w, b, quant = weights(batch, kernel, channels, 0.1)
                batch.add(op, [x, w, b], quant)
            monkeypatch.setattr(harness, "all_slides", further if less else found)
            if less:
                with pytest.raises(AssertionError, match="differ"):
                    batch.check(folder)
            else:
                batch.check(folder)
