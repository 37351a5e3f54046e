"""Convolutional networks: the published shapes, tied filters against a slow reference, strands, rows of any length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers import KmerTokenizer, SeqCnnConfig, SeqCnnForSequenceClassification, SeqCnnModel
from seqformers.inference.windowing import reverse_complement
from seqformers.modeling.dna.modeling_dna_heads import class_loss
from seqformers.modeling.dna.modeling_seq_cnn import SeqCnnBatchNorm, SeqCnnConv

TOKENIZER = KmerTokenizer(k=1, model_max_length=2000, unknown_warning_share=1.0)
SMALL: dict[str, dict[str, Any]] = {
    "two": {"num_filters": [8, 6], "filter_widths": [5, 3], "pool_widths": [3, 2]},
    "valid": {"num_filters": [8, 6], "filter_widths": [6, 4], "pool_widths": [4, 2], "padding": "valid"},
    "full": {"num_filters": [6], "filter_widths": [8], "pool_widths": [1], "padding": "full"},
    "lstm": {"num_filters": [6], "filter_widths": [5], "pool_widths": [2], "lstm_size": 4, "pooling": "max_mean"},
    "dilated": {
        "num_filters": [8], "filter_widths": [5], "pool_widths": [2], "num_dilated_layers": 2, "batch_norm": True,
        "pooling": "mean",
    },
}  # fmt: skip
FLAT = {"num_filters": [6], "filter_widths": [5], "pool_widths": [3], "pooling": "flatten", "dense_sizes": [7]}


def sequences(*lengths: int, seed: int = 0, letters: str = "ACGTN") -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), length)) for length in lengths]


def model_of(**values: Any) -> SeqCnnForSequenceClassification:
    torch.manual_seed(0)
    model = SeqCnnForSequenceClassification(SeqCnnConfig(**values))
    for module in model.modules():  # statistics that do something
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0.2, 0.3)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@torch.no_grad()
def logits(model: Any, texts: list[str]) -> torch.Tensor:
    return model(**TOKENIZER(texts, padding=True, return_tensors="pt")).logits


@pytest.mark.parametrize(
    ("preset", "labels", "parameters"),
    # The numbers of the papers; torch's LSTM has a second bias, 4 x 320 in each direction, which Keras' has not.
    [("deepsea", 919, 52_843_119), ("danq", 919, 46_926_479 + 2 * 4 * 320), ("basset", 164, 4_135_064)],
)
def test_published_networks_have_their_published_size(preset: str, labels: int, parameters: int) -> None:
    with torch.device("meta"):
        model = SeqCnnForSequenceClassification(getattr(SeqCnnConfig, preset)(num_labels=labels))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_deepbind_scores_both_strands_and_keeps_the_larger() -> None:
    model = model_of(**SeqCnnConfig.deepbind(num_labels=1).to_diff_dict() | {"classifier_dropout": 0.0})
    one = SeqCnnForSequenceClassification(SeqCnnConfig(**model.config.to_diff_dict() | {"strands": "forward"})).eval()
    one.load_state_dict(model.state_dict())
    texts = sequences(60, 101, 35)
    other = logits(one, [reverse_complement(text) for text in texts])
    torch.testing.assert_close(logits(model, texts), torch.maximum(logits(one, texts), other))


@pytest.mark.parametrize("values", SMALL.values(), ids=SMALL)
@pytest.mark.parametrize("strands", ["shared", "max", "mean"])
def test_a_sequence_and_its_reverse_complement_get_one_answer(values: dict[str, Any], strands: str) -> None:
    model = model_of(**values, strands=strands)
    texts = sequences(101, 77, 50, 33)
    turned = [reverse_complement(text) for text in texts]
    torch.testing.assert_close(logits(model, texts), logits(model, turned), atol=1e-5, rtol=1e-4)
    assert logits(model, texts).std() > 1e-3


@pytest.mark.parametrize("lstm", [0, 3])
@pytest.mark.parametrize("length", [100, 101, 102])
def test_fixed_lengths_share_strands_too(length: int, lstm: int) -> None:
    model = model_of(**FLAT, sequence_length=length, lstm_size=lstm, strands="shared")
    texts = sequences(length, length)
    turned = [reverse_complement(text) for text in texts]
    torch.testing.assert_close(logits(model, texts), logits(model, turned), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dilation", [1, 3])
def test_a_tied_convolution_is_what_filters_and_their_mirror_images_give_one_by_one(dilation: int) -> None:
    torch.manual_seed(1)
    layer = SeqCnnConv(4, 6, 3, shared=True, dilation=dilation)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 4, 15)
    found = layer(x)
    expected = torch.zeros(2, 6, 15 - 2 * dilation)
    for row in range(2):
        for channel in range(6):
            for place in range(expected.shape[2]):
                held = channel if channel < 3 else 5 - channel
                total = layer.bias[held].clone()
                for step in range(3):
                    for base in range(4):
                        mirrored = (
                            channel >= 3
                        )  # the complement of base b is 3 - b, read from the last step to the first
                        weight = layer.weight[held, 3 - base, 2 - step] if mirrored else layer.weight[held, base, step]
                        total = total + weight * x[row, base, place + step * dilation]
                expected[row, channel, place] = total
    torch.testing.assert_close(found, expected)
    # So reading the other strand mirrors channels and places.
    torch.testing.assert_close(layer(x.flip(1, 2)), found.flip(1, 2))


def test_batch_statistics_are_those_of_the_real_positions_of_both_strands() -> None:
    torch.manual_seed(0)
    layer, x = SeqCnnBatchNorm(4, shared=True), torch.randn(3, 4, 7)
    real = torch.arange(7) < torch.tensor([7, 4, 2])[:, None]
    found = layer.train()(x, real)
    for channel in range(2):
        values = [x[r, c, t] for r in range(3) for t in range(7) if real[r, t] for c in (channel, 3 - channel)]
        mean, variance = torch.stack(values).mean(), torch.stack(values).var(unbiased=False)
        expected = (x[:, channel] - mean) / (variance + layer.eps).sqrt()
        torch.testing.assert_close(found[:, channel][real], expected[real])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.integers(28, 70), min_size=2, max_size=5), st.sampled_from(sorted(SMALL)), st.booleans())
def test_rows_give_what_they_give_alone(lengths: list[int], name: str, shared: bool) -> None:
    model = model_of(**SMALL[name], strands="shared" if shared else "forward")
    texts = sequences(*lengths)
    alone = torch.cat([logits(model, [text]) for text in texts])
    torch.testing.assert_close(logits(model, texts), alone, atol=1e-5, rtol=1e-4)


def test_rows_of_one_length_are_read_as_plain_layers_read_them() -> None:
    model = model_of(**SMALL["valid"]).seq_cnn
    text = sequences(64, letters="ACGT")[0]
    x = torch.tensor([["ACGT".index(letter) == base for letter in text] for base in range(4)]).float()[None]
    for layer, pool in zip(model.convolutions, (4, 2), strict=True):
        x = torch.nn.functional.conv1d(x, layer.weight, layer.bias).relu()
        x = torch.nn.functional.max_pool1d(x, pool)
    output = model(**TOKENIZER([text], return_tensors="pt"))
    torch.testing.assert_close(output.last_hidden_state, x.transpose(1, 2))
    torch.testing.assert_close(output.pooler_output, x.amax(2))


def test_activations_of_motifs_lie_where_they_say() -> None:
    for padding, offset in (("valid", 0), ("same", -3), ("full", -6)):
        model = model_of(num_filters=[2], filter_widths=[7], pool_widths=[1], padding=padding).seq_cnn
        with torch.no_grad():  # a detector of GATTACA
            model.convolutions[0].weight.fill_(-1.0)
            for step, letter in enumerate("GATTACA"):
                model.convolutions[0].weight[0, "ACGT".index(letter), step] = 1.0
            model.convolutions[0].bias.fill_(-6.5)
        batch = TOKENIZER(["CC" + "GATTACA" + "GGG", "GATTACACCGG"], padding=True, return_tensors="pt")
        found, first = model.motif_activations(**batch)
        assert first == offset
        assert [(int(found[row, 0].argmax()) + first) for row in (0, 1)] == [2, 0]
        assert (found[:, 0] > 0).sum() == 2


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="row 1 of the batch has 3 bases; this network needs at least"):
        logits(model_of(**SMALL["valid"]), ["ACGTACGTACGTACGTACGTACGTACGTACGTACGT", "ACG"])
    with pytest.raises(ValueError, match=r"row 0 of the batch has 60 bases.*sequence_length=50"):
        logits(model_of(**FLAT, sequence_length=50), sequences(60))
    for values, message in (
        ({"pooling": "flatten"}, "set sequence_length"),
        ({"num_filters": [5], "strands": "shared"}, "must be even"),
        ({"num_filters": [4], "filter_widths": [4], "strands": "shared"}, "odd filter_widths"),
        ({"num_filters": [4, 4], "filter_widths": [3]}, "one value for each of the 2"),
        ({"k": 6, "vocab_size": 4101}, r"set tokenizer.k=1"),
        ({"pooling": "flatten", "sequence_length": 5, "padding": "valid"}, "it must be at least"),
    ):
        with pytest.raises(ValueError, match=message):
            SeqCnnConfig(**values)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (torch.tensor([0, 2, 1]), "single_label_classification"),
        (torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 1]]), "multi_label_classification"),
        (torch.tensor([[0.5], [-1.0], [2.0]]), "regression"),
    ],
)
def test_heads_of_one_label_several_and_numbers(labels: torch.Tensor, kind: str) -> None:
    model = model_of(**SMALL["two"], num_labels=1 if kind == "regression" else 3)
    output = model(**TOKENIZER(sequences(40, 40, 40), return_tensors="pt"), labels=labels)
    assert model.config.problem_type == kind and torch.isfinite(output.loss)


def test_the_model_alone_gives_one_vector_a_row() -> None:
    model = SeqCnnModel(SeqCnnConfig.dilated(strands="shared")).eval()
    assert model(**TOKENIZER(sequences(200, 150), padding=True, return_tensors="pt")).pooler_output.shape == (2, 64)


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0]])
def test_focal_loss_counts_sure_rows_less(weights: list[float] | None) -> None:
    logits, labels = torch.tensor([[2.0, 0.1, -1.0], [0.3, 0.2, 0.9], [-2.0, 1.0, 0.5]]), torch.tensor([0, 1, -100])
    config = SeqCnnConfig(num_labels=3, class_weights=weights, focal_gamma=2.0)
    shares, factors = logits.softmax(-1), weights or [1.0, 1.0, 1.0]
    terms = [
        factors[label] * (1 - shares[row, label]) ** 2 * -shares[row, label].log() for row, label in ((0, 0), (1, 1))
    ]
    expected = torch.stack(terms).sum() / (factors[0] + factors[1])
    torch.testing.assert_close(class_loss(config, logits, labels), expected)
    plain = class_loss(SeqCnnConfig(num_labels=3, class_weights=weights), logits, labels)
    assert class_loss(config, logits, labels) < plain
