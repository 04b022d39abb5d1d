"""The diagnosis: is anything wrong, in which layers, of what cause, and what would mend it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.data import Data
from edgewright.diagnosis.case import Case, LayerNoise, make_case
from edgewright.diagnosis.causes import (
    batchnorm_drift,
    channel_imbalance,
    dead_channels,
    low_bit_width,
    preprocessing_mismatch,
    range_outliers,
    saturating_accumulator,
    scale_clash,
    sparsity_drift,
    unlike_calibration,
)
from edgewright.diagnosis.finding import Finding
from edgewright.diagnosis.pair import Pair, pair
from edgewright.evaluation.metrics import right_of_each, scores
from edgewright.evaluation.outputs import classifies, real_outputs, scores_of, signal_to_noise_db
from edgewright.evaluation.significance import Verdict, judge
from edgewright.ir.graph import Graph
from edgewright.passes import load_passes
from edgewright.recipe import RECIPES, Option, Recipe, Step

DETECTORS: tuple[Callable[[Case], Finding | None], ...] = (
    preprocessing_mismatch.find,
    saturating_accumulator.find,
    dead_channels.find,
    sparsity_drift.find,
    batchnorm_drift.find,
    scale_clash.find,
    unlike_calibration.find,
    range_outliers.find,
    channel_imbalance.find,
    low_bit_width.find,
)
"""In the order in which they win where they explain alike: what is wrong for sure before what merely costs."""
ALIKE = 0.05
"""Two causes whose shares differ by less explain alike."""
LEAST_SHARE = 0.2
"""Of the output's noise, what a cause must explain to be named."""
HEALTHY_DB = 20.0
HEALTHY_AGREEMENT = 0.97
"""A classifier that answers so often as the float one does is healthy, unless its accuracy is significantly lower."""


@dataclass(frozen=True)
class Health:
    """How the quantized network does beside the float one. ``verdict``: with labels. ``agreement``: classifiers."""

    samples: int
    signal_to_noise_db: float | None
    agreement: float | None
    accuracy_before: float | None
    accuracy_after: float | None
    verdict: Verdict | None

    @property
    def healthy(self) -> bool:
        """Nothing to look for: no significant loss and nearly the same answers; without classes, little noise."""
        if self.verdict is not None and self.verdict.decision == "significant loss":
            return False
        if self.agreement is not None:
            return self.agreement >= HEALTHY_AGREEMENT
        return self.signal_to_noise_db is None or self.signal_to_noise_db >= HEALTHY_DB


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """``findings``: by what they explain, the first is the cause. Empty where the network is healthy, or where nothing stands out."""

    health: Health
    case: Case
    layers: tuple[LayerNoise, ...]
    findings: tuple[Finding, ...]

    @property
    def cause(self) -> str:
        if self.health.healthy:
            return "healthy"
        return self.findings[0].cause if self.findings else "no single cause"


def diagnose(floating: Graph, quantized: Graph, data: Data) -> Diagnosis:
    """Compare ``quantized`` with the ``floating`` network that it was made of, on ``data``; labels are used where there are any.

    ModelError where the two are not the same network.
    """
    both = pair(floating, quantized)
    health = health_of(floating, quantized, data)
    case = make_case(both, data)
    if health.healthy:
        return Diagnosis(health, case, (), ())
    suspected = [finding for find in DETECTORS if (finding := find(case)) is not None]
    return Diagnosis(health, case, case.layers, _ranked(case, suspected))


def health_of(floating: Graph, quantized: Graph, data: Data) -> Health:
    """Accuracy, agreement and noise of the first output."""
    first, second = (real_outputs(graph, data)[0] for graph in (floating, quantized))
    second = second.reshape(first.shape)
    ratio = signal_to_noise_db(first, second)
    pairs = [scores_of(output, data.count) if classifies(floating) else None for output in (first, second)]
    if pairs[0] is None or pairs[1] is None:
        return Health(data.count, ratio, None, None, None, None)
    same = float(np.mean(scores(pairs[0]).argmax(1) == scores(pairs[1]).argmax(1)))
    if data.labels is None:
        return Health(data.count, ratio, same, None, None, None)
    right = [right_of_each(output, data.labels) > 0 for output in pairs if output is not None]
    return Health(data.count, ratio, same, float(right[0].mean()), float(right[1].mean()), judge(right[0], right[1]))


def _ranked(case: Case, suspected: Sequence[Finding]) -> tuple[Finding, ...]:
    """What explains most first; of those that explain alike, the one whose detector stands first."""
    measured = []
    for finding in suspected:
        left = case.noise_of(case.pair.graph(quants=finding.cure.quants, constants=finding.cure.constants))
        measured.append(dataclasses.replace(finding, explains=1 - left / case.noise if case.noise else 0.0))
    named = [finding for finding in measured if finding.explains >= LEAST_SHARE]
    found: list[Finding] = []
    while named:
        most = max(finding.explains for finding in named)
        chosen = next(finding for finding in named if finding.explains >= most - ALIKE)
        named.remove(chosen)
        found.append(chosen)
    return tuple(found)


def recipe_of(both: Pair, findings: Sequence[Finding]) -> Recipe:
    """The recipe that quantizes the float network anew with the remedies of ``findings``, at the bits that the quantized one has.

    Passes that this version lacks are left out.
    """
    known = load_passes()
    weights, activations = _bits(both)
    options: dict[str, Option] = {"weight_bits": weights, "activation_bits": activations}
    before: dict[str, None] = {}
    after: dict[str, None] = {}
    for finding in findings:
        before |= dict.fromkeys(name for name in finding.fix.before if name in known)
        after |= dict.fromkeys(name for name in finding.fix.after if name in known)
        options |= finding.fix.options
    if int(options["weight_bits"]) < 8:
        options.setdefault("weight_ranges", "mse")
        after["round_weights"] = None
    start = [step for step in RECIPES["w8a8"].steps if step.name != "quantize_static"]
    plain = {key: value for key, value in options.items() if value != known["quantize_static"].parameters[key].default}
    again = [step for step in start if step.repeat] if before else []
    steps = [*start, *(Step(name) for name in before), *again, Step("quantize_static", plain), *(Step(name) for name in after)]
    return Recipe("remedy", tuple(steps), "; ".join(finding.fix.why for finding in findings))


def _bits(both: Pair) -> tuple[int, int]:
    """The commonest bits of weights, and of the activations that layers with weights read."""
    weights: Counter[int] = Counter()
    read: Counter[int] = Counter()
    for node in both.floating.nodes:
        for index in node.op.weight_inputs:
            for name, counter in ((node.inputs[index], weights), (node.inputs[0], read)):
                quant = both.quants.get(name)
                if quant is not None and quant.dtype.bits <= 8:
                    counter[quant.dtype.bits] += 1
    return (found.most_common(1)[0][0] if (found := weights) else 8), (read.most_common(1)[0][0] if read else 8)
