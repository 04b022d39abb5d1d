"""The recipes that prune, from a trained network to an integer program."""

from __future__ import annotations

import dataclasses

import edgewright
from edgewright.ops.cost import cost
from edgewright.recipe import load_recipe
from edgewright.report.accuracy import real_outputs
from tests.passes.train.test_fine_tune import accuracy
from tests.train.digits import digit_images, need_training, trained_digits


def test_half_of_a_network_that_reads_digits() -> None:
    need_training()
    data, test = digit_images()
    recipe = load_recipe("w8a8-pruned50").with_options("distill", epochs=4, augment="none").with_options("prune_channels", multiple=1)
    result = edgewright.optimize(trained_digits(), recipe=recipe, data=dataclasses.replace(data, labels=None), formats=["c"])
    assert cost(result.graph).macs <= 0.5 * cost(trained_digits()).macs and result.program is not None
    right = real_outputs(result.graph, test)[0].argmax(-1) == test.labels
    assert float(right.mean()) > accuracy(trained_digits(), test) - 0.08
