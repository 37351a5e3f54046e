"""What families over DNA do alike: one answer for both strands where the configuration says so; losses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import seqformers
from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer
from seqformers._families import FAMILIES, family_of
from seqformers.inference.windowing import reverse_complement
from seqformers.training.probing import last_linear

DNA = [family.model_type for family in FAMILIES if family.room == "dna"]
TINY: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 30, "initializer_range": 0.5,
}  # fmt: skip
CASES: list[tuple[str, dict[str, Any]]] = [
    ("kmer_bert", {"k": 3, "strands": "mean", **TINY}),
    ("kmer_bert", {"k": 4, "strands": "mean", "max_chunks": 3, **TINY}),
    ("kmer_bert", {"k": 3, "stride": 3, "strands": "mean", "classifier_pooling": "mean", **TINY}),
    ("kmer2vec", {"k": 3, "hidden_size": 8, "both_strands": True}),
    ("self_genomenet", {"num_filters": 8, "filter_width": 6, "filter_stride": 3, "lstm_size": 5}),
    ("seq_cnn", {"num_filters": [8], "filter_widths": [5], "strands": "shared"}),
    ("seq_cnn", {"num_filters": [8], "filter_widths": [5], "strands": "mean"}),
]


@pytest.mark.parametrize(("family", "values"), CASES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(CASES)])
def test_a_sequence_and_its_reverse_complement_get_one_answer(family: str, values: dict[str, Any]) -> None:
    torch.manual_seed(0)
    row = family_of(family)
    config = getattr(seqformers, row.config)(num_labels=3, **values)
    model = getattr(seqformers, row.models["AutoModelForSequenceClassification"])(config).eval()
    tokenizer = KmerTokenizer(k=config.k, stride=config.stride)
    rng = np.random.default_rng(0)
    size = 18 if config.stride > 1 else 24
    texts = ["".join(rng.choice(list("ACGT"), length)) for length in (size, size + 3, size - 6)]
    logits = [
        model(**tokenizer(rows, padding=True, return_tensors="pt")).logits
        for rows in (texts, list(map(reverse_complement, texts)))
    ]
    torch.testing.assert_close(logits[0], logits[1], atol=1e-5, rtol=1e-4)
    assert (logits[0][0] - logits[0][1]).abs().max() > 1e-4  # and not one for all


def test_the_mean_over_strands_is_that_of_what_the_last_layer_reads() -> None:
    """So that a probe, which replaces that layer, reads both strands, too."""
    torch.manual_seed(0)
    model = KmerBertForSequenceClassification(KmerBertConfig(k=3, **TINY)).eval()
    texts, caught = ["ACGGATTACA", "TTTTGACCAG"], []
    last_linear(model).register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    tokenizer = KmerTokenizer(k=3)
    for rows in (texts, list(map(reverse_complement, texts))):
        model(**tokenizer(rows, return_tensors="pt"))
    model.config.strands = "mean"
    model(**tokenizer(texts, return_tensors="pt"))
    torch.testing.assert_close(caught[2], (caught[0] + caught[1]) / 2)


def test_what_has_no_other_strand_by_its_ids_is_refused() -> None:
    for values in ({"k": 3, "k_max": 5}, {"k": 1, "vocab_size": 4096}):
        with pytest.raises(ValueError, match="predict --both-strands"):
            KmerBertConfig(strands="mean", **values)
    model = KmerBertForSequenceClassification(KmerBertConfig(k=3, strands="mean", **TINY)).eval()
    with pytest.raises(ValueError, match="give input_ids"):
        model(inputs_embeds=torch.zeros(1, 5, 16))
    with pytest.raises(ValueError, match="reads one strand"):
        model.export_portable("nowhere")


@pytest.mark.parametrize("family", DNA)
def test_every_family_weighs_classes_and_focuses(family: str) -> None:
    fields = {item.name for item in dataclasses.fields(getattr(seqformers, family_of(family).config))}
    assert {"class_weights", "focal_gamma"} <= fields
