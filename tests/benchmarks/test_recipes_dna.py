"""Recipes of Self-GenomeNet, DNAVec, segmentation, hosts and regions: they are complete, and say what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqformers import KmerBertConfig
from seqformers.training.collators import tokens_per_span
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from tests.conftest import ROOT

RECIPES = ROOT / "benchmarks" / "recipes"
FOLDERS = ("self_genomenet", "dnavec", "segmentation", "hosts", "regulatory")
ALL = sorted(path for folder in FOLDERS for path in (RECIPES / folder).glob("*.yaml"))


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recipes_are_read_and_show_the_command_that_runs_them(path: Path) -> None:
    recipe = load_recipe(path)
    text = path.read_text(encoding="utf-8")
    assert f"seqformers {recipe.task} benchmarks/recipes/{path.parent.name}/{path.name}" in text
    if recipe.model.from_ is None and "from" not in recipe.tokenizer:
        assert resolve(recipe).max_length is not None


def test_shapes_are_those_of_the_papers() -> None:
    config = resolve(load_recipe(RECIPES / "self_genomenet" / "pretrain.yaml")).recipe.model.config
    assert (config["num_filters"], config["filter_width"], config["filter_stride"], config["lstm_size"]) == (
        1024, 24, 6, 512,
    )  # fmt: skip
    recipe = load_recipe(RECIPES / "dnavec" / "pretrain.yaml")
    assert recipe.model.preset == "dnavec" and recipe.masking["mlm_probability"] == 0.15
    shape = KmerBertConfig.dnavec()
    assert (shape.num_hidden_layers, shape.hidden_size, shape.vocab_size) == (12, 512, 87_365)
    stride3 = load_recipe(RECIPES / "segmentation" / "stride3.yaml")
    assert tokens_per_span(stride3.masking["span"], k=6, stride=3) == 2 < tokens_per_span(6, k=6, stride=3)
