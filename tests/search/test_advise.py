"""Advice: verdicts follow the figures, the figures follow the target, and nothing is claimed of what nobody knows."""

from __future__ import annotations

import pytest

from edgewright.errors import UnsupportedError
from edgewright.passes import load_passes
from edgewright.recipe import Step
from edgewright.search.advise import IDEAS, WORTH, Idea, advise
from edgewright.targets.target import load_target
from edgewright.verbs import advise as verb
from tests.zoo import ZOO, quantize_zoo

HALF = IDEAS[0]
NARROW = next(idea for idea in IDEAS if idea.recipe == "w4a8")


@pytest.fixture(autouse=True)
def _passes() -> None:
    load_passes()


def test_half_the_channels_pay_on_a_microcontroller() -> None:
    (advice,) = advise(ZOO["separable_keyword_spotter"](), load_target("cortex-m4"), ideas=[HALF])
    before, after = advice.figures["cycles"]
    assert advice.verdict == "pays" and after < WORTH * before and f"x{after / before:.2f}" in advice.why
    assert advice.figures["macs"][1] <= 0.5 * advice.figures["macs"][0]
    assert advice.steps[0].startswith("prune_channels(")


def test_what_changes_nothing_does_not_apply_or_pay() -> None:
    graph = ZOO["conv_same_relu"]()
    nothing, blocks = advise(graph, load_target("cortex-m4"), ideas=[Idea("as it is"), IDEAS[2]])
    assert nothing.verdict == "does not pay" and "1.00" in nothing.why
    assert blocks.verdict == "does not apply" and blocks.why and not blocks.figures


def test_a_target_without_a_model_of_time_is_not_guessed() -> None:
    half, narrow = advise(ZOO["separable_keyword_spotter"](), load_target("host"), ideas=[HALF, NARROW])
    assert half.verdict == "unknown" and "measure it" in half.why and "cycles" not in half.figures
    assert narrow.verdict == "pays" and narrow.figures["file_bytes"][1] < narrow.figures["file_bytes"][0]


def test_an_npu_is_asked_through_its_compiler() -> None:
    pytest.importorskip("ethosu.vela")
    (advice,) = advise(ZOO["conv_same_relu"](), load_target("ethos-u55-128"), ideas=[Idea("as it is")])
    assert advice.figures["npu_cycles"][0] == advice.figures["npu_cycles"][1] > 0


def test_integers_are_refused_and_bad_steps_told() -> None:
    with pytest.raises(UnsupportedError, match="integer level"):
        advise(quantize_zoo(ZOO["conv_same_relu"]()), load_target("cortex-m4"))
    wrong = Idea("wrong", (Step("prune_channels", {"cost": "beauty"}),))
    (advice,) = advise(ZOO["conv_same_relu"](), load_target("cortex-m4"), ideas=[wrong])
    assert advice.verdict == "does not apply" and "beauty" in advice.why


def test_the_verb_prints_shares_and_recipe_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb.pipeline, "load", lambda model: ZOO["separable_keyword_spotter"]())
    monkeypatch.setattr(verb, "advise_graph", lambda *rest, **more: advise(*rest, ideas=[HALF], **more))
    result = verb.advise("a.onnx", target="cortex-m4")
    assert "half the channels" in result.text and "Accuracy is not told" in result.text
    assert result.data[0]["verdict"] == "pays" and "prune_channels(" in result.text
