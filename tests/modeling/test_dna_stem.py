"""The convolutional stem of k-mer BERT: what a position reads, padding, fewer positions, every head, learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from seqformers import (
    KmerBertConfig,
    KmerBertForMaskedLM,
    KmerBertForSequenceClassification,
    KmerBertForTokenClassification,
    KmerBertModel,
)

TINY: dict[str, Any] = {
    "k": 3, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 64, "stem_stride": 4, "initializer_range": 0.3, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
IDS = torch.cat([torch.tensor([2]), torch.arange(5, 27), torch.tensor([3])])[None]  # 24 tokens


def made(kind: Any = KmerBertModel, **changes: Any) -> Any:
    torch.manual_seed(0)
    return kind(KmerBertConfig(**TINY | changes)).eval()


def test_positions_are_convolutions_over_groups_and_the_first_token_stands_alone() -> None:
    model = made(stem_width=6)
    tokens = model.embeddings.word_embeddings(IDS)
    joined, held = model.stem.joined(tokens, torch.ones(1, 24, dtype=torch.bool))
    assert joined.shape == (1, 7, 16) and held.all()
    rest = torch.cat([torch.zeros(1, 16), tokens[0, 1:], torch.zeros(2, 16)])  # a base before, one group filled up
    for group in range(6):
        window = rest[4 * group : 4 * group + 6]
        expected = torch.einsum("oiw,wi->o", model.stem.join.weight, window) + model.stem.join.bias
        torch.testing.assert_close(joined[0, 1 + group], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(joined[0, 0], tokens[0, 0])
    attentions = made(attn_implementation="eager")(IDS, output_attentions=True).attentions
    assert attentions[0].shape == (1, 2, 7, 7)  # and not 24 x 24


@pytest.mark.parametrize("length", [2, 5, 13, 14, 23])
def test_padding_reaches_nothing(length: int) -> None:
    model = made()
    short = torch.cat([IDS[:, : length - 1], torch.tensor([[3]])], 1)
    alone = model(short)
    row = torch.nn.functional.pad(short, (0, 24 - length))
    batch, mask = torch.cat([row, IDS]), torch.cat([(row != 0).long(), torch.ones_like(IDS)])
    together = model(batch, attention_mask=mask)
    torch.testing.assert_close(
        together.last_hidden_state[0, :length], alone.last_hidden_state[0], atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(together.pooler_output[0], alone.pooler_output[0], atol=1e-5, rtol=1e-4)
    embedded = model(inputs_embeds=model.get_input_embeddings()(short), token_type_ids=torch.zeros_like(short))
    torch.testing.assert_close(embedded.last_hidden_state, alone.last_hidden_state)


def test_every_head_works_and_a_masked_token_shows_nothing_of_itself() -> None:
    for kind in (KmerBertForSequenceClassification, KmerBertForTokenClassification):
        assert made(kind)(IDS).logits.shape[-1] == 2
    assert made(KmerBertForSequenceClassification, max_chunks=3, max_position_embeddings=12)(IDS).logits.shape == (
        1,
        2,
    )
    model = made(KmerBertForMaskedLM)
    labels = torch.full_like(IDS, -100)
    labels[0, 7:10] = IDS[0, 7:10]
    masked = IDS.masked_fill(labels != -100, 4)
    other = masked.clone()
    torch.testing.assert_close(model(masked).logits, model(other, labels=labels).logits)
    trained = model.train()(masked, labels=labels)
    assert trained.logits.shape == (3, 69)
    torch.testing.assert_close(trained.loss, model.eval()(masked, labels=labels).loss)


def test_it_learns_and_comes_back_from_a_file(tmp_path: Path) -> None:
    model = made(KmerBertForMaskedLM, initializer_range=0.02)
    assert abs(model.bert.stem.join.weight.std() - 0.02) < 0.002
    assert not model.bert.stem.spread.bias.any()
    labels = torch.where(torch.arange(24) % 5 == 3, IDS, -100)
    masked = IDS.masked_fill(labels != -100, 4)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    before = model(masked, labels=labels).loss.item()
    for _ in range(20):
        optimizer.zero_grad()
        model(masked, labels=labels).loss.backward()
        optimizer.step()
    assert model(masked, labels=labels).loss.item() < before / 2
    model.eval().save_pretrained(tmp_path)
    again = KmerBertForMaskedLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again(masked).logits, model(masked).logits)


def test_what_a_stem_does_not_fit_is_refused() -> None:
    for values, message in (
        ({"stem_width": 3}, "tokens would be lost"),
        ({"stem_stride": 0}, "stem_stride must be 1"),
        ({"padding_attention": "attended"}, "leaves padding out"),
    ):
        with pytest.raises(ValueError, match=message):
            KmerBertConfig(**TINY | values)
    with pytest.raises(ValueError, match="counts its own positions"):
        made()(IDS, position_ids=torch.arange(24)[None])
    with pytest.raises(ValueError, match="stock BERT has no stem"):
        made(KmerBertForMaskedLM).export_portable("nowhere")
