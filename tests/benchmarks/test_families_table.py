"""The table of families: every cell has a recipe that can be run, and lists of stock architectures are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.recipe_lists import read_list
from benchmarks.tables.families import table
from benchmarks.tables.families_rows import FAMILIES, RECIPES, TASKS, arms_of, recipe_of
from seqformers._families import FAMILIES as ALL_FAMILIES
from seqformers.settings import read_yaml
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from tests.conftest import ROOT
from tests.training.test_stock_families import STOCK


@pytest.mark.parametrize("task", ["splice", "reads-1000"])
def test_every_family_reads_the_rows_of_a_task(task: str, tmp_path: Path) -> None:
    for family in FAMILIES:
        for arm in ("scratch", "random", "pretraining"):
            if family == "gpt2_bpe" or (arm == "pretraining" and not FAMILIES[family].pretrain):
                continue  # its words are learnt from the rows; no recipe to begin with
            plan = resolve(load_recipe(recipe_of(task, family, arm, tmp_path / "data")))
            tokens = len(plan.encoder("ACGT" * (TASKS[task].letters // 4))["input_ids"])
            assert plan.max_length is None or tokens <= plan.max_length


def test_cells_that_begin_with_pretraining_name_it(tmp_path: Path) -> None:
    assert arms_of("deepbind") == ["scratch", "random"]
    assert arms_of("gpt2") == ["scratch", "random", "pretrained", "frozen"]
    for arm, kind in (("pretrained", "finetune"), ("frozen", "probe")):
        recipe = recipe_of("splice", "gpt2", arm, tmp_path / "data")
        assert recipe["task"] == kind and recipe["model"]["from"] == str(tmp_path / "splice-gpt2-pretraining")


@pytest.mark.parametrize("name", ["reads-150", "causal"])
def test_lists_of_stock_architectures_are_read(name: str) -> None:
    runs = read_list(RECIPES / "stock" / "lists" / f"{name}.yaml")
    for run in runs.values():
        recipe = load_recipe(run["recipe"])
        if "from" not in recipe.tokenizer:
            assert resolve(recipe).family is None
    if name == "reads-150":
        assert set(STOCK) <= {run["recipe"]["model"]["type"] for run in runs.values()}


def test_every_family_has_a_recipe_and_a_card() -> None:
    recipes = [read_yaml(path.read_text(encoding="utf-8")) for path in RECIPES.glob("*/*.yaml")]
    types = {recipe["model"]["type"] for recipe in recipes if "model" in recipe}
    assert {family.model_type for family in ALL_FAMILIES} <= types
    for family in ALL_FAMILIES:
        assert (ROOT / "model_cards" / f"{family.model_type}.md").is_file()


@pytest.mark.parametrize(
    "name",
    [
        "awd_lstm/pretrain",
        "awd_lstm/stability",
        "protein_cnn/pretrain",
        "protein_cnn/secondary_structure",
        "kmer2vec/protvec",
    ],
)
def test_recipes_of_protein_families_are_read_and_show_their_command(name: str) -> None:
    path = RECIPES / f"{name}.yaml"
    recipe = load_recipe(path)
    assert f"seqformers {recipe.task} benchmarks/recipes/{name}.yaml" in path.read_text(encoding="utf-8")
    if recipe.model.from_ is None:
        plan = resolve(recipe)
        assert plan.family is not None and plan.family.model_type == recipe.model.type


def test_what_was_not_run_is_named() -> None:
    spread = {"mean": 0.5, "sd": 0.1}
    cell = {
        "test": {"mcc": spread, "auroc": spread}, "rows": {"train": 9, "test": 9}, "parameters": 3,
        "few_rows_mcc": {}, "cpu_minutes_a_seed": None,
    }  # fmt: skip
    result = {"cells": {"splice/deepbind/scratch": cell}, "shortcuts": {}, "rows": 9, "epochs": 1, "batch": 3}
    text = table({**result, "not_run": ["splice/deepsea/scratch", "splice/deepsea/random", "splice/gpt2/frozen"]})
    assert "| deepbind | trained | 0.500 ± 0.100 |" in text
    assert "Not run: splice (deepsea, gpt2 frozen)." in text
