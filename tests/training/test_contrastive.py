"""Encoders that learn which views are of one sequence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqformers import KmerBertConfig, KmerBertModel, KmerTokenizer
from seqformers.inference.embed import embed
from seqformers.inference.windowing import reverse_complement
from seqformers.training import evaluate, finetune, pretrain
from seqformers.training.learners import Contrasted, ViewBatches
from tests.training.conftest import TINY

SECTIONS: dict[str, Any] = {
    "kmer_bert": ({"type": "kmer_bert", "config": TINY | {"hidden_dropout_prob": 0.1}}, {"k": 3}),
    "seq_cnn": ({"type": "seq_cnn", "config": {"num_filters": [8], "filter_widths": [5]}}, {"k": 1}),
    "kmer2vec": ({"type": "kmer2vec", "config": {"hidden_size": 8}}, {"k": 3}),
    "bert": (
        {"type": "bert", "config": {name: value for name, value in TINY.items() if name != "k"}},
        {"type": "KmerTokenizer", "k": 3},
    ),
}


def recipe_for(name: str, data: Path, views: str, **sections: Any) -> dict[str, Any]:
    model, tokenizer = SECTIONS[name]
    return {
        "task": "pretrain",
        "model": model,
        "tokenizer": tokenizer,
        "data": {"path": str(data)},
        "contrastive": {"views": views, "temperature": 0.1},
        "training": {
            "per_device_train_batch_size": 16, "max_steps": 16, "save_steps": 16, "eval_steps": 16,
            "learning_rate": 1e-2, "use_cpu": True, "bf16": False,
        },
        **sections,
    }  # fmt: skip


def test_the_loss_is_that_of_a_loop_over_pairs() -> None:
    torch.manual_seed(0)
    tokenizer = KmerTokenizer(k=3)
    model = KmerBertModel(KmerBertConfig(**TINY)).eval()
    learner = Contrasted(model, "reverse_complement", tokenizer.all_special_ids, 0.2).eval()
    texts = ["ACGTTGCATTAC", "GGATCCATTAGACCA", "TTTTTTTTACG"]
    batch = ViewBatches(tokenizer, "sequence", "dna")([{"sequence": text} for text in texts])
    outputs = learner(**batch)

    def vector(text: str) -> np.ndarray:
        hidden = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0, 1:-1].mean(0)
        return (hidden / hidden.norm()).detach().numpy()

    ones, others = ([vector(text) for text in each] for each in (texts, map(reverse_complement, texts)))
    cosines = np.array([[one @ other / 0.2 for other in others] for one in ones])
    np.testing.assert_allclose(outputs.logits.detach().numpy(), cosines, rtol=1e-4)
    losses = [
        -np.log(np.exp(table[row, row]) / np.exp(table[row]).sum())
        for table in (cosines, cosines.T)
        for row in range(3)
    ]
    assert outputs.loss.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_rows_of_one_group_are_not_told_apart() -> None:
    torch.manual_seed(0)
    tokenizer = KmerTokenizer(k=3)
    learner = Contrasted(KmerBertModel(KmerBertConfig(**TINY)), "genome", tokenizer.all_special_ids, 0.2).eval()
    texts, mates = ["ACGTTGCATTAC", "GGATCCATTAGACCA", "TTTTTTTTACG"], ["CCATTGA", "GATTACA", "ACGTGTT"]
    rows = [{"sequence": a, "mate": b, "group": g} for a, b, g in zip(texts, mates, (4, 4, 7), strict=True)]
    batch = ViewBatches(tokenizer, "sequence", None, mate="mate")(rows)
    outputs = learner(**batch)
    cosines = learner(**{name: value for name, value in batch.items() if name != "groups"}).logits.detach().numpy()
    others = {0: [0, 2], 1: [1, 2], 2: [0, 1, 2]}
    losses = [
        -np.log(np.exp(table[row, row]) / np.exp(table[row, others[row]]).sum())
        for table in (cosines, cosines.T)
        for row in range(3)
    ]
    assert outputs.loss.item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_two_reads_of_a_genome_as_views(arrays: Path, tmp_path: Path) -> None:
    reads = {"length": 60, "pairs": "same", "per_epoch": 128, "validation": 24, "test": 24}
    recipe = recipe_for("kmer2vec", arrays, "genome", model={
        "type": "coding_profile", "config": {"word_length": 3, "num_gaps": 0, "hidden_size": 16},
    }, tokenizer={"k": 1})  # fmt: skip
    recipe |= {"data": {"path": str(arrays), "reads": reads}}
    run = pretrain(recipe, ["training.per_device_eval_batch_size=24"], output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    # Four genomes: a row is told from 18 of the others.
    assert found["view_accuracy"]["mean"] > 2 / 19 and found["loss"]["mean"] < 0.8 * np.log(19)


@pytest.mark.parametrize(
    ("name", "views"),
    [(name, "reverse_complement") for name in ("seq_cnn", "kmer2vec", "bert")] + [("kmer_bert", "dropout")],
)
def test_any_encoder_learns_its_views(name: str, views: str, genomes: Path, tmp_path: Path) -> None:
    run = pretrain(recipe_for(name, genomes, views), output=tmp_path / "run")
    summary = json.loads((run / "metrics.json").read_text())
    found = summary["metrics"]["validation"]
    assert set(found) == {"loss", "view_accuracy"} and found["view_accuracy"]["mean"] >= 3 / 24
    again = evaluate(run, split="validation")["metrics"]
    assert again["loss"] == pytest.approx(found["loss"]["mean"], rel=1e-4)
    fasta = tmp_path / "a.fasta"
    fasta.write_text(">a\nACGGTTACCAGATTACAGGATAC\n>b\nTTATATATTAATTATAAATTTTA\n")
    vectors = pd.read_json(embed(run, fasta, tmp_path / "v.jsonl", progress=False), lines=True)["embedding"]
    assert np.isfinite(vectors[0]).all() and vectors[0] != vectors[1]


def test_a_classifier_begins_with_what_was_learnt(genomes: Path, reads: Path, tmp_path: Path) -> None:
    start = pretrain(recipe_for("kmer_bert", genomes, "reverse_complement"), output=tmp_path / "pt")
    recipe = {
        "model": {"type": "kmer_bert", "from": str(start)},
        "data": {"path": str(reads)},
        "metrics": ["accuracy"],
        "training": {"max_steps": 1, "learning_rate": 0.0, "use_cpu": True, "bf16": False},
        "baselines": {"names": []},
    }
    run = finetune(recipe, output=tmp_path / "ft")
    from safetensors.torch import load_file

    before, after = load_file(start / "model.safetensors"), load_file(run / "model.safetensors")
    shared = {name.removeprefix("bert."): value for name, value in after.items()}
    kept = [name for name in before if "pooler" not in name]
    assert kept and all(torch.equal(before[name], shared[name]) for name in kept)


def test_what_does_not_fit_is_named(genomes: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seq_cnn has no dropout, so both views are one"):
        pretrain(recipe_for("seq_cnn", genomes, "dropout"), output=tmp_path / "run")
    with pytest.raises(ValueError, match="must be one of dropout, reverse_complement, genome; got 'crops'"):
        pretrain(recipe_for("seq_cnn", genomes, "crops"), output=tmp_path / "run")
    with pytest.raises(ValueError, match="two reads of one genome, go together"):
        pretrain(recipe_for("seq_cnn", genomes, "genome"), output=tmp_path / "run")
    proteins = {"model": {"type": "plus_rnn"}, "tokenizer": {"preset": "plus"}}
    with pytest.raises(ValueError, match="needs DNA or RNA; this model reads protein"):
        pretrain(recipe_for("bert", genomes, "reverse_complement", **proteins), output=tmp_path / "other")
