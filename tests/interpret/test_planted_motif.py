"""A motif planted in the sequences of one class comes out first, by attribution and search, whatever the family.

Filters are looked at where there are some; those of TargetNet and DeepCpf1 find a word in sites and contexts. Networks
of the sizes of a table of results: `benchmarks/tables/planted.py`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tables.planted import PROFILES, deepcpf1_rank, filters_of, on_it, read_profiles, targetnet_rank
from seqformers import (
    CodingProfileConfig,
    CodingProfileForSequenceClassification,
    Kmer2VecConfig,
    Kmer2VecForSequenceClassification,
    KmerBertConfig,
    KmerBertForSequenceClassification,
    KmerTokenizer,
    SelfGenomeNetConfig,
    SelfGenomeNetForSequenceClassification,
    SeqCnnConfig,
    SeqCnnForSequenceClassification,
)
from seqformers.hub.repository import write_model_repository
from seqformers.inference.windowing import reverse_complement
from seqformers.interpret.explain import explain

PLANTED = "GATTACCA"
BERT = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 64, "classifier_pooling": "mean", "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
CASES: dict[str, Any] = {  # class, configuration, k, learning rate, epochs
    "coding_profile": (
        CodingProfileForSequenceClassification,
        CodingProfileConfig(word_length=6, num_gaps=0, hidden_size=16),
        1,
        0.01,
        15,
    ),
    "kmer2vec": (Kmer2VecForSequenceClassification, Kmer2VecConfig(k=5, hidden_size=16), 5, 0.05, 12),
    "kmer_bert": (KmerBertForSequenceClassification, KmerBertConfig(k=4, **BERT), 4, 0.01, 12),
    "self_genomenet": (
        SelfGenomeNetForSequenceClassification,
        SelfGenomeNetConfig(num_filters=32, filter_width=12, filter_stride=2, lstm_size=24),
        1,
        0.02,
        25,
    ),
}
PRESETS: dict[str, dict[str, Any]] = {  # of seq_cnn, narrow ones for rows of 60 bases
    "deepbind": {"classifier_dropout": 0.0},
    "deepsea": {"num_filters": [16, 16, 16], "pool_widths": [2, 2, 1], "dropouts": [], "dense_sizes": [16]},
    "basset": {"num_filters": [16, 16, 16], "padding": "same", "dense_sizes": [16], "dense_dropout": 0.0},
    "danq": {"num_filters": [32], "dropouts": [], "lstm_size": 8, "lstm_dropout": 0.0, "dense_sizes": [16]},
    "dilated": {"num_filters": [16], "num_dilated_layers": 2, "dropouts": []},
}
for _name, _sizes in PRESETS.items():
    _length = {} if _name in ("deepbind", "dilated") else {"sequence_length": 60}
    _config = getattr(SeqCnnConfig, _name)(**_sizes, **_length)
    CASES[_name] = (SeqCnnForSequenceClassification, _config, 1, 0.01, 15)


@pytest.mark.parametrize("family", CASES)
def test_the_planted_motif_is_the_first_one(family: str, tmp_path: Path) -> None:
    pytest.importorskip("captum")
    rng = np.random.default_rng(0)
    texts, labels = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(400)], np.arange(400) % 2
    for number in np.flatnonzero(labels):
        at = rng.integers(0, 52)
        texts[number] = texts[number][:at] + PLANTED + texts[number][at + 8 :]
    make, config, k, rate, epochs = CASES[family]
    torch.manual_seed(0)
    model, tokenizer = make(config), KmerTokenizer(k=k)
    batch = dict(tokenizer(texts, return_tensors="pt"), labels=torch.from_numpy(labels))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for part in torch.randperm(400).split(50):
            optimizer.zero_grad()
            model(**{name: value[part] for name, value in batch.items()}).loss.backward()
            optimizer.step()
    assert model.eval()(**batch).logits.argmax(1).eq(batch["labels"]).float().mean() > 0.98
    write_model_repository(tmp_path / "run", model, tokenizer=tokenizer)
    fasta = tmp_path / "some.fasta"
    fasta.write_text("".join(f">s{number}\n{text}\n" for number, text in enumerate(texts[:60])))
    explain(tmp_path / "run", fasta, tmp_path / "out", methods=["motifs"], label="1", plots=0, progress=False)
    first = next(csv.DictReader((tmp_path / "out" / "motifs.tsv").open(), delimiter="\t"))
    strands = (PLANTED, reverse_complement(PLANTED) if family == "deepbind" else PLANTED)  # it reads both
    assert any(first["motif"] in strand for strand in strands)
    assert int(first["positives"]) == 30 and int(first["negatives"]) * 4 < 30
    few = tmp_path / "few.fasta"
    few.write_text("".join(fasta.read_text().splitlines(keepends=True)[:40]))
    explain(tmp_path / "run", few, tmp_path / "changed", methods=["mutations"], label="1", plots=0, progress=False)
    profiles = read_profiles(tmp_path / "changed" / "mutations.tsv", PROFILES["mutations"])
    places = [text.find(PLANTED) if label else -1 for text, label in zip(texts[:20], labels[:20], strict=True)]
    if family not in ("danq", "self_genomenet"):  # their LSTMs learn the rows by heart besides
        assert on_it(profiles, places) > 0.6
    if family in PRESETS:
        assert filters_of(tmp_path / "run", tmp_path / "filters", fasta)["rank"] == 1


@pytest.mark.parametrize("found", [deepcpf1_rank, targetnet_rank])
def test_filters_of_sites_and_contexts_find_a_planted_word(found: Any) -> None:
    seen = found()
    assert seen["rank"] == 1 and seen["accuracy"] > 0.85, seen
