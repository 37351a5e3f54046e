"""Heads and labels beside the usual ones: pre-training heads, causal models, several labels a row, class weights."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from transformers import AutoTokenizer

from seqformers.training import evaluate, finetune, pretrain
from tests.training.conftest import TINY, sequences, write_split


def test_the_pretraining_head_of_a_kmer_bert_trains_and_finishes(pretrain_recipe, tmp_path):
    run = pretrain(pretrain_recipe, ["model.head=AutoModelForPreTraining"], output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    assert 0 < found["masked_accuracy"]["mean"] < 1
    assert found["perplexity"]["mean"] == pytest.approx(np.exp(found["loss"]["mean"]))
    assert json.loads((run / "config.json").read_text())["architectures"] == ["KmerBertForPreTraining"]


@pytest.mark.parametrize("head", [None, "AutoModelForCausalLM", "GPT2LMHeadModel", "AutoModelForPreTraining"])
def test_a_causal_model_is_given_every_next_token(pretrain_recipe, genomes, tmp_path, head):
    small = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    recipe = {**pretrain_recipe, "model": {"type": "gpt2", "config": small} | ({"head": head} if head else {})}
    run = pretrain(recipe, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    from transformers import GPT2LMHeadModel

    model, tokenizer = GPT2LMHeadModel.from_pretrained(run).eval(), AutoTokenizer.from_pretrained(run)
    right = total = 0
    for text in pq.read_table(next(genomes.glob("validation-*.parquet")))["sequence"].to_pylist():
        ids = tokenizer([text], return_tensors="pt")["input_ids"]
        with torch.no_grad():
            right += int((model(ids).logits[0, :-1].argmax(-1) == ids[0, 1:]).sum())
        total += ids.shape[1] - 1
    assert found["masked_accuracy"]["mean"] == pytest.approx(right / total, abs=0.01)


def test_masks_of_a_causal_model_are_refused(pretrain_recipe, tmp_path):
    recipe = {**pretrain_recipe, "model": {"type": "gpt2", "config": {"n_embd": 16, "n_layer": 1, "n_head": 2}}}
    with pytest.raises(ValueError, match=r"masking.mlm_probability means nothing to AutoModelForCausalLM"):
        pretrain(recipe, ["masking.mlm_probability=0.2"], output=tmp_path / "run")


def _several(folder, as_columns=None, names=("coil", "knot")):
    texts, labels = sequences(60, np.random.default_rng(3))
    second = [int("A" * 2 in text) for text in texts]
    rows, pairs = {"sequence": texts}, list(zip(labels, second, strict=True))
    if as_columns:
        rows |= {names[0]: labels, names[1]: second}
    elif as_columns is None:
        rows["label"] = [[n for n, there in zip(names, row, strict=True) if there] for row in pairs]
    else:
        rows["label"] = [list(row) for row in pairs]
    for split in ("train", "validation", "test"):
        write_split(folder, split, rows)
    return np.array([labels, second]).T


@pytest.mark.parametrize("as_columns", [None, False, True])
def test_several_labels_a_row(finetune_recipe, tmp_path, as_columns):
    truth = _several(tmp_path / "data", as_columns)
    label = "[coil, knot]" if as_columns else "label"
    words = [f"data.path={tmp_path / 'data'}", f"data.label={label}", "metrics=[auroc, f1_macro]",
             "training.num_train_epochs=4"]  # fmt: skip
    run = finetune(finetune_recipe, words, output=tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert list(config["id2label"].values()) == (["0", "1"] if as_columns is False else ["coil", "knot"])
    summary = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    table = pq.read_table(run / "seeds/0/predictions-test.parquet").to_pydict()
    scores = np.stack([table[name] for name in table if name.startswith("score_")], axis=1)
    assert np.array(table["label"]).tolist() == truth.tolist()
    expected = np.mean([roc_auc_score(truth[:, i], scores[:, i]) for i in (0, 1)])
    assert summary["auroc"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert summary["f1_macro"]["mean"] == pytest.approx(f1_score(truth, scores > 0.5, average="macro"))
    assert summary["auroc"]["mean"] > 0.7
    assert evaluate(run)["metrics"]["auroc"] == pytest.approx(expected, abs=1e-5)


def test_lists_that_are_no_labels_are_named(finetune_recipe, tmp_path):
    texts, _ = sequences(4, np.random.default_rng(3))
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, {"sequence": texts, "label": [[0, 1], [1, 0], [2, 0], [0, 0]]})
    with pytest.raises(ValueError, match=r"row 2 of the split 'train' holds .2, 0. in 'label'"):
        finetune(finetune_recipe, [f"data.path={tmp_path / 'data'}"], output=tmp_path / "run")


def test_class_weights_of_a_recipe_are_in_the_loss(finetune_recipe, tmp_path):
    words = ["training.max_steps=1", "training.learning_rate=0", "baselines=[]"]
    losses = {}
    for name, weights in (("even", []), ("odd", ["model.config.class_weights=[1.0, 9.0]"])):
        run = finetune(finetune_recipe, [*words, *weights], output=tmp_path / name)
        losses[name] = json.loads((run / "metrics.json").read_text())["metrics"]["test"]["loss"]["mean"]
    assert abs(losses["odd"] - losses["even"]) > 1e-3
    for wrong in ("[1.0]", "[1.0, -1.0]", "heavy"):
        with pytest.raises(ValueError, match="class_weights"):
            finetune(finetune_recipe, [*words, f"model.config.class_weights={wrong}"], output=tmp_path / "no")


def test_class_weights_of_a_stock_architecture_are_refused_by_name(finetune_recipe, tmp_path):
    config = {key: value for key, value in TINY.items() if key != "k"} | {"class_weights": [1.0, 2.0]}
    with pytest.raises(ValueError, match="class_weights"):
        finetune({**finetune_recipe, "model": {"type": "bert", "config": config}}, output=tmp_path / "run")


def test_a_wrong_type_in_the_configuration_is_one_line(finetune_recipe, tmp_path):
    with pytest.raises(ValueError, match="hidden_size") as caught:
        finetune(finetune_recipe, ["model.config.hidden_size=wide"], output=tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_wrong_output_of_evaluate_is_refused_and_nothing_is_removed(finetune_recipe, reads, tmp_path):
    run = finetune(finetune_recipe, ["training.max_steps=1"], output=tmp_path / "run")
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "a.tex").write_text("years")
    (tmp_path / "old.json").write_text("old")
    for wrong in ({"output": folder}, {"predictions": folder}, {"output": run / "model.safetensors"}):
        with pytest.raises((FileExistsError, ValueError)):
            evaluate(run, overwrite="output" not in wrong or wrong["output"] == folder, **wrong)
    with pytest.raises(FileNotFoundError):
        evaluate(run, ["data.path=/nowhere"], output=tmp_path / "old.json", overwrite=True)
    with pytest.raises(FileExistsError, match="--overwrite"):
        evaluate(run, output=tmp_path / "old.json")
    assert (folder / "a.tex").read_text() == "years" and (tmp_path / "old.json").read_text() == "old"
    evaluate(run, output=tmp_path / "old.json", overwrite=True)
    assert "mcc" in json.loads((tmp_path / "old.json").read_text())["metrics"]
    (run / "recipe.yaml").write_text("")
    with pytest.raises(ValueError, match="holds no recipe"):
        evaluate(run)
