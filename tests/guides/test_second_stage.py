"""The recipe of the second stage: accessibility is learned, the rest stays, and its scores are written."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from seqformers.hub.load import packaged_model
from seqformers.training import finetune
from seqformers.training.evaluation import evaluate
from tests.conftest import ROOT
from tests.datasets_scripts.test_cpf1 import targets


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    for seed, (name, count) in enumerate({"hek_lenti": 24, "hek_plasmid": 12, "hct_plasmid": 10}.items()):
        open_chromatin = np.arange(count) % 2
        rows = {"target": targets(count, seed), "chromatin accessibility": open_chromatin}
        pd.DataFrame({**rows, "indel freq (%)": 20.0 + 40 * open_chromatin}).to_csv(
            folder / f"{name}.csv", index=False
        )
    return folder


def test_its_scores_are_written_and_the_first_stage_stays(tables, tmp_path):
    recipe = ROOT / "benchmarks" / "recipes" / "deepcpf1" / "accessibility.yaml"
    first = packaged_model("deepcpf1")
    changes = [f"data.data_dir={tables}", f"model.from={first}", "training.num_train_epochs=200"]
    run = finetune(recipe, changes, output=tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert metrics["test"]["spearman"]["mean"] > 0.5, "HEK-plasmid follows accessibility here, which was learned"
    binary = tmp_path / "binary"
    binary.mkdir()
    rows = pd.read_csv(tables / "hct_plasmid.csv")
    rows.assign(label=rows["chromatin accessibility"]).drop(columns="indel freq (%)").to_csv(
        binary / "HCT-plasmid.csv", index=False
    )
    changes = [f"data.data_dir={binary}", "data.config=hct_plasmid", "metrics=[auroc_positive]"]
    assert evaluate(run, changes)["metrics"]["auroc_positive"] > 0.9, "of a table of labels that are 0 and 1"
    before, after = load_file(first / "model.safetensors"), load_file(run / "model.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert {name.split(".")[0] for name in after.keys() - before.keys()} == {
        "accessibility_gate", "accessibility_output",
    }  # fmt: skip
