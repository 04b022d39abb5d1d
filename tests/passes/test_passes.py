from __future__ import annotations

import pytest

from edgewright.errors import RecipeError
from edgewright.passes import check_recipe, find_pass, load_passes
from edgewright.recipe import CLEAN, RECIPES, Recipe, Step


def test_every_technique_is_found() -> None:
    passes = load_passes()
    assert set(CLEAN) <= set(passes) and all(passes[name].exact and passes[name].group == "clean" for name in CLEAN)
    assert {entry.name for entry in passes.values() if entry.group == "clean"} == {*CLEAN, "expand_activations"}
    assert all(entry.summary for entry in passes.values())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_named_recipes_are_valid(recipe: Recipe) -> None:
    assert check_recipe(recipe) is recipe


def test_an_unknown_pass_gets_the_nearest_names() -> None:
    with pytest.raises(RecipeError, match="no pass 'fold_batch_norm'") as error:
        find_pass("fold_batch_norm")
    assert error.value.hint.startswith("did you mean 'fold_batchnorm' or")
    with pytest.raises(RecipeError) as error:
        find_pass("zzz")
    assert error.value.hint.startswith("one of ") and "cancel_transposes, " in error.value.hint


@pytest.mark.parametrize(("step", "message", "hint"), [
    (Step("quantize_statik"), "no pass 'quantize_statik'", "did you mean 'quantize_static'"),
    (Step("quantize_static", {"range": "mse"}), "no option 'range'", "did you mean 'ranges'?"),
    (Step("fold_padding", {"much": 1}), "no option 'much'", "its options are none"),
    (Step("quantize_static", {"ranges": 3}), "takes str, got 3", "its default is 'minmax'"),
    (Step("quantize_static", {"percentile": True}), "takes float, got True", "its default is"),
    (Step("fold_constants", {"largest_bytes": 1.5}), "takes int, got 1.5", "its default is 1048576"),
])
def test_bad_steps(step: Step, message: str, hint: str) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        check_recipe(Recipe("mine", (step,)))
    assert error.value.hint.startswith(hint)


def test_a_whole_number_stands_for_a_float() -> None:
    check_recipe(Recipe("mine", (Step("quantize_static", {"percentile": 99}),)))
