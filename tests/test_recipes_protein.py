"""The protein recipes: every key is read, every data set, option, head and field exists, and one small one runs."""

from __future__ import annotations

import dataclasses
from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from seqformers._families import family_of
from seqformers.data import builder_class, builder_options
from seqformers.training.recipe import load_recipe
from tests.conftest import ROOT

RECIPES = sorted(
    path for folder in ("plus", "tape") for path in (ROOT / "benchmarks" / "recipes" / folder).glob("*.yaml")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipe_fits_the_data_and_the_model(path):
    recipe = load_recipe(path)
    builder = builder_class(recipe.data.dataset)
    assert recipe.data.config in {config.name for config in builder.BUILDER_CONFIGS}
    assert set(recipe.data.options) <= set(builder_options(recipe.data.dataset))
    made = builder(config_name=recipe.data.config, data_dir=".", **recipe.data.options)
    columns = set(made.info.features)
    assert set(recipe.data.columns.values()) <= columns
    if recipe.task != "pretrain":
        assert recipe.data.label in columns
    family = family_of(recipe.model.type)
    assert recipe.model.head in family.models
    config = getattr(import_module(family.config_module), family.config)
    assert set(recipe.model.config) <= {field.name for field in dataclasses.fields(config)}
    config(**recipe.model.config)
    assert f"seqformers {recipe.task} {path.relative_to(ROOT)}" in path.read_text()


def test_every_task_has_its_recipes():
    names = {path.stem for path in RECIPES if path.parent.name == "plus"}
    tasks = {
        "homology", "solubility", "localization", "stability", "fluorescence", "secondary_structure", "transmembrane"
    }  # fmt: skip
    for model in ("rnn-base", "rnn-large", "tfm"):
        assert {f"pretrain-{model}", *(f"{task}-{model}" for task in tasks)} <= names


def test_the_small_recipe_runs(tmp_path):
    from seqformers.training.run import finetune

    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 12)) for _ in range(40)]
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        rows = {"sequence": sequences, "label": [index % 2 for index in range(40)]}
        pd.DataFrame(rows).to_parquet(tmp_path / "data" / f"{split}.parquet")
    overrides = [
        f"data.data_dir={tmp_path / 'data'}",
        "model.from=null",
        "tokenizer.preset=plus",
        "model.config.hidden_size=4",
        "training.num_train_epochs=1",
        "seeds=[0]",
    ]
    recipe = ROOT / "benchmarks" / "recipes" / "plus" / "signal_peptide-rnn-small.yaml"
    finetune(recipe, overrides, output=tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").is_file() and (tmp_path / "run" / "README.md").is_file()


def test_the_table_of_the_tasks_reads_residues_as_the_tokenizer():
    from benchmarks.tables.proteins import encode
    from seqformers import ProteinTokenizer

    sequence = "ARNDCQEGHILKMFPSTWYVXBZOUJ"
    assert encode(sequence, "plus_rnn").tolist() == ProteinTokenizer("plus")(sequence).input_ids
    assert encode(sequence, "plus_tfm").tolist() == ProteinTokenizer("plus-tfm")(sequence).input_ids
