"""A recipe is resolved once, whatever the number of seeds, and every kind of task can be asked for its metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seqformers.training import evaluate, finetune, plan, pretrain
from seqformers.training.recipe import load_recipe
from tests.training.conftest import TINY, sequences, write_split


@pytest.fixture
def counted(monkeypatch):
    """How often source and family of a recipe are looked up."""
    calls = {"model_folder": 0, "_family": 0}
    for name in calls:
        plain = getattr(plan, name)

        def count(*args, plain=plain, name=name, **options):
            calls[name] += 1
            return plain(*args, **options)

        monkeypatch.setattr(plan, name, count)
    return calls


def test_source_and_family_are_looked_up_once_for_all_seeds(pretrain_recipe, finetune_recipe, tmp_path, counted):
    source = pretrain(pretrain_recipe, ["training.max_steps=1"], output=tmp_path / "pt")
    assert counted == {"model_folder": 0, "_family": 1}
    recipe = {**finetune_recipe, "model": {"from": str(source)}, "tokenizer": {}, "seeds": [0, 1, 2]}
    finetune(recipe, ["training.max_steps=1"], output=tmp_path / "ft")
    assert counted == {"model_folder": 1, "_family": 2}


def test_rows_are_evaluated_in_order_when_training_rows_are_sorted_by_length(finetune_recipe, reads, tmp_path):
    import datasets
    import pyarrow.parquet as pq

    run = finetune(finetune_recipe, ["training.train_sampling_strategy=group_by_length"], output=tmp_path / "run")
    truth = datasets.load_dataset(str(reads), split="test")["label"][:]
    assert pq.read_table(run / "seeds/0/predictions-test.parquet")["label"].to_pylist() == truth


def test_metrics_within_groups_read_their_column(finetune_recipe, tmp_path):
    rng = np.random.default_rng(4)
    texts, labels = sequences(40, rng)
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, {"sequence": texts, "label": labels, "genome": [0, 1, 2, 3] * 10})
    words = [f"data.path={tmp_path / 'data'}", "metrics=[auroc_within_group, auroc]", "training.num_train_epochs=1"]
    with pytest.raises(ValueError, match=r"need data\.group"):
        finetune(finetune_recipe, words, output=tmp_path / "run")
    run = finetune(finetune_recipe, [*words, "data.group=genome"], output=tmp_path / "run")
    summary = json.loads((run / "metrics.json").read_text())
    scores = _scores(run, "validation")
    pairs = [
        (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
        for i in range(40)
        for j in range(40)
        if i % 4 == j % 4 and labels[i] > labels[j]
    ]
    found = summary["metrics"]["validation"]["auroc_within_group"]["mean"]
    assert found == pytest.approx(np.mean(pairs), abs=1e-6)
    assert 0 <= summary["intervals"]["auroc_within_group"][0] <= found


def test_a_classifier_is_scored_against_measured_changes(tmp_path):
    rng = np.random.default_rng(5)
    rows = {
        "mirna": ["".join(rng.choice(list("ACGU"), 22)) for _ in range(4)] * 12,
        "site": ["".join(rng.choice(list("ACGU"), 60)) for _ in range(48)],
    }
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, rows | {"label": (np.arange(48) % 2).tolist()})
    recipe = {
        "model": {"type": "targetnet"},
        "data": {"path": str(tmp_path / "data"), "columns": {"mirna": "mirna", "mrna": "site"}},
        "training": {"max_steps": 2, "use_cpu": True},
    }
    run = finetune(recipe, output=tmp_path / "run")
    changes = rng.normal(size=48)
    write_split(tmp_path / "lfc", "test", rows | {"log_fold_change": changes.tolist()})
    names = "metrics=[lfc_score, lfc_score_by_group, top_10_mean_lfc, spearman]"
    words = [f"data.path={tmp_path / 'lfc'}", "data.label=log_fold_change", names]
    found = evaluate(run, words, predictions=tmp_path / "p.parquet")["metrics"]
    import pyarrow.parquet as pq

    from seqformers.metrics.targets import lfc_by_mirna, lfc_score

    scores = pq.read_table(tmp_path / "p.parquet")["score"].to_numpy()
    assert found["lfc_score"] == pytest.approx(lfc_score(scores, changes))
    by_mirna = lfc_by_mirna(scores, changes, rows["mirna"])["lfc_score"].astype(float)
    assert found["lfc_score_by_group"] == pytest.approx(by_mirna.mean())
    assert "loss" not in found  # the model never saw the changes


def test_levels_of_homology_are_scored_by_a_recipe(finetune_recipe, tmp_path):
    rng = np.random.default_rng(6)
    texts, _ = sequences(50, rng)
    levels = [f"level {i % 5}" for i in range(50)]
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, {"sequence": texts, "label": levels})
    words = [f"data.path={tmp_path / 'data'}", "metrics=[level_spearman, auprc_family, level_accuracy]"]
    run = finetune(finetune_recipe, words, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    assert {"level_spearman", "auprc_family", "level_accuracy"} <= set(found)
    assert found["auprc_family"]["mean"] >= 0.2 - 1e-9  # not below the share of that level
    with pytest.raises(ValueError, match="'level_accuracy' is of 5 classes; here are 2"):
        finetune(finetune_recipe, ["metrics=[level_accuracy]"], output=tmp_path / "no")


def test_secondary_structure_and_topology_are_scored_by_a_recipe(tmp_path):
    rng = np.random.default_rng(7)
    texts = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 40)) for _ in range(16)]
    marks = [[0] * 5 + [2] * 21 + [1] * 14 for _ in texts]
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, {"sequence": texts, "label": marks})
    small = {key: value for key, value in TINY.items() if key not in ("k",)}
    recipe = {
        "model": {"type": "protein_bert", "config": small, "head": "AutoModelForTokenClassification"},
        "tokenizer": {"preset": "tape"},
        "data": {"path": str(tmp_path / "data")},
        "training": {"num_train_epochs": 20, "learning_rate": 2e-2, "use_cpu": True, "bf16": False},
        "metrics": ["q3", "topology", "q3_per_protein", "accuracy"],
    }
    run = finetune(recipe, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    assert found["q3"]["mean"] == found["accuracy"]["mean"] > 0.8  # every protein has the same topology
    assert found["topology"]["mean"] > 0.8


def _scores(run, split):
    import pyarrow.parquet as pq

    table = pq.read_table(run / "seeds" / "0" / f"predictions-{split}.parquet")
    return np.log(table[table.column_names[-1]].to_numpy()) - np.log(table[table.column_names[-2]].to_numpy())


def test_a_network_without_places_reads_as_much_as_the_recipe_says(pretrain_recipe):
    """Its tokenizer keeps the number, and `predict` cuts windows by it."""
    model = {"type": "coding_profile", "head": "AutoModel", "config": {"word_length": 2}}
    recipe = {**pretrain_recipe, "model": model, "tokenizer": {"k": 1, "max_length": 2002}, "masking": {}}
    found = plan.resolve(load_recipe(recipe))
    assert found.encoder.model_max_length == found.max_length == 2002
