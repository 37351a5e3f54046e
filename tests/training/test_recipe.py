"""Recipes: what is written is what is run, and a slip of the pen is an error that names the right key."""

from __future__ import annotations

import pytest

from seqformers.training.arguments import training_arguments
from seqformers.training.recipe import load_recipe
from tests.conftest import ROOT

MINIMAL = {"data": {"path": "reads"}}


RECIPES = [path for path in (ROOT / "benchmarks" / "recipes").rglob("*.yaml") if path.parent.name != "lists"]


@pytest.mark.parametrize("path", sorted(RECIPES), ids=lambda p: p.stem)
def test_shipped_recipes_load_and_survive_a_round_trip(path, tmp_path):
    recipe = load_recipe(path)
    again = tmp_path / "again.yaml"
    again.write_text(recipe.to_yaml())
    assert load_recipe(again) == recipe


def test_overrides_reach_every_depth_and_keep_their_type():
    recipe = load_recipe(
        MINIMAL,
        [
            "training.learning_rate=3e-4",
            "model.config.hidden_size=64",
            "model.from=runs/x",
            "seeds=[3, 4]",
            "data.splits.test=null",
            "tokenizer.k=4",
        ],
    )
    assert recipe.training["learning_rate"] == 3e-4
    assert recipe.model.config == {"hidden_size": 64}
    assert recipe.model.from_ == "runs/x"
    assert recipe.seeds == [3, 4]
    assert recipe.data.splits == {"train": "train", "validation": "validation", "test": None}
    assert recipe.tokenizer == {"k": 4}


def test_an_override_extends_the_short_form_of_the_tokenizer():
    recipe = load_recipe({**MINIMAL, "tokenizer": "processor"}, ["tokenizer.max_length=9"])
    assert recipe.tokenizer == {"type": "processor", "max_length": 9}


def test_numbers_in_exponent_form_are_numbers(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("data: {path: x}\ntraining: {learning_rate: 1e-4, weight_decay: 1.5E+2, run_name: 1e}\n")
    training = load_recipe(path).training
    assert training == {"learning_rate": 1e-4, "weight_decay": 150.0, "run_name": "1e"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, "unknown key 'modle' in the recipe; did you mean 'model'"),
        ({"data": {"pth": "x"}}, "unknown key 'data.pth' in the recipe; did you mean 'path'"),
        ({"training": {"learning_rat": 1}}, "did you mean 'training.learning_rate'"),
        ({"training": {"output_dir": "x"}}, "give --output"),
        ({"training": {"seed": 1}}, "give seeds"),
        ({"masking": {"mlm_prob": 0.1}}, "did you mean 'mlm_probability'"),
        ({"data": {"path": "x", "splits": {"valid": "v"}}}, "unknown key 'data.splits.valid'"),
        ({"path": "x"}, "it belongs under 'data.path'"),
        ({"data": {}}, "exactly one of data.dataset"),
        ({"data": {"path": "x", "dataset": "phage"}}, "exactly one of data.dataset"),
        ({"data": {"path": "x"}, "seeds": []}, "seeds must be"),
        ({"data": {"path": "x"}, "seeds": [1, 1]}, "seeds must differ"),
        ({"data": {"path": "x"}, "seeds": ["a"]}, "seeds must be"),
        ({"data": {"path": "x"}, "model": 3}, "model must be a mapping"),
        ({"data": {"path": "x"}, "training": 3}, "training must be a mapping"),
        ({"data": {"path": "x", "limits": {"train": 0}}}, "data.limits.train must be at least 1"),
        ({"data": {"path": "x"}, "task": "guess"}, "task must be one of"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        load_recipe(values)


@pytest.mark.parametrize("word", ["license", "licence"])
def test_both_spellings_of_a_licence_are_read(word):
    recipe = load_recipe({**MINIMAL, word: "mit"}, [f"data.{word}=cc-by-4.0"])
    assert recipe.license == "mit" and recipe.data.license == "cc-by-4.0"


def test_a_recipe_of_another_task_is_refused():
    with pytest.raises(ValueError, match="this recipe is for `seqformers pretrain`, not `finetune`"):
        load_recipe({**MINIMAL, "task": "pretrain"}, task="finetune")


@pytest.mark.parametrize("override", ["training.learning_rate", "=3", "seeds.x=1"])
def test_unreadable_overrides_are_refused(override):
    with pytest.raises(ValueError, match="cannot"):
        load_recipe({**MINIMAL, "seeds": [0]}, [override])


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such recipe"):
        load_recipe(tmp_path / "none.yaml")
    path = tmp_path / "r.yaml"
    path.write_text("a: [")
    with pytest.raises(ValueError, match="is not YAML"):
        load_recipe(path)
    path.write_text("- a")
    with pytest.raises(ValueError, match="holds no recipe"):
        load_recipe(path)


@pytest.mark.parametrize(("chosen", "greater"), [(None, True), ("loss", False), ("eval_loss", False), ("mcc", True)])
def test_the_best_checkpoint_has_most_or_least_of_the_metric_that_chooses(tmp_path, chosen, greater):
    overrides = [
        "training.load_best_model_at_end=true",
        *([f"training.metric_for_best_model={chosen}"] * bool(chosen)),
    ]
    recipe = load_recipe(MINIMAL, [*overrides, "training.save_strategy=epoch"], task="finetune")
    arguments = training_arguments(
        recipe, tmp_path, seed=0, has_validation=True, metric="f1_macro", counts_tokens=False, half=False
    )
    assert arguments.metric_for_best_model == (chosen or "f1_macro") and arguments.greater_is_better == greater
