"""The table of families: every cell has a recipe that can be run, and lists of stock architectures are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.recipe_lists import read_list
from benchmarks.tables.distillation import STUDENTS
from benchmarks.tables.distillation import recipe_of as distillation_recipe
from benchmarks.tables.families_page import differs, half_width, in_short, page, summary, table
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


def test_an_arm_of_distillation_has_the_teacher_and_the_hidden_states_that_it_names(tmp_path: Path) -> None:
    for name, student in STUDENTS.items():
        for arm in student.arms:
            recipe = load_recipe(distillation_recipe(student, arm, tmp_path / "data", tmp_path / "cell"))
            assert recipe.model.type == ("kmer_bert" if name == "k-mer BERT" else "seq_cnn")
            assert (recipe.task == "finetune") == (arm == "alone") and recipe.seeds == [0, 1, 2]
            assert recipe.distill.get("teacher") == (None if arm == "alone" else str(tmp_path / "cell"))
            assert bool(recipe.distill.get("hidden")) == ("hidden" in arm)


def cell(mcc: float, sd: float = 0.01, rows: int = 2000) -> dict[str, Any]:
    spread = {"mean": mcc, "sd": sd}
    return {
        "test": {"mcc": spread, "auroc": spread}, "rows": {"train": 9, "test": rows}, "parameters": 3,
        "few_rows_mcc": {}, "cpu_minutes_a_seed": 0.5,
    }  # fmt: skip


def some_result(cells: dict[str, Any], not_run: list[str]) -> dict[str, Any]:
    words = {name: {"mcc": 0.6, "auroc": 0.7} for name in ("gc_only", "kmer_4_logistic", "kmer_6_logistic")}
    shortcuts = {task: words for task in {name.split("/")[0] for name in cells}}
    return {"cells": cells, "shortcuts": shortcuts, "rows": 9, "epochs": 1, "batch": 3, "not_run": not_run}


def test_what_was_not_run_is_named() -> None:
    missing = ["splice/deepsea/scratch", "splice/deepsea/random", "splice/gpt2/frozen"]
    text = table(some_result({"splice/deepbind/scratch": cell(0.5, 0.1)}, missing))
    assert "| deepbind | trained | 0.500 ± 0.100 |" in text
    assert "Not run: splice (deepsea, gpt2 frozen)." in text


def test_a_difference_is_one_beyond_seeds_and_rows() -> None:
    """The interval by the loop: draws of two means of three seeds on n rows differ by chance in one of twenty."""
    assert (differs(cell(0.8), 0.75), differs(cell(0.8), 0.79), differs(cell(0.7), 0.8)) == (1, 0, -1)
    assert differs(cell(0.8, 0.05), 0.75) == 0 and differs(cell(0.8, rows=100), 0.75) == 0
    assert differs(cell(0.8), cell(0.7)) == 1 and differs(cell(0.8), cell(0.76)) == 0
    rng = np.random.default_rng(0)
    right = rng.random((2000, 400)) < 0.9  # an even class: MCC is twice the accuracy less one
    values = 2 * right.mean(0) - 1
    assert values.std() == pytest.approx(((1 - values.mean() ** 2) / 2000) ** 0.5, rel=0.1)
    assert half_width(cell(0.8, 0.0)) == pytest.approx(1.96 * values.std(), rel=0.1)


def test_the_page_says_in_short_what_the_figures_say() -> None:
    cells = {f"splice/{family}/scratch": cell(0.3) for family in FAMILIES}
    cells |= {f"splice/{family}/random": cell(0.15) for family in FAMILIES}
    cells |= {
        "splice/esm/scratch": cell(0.8), "splice/gpt2/scratch": cell(0.79), "splice/gpt2/pretrained": cell(0.9),
        "splice/gpt2/frozen": cell(0.15), "splice/gpt2/random": cell(0.15),
    }  # fmt: skip
    result = some_result(cells, [])
    best, words, drawn, pretrained, cost = in_short(result)
    assert "splice `esm` (0.800 ± 0.010, level with 1 of 18 others)" in best
    assert f"2 above, 0 within, {len(FAMILIES) - 2} below (best +0.200 to 0.600 of 4-mers)" in words
    assert "splice 50 %" in drawn and "splice `esm` (30 s)" in cost
    assert "1 of 1 are above by more than the interval, 0 below (gpt2 on splice +0.110)" in pretrained
    assert "0 of 1 are above by more than the interval, 0 below (gpt2 on splice +0.000)" in pretrained
    rows = {line.split("]")[0].strip("| ["): line for line in summary(result) if line.startswith("| [")}
    assert list(rows) == list(FAMILIES)
    assert "**0.790 ± 0.010**" in rows["gpt2"] and "**" not in rows["danq"]
    text = page(result)
    assert all((ROOT / "benchmarks" / "tables" / link).is_file() for link in re.findall(r"\]\(([^)]*)\)", text))


def test_the_page_of_the_repository_is_of_its_result() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "families.json").read_text(encoding="utf-8"))["result"]
    assert (ROOT / "benchmarks" / "tables" / "families.md").read_text(encoding="utf-8") == page(result)
