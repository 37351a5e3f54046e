"""The protein recipes: every key is read, every data set, option, head and field exists, and one small one runs."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer, EsmConfig, EsmForMaskedLM

from benchmarks.tables import hsp
from benchmarks.tables.protein_arms import TASKS, read_arms, recipe_of
from seqformers import ProteinTokenizer
from seqformers._families import family_of
from seqformers.datasets import builder_class, builder_options, load_dataset
from seqformers.datasets_scripts.tape.tape import contact_labels
from seqformers.metrics.contacts import contact_precision
from seqformers.training import evaluate, finetune, pretrain, probe
from seqformers.training.batches import Batches
from seqformers.training.collators_protein import DataCollatorForResidueLanguageModeling
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from seqformers.training.tasks import Contacts, NextTokens
from tests.conftest import ROOT

RECIPES = sorted(
    path
    for folder in ("plus", "tape")
    for path in (ROOT / "benchmarks" / "recipes" / folder).glob("*.yaml")
    if path.stem != "arms"  # a table of changes
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
    assert {"hsp-rnn-base", "hsp-transformer"} <= names


@pytest.mark.parametrize("arm", read_arms())
def test_an_arm_is_a_recipe(arm, tmp_path):
    """Pretraining and every task of every arm name a family, heads and fields that exist."""
    found = read_arms()[arm]
    for task in [*([] if found["pretrain"] is None else [None]), *TASKS]:
        if task == "homology" and not found["pairs"]:
            continue
        recipe = load_recipe(recipe_of(found, tmp_path, task, None, 0))
        plan = resolve(recipe)
        model = plan.make_model({} if task is None else {"num_labels": 5 if task == "homology" else 3}, seed=0)
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        whole = sum(weight.numel() for weight in model.parameters())
        assert trained < whole / 2 if recipe.model.freeze else trained > 0


def test_heat_shock_families_from_frozen_residues(tmp_path, monkeypatch):
    """The whole command on families told by a residue that is frequent in them: every fold is scored once."""
    rng = np.random.default_rng(0)
    names, rows = ["HSP20", "HSP40", "non-HSP"], []
    for index in range(90):
        letters = list("ACDEFGHIKLMNPQRSTVWY") + ["WKC"[index % 3]] * 12
        rows.append(f">p{index} {names[index % 3]}\n{''.join(rng.choice(letters, 40))}\n")
    (tmp_path / "hsp.fasta").write_text("".join(rows))
    table, what = hsp.read_rows(tmp_path)
    assert what == "heat shock proteins" and len(table) == 90 and set(table["fold"]) == set(range(hsp.FOLDS))
    monkeypatch.setattr("benchmarks._results.RESULTS", tmp_path / "results")
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=30, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, pad_token_id=0,
        mask_token_id=1, position_embedding_type="rotary", token_dropout=False,
    )  # fmt: skip
    EsmForMaskedLM(config).save_pretrained(tmp_path / "esm")
    ProteinTokenizer("tape").save_pretrained(tmp_path / "esm")
    folders = ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--epochs", "15"]
    monkeypatch.setattr("sys.argv", ["hsp", *folders, "--encoder", str(tmp_path / "esm"), "none"])
    hsp.main()
    written = json.loads((tmp_path / "results" / "hsp.json").read_text())
    assert written["result"]["rows"] == dict.fromkeys(names, 30) and written["data"] == what
    assert list(written["result"]["encoders"]) == ["esm", "random weights, layout of esm"]
    for folds in written["result"]["encoders"].values():
        assert [fold["fold"] for fold in folds] == list(range(hsp.FOLDS))
        for name in ("f1_macro", "composition_f1_macro"):
            assert np.mean([fold[name] for fold in folds]) > 0.5
    assert (tmp_path / "work" / "f1.png").stat().st_size > 1000
    assert "| *composition* | " in (tmp_path / "results" / "hsp.md").read_text()


def test_frozen_residues_are_those_of_each_protein_alone(tmp_path):
    proteins = _proteins(5)
    together = hsp.residues_of("none", proteins)
    assert [len(vectors) for vectors in together] == [len(protein) for protein in proteins]
    for protein, vectors in zip(proteins, together, strict=True):
        assert torch.allclose(hsp.residues_of("none", [protein])[0], vectors, atol=2e-3)


def test_the_small_recipe_runs(tmp_path):
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


@pytest.mark.parametrize("kind", ["classification", "regression", "tokens"])
@pytest.mark.parametrize("arm", ["composition", "one_hot_linear", "scratch", "plus_tfm"])
def test_arms_of_the_table_of_tasks(tmp_path, monkeypatch, arm, kind):
    """Every arm fits a few rows and gives one output a test row, or a residue, in order."""
    from benchmarks.tables import proteins_networks as networks
    from benchmarks.tables.proteins import score
    from benchmarks.tables.proteins_data import Rows, Task
    from benchmarks.tables.proteins_shortcuts import SHORTCUTS, shortcut

    monkeypatch.setattr(networks, "RNN", {**networks.RNN, "hidden_size": 4})
    monkeypatch.setattr(networks, "TFM", {**networks.TFM, "hidden_size": 8, "intermediate_size": 8})
    monkeypatch.setattr(networks, "PRETRAINING", {})
    proteins = _proteins(40)
    share = np.array([sequence.count("A") / len(sequence) for sequence in proteins])
    labels = {
        "classification": (share > np.median(share)).astype(int).tolist(),
        "regression": share.tolist(),
        "tokens": [[int(letter in "ACDE") for letter in sequence] for sequence in proteins],
    }[kind]
    rows = Rows(proteins[:30], labels[:30], proteins[30:], labels[30:])
    config = "secondary_structure" if kind == "tokens" else "any"
    task = Task("any", config, "train", "test", kind, "any", 30, 10, 50, 1)

    def answers(rows):
        return shortcut(arm, task, rows) if arm in SHORTCUTS else networks.fine_tune(arm, task, rows, tmp_path, 0)[0]

    outputs = answers(rows)
    turned = answers(Rows(rows.sequences, rows.labels, rows.tested[::-1], rows.truth[::-1]))
    for one, other in zip(outputs, turned[::-1], strict=True):
        assert np.allclose(one, other, atol=1e-5)
    found = score(task, outputs, rows.truth) if kind != "tokens" else {}
    if kind == "tokens":
        assert [len(output) for output in outputs] == [len(sequence) for sequence in rows.tested]
        if arm == "one_hot_linear":
            guess = [(output.reshape(len(output), -1)[:, -1] > 0).astype(int) for output in outputs]
            assert (np.concatenate(guess) == np.concatenate(rows.truth)).mean() > 0.9
    elif kind == "classification":
        right = [int(np.argmax(output)) == label for output, label in zip(outputs, rows.truth, strict=True)]
        assert found["accuracy"] == np.mean(right)
        assert arm != "composition" or found["accuracy"] > 0.6
    else:
        assert found["mse"] == pytest.approx(np.mean((np.ravel(outputs) - rows.truth) ** 2))
        assert arm != "composition" or found["spearman"] > 0.8


SMALL = {
    "onehot": ["model.config.classifier_hidden_size=4"],
    "transformer": [
        "tokenizer.preset=tape",
        "model.config.hidden_size=8",
        "model.config.num_hidden_layers=1",
        "model.config.num_attention_heads=2",
        "model.config.intermediate_size=8",
        "model.config.max_position_embeddings=64",
    ],
    "lstm": ["tokenizer.preset=tape", "model.config.hidden_size=4", "model.config.embedding_size=4"],
    "resnet": ["tokenizer.preset=tape", "model.config.hidden_size=4", "model.config.num_hidden_layers=1"],
    "unirep": ["tokenizer.preset=unirep", "model.config.hidden_size=4"],
}


def _proteins(count, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), rng.integers(18, 30))) for _ in range(count)]


def _write_folds(folder, split, count, seed):
    """Proteins on a random walk, some residues without coordinates, as TAPE's JSON."""
    rng = np.random.default_rng(seed)
    records = []
    for number, sequence in enumerate(_proteins(count, seed)):
        tertiary = rng.normal(size=(len(sequence), 3)).cumsum(0) * 3
        tertiary[3] = np.nan
        mask = np.arange(len(sequence)) != 5
        records.append(
            {"id": str(number), "primary": sequence, "tertiary": tertiary.tolist(), "valid_mask": mask.tolist()}
        )
    (folder / f"proteinnet_{split}.json").write_text(json.dumps(records))


ACCEPTED = ("input_ids", "attention_mask")


def _trained(run, split, data_dir):
    """Model and tokenizer of a finished run, and its rows of a split, loaded as a user would."""
    recipe = load_recipe(run / "recipe.yaml")
    family = family_of(recipe.model.type)
    cls = getattr(import_module(family.modeling_module), family.models[recipe.model.head])
    data = recipe.data
    rows = load_dataset(data.dataset, name=data.config, data_dir=data_dir, split=data.splits[split], **data.options)
    return cls.from_pretrained(run).eval(), AutoTokenizer.from_pretrained(run), rows


@pytest.mark.parametrize("model", list(SMALL))
def test_contact_recipes_run(tmp_path, model):
    for seed, split in enumerate(("train", "valid", "test")):
        _write_folds(tmp_path, split, 5, seed)
    recipe = ROOT / "benchmarks" / "recipes" / "tape" / f"contact_prediction-{model}.yaml"
    small = ["training.num_train_epochs=1", "training.per_device_train_batch_size=2", "training.use_cpu=true"]
    small += ["training.per_device_eval_batch_size=2", "training.gradient_accumulation_steps=1", "seeds=[0]"]
    overrides = [f"data.data_dir={tmp_path}", "model.from=null", *small, *SMALL[model]]
    run = finetune(recipe, overrides, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    names = load_recipe(recipe).metrics
    model, tokenizer, rows = _trained(run, "test", tmp_path)
    maps, labels = [], []
    for row in rows:  # one by one, without padding
        logits = model(**{k: v for k, v in tokenizer([row["sequence"]], return_tensors="pt").items() if k in ACCEPTED})
        maps.append(logits.logits[0].detach().float().softmax(-1)[..., 1].numpy())
        labels.append(contact_labels(row["tertiary"], row["valid_mask"]))
    expected = contact_precision(maps, labels)
    assert {name: found[name]["mean"] for name in names} == pytest.approx({name: expected[name] for name in names})
    assert "precision" in (run / "README.md").read_text()
    again = evaluate(run, [f"data.data_dir={tmp_path}"])["metrics"]
    assert {name: again[name] for name in names} == pytest.approx({name: found[name]["mean"] for name in names})


@pytest.mark.parametrize("verb", ["finetune", "probe"])
def test_one_run_scores_every_test_set_of_structures(tmp_path, verb):
    """CB513, TS115 and CASP12, each with its metrics and bins of lengths; `evaluate` gives the same."""
    rng, proteins = np.random.default_rng(0), _proteins(40)
    states = ["".join(rng.choice(list("GHIBESTC"), len(sequence))) for sequence in proteins]
    table = pd.DataFrame({"sequence": proteins, "ss8": states})
    parts = {"train": (0, 20), "valid": (20, 24), "cb513": (24, 32), "ts115": (32, 36), "casp12": (36, 40)}
    for split, (start, end) in parts.items():
        table[start:end].to_parquet(tmp_path / f"{split}.parquet")
    recipe = ROOT / "benchmarks" / "recipes" / "plus" / "secondary_structure-rnn-base.yaml"
    small = ["model.config.hidden_size=4", "model.config.num_hidden_layers=1", "tokenizer.preset=plus"]
    small += ["training.use_cpu=true", "seeds=[0]", "length_bins=[24]"]
    small += ["training.num_train_epochs=1"] if verb == "finetune" else ["probe.cache=false", "probe.c=0.1"]
    run = {"finetune": finetune, "probe": probe}[verb](
        recipe, [f"task={verb}", f"data.data_dir={tmp_path}", "model.from=null", *small], output=tmp_path / "run"
    )
    found = json.loads((run / "metrics.json").read_text())
    assert set(found["metrics"]) == {"validation", "test", "test_ts115", "test_casp12"}
    again = evaluate(run, [f"data.data_dir={tmp_path}"], split="all", output=tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["splits"].keys() == again["splits"].keys()
    for split in ("test", "test_ts115", "test_casp12"):
        assert set(load_recipe(recipe).metrics) <= set(found["metrics"][split])
        means = {name: value["mean"] for name, value in found["metrics"][split].items()}
        assert again["splits"][split]["metrics"] == pytest.approx(means, abs=1e-6)
        bins = found["by_length"][split]
        assert sum(part["rows"] for part in bins.values()) == (8 if split == "test" else 4)
        assert set(again["splits"][split]["by_length"]) == set(bins)
    with pytest.raises(ValueError, match="of one test set; name it with --split"):
        evaluate(run, split="all", plot=tmp_path / "a.png")


def _write_homology(folder, split, proteins):
    codes = ["a.1.1.1", "a.1.1.1", "a.1.1.2", "a.1.2.1", "a.2.1.1", "b.1.1.1"]
    names = {"train": "train", "validation": "dev", "test": "test"}
    rows = [f">d{number} {codes[number % len(codes)]}\n{protein}\n" for number, protein in enumerate(proteins)]
    (folder / f"homology_{names[split]}.fasta").write_text("".join(rows))


def _write_topology(folder, split, proteins):
    name = {"train": "train", "validation": "dev", "test": "test"}[split]
    labels = ["".join("IMO"[3 * place // len(protein)] for place in range(len(protein))) for protein in proteins]
    rows = [f">p{n} TM\n{protein}\n{label}\n" for n, (protein, label) in enumerate(zip(proteins, labels, strict=True))]
    (folder / f"transmembrane_{name}.3line").write_text("".join(rows))


def _write_table(folder, split, proteins, *, column, values):
    labels = [values[number % len(values)] for number in range(len(proteins))]
    name = {"train": "train", "validation": "valid", "test": "test"}[split]
    pd.DataFrame({"sequence": proteins, column: labels}).to_parquet(folder / f"{name}.parquet")


WRITERS = {
    "homology": _write_homology,
    "transmembrane": _write_topology,
    "solubility": partial(_write_table, column="soluble", values=[0, 1]),
    "localization": partial(_write_table, column="localization", values=["Nucleus", "Cytoplasm", "Plastid"]),
    "stability": partial(_write_table, column="stability_score", values=[0.1, 0.9, 0.4]),
    "fluorescence": partial(_write_table, column="log_fluorescence", values=[3.1, 1.2, 2.0]),
}


@pytest.mark.parametrize("task", list(WRITERS))
def test_recipes_of_plus_write_the_metrics_of_the_paper(tmp_path, monkeypatch, task):
    """Files as published, one epoch, every metric that the recipe names on test rows; `evaluate` gives the same."""
    monkeypatch.setattr("seqformers.training.folder.bootstrap_intervals", lambda score, rows: None)
    for seed, split in enumerate(("train", "validation", "test")):
        WRITERS[task](tmp_path, split, _proteins(12, seed))
    recipe = ROOT / "benchmarks" / "recipes" / "plus" / f"{task}-rnn-base.yaml"
    changes = [f"data.data_dir={tmp_path}", "model.from=null", "tokenizer.preset=plus", "model.config.hidden_size=4"]
    changes += ["model.config.num_hidden_layers=1", "training.num_train_epochs=1", "training.use_cpu=true"]
    changes += ["seeds=[0]", "baselines.names=[]"]
    if task == "homology":
        changes += ["data.options.num_pairs=40", "data.options.num_test_pairs=60"]
    run = finetune(recipe, changes, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())
    means = {name: value["mean"] for name, value in found["metrics"]["test"].items()}
    wanted = set(load_recipe(recipe).metrics)
    undefined = {"segment_precision"} if task == "transmembrane" else set()  # of no predicted segment
    assert wanted - undefined <= set(means)
    again = evaluate(run, [f"data.data_dir={tmp_path}"])
    assert again["metrics"] == pytest.approx(means, abs=1e-5)
    if load_recipe(recipe).length_bins:
        assert set(again["by_length"]) == set(found["by_length"]["test"]) and again["by_length"]


def test_contact_labels_and_scores_of_a_batch(tmp_path):
    """Missing coordinates and padding leave the loss and the precision; lengths come back from the maps."""
    rng = np.random.default_rng(0)
    proteins = ["M" * 20, "M" * 13]
    points = [rng.normal(size=(len(p), 3)).cumsum(0) * 3 for p in proteins]
    points[0][2] = np.nan
    masks = [None, [True] * 12 + [False]]
    rows = [
        {"sequence": p, "tertiary": x.tolist()} | ({} if mask is None else {"valid_mask": mask})
        for p, x, mask in zip(proteins, points, masks, strict=True)
    ]
    task = Contacts(["no contact", "contact"])
    batches = Batches(ProteinTokenizer("tape"), {"text": "sequence"}, task, "tertiary")
    labels = batches(rows)["labels"].numpy()
    assert labels.shape == (2, 20, 20) and (labels[1, 13:] == -100).all() and (labels[0, 2] == -1).all()
    scores = rng.random((2, 20, 20))
    names = ["precision_all_L", "precision_all_L_pooled"]
    wanted = contact_precision(
        [scores[0], scores[1, :13, :13]],
        [contact_labels(x, mask) for x, mask in zip(points, masks, strict=True)],
    )
    assert task.score([scores[:1], scores[1:]], [labels[:1], labels[1:]], names) == {
        name: wanted[name] for name in names
    }
    with pytest.raises(ValueError, match="20 residues but 19 coordinates in 'tertiary'"):
        batches([rows[0] | {"tertiary": rows[0]["tertiary"][:19]}])


@pytest.mark.parametrize("model", ["transformer", "lstm", "resnet", "unirep"])
def test_pretraining_recipes_of_tape_run(tmp_path, model):
    for split in ("train", "valid", "holdout"):
        records = [{"id": str(i), "primary": sequence} for i, sequence in enumerate(_proteins(12))]
        (tmp_path / f"pfam_{split}.json").write_text(json.dumps(records))
    recipe = ROOT / "benchmarks" / "recipes" / "tape" / f"pretrain-{model}.yaml"
    small = ["training.max_steps=2", "training.per_device_train_batch_size=4", "training.use_cpu=true"]
    small += ["training.gradient_accumulation_steps=1", "tokenizer.max_length=64"]
    run = pretrain(recipe, [f"data.data_dir={tmp_path}", *small, *SMALL[model]], output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["test"]
    trained, tokenizer, rows = _trained(run, "test", tmp_path)
    collate = DataCollatorForResidueLanguageModeling(tokenizer, seed=0, **load_recipe(recipe).masking)
    batch = collate([{"sequence": row["sequence"]} for row in rows])
    labels = batch["labels"]
    logits = trained(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits
    if model == "unirep":
        logits, labels = logits[:, :-1], labels[:, 1:]
    right = (logits.argmax(-1) == labels)[labels != -100].float().mean()
    assert found["masked_accuracy"]["mean"] == pytest.approx(float(right))
    assert found["perplexity"]["mean"] == pytest.approx(np.exp(found["loss"]["mean"]))


def test_next_tokens_are_scored_at_the_token_they_are_for():
    labels = torch.tensor([[24, 1, 2, 25, -100]])
    logits = torch.nn.functional.one_hot(torch.tensor([[1, 2, 7, 0, 0]]), 26).float()  # right, right, wrong
    assert NextTokens().keep(logits, labels).tolist() == [[-100, 1, 2, 7, -100]]
