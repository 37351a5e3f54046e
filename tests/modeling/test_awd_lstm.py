"""The AWD-LSTM against torch's LSTM, its dropouts against their definitions, and the penalties of its loss."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from seqformers import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmModel
from seqformers.modeling.protein import modeling_awd_lstm
from seqformers.training import pretrain
from tests.conftest import ROOT

SIZES = {"embedding_size": 6, "hidden_size": 10, "num_hidden_layers": 3}
SHARES = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")
NONE = dict.fromkeys(SHARES, 0.0)
IDS = torch.tensor([[24, 3, 7, 9, 2, 25], [24, 8, 8, 25, 0, 0]])


def model(**changes: float) -> AwdLstmForCausalLM:
    torch.manual_seed(0)
    return AwdLstmForCausalLM(AwdLstmConfig(**(SIZES | NONE | changes)))


def stock(layer: nn.Module) -> nn.LSTM:
    """The same weights in torch's module."""
    inputs, units = layer.weight_ih.shape[1], layer.weight_hh.shape[1]
    lstm = nn.LSTM(inputs, units, batch_first=True)
    values = (layer.weight_ih, layer.weight_hh, layer.bias, torch.zeros_like(layer.bias))
    for parameter, value in zip(lstm.parameters(), values, strict=True):
        parameter.data.copy_(value)
    return lstm


def test_states_are_those_of_stacked_lstms_whatever_the_padding() -> None:
    net = AwdLstmModel(AwdLstmConfig(**(SIZES | NONE))).eval()
    found = net(IDS, (IDS != 0).long())
    for row, ids in enumerate(IDS):
        x = net.embeddings(ids[ids != 0][None])
        for layer in net.layers:
            x, (hidden, _) = stock(layer)(x)
        torch.testing.assert_close(found.last_hidden_state[row, : x.shape[1]], x[0])
        expected = torch.cat([hidden[0, 0], x[0].amax(0), x[0].mean(0)])
        torch.testing.assert_close(found.pooler_output[row], expected)
    left = torch.stack([row.roll(int((row == 0).sum())) for row in IDS])
    other = net(left, (left != 0).long(), use_cache=True)
    torch.testing.assert_close(other.pooler_output, found.pooler_output)
    assert len(other.state) == 2 * 3 and other.state[0].shape == (2, 10) and other.state[-1].shape == (2, 6)


def test_recurrent_weights_are_dropped_once_for_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    net = model(weight_dropout=0.5).train().awd_lstm
    layer, x = net.layers[0], torch.randn(2, 5, 6)
    kept: list[torch.Tensor] = []
    plain = modeling_awd_lstm.dropout

    def dropped(value: torch.Tensor, share: float, training: bool = True) -> torch.Tensor:
        kept.append(plain(value, share, training))
        return kept[-1]

    monkeypatch.setattr(modeling_awd_lstm, "dropout", dropped)
    found, *_ = layer(x, torch.ones(2, 5, dtype=torch.bool), None, False)
    (weights,) = kept
    assert 0.3 < float((weights == 0).float().mean()) < 0.7 and weights.shape == layer.weight_hh.shape
    reference = stock(layer)
    reference.weight_hh_l0.data.copy_(weights)  # kept ones are twice as large
    torch.testing.assert_close(found, reference(x)[0])
    found.sum().backward()
    assert bool((layer.weight_hh.grad[weights == 0] == 0).all()) and bool(layer.weight_hh.grad.any())


def test_channels_are_dropped_along_rows_and_residues_along_the_batch() -> None:
    torch.manual_seed(1)
    x = modeling_awd_lstm._along_rows(torch.ones(40, 7, 30), 0.4, True)
    assert bool((x == x[:, :1]).all()) and x.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert 0.35 < float((x[:, 0] == 0).float().mean()) < 0.45 and not bool((x[:1] == x).all())
    net = model(embedding_dropout=0.5).train().awd_lstm
    ids = torch.arange(1, 23).repeat(2, 2)
    embeds = net._embed(ids, None)
    zero = (embeds == 0).all(-1)
    assert bool((zero == zero[:1, :22].repeat(2, 2)).all()) and 0 < int(zero[0, :22].sum()) < 22
    torch.testing.assert_close(embeds[~zero], 2 * net.embeddings(ids)[~zero])


def test_the_loss_in_training_holds_both_penalties_and_in_evaluation_none() -> None:
    net = model(activation_penalty=2.0, slowness_penalty=0.5)
    mask = (IDS != 0).long()
    labels = IDS.masked_fill(IDS == 0, -100)
    plain = net.eval()(IDS, mask, labels=labels)
    states = net.awd_lstm(IDS, mask).last_hidden_state
    pairs = [(row, place) for row in range(2) for place in range(5) if mask[row, place + 1]]
    expected = torch.stack([cross_entropy(plain.logits[r, p][None], IDS[r, p + 1][None]) for r, p in pairs]).mean()
    torch.testing.assert_close(plain.loss, expected)
    strength = torch.stack([states[r, p].square() for r in range(2) for p in range(6) if mask[r, p]]).mean()
    change = torch.stack([(states[r, p + 1] - states[r, p]).square() for r, p in pairs]).mean()
    torch.testing.assert_close(net.train()(IDS, mask, labels=labels).loss, expected + 2.0 * strength + 0.5 * change)


def test_head_and_embedding_share_weights_until_told_otherwise(tmp_path: Path) -> None:
    net = model()
    net.save_pretrained(tmp_path)
    again = AwdLstmForCausalLM.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.awd_lstm.embeddings.weight
    torch.testing.assert_close(again.lm_head.weight, net.lm_head.weight)
    apart = AwdLstmForCausalLM(AwdLstmConfig(**(SIZES | {"tie_word_embeddings": False})))
    assert apart.lm_head.weight is not apart.awd_lstm.embeddings.weight
    with pytest.raises(ValueError, match="weight_dropout must be from 0 to below 1, got 1"):
        AwdLstmConfig(weight_dropout=1)
    with pytest.raises(ValueError, match="slowness_penalty must be at least 0"):
        AwdLstmConfig(slowness_penalty=-1.0)


def test_the_recipe_gives_a_perplexity(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation"):
        rows = {"sequence": ["".join(rng.choice(list("AG"), 20)) for _ in range(16)]}
        pd.DataFrame(rows).to_parquet(tmp_path / "data" / f"{split}.parquet")
    changes = [f"data.path={tmp_path / 'data'}", "data.dataset=null", "data.config=null", "data.splits.test=null"]
    changes += ["data.limits={}", "model.config={embedding_size: 8, hidden_size: 12}", "training.max_steps=30"]
    changes += ["training.use_cpu=true", "training.learning_rate=0.02", "training.warmup_steps=2"]
    changes += ["training.gradient_accumulation_steps=1", "training.max_grad_norm=1.0"]
    run = pretrain(ROOT / "benchmarks" / "recipes" / "awd_lstm" / "pretrain.yaml", changes, output=tmp_path / "run")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    assert 1.5 < found["perplexity"]["mean"] < 8  # of 26 ids; two letters at random and an end give about 2
