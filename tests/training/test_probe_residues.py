"""Probes of labels of residues: a logistic regression on frozen vectors, proteins kept apart."""

from __future__ import annotations

import json

import datasets
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForTokenClassification, AutoTokenizer

from seqformers.training import finetune, probe
from seqformers.training.probing_residues import Residues
from seqformers.training.recipe import load_recipe
from seqformers.training.run import Run
from tests.training.conftest import write_split

HELIX, STRAND = "AELKMQ", "VIYFTW"


def _proteins(count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Proteins whose residues say their state, nine times in ten."""
    texts, states = [], []
    for _ in range(count):
        state = rng.choice(list("HEC"), size=rng.integers(12, 30))
        letters = {"H": HELIX, "E": STRAND, "C": "GPNDS"}
        drawn = [rng.choice(list(letters[s] if rng.random() < 0.9 else "ACDEFGHIKLMNPQRSTVWY")) for s in state]
        texts.append("".join(drawn))
        states.append("".join(state))
    return texts, states


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("structures"), np.random.default_rng(0)
    names = datasets.List(datasets.ClassLabel(names=["helix", "strand", "coil"]))
    features = datasets.Features({"sequence": datasets.Value("string"), "labels": names})
    for split, count in {"train": 40, "validation": 10, "test": 12}.items():
        texts, states = _proteins(count, rng)
        numbers = [["HEC".index(state) for state in row] for row in states]
        if split == "train":
            numbers[0][:5] = [-100] * 5  # not resolved
        write_split(folder, split, {"sequence": texts, "labels": numbers}, features if split != "train" else None)
    return folder


@pytest.fixture
def recipe(structures, no_intervals):
    return {
        "model": {
            "type": "plus_rnn", "head": "AutoModelForTokenClassification",
            "config": {"hidden_size": 6, "num_hidden_layers": 1, "projection_size": 4, "classifier_hidden_size": 5},
        },
        "tokenizer": {"type": "ProteinTokenizer", "preset": "plus", "max_length": 64},
        "data": {"path": str(structures), "label": "labels"},
        "metrics": ["q3", "q3_per_protein"], "seeds": [0], "training": {"use_cpu": True}, "portable": False,
    }  # fmt: skip


@pytest.fixture
def structures_without_validation(structures, tmp_path):
    for split in ("train", "test"):
        name = f"{split}-00000-of-00001.parquet"
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_bytes((structures / name).read_bytes())
    return tmp_path / "data"


def test_the_probe_is_the_regression_of_scikit_learn_on_residues(recipe, structures, tmp_path):
    run = probe(recipe, ["probe.c=0.1"], output=tmp_path / "run")
    model = AutoModelForTokenClassification.from_pretrained(run).eval()
    assert isinstance(model.classifier, torch.nn.Linear) and model.config.token_head == "linear"
    tokenizer = AutoTokenizer.from_pretrained(run)
    rows = {split: datasets.load_dataset(str(structures), split=split) for split in ("train", "test")}
    vectors, labels = {}, {}
    for split, table in rows.items():
        with torch.no_grad():
            inner = [model.plus_rnn(**tokenizer([s], return_tensors="pt")).last_hidden_state[0, 1:-1] for s in
                     table["sequence"]]  # fmt: skip
        vectors[split] = torch.cat(inner).numpy()
        labels[split] = np.concatenate(table["labels"])
    known = labels["train"] >= 0
    assert (~known).sum() == 5
    scaler = StandardScaler().fit(vectors["train"][known])
    fit = LogisticRegression(C=0.1, max_iter=1000).fit(
        scaler.transform(vectors["train"][known]), labels["train"][known]
    )
    expected = fit.predict(scaler.transform(vectors["test"]))
    summary = json.loads((run / "metrics.json").read_text())
    assert summary["metrics"]["test"]["q3"]["mean"] == pytest.approx(np.mean(expected == labels["test"]), abs=2e-3)
    assert summary["metrics"]["test"]["q3"]["mean"] > 0.7
    facts = summary["per_seed"][0]
    assert facts["residues_fitted"] == known.sum() and facts["proteins_fitted"] == 40 and facts["features"] == 12
    assert facts["trained_parameters"] == 12 * 3 + 3


def test_the_encoder_is_as_it_was(recipe, tmp_path):
    untouched = Run.prepare(load_recipe({**recipe, "task": "probe"}), tmp_path / "x").make_model(0).state_dict()
    run = probe(recipe, output=tmp_path / "run")
    trained = AutoModelForTokenClassification.from_pretrained(run).state_dict()
    shared = [name for name in trained if name.startswith("plus_rnn.")]
    assert shared and all(trained[name].equal(untouched[name]) for name in shared)


def test_fewer_residues_are_drawn_from_all_proteins(recipe, tmp_path):
    run = probe(recipe, ["probe.residues=100", "probe.cache=false"], output=tmp_path / "run")
    facts = json.loads((run / "metrics.json").read_text())["per_seed"][0]
    assert 60 < facts["residues_fitted"] < 140 and facts["proteins_fitted"] > 30
    assert facts["proteins_choosing"] < 10  # the first with 100 residues


def test_without_validation_every_tenth_protein_chooses(recipe, structures_without_validation, tmp_path):
    run = probe(recipe, [f"data.path={structures_without_validation}"], output=tmp_path / "run")
    facts = json.loads((run / "metrics.json").read_text())["per_seed"][0]
    assert (facts["proteins_fitted"], facts["proteins_choosing"]) == (36, 4)


@pytest.mark.parametrize("family", ["onehot", "tape_lstm", "protein_cnn"])
def test_families_with_other_heads_are_probed(family, recipe, tmp_path):
    """TAPE's heads for residues are convolutions, which are no linear probe."""
    small = {
        "tape_lstm": {"embedding_size": 4, "hidden_size": 4, "num_hidden_layers": 1},
        "protein_cnn": {"hidden_size": 8, "bottleneck_size": 4, "num_hidden_layers": 1},
    }
    model = {**recipe["model"], "type": family, "config": small.get(family, {})}
    run = probe({**recipe, "model": model, "tokenizer": {"preset": "tape", "max_length": 64}}, output=tmp_path / "run")
    assert json.loads((run / "metrics.json").read_text())["metrics"]["test"]["q3"]["mean"] > 0.5
    head = AutoModelForTokenClassification.from_pretrained(run).classifier
    assert type(head).__name__ == "ProteinLinearHead"


def test_a_probe_of_rows_takes_a_linear_head_too(recipe, tmp_path):
    rng = np.random.default_rng(1)
    for split in ("train", "validation", "test"):
        rich = rng.permutation(np.arange(40) % 2)
        texts = ["".join(rng.choice(list(HELIX if one else STRAND), size=20)) for one in rich]
        write_split(tmp_path / "rows", split, {"sequence": texts, "label": rich.tolist()})
    model = {"type": "onehot", "config": {}, "head": "AutoModelForSequenceClassification"}
    changes = {"model": model, "tokenizer": {"preset": "tape"}, "data": {"path": str(tmp_path / "rows")}}
    run = probe({**recipe, **changes, "metrics": ["mcc"]}, output=tmp_path / "run")
    assert json.loads((run / "metrics.json").read_text())["metrics"]["test"]["mcc"]["mean"] == 1.0


def test_residues_are_padded_protein_by_protein():
    found = Residues(np.zeros((5, 1), np.float32), np.array([0, -100, 1, 1, 0]), np.array([3, 3, 3, 7, 7]))
    scores, labels = found.padded(np.arange(10.0).reshape(5, 2))
    assert labels.tolist() == [[0, -100, 1], [1, 0, -100]]
    assert scores[1, 1].tolist() == [8.0, 9.0] and scores[1, 2].tolist() == [0.0, 0.0]


def test_what_cannot_be_probed_says_so(recipe, tmp_path):
    with pytest.raises(ValueError, match="shots counts labelled rows"):
        probe(recipe, ["probe.shots=[1]"], output=tmp_path / "shots")
    contacts = {**recipe["model"], "head": "AutoModelForContactPrediction"}
    with pytest.raises(ValueError):
        probe({**recipe, "model": contacts, "metrics": []}, output=tmp_path / "contacts")


def test_a_probed_encoder_is_finetuned_with_its_own_head_again(recipe, tmp_path):
    run = probe(recipe, output=tmp_path / "probe")
    changes = [f"model.from={run}", "model.config.token_head=own", "training.max_steps=2"]
    tuned = finetune(recipe, changes, output=tmp_path / "tuned")
    assert AutoModelForTokenClassification.from_pretrained(tuned).classifier.hidden.out_features == 5
