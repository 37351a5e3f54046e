"""Probes, scoring of finished runs, hyper-parameter search, and the shortcuts everything is compared with."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from seqformers.cli import app
from seqformers.datasets_scripts.common.shortcuts import gc_content
from seqformers.training import evaluate, finetune, probe, tune
from seqformers.training.baselines import measure_baselines
from seqformers.training.recipe import DataRecipe, TuneRecipe, load_recipe
from seqformers.training.rows import Table, load_table
from seqformers.training.run import Run
from seqformers.training.tasks import Classes
from seqformers.training.tuning import _pruner
from tests.training.conftest import sequences, write_split


@pytest.fixture
def probe_recipe(finetune_recipe):
    recipe = {key: value for key, value in finetune_recipe.items() if key != "training"}
    return {**recipe, "task": "probe", "training": {"use_cpu": True}, "seeds": [0, 1]}


def test_the_probe_lives_in_the_classifier_and_the_encoder_is_as_it_was(probe_recipe, tmp_path):
    from transformers import AutoModelForSequenceClassification

    recipe = load_recipe(probe_recipe)
    untouched = Run.prepare(recipe, tmp_path / "x").make_model(0).state_dict()
    run = probe(probe_recipe, ["seeds=[0]"], output=tmp_path / "run")
    trained = AutoModelForSequenceClassification.from_pretrained(run).state_dict()
    changed = [name for name, tensor in trained.items() if not tensor.equal(untouched[name])]
    assert changed == ["classifier.weight", "classifier.bias"]
    summary = json.loads((run / "metrics.json").read_text())
    assert summary["metrics"]["test"]["mcc"]["mean"] > 0.6  # GC decides, and random features carry it
    assert summary["per_seed"][0]["trained_parameters"] == 16 * 2 + 2


def test_the_probe_is_the_regression_of_scikit_learn(probe_recipe, tmp_path):
    """Scores of the saved model against features and fit made by hand."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run = probe(probe_recipe, ["seeds=[0]", "probe.c=0.1"], output=tmp_path / "run")
    model = AutoModelForSequenceClassification.from_pretrained(run).eval()
    tokenizer = AutoTokenizer.from_pretrained(run)
    table = load_table(DataRecipe(path=probe_recipe["data"]["path"]))
    features = {}
    for split in ("train", "test"):
        caught = []
        hook = model.classifier.register_forward_pre_hook(lambda m, i, caught=caught: caught.append(i[0]))
        with torch.no_grad():
            for text in table.sequences(split)[0]:
                model(**tokenizer([text], return_tensors="pt"))
        hook.remove()
        features[split] = torch.cat(caught).numpy()
    scaler = StandardScaler().fit(features["train"])
    fit = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(features["train"]), table.labels("train"))
    expected = fit.predict_proba(scaler.transform(features["test"]))[:, 1]
    found = pq.read_table(run / "seeds" / "0" / "predictions-test.parquet")["score_phage"].to_numpy()
    assert found == pytest.approx(expected, abs=1e-3)


def test_features_are_computed_once(probe_recipe, tmp_path, monkeypatch):
    from seqformers.training import probing

    calls = []
    plain = probing._compute
    monkeypatch.setattr(
        probing, "_compute", lambda run, trainer, split: calls.append(split) or plain(run, trainer, split)
    )
    probe(probe_recipe, ["seeds=[0]"], output=tmp_path / "a")
    assert calls == ["train", "validation"]
    probe(probe_recipe, ["seeds=[0]", "probe.c=0.5"], output=tmp_path / "b")
    assert calls == ["train", "validation"]
    probe(probe_recipe, ["seeds=[1]"], output=tmp_path / "c")  # another random pooler: other features
    assert len(calls) == 4
    probe(probe_recipe, ["seeds=[0]", "probe.cache=false"], output=tmp_path / "d")
    assert len(calls) == 6


def test_probes_of_few_rows_a_class_are_what_a_fit_on_them_gives(probe_recipe, tmp_path):
    changes = ["seeds=[0]", "probe.shots=[1, 8]", "probe.draws=3", "metrics=[mcc, accuracy]"]
    run = probe(probe_recipe, changes, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["per_seed"][0]["shots"]
    assert set(found) == {"1", "8"} and set(found["8"]) == {"mcc", "accuracy"}
    assert found["8"]["mcc"]["mean"] > 0.3 and found["8"]["mcc"]["sd"] > 0  # GC decides
    again = probe(probe_recipe, changes, output=tmp_path / "again")
    assert json.loads((again / "metrics.json").read_text())["per_seed"][0]["shots"] == found
    with pytest.raises(ValueError, match=r"probe.shots=\[9999\], but class '.*' has \d+ training rows"):
        probe(probe_recipe, ["probe.shots=[9999]"], output=tmp_path / "bad")


def test_a_probe_of_numbers(probe_recipe, tmp_path):
    rng = np.random.default_rng(5)
    texts, _ = sequences(60, rng)
    values = gc_content(texts)[:, 0] * 10
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, {"sequence": texts, "label": values.tolist()})
    run = probe(
        probe_recipe, [f"data.path={tmp_path / 'data'}", "metrics=[spearman]", "seeds=[0]"], output=tmp_path / "run"
    )
    assert json.loads((run / "metrics.json").read_text())["metrics"]["validation"]["spearman"]["mean"] > 0.9


def test_evaluate_repeats_the_scores_of_the_run_and_scores_other_data(finetune_recipe, tmp_path):
    run = finetune(finetune_recipe, output=tmp_path / "run")
    summary = json.loads((run / "metrics.json").read_text())
    result = evaluate(run, output=tmp_path / "scores.json", predictions=tmp_path / "p.parquet", baselines=True)
    for name, value in result["metrics"].items():
        assert value == pytest.approx(summary["metrics"]["test"][name]["mean"], abs=1e-5)
    assert result["baselines"] == summary["baselines"]
    assert json.loads((tmp_path / "scores.json").read_text())["metrics"] == result["metrics"]
    assert pq.read_table(tmp_path / "p.parquet").num_rows == 32
    # Other data, with numbers where the run had names.
    texts, labels = sequences(20, np.random.default_rng(8))
    write_split(tmp_path / "other", "test", {"sequence": texts, "label": labels})
    other = evaluate(run, [f"data.path={tmp_path / 'other'}"])
    assert set(other["metrics"]) == {"loss", "mcc", "auroc"}
    write_split(tmp_path / "strange", "test", {"sequence": texts, "label": ["host" if x else "phage" for x in labels]})
    with pytest.raises(ValueError, match="holds the class 'host'; known: non-phage, phage"):
        evaluate(run, [f"data.path={tmp_path / 'strange'}"])


def test_evaluate_refuses_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        evaluate(tmp_path / "none")
    with pytest.raises(ValueError, match="not a run folder"):
        evaluate(tmp_path)


SPACE = {
    "space": {
        "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "model.config.hidden_dropout_prob": {"choices": [0.0, 0.1]},
    },
    "n_trials": 2,
}


def test_tune_writes_the_best_recipe_and_resumes(finetune_recipe, tmp_path):
    pytest.importorskip("optuna")
    recipe = load_recipe({**finetune_recipe, "tune": SPACE}, ["training.num_train_epochs=1"])
    output = tune(recipe, tmp_path / "tune")
    content = json.loads((output / "trials.json").read_text())
    assert len(content["trials"]) == 2 and content["metric"] == "mcc"
    assert content["best"]["mcc"] == max(trial["mcc"] for trial in content["trials"] if trial["mcc"] is not None)
    best = load_recipe(output / "best.yaml")
    assert best.training["learning_rate"] == content["best"]["parameters"]["training.learning_rate"]
    assert (
        best.model.config["hidden_dropout_prob"] == content["best"]["parameters"]["model.config.hidden_dropout_prob"]
    )
    assert not list(output.rglob("*.bin")) and not (output / "checkpoints").exists()
    tune(recipe, tmp_path / "tune", resume=True)
    assert json.loads((output / "trials.json").read_text())["trials"] == content["trials"]
    assert (output / "history.png").read_bytes().startswith(b"\x89PNG")
    differ = len({trial["mcc"] for trial in content["trials"]}) > 1
    assert (output / "importance.png").exists() == differ


def test_patience_lets_a_trial_that_still_rises_go_on():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def stopped(**options):
        """Whether a trial below the median is stopped, while it rises and when it does not."""
        study = optuna.create_study(direction="maximize", pruner=_pruner(TuneRecipe(startup_trials=3, **options)))
        for _ in range(3):
            trial = study.ask()
            for step in range(4):
                trial.report(0.9, step)
            study.tell(trial, 0.9)
        rising, falling = study.ask(), study.ask()
        for step in range(4):
            rising.report(0.1 * step, step)
            falling.report(-0.1 * step, step)
        return rising.should_prune(), falling.should_prune()

    assert stopped() == (True, True)
    assert stopped(patience=2) == (False, True)
    assert stopped(patience=2, warmup_steps=9) == (False, False)
    assert stopped(prune=False) == (False, False)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "tune.space is empty"),
        ({"training.learning_rat": {"low": 1, "high": 2}}, "did you mean 'training.learning_rate'"),
        ({"data.path": {"choices": ["a"]}}, "only training"),
        ({"training.learning_rate": {"low": 1}}, "needs low and high"),
        ({"training.learning_rate": {"low": 1, "high": 2, "lag": True}}, "unknown lag"),
    ],
)
def test_a_wrong_search_space_is_named(finetune_recipe, tmp_path, space, message):
    recipe = load_recipe({**finetune_recipe, "tune": {"space": space}})
    with pytest.raises(ValueError, match=message):
        tune(recipe, tmp_path / "tune")


def test_baselines_find_what_is_there_and_nothing_where_there_is_nothing():
    import datasets

    rng = np.random.default_rng(0)
    texts, labels = sequences(200, rng)
    noise = ["".join(rng.choice(list("ACGT"), size=40)) for _ in labels]
    for texts_, low, high in ((texts, 0.9, 1.0), (noise, -0.35, 0.35)):
        rows = datasets.Dataset.from_dict({"sequence": texts_, "label": labels})
        table = Table({"train": rows.select(range(150)), "test": rows.select(range(150, 200))}, {"text": "sequence"},
                      "label", Classes(["a", "b"]))  # fmt: skip
        found = measure_baselines(["gc_only", "kmer_2_logistic", "majority"], table, ["mcc"], split="test")
        assert low <= found["gc_only"]["mcc"] <= high and low <= found["kmer_2_logistic"]["mcc"] <= high
        assert found["majority"]["mcc"] == 0


@pytest.mark.parametrize("verb", ["pretrain", "finetune", "probe", "tune", "evaluate"])
def test_help_shows_a_complete_call(verb):
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"seqformers {verb} " in result.output


def test_the_command_line_trains_and_prints_a_table(finetune_recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(finetune_recipe))
    words = ["finetune", str(path), "training.max_steps=2", "--output", str(tmp_path / "run")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "gc only, test" in result.output and "model, test" in result.output
    command = json.loads((tmp_path / "run" / "metrics.json").read_text())["command"]
    assert command == "seqformers finetune recipe.yaml training.max_steps=2"
    again = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), "--output", str(tmp_path / "s.json")])
    assert again.exit_code == 0 and (tmp_path / "s.json").is_file()
