from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewright.errors import RecipeError
from edgewright.recipe import (
    CLEAN,
    RECIPES,
    Budget,
    Recipe,
    Step,
    format_recipe,
    load_budget,
    load_recipe,
    parse_budget,
    parse_recipe,
    save_recipe,
)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_named_recipes_survive_toml(recipe: Recipe) -> None:
    assert parse_recipe(format_recipe(recipe)) == recipe and hash(parse_recipe(format_recipe(recipe)).steps) == hash(recipe.steps)


def test_every_kind_of_option_survives_toml() -> None:
    options = {"text": 'quo"te \\ \n \x7f é', "yes": True, "count": -3, "share": 1e-7, "large": 1e300, "a b": 0}
    recipe = Recipe("mine", (Step("one"), Step("two", options, repeat=True)), "says 'what'")
    assert parse_recipe(format_recipe(recipe)) == recipe


def test_a_name_in_the_steps_stands_for_a_recipe_or_a_pass() -> None:
    recipe = parse_recipe('steps = ["clean", "prune", { pass = "quantize_static", options = { ranges = "mse" } }]', name="file")
    assert recipe.name == "file" and [step.name for step in recipe.steps] == [*CLEAN, "prune", "quantize_static"]
    assert recipe.steps[-1].options == {"ranges": "mse"} and recipe.steps[0].repeat and not recipe.steps[-2].repeat


def test_blocks() -> None:
    steps = (Step("a"), Step("b", repeat=True), Step("c", repeat=True), Step("d"), Step("e", repeat=True))
    assert [[step.name for step in block] for block in Recipe("mine", steps).blocks()] == [["a"], ["b", "c"], ["d"], ["e"]]
    assert [len(block) for block in RECIPES["w8a8"].blocks()] == [1, len(CLEAN), 1]


def test_options_are_set_by_name() -> None:
    recipe = RECIPES["w8a8"].with_options("quantize_static", ranges="percentile", percentile=99.9)
    assert recipe.steps[-1].options == {"ranges": "percentile", "percentile": 99.9}
    assert RECIPES["w8a8"].steps[-1].options == {"ranges": "minmax"}
    with pytest.raises(RecipeError, match="has no step 'quantise_static'") as error:
        recipe.with_options("quantise_static", ranges="mse")
    assert error.value.hint == "did you mean 'quantize_static'?"


def test_files(tmp_path: Path) -> None:
    path = save_recipe(RECIPES["w8a8"], tmp_path / "mine.toml", Budget(ram_bytes=65536, accuracy_drop=0.01))
    assert load_recipe(path) == RECIPES["w8a8"] and load_recipe("w8a8") is RECIPES["w8a8"]
    assert load_budget(path) == Budget(ram_bytes=65536, accuracy_drop=0.01)
    assert os.listdir(tmp_path) == ["mine.toml"]
    (tmp_path / "short.toml").write_text('steps = ["clean"]')
    assert load_recipe(tmp_path / "short.toml").name == "short" and load_budget(tmp_path / "short.toml") == Budget()


@pytest.mark.parametrize(("text", "message"), [
    ("steps = [", "not TOML"),
    ("[" * 5000, "not TOML"),
    ("", "needs a list of steps"),
    ("steps = []", "needs a list of steps"),
    ("steps = [1]", "a step must be a name or a table with the key 'pass', got 1"),
    ("steps = [{ options = {} }]", "key 'pass'"),
    ('steps = [{ pass = "a", option = {} }]', "step 'a' has no entry 'option'"),
    ('steps = [{ pass = "a", options = 3 }]', "must be a table"),
    ('steps = [{ pass = "a", options = { b = [1] } }]', "option 'b' of step 'a'"),
    ('steps = [{ pass = "a", options = { b = nan } }]', "option 'b' of step 'a'"),
    ('steps = [{ pass = "a", repeat = 1 }]', "repeat of step 'a'"),
    ('steps = ["rm -rf"]', "is not the name of a pass"),
    ('step = ["a"]', "a recipe has no entry 'step'"),
    ('name = 3\nsteps = ["a"]', "name of a recipe must be a string"),
])
def test_bad_recipes(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_recipe(text)
    assert message in error.value.message


@pytest.mark.parametrize(("text", "message"), [
    ("budget = 3", "budget must be a table"),
    ("[budget]\nram = 3", "a budget has no entry 'ram'"),
    ("[budget]\nram_bytes = -1", "ram_bytes must be a whole number"),
    ("[budget]\nram_bytes = 1.5", "ram_bytes must be a whole number"),
    ("[budget]\nram_bytes = true", "ram_bytes must be a whole number"),
    ("[budget]\nlatency_ms = inf", "latency_ms must be a number"),
    ('[budget]\nlatency_ms = "1"', "latency_ms must be a number"),
    ("[budget]\naccuracy_drop = 5", "share of 1"),
])
def test_bad_budgets(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse_budget(text)
    assert message in error.value.message


def test_what_cannot_be_found_or_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no recipe 'w8a9'") as error:
        load_recipe("w8a9")
    assert error.value.hint == "did you mean 'w8a8'?"
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for name in ("missing.toml", "binary.toml", "folder.toml"):
        (tmp_path / "folder.toml").mkdir(exist_ok=True)
        with pytest.raises(RecipeError, match="cannot read"):
            load_recipe(tmp_path / name)
    with pytest.raises(RecipeError, match="cannot write"):
        save_recipe(RECIPES["clean"], tmp_path / "no" / "where.toml")
