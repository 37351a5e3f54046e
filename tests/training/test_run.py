"""Runs end to end on tiny data: what the folder holds, what a stranger can load from it, and what a mistake says."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification, Trainer

from seqformers.settings import read_yaml
from seqformers.training import finetune, pretrain
from seqformers.training.arguments import training_arguments
from seqformers.training.evaluation import evaluate
from seqformers.training.recipe import load_recipe
from tests.conftest import golden_cases
from tests.training.conftest import sequences, write_split

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, request):
    """A pretrained run and two fine-tuning seeds from it."""
    root = tmp_path_factory.mktemp("runs")
    reads, genomes = request.getfixturevalue("reads"), request.getfixturevalue("genomes")
    from tests.training.conftest import TINY

    common = {"per_device_train_batch_size": 16, "logging_steps": 2, "use_cpu": True, "bf16": False}
    pretrain(
        {
            "task": "pretrain",
            "model": {"config": TINY},
            "tokenizer": {"k": 3},
            "data": {"path": str(genomes)},
            "training": {**common, "max_steps": 6, "save_steps": 3, "eval_steps": 3},
        },
        output=root / "pt",
    )
    finetune(
        {
            "model": {"from": str(root / "pt")},
            "data": {"path": str(reads)},
            "training": {**common, "learning_rate": 1e-2, "num_train_epochs": 3},
            "seeds": [0, 1],
            "metrics": ["mcc", "auroc"],
        },
        output=root / "ft",
    )
    return root


def test_the_run_folder_is_a_repository_without_pickles(finished):
    for run in ("pt", "ft"):
        folder = finished / run
        for name in ("model.safetensors", "config.json", "tokenizer_config.json", "README.md", "metrics.json",
                     "recipe.yaml", "modeling_kmer_bert.py", "configuration_kmer_bert.py"):  # fmt: skip
            assert (folder / name).is_file(), name
        assert not [path for pattern in PICKLES for path in folder.rglob(pattern)]
        assert not list(folder.rglob("checkpoints")) and not list(folder.rglob("*.torn"))
        assert "AutoModelForSequenceClassification" in json.loads((folder / "config.json").read_text())["auto_map"]
        assert (folder / "portable" / "tokenizer.json").is_file()


def test_metrics_and_card_tell_the_same(finished):
    summary = json.loads((finished / "ft" / "metrics.json").read_text())
    values = summary["metrics"]["test"]["mcc"]
    assert values["values"] == [seed["metrics"]["test"]["mcc"] for seed in summary["per_seed"]]
    assert values["mean"] == pytest.approx(np.mean(values["values"]))
    assert values["sd"] == pytest.approx(np.std(values["values"], ddof=1))
    low, high = summary["intervals"]["mcc"]
    published = next(seed for seed in summary["per_seed"] if seed["seed"] == summary["published_seed"])
    assert low <= published["metrics"]["test"]["mcc"] <= high
    assert set(summary["baselines"]) == {"majority", "gc_only", "kmer_4_logistic"}
    assert summary["baselines"]["majority"]["mcc"] == 0
    assert summary["baselines"]["gc_only"]["auroc"] > 0.95  # the classes differ in GC alone
    card = ModelCard.load(finished / "ft" / "README.md")
    found = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert found["test", "matthews_correlation"] == pytest.approx(values["mean"], abs=1e-6)
    assert "| metric | validation | test | 95 % interval on test |" in card.text
    assert "| gc only |" in card.text and "non-phage, phage" in card.text
    for word in ("learning rate", "seed", "perplexity"):
        assert word in (card.text if word != "perplexity" else (finished / "pt" / "README.md").read_text())


def test_the_published_seed_is_the_best_on_validation(finished):
    summary = json.loads((finished / "ft" / "metrics.json").read_text())
    scores = {seed["seed"]: seed["metrics"]["validation"]["mcc"] for seed in summary["per_seed"]}
    assert scores[summary["published_seed"]] == max(scores.values())
    other = ({0, 1} - {summary["published_seed"]}).pop()
    assert (finished / "ft" / "seeds" / str(other) / "model.safetensors").is_file()
    assert not (finished / "ft" / "seeds" / str(summary["published_seed"]) / "model.safetensors").exists()


def test_the_length_of_the_reads_is_kept_for_predict(finished, reads):
    rows = datasets.load_dataset(str(reads), split="train")
    found = json.loads((finished / "ft" / "config.json").read_text())["read_length"]
    assert found == max(map(len, rows["sequence"]))


def test_label_names_are_kept_and_predictions_are_in_order(finished, reads):
    config = json.loads((finished / "ft" / "config.json").read_text())
    assert config["id2label"] == {"0": "non-phage", "1": "phage"}
    table = pq.read_table(finished / "ft" / "seeds" / "0" / "predictions-test.parquet").to_pydict()
    truth = pq.read_table(next(reads.glob("test-*.parquet"))).to_pydict()["label"]
    assert table["label"] == truth
    assert np.allclose(np.add(table["score_non-phage"], table["score_phage"]), 1, atol=1e-6)


STRANGER = """
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained({path!r}, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained({path!r}, trust_remote_code=True)
with torch.no_grad():
    logits = model(**tokenizer(["ACGTTGCAACGTGACG", "GGGCCC"], padding=True, return_tensors="pt")).logits
print(logits.flatten().tolist())
"""


def test_a_stranger_loads_it_in_a_fresh_interpreter_and_we_load_the_same(finished, tmp_path):
    path = str(finished / "ft")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER.format(path=path)], capture_output=True, text=True, check=True,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_pretrained(path).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert type(model).__module__ == "seqformers.modeling.dna.modeling_kmer_bert"
    with torch.no_grad():
        batch = tokenizer(["ACGTTGCAACGTGACG", "GGGCCC"], padding=True, return_tensors="pt")
        ours = model(**batch).logits.flatten().tolist()
        stock = BertForSequenceClassification.from_pretrained(f"{path}/portable").eval()
        portable = stock(**AutoTokenizer.from_pretrained(f"{path}/portable")(
            ["ACGTTGCAACGTGACG", "GGGCCC"], padding=True, return_tensors="pt")).logits.flatten().tolist()  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(ours, abs=1e-6)
    assert portable == pytest.approx(ours, abs=1e-5)


def _places(finished, reads):
    return [f"model.from={finished / 'pt'}", f"data.path={reads}"]


def test_the_recipe_in_the_folder_repeats_the_run(finished, reads, tmp_path):
    recipe = load_recipe(finished / "ft" / "recipe.yaml", ["seeds=[1]", *_places(finished, reads)])
    from seqformers.training import train

    train(recipe, tmp_path / "again")
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    first = json.loads((finished / "ft" / "metrics.json").read_text())
    assert again["per_seed"][0]["metrics"]["test"] == pytest.approx(first["per_seed"][1]["metrics"]["test"], rel=1e-4)


def test_a_folder_that_exists_is_refused_kept_or_replaced(finished, tmp_path, pretrain_recipe):
    with pytest.raises(FileExistsError, match=r"--overwrite .* --resume"):
        pretrain(pretrain_recipe, output=finished / "pt")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="no earlier output of `pretrain`"):
        pretrain(pretrain_recipe, output=mine, overwrite=True)
    assert (mine / "thesis.tex").exists()


def test_nothing_in_a_run_names_a_folder_of_this_machine(finished, tmp_path_factory):
    root = str(tmp_path_factory.getbasetemp())
    for path in finished.rglob("*"):
        if path.is_file() and path.suffix not in (".parquet", ".safetensors"):
            assert root not in path.read_text(), path
    recipe = load_recipe(finished / "ft" / "recipe.yaml")
    assert recipe.model.from_ == "pt" and "/" not in recipe.data.path
    assert "NaN" not in (finished / "ft" / "metrics.json").read_text()


def test_pretraining_learns_and_logs_its_speed(pretrain_recipe, tmp_path):
    run = pretrain(pretrain_recipe, ["training.max_steps=60", "training.learning_rate=5e-3"], output=tmp_path / "pt")
    entries = [json.loads(line) for line in (run / "seeds" / "0" / "training_log.jsonl").read_text().splitlines()]
    losses = [entry["eval_loss"] for entry in entries if "eval_loss" in entry]
    assert losses[-1] < losses[0] - 0.05
    assert all(entry["tokens_per_second"] > 0 for entry in entries if "loss" in entry)
    (result,) = json.loads((run / "metrics.json").read_text())["per_seed"]
    assert result["tokens"] > 0 and result["tokens_per_second"] > 0 and result["steps"] == 60


def test_validation_masks_are_the_same_at_every_evaluation(pretrain_recipe, tmp_path):
    frozen = ["training.learning_rate=0", "training.max_steps=6", "training.eval_steps=2", "training.bf16=false"]
    run = pretrain(pretrain_recipe, frozen, output=tmp_path / "pt")
    entries = [json.loads(line) for line in (run / "seeds" / "0" / "training_log.jsonl").read_text().splitlines()]
    losses = [entry["eval_loss"] for entry in entries if "eval_loss" in entry]
    assert len(losses) == 3 and losses == pytest.approx([losses[0]] * 3, abs=1e-6)


def _collapsing(recipe, tmp_path):
    return finetune(recipe, ["training.learning_rate=0", "training.num_train_epochs=1"], output=tmp_path / "run")


def test_a_collapsed_model_is_called_so(finetune_recipe, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = _collapsing(finetune_recipe, tmp_path)
    collapsed = json.loads((run / "metrics.json").read_text())["metrics"]["test"]["mcc"]["mean"] == 0
    assert collapsed == any("has collapsed" in str(entry.message) for entry in caught)
    assert collapsed


def _broken(tmp_path, columns, features=None):
    for split in ("train", "validation", "test"):
        write_split(tmp_path / "data", split, columns, features)
    return {"data.path": str(tmp_path / "data")}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sequence": ["ACGT", "GGGG"], "label": [1, 1]}, "holds one class only"),
        ({"sequence": ["ACGT", "GGGG"], "label": ["a", None]}, r"row 1 of the split 'train' has no label"),
        ({"sequence": ["ACGT", "GGGG"], "label": [0.5, float("nan")]}, "row 1 .* has no finite label"),
        ({"sequence": ["ACGT", "GGGG"], "label": [0, -1]}, "classes are numbered from 0"),
        ({"sequence": ["ACGT", None], "label": [0, 1]}, "row 1 .* has no value in the column 'sequence'"),
        ({"sequence": ["ACGT", "GGGG"], "y": [0, 1]}, r"no column 'label'; there are: sequence, y \(set data.label"),
        (
            {"seq": ["ACGT", "GGGG"], "label": [0, 1]},
            r"no column 'sequence'; there are: seq, label \(set data.columns",
        ),
        ({"sequence": [], "label": []}, "is empty"),
    ],
)
def test_unusable_rows_are_named(finetune_recipe, tmp_path, columns, message):
    types = {"sequence": "string", "seq": "string", "label": "int64", "y": "int64"}
    features = None
    if not columns.get("sequence", [1]):
        features = datasets.Features({name: datasets.Value(types[name]) for name in columns})
    changed = _broken(tmp_path, columns, features)
    with pytest.raises(ValueError, match=message):
        finetune(finetune_recipe, [f"{key}={value}" for key, value in changed.items()], output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.type=kmer_brt"], "did you mean 'kmer_bert'"),
        (["model.head=AutoModelForSequenceClasification"], "did you mean 'AutoModelForSequenceClassification'"),
        (["model.config.hiden_size=3"], "did you mean 'hidden_size'"),
        (["model.config.k=4"], "does not fit the tokenizer's k=3"),
        (["tokenizer.strid=3"], "did you mean 'stride'"),
        (["tokenizer.type=KmerTokeniser"], "did you mean 'KmerTokenizer'"),
        (["tokenizer.max_length=4000"], "more than the model holds"),
        (["metrics=[mcx]"], "did you mean 'mcc'"),
        (["baselines=[gc]"], "did you mean 'gc_only'|no baseline 'gc'"),
        (["data.splits.train=trian"], "no split 'trian'; there are: train"),
    ],
)
def test_slips_in_values_are_named_before_anything_is_written(finetune_recipe, tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        finetune(finetune_recipe, overrides, output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_data_and_models_are_named(finetune_recipe, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such data folder"):
        finetune(finetune_recipe, ["data.path=/nowhere/at/all"], output=tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no such folder: /nowhere/run"):
        finetune(finetune_recipe, ["model.from=/nowhere/run"], output=tmp_path / "run")
    (tmp_path / "half").mkdir()
    with pytest.raises(ValueError, match="not a run folder"):
        finetune(finetune_recipe, [f"model.from={tmp_path / 'half'}"], output=tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no data files"):
        finetune(finetune_recipe, [f"data.path={tmp_path / 'empty'}"], output=tmp_path / "run")


def test_truncated_rows_are_counted(finetune_recipe, tmp_path):
    with pytest.warns(UserWarning, match=r"96 of 96 rows of the split 'train' are longer than 12 tokens"):
        run = finetune(finetune_recipe, ["tokenizer.max_length=12", "training.max_steps=1"], output=tmp_path / "run")
    assert "96 of 96 rows of train were truncated to 12" in (run / "README.md").read_text()


def test_names_as_labels_and_floats_as_labels(finetune_recipe, tmp_path):
    rng = np.random.default_rng(3)
    texts, labels = sequences(40, rng)
    named = tmp_path / "named"
    floats = tmp_path / "floats"
    for split in ("train", "validation"):
        write_split(named, split, {"sequence": texts, "label": ["virus" if x else "host" for x in labels]})
        write_split(floats, split, {"sequence": texts, "label": [x + 0.5 for x in labels]})
    short = ["training.num_train_epochs=4", "metrics=[]"]
    run = finetune(finetune_recipe, [*short, f"data.path={named}"], output=tmp_path / "a")
    assert json.loads((run / "config.json").read_text())["id2label"] == {"0": "host", "1": "virus"}
    run = finetune(finetune_recipe, [*short, f"data.path={floats}"], output=tmp_path / "b")
    summary = json.loads((run / "metrics.json").read_text())
    assert set(summary["metrics"]["validation"]) == {"loss", "spearman", "pearson", "mse"}
    assert json.loads((run / "config.json").read_text())["problem_type"] == "regression"
    assert "spearman" not in summary["baselines"]["majority"]  # a constant has no ranks


def test_one_label_a_residue(finetune_recipe, tmp_path):
    rng = np.random.default_rng(3)
    texts, _ = sequences(32, rng)
    marks = ["".join("S" if letter in "GC" else "W" for letter in text) for text in texts]
    for split in ("train", "validation", "test"):
        write_split(tmp_path / "data", split, {"sequence": texts, "label": marks})
    run = finetune(
        finetune_recipe,
        [f"data.path={tmp_path / 'data'}", "model.head=AutoModelForTokenClassification",
         "metrics=[accuracy,accuracy_per_protein]", "length_bins=[38]", "data.splits.test=null",
         "data.splits.test_other=test", "data.splits.test_absent=none", "data.limits.test_other=20",
         "training.num_train_epochs=12", "training.learning_rate=2e-2", "model.config.classifier_pooling=cls"],
        output=tmp_path / "run",
    )  # fmt: skip
    summary = json.loads((run / "metrics.json").read_text())
    assert set(summary["metrics"]) == {"validation", "test_other"}
    bins = summary["by_length"]["validation"]
    lengths = np.array([len(text) for text in texts])
    assert {name: part["rows"] for name, part in bins.items()} == {
        "up to 38": (lengths <= 38).sum(), "above 38": (lengths > 38).sum()
    }  # fmt: skip
    whole = sum(part["rows"] * part["accuracy_per_protein"]["mean"] for part in bins.values()) / len(texts)
    assert whole == pytest.approx(summary["metrics"]["validation"]["accuracy_per_protein"]["mean"])
    assert sum(part["rows"] for part in summary["by_length"]["test_other"].values()) == 20
    assert "accuracy on validation by length: up to 38" in (run / "README.md").read_text()
    again = evaluate(run, split="test_other")
    assert again["by_length"]["above 38"]["accuracy"] == pytest.approx(
        summary["by_length"]["test_other"]["above 38"]["accuracy"]["mean"]
    )
    # The first base of a 3-mer decides its label here, so a trained model reads it off its own token.
    assert json.loads((run / "metrics.json").read_text())["metrics"]["validation"]["accuracy"]["mean"] > 0.9
    assert json.loads((run / "config.json").read_text())["id2label"] == {"0": "S", "1": "W"}


def test_a_stock_architecture_trains_too(finetune_recipe, tmp_path):
    config = {key: value for key, value in finetune_recipe["model"]["config"].items()}
    for key in ("k", "classifier_pooling"):
        config.pop(key)
    recipe = {**finetune_recipe, "model": {"type": "bert", "config": config}}
    run = finetune(recipe, ["training.max_steps=2"], output=tmp_path / "run")
    assert json.loads((run / "config.json").read_text())["model_type"] == "bert"
    assert json.loads((run / "config.json").read_text())["vocab_size"] == 69
    assert read_yaml((run / "recipe.yaml").read_text())["model"]["type"] == "bert"


def test_the_optimizer_is_torchs_adamw_with_the_recipes_numbers(tmp_path):
    """The golden case: in transformers 2 decay came after the step, and epsilon before its correction."""
    case = {case["id"]: case for case in golden_cases("virbert")}["opt_adamw"]
    given = case["input"]
    training = {
        "learning_rate": given["lr"], "adam_beta1": given["b1"], "adam_beta2": given["b2"],
        "adam_epsilon": given["eps"], "weight_decay": given["wd"], "use_cpu": True,
    }  # fmt: skip
    values = {"task": "pretrain", "model": {"type": "kmer_bert"}, "data": {"path": "x"}, "training": training}
    recipe = load_recipe(values)
    arguments = training_arguments(
        recipe, tmp_path, seed=0, has_validation=False, metric="loss", counts_tokens=False, half=False
    )
    kind, fields = Trainer.get_optimizer_cls_and_kwargs(arguments)
    weight = torch.nn.Parameter(torch.tensor(given["p"], dtype=torch.float64))
    optimizer = kind([weight], weight_decay=arguments.weight_decay, **fields)
    found = []
    for gradient in given["gs"]:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        found.append(weight.item())
    assert found == pytest.approx(case["expected"]["torch"], rel=1e-9)
