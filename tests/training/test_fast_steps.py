"""The fast ways of a training step give what the plain ones give: labelled positions only, and attention on a CPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerTokenizer
from seqformers.modeling.dna.modeling_dna_heads import places_of_labels
from seqformers.training.batches import LanguageModelBatches
from seqformers.training.collators import DataCollatorForKmerLanguageModeling
from seqformers.training.cpu_attention import NAME, FastDropout, blocked_attention, use_fast_cpu_training

SHAPE = {
    "k": 3, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 128, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


def models(**settings):
    """Two models of the same weights: one scores every position, the other one the labelled ones."""
    torch.manual_seed(0)
    plain = KmerBertForMaskedLM(KmerBertConfig(**SHAPE, **settings, masked_lm_logits="all")).train()
    fast = KmerBertForMaskedLM(KmerBertConfig(**SHAPE, **settings, masked_lm_logits="labelled")).train()
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def batches(count, *, places=False):
    rng = np.random.default_rng(0)
    tokenizer = KmerTokenizer(k=3)
    collate = LanguageModelBatches(
        tokenizer, {"text": "s"}, DataCollatorForKmerLanguageModeling(tokenizer, seed=0), places=places
    )
    letters = np.array(list("ACGT"))
    return [
        collate([{"s": "".join(letters[rng.integers(4, size=rng.integers(20, 90))])} for _ in range(8)])
        for _ in range(count)
    ]


def train(model, found, *, half=False):
    """Losses of some steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for batch in found:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("places", [False, True])
def test_losses_agree_step_by_step(attention, places):
    """In fp32 to 1e-4 over twelve steps of AdamW."""
    plain, fast = models(attn_implementation=attention)
    wanted = train(plain, batches(12))
    assert train(fast, batches(12, places=places)) == pytest.approx(wanted, abs=1e-4)
    assert wanted[-1] < wanted[0]


def test_losses_of_the_cpu_way_agree_step_by_step():
    """In bfloat16, another attention and the last layer on labelled positions: to 0.01 of 4.2."""
    plain, fast = models()
    assert use_fast_cpu_training(fast)
    found = batches(12)
    assert train(fast, found, half=True) == pytest.approx(train(plain, found, half=True), abs=0.01)


@pytest.mark.parametrize("fast_cpu", [False, True])
def test_packed_rows_keep_their_sequences_apart(fast_cpu):
    plain, fast = models()
    if fast_cpu:
        use_fast_cpu_training(fast)
    ids = torch.randint(5, 69, (2, 40))
    labels = torch.where(torch.rand(2, 40) < 0.3, ids, -100)
    positions = torch.cat([torch.arange(15), torch.arange(25)]).expand(2, -1)
    rows = [(ids[:, :15], labels[:, :15]), (ids[:, 15:], labels[:, 15:])]
    sums = [plain(a, labels=b, num_items_in_batch=1).loss for a, b in rows]
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_cpu):
        packed = fast(ids, position_ids=positions, labels=labels, num_items_in_batch=1).loss
    assert packed.item() == pytest.approx(sum(sums).item(), rel=3e-3 if fast_cpu else 1e-6)


def test_only_what_nobody_reads_is_left_out():
    _, fast = models()
    batch = batches(1)[0]
    count = int((batch["labels"] != -100).sum())
    assert fast(**batch).logits.shape == (count, 69)
    assert fast(**batch, output_hidden_states=True).hidden_states[-1].shape[1] == batch["input_ids"].shape[1]
    places = places_of_labels(batch["labels"])
    assert fast(**batch, scored_places=places).logits.shape == (places.numel(), 69)
    none = {**batch, "labels": torch.full_like(batch["labels"], -100)}
    assert fast(**none).loss == 0 and fast(**none, scored_places=places).loss == 0
    assert fast.eval()(batch["input_ids"]).logits.shape[:2] == batch["input_ids"].shape


@pytest.mark.parametrize("keys", [7, 33])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kept", [True, False])
def test_blocked_attention_is_attention(keys, masked, kept, monkeypatch):
    from seqformers.training import cpu_attention

    monkeypatch.setattr(cpu_attention, "_SCORES", 3 * keys * 5)  # blocks of three heads, the last one shorter
    monkeypatch.setattr(cpu_attention, "_KEPT", 10**9 if kept else 0)
    torch.manual_seed(0)
    query = torch.randn(4, 2, 5, 8, dtype=torch.bfloat16, requires_grad=True)
    key, value = (torch.randn(4, 2, keys, 8, dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    mask = (torch.rand(4, 1, 5, keys) < 0.7).index_fill(3, torch.tensor([0]), True) if masked else None
    found, _ = blocked_attention(torch.nn.Module(), query, key, value, mask)
    exact = [part.detach().float().requires_grad_() for part in (query, key, value)]
    wanted = torch.nn.functional.scaled_dot_product_attention(*exact, attn_mask=mask).transpose(1, 2)
    torch.testing.assert_close(found.float(), wanted, atol=0.02, rtol=0.02)
    weights = torch.randn_like(wanted)
    (found.float() * weights).sum().backward()
    (wanted * weights).sum().backward()
    for mine, theirs in zip((query, key, value), exact, strict=True):
        torch.testing.assert_close(mine.grad.float(), theirs.grad, atol=0.06, rtol=0.05)


def test_what_blocked_attention_does_not_know_is_left_to_sdpa():
    query = torch.randn(2, 2, 6, 8)
    causal, _ = blocked_attention(torch.nn.Module(), query, query, query, None, is_causal=True)
    wanted = torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    torch.testing.assert_close(causal, wanted.transpose(1, 2))


def test_attention_dropout_has_its_share_and_its_gradient():
    torch.manual_seed(0)
    size = (16, 2, 50, 50)
    query = torch.zeros(size, dtype=torch.bfloat16)
    value = torch.eye(50, dtype=torch.bfloat16).expand(size).clone().requires_grad_()
    found, _ = blocked_attention(torch.nn.Module(), query, query, value, None, dropout=0.25)
    probabilities = found.float().transpose(1, 2)  # of value = identity the output is the probabilities
    dropped = probabilities == 0
    assert abs(dropped.float().mean() - 0.25) < 0.01
    torch.testing.assert_close(
        probabilities[~dropped], torch.full_like(probabilities[~dropped], 1 / 50 / 0.75), rtol=0.02, atol=0
    )
    found.sum().backward()
    torch.testing.assert_close(value.grad.float(), probabilities.sum(2)[..., None].expand(size), rtol=0.03, atol=0.01)


def test_fast_dropout_is_dropout():
    x = torch.ones(400, 500, requires_grad=True)
    torch.manual_seed(3)
    layer = FastDropout(0.1)
    out = layer(x)
    out.sum().backward()
    assert abs((out == 0).float().mean() - 0.1) < 0.003
    assert out.detach().unique().tolist() == pytest.approx([0, 1 / 0.9])
    assert torch.equal(x.grad, out.detach())
    torch.manual_seed(3)
    assert torch.equal(layer(x), out) and not torch.equal(layer(x), out)
    assert torch.equal(layer.eval()(x), x)


def test_the_way_of_training_stays_out_of_what_is_saved(tmp_path):
    _, fast = models()
    keys = list(fast.state_dict())
    assert use_fast_cpu_training(fast) and fast.config._attn_implementation == NAME
    assert list(fast.state_dict()) == keys
    fast.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    again = KmerBertForMaskedLM.from_pretrained(tmp_path)
    assert again.config._attn_implementation == "sdpa"
    ids = torch.randint(5, 69, (2, 9))
    torch.testing.assert_close(again(ids).logits, copy.deepcopy(fast).eval()(ids).logits)
    eager = KmerBertForMaskedLM(KmerBertConfig(**SHAPE, attn_implementation="eager"))
    assert not use_fast_cpu_training(eager)
