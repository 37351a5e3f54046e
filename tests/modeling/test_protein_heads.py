"""What the protein families share: weight norm, masking, losses."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import seqformers
from seqformers._families import family_of
from seqformers.modeling.protein.modeling_protein_heads import (
    ProteinWeightNorm,
    mask_residues,
)
from tests.modeling.family_cases import CASES


def test_weight_norm_equals_the_one_of_pytorch():
    torch.manual_seed(0)
    mine = ProteinWeightNorm(4, 3, kernel=5)
    with torch.no_grad():
        mine.weight_g.mul_(1.7)
        mine.bias.normal_()
    stock = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(4, 3, 5, padding=2), dim=None)
    stock.parametrizations.weight.original0.data = mine.weight_g.detach().clone()
    stock.parametrizations.weight.original1.data = mine.weight_v.detach().clone()
    stock.bias.data = mine.bias.detach().clone()
    x = torch.randn(2, 4, 9)
    torch.testing.assert_close(mine(x), stock(x))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 420), st.integers(0, 2**31))
def test_masking_in_the_model_follows_the_rule(length, seed):
    torch.manual_seed(seed)
    ids = torch.randint(1, 22, (1, length + 2))
    ids[:, [0, -1]] = 0
    residues = torch.ones_like(ids, dtype=torch.bool)
    residues[:, [0, -1]] = False
    wanted = (residues.sum(1).double() * 0.15).floor().clamp(max=50)
    masked, targets = mask_residues(ids, residues & (ids != 21), wanted, 21, range(1, 21))
    chosen = targets != -100
    candidates = int((residues & (ids != 21)).sum())
    assert int(chosen.sum()) == min(50, int(0.15 * length), candidates)
    assert (targets[chosen] == ids[chosen]).all() and (ids[chosen] != 21).all() and (ids[chosen] != 0).all()
    assert (masked[~chosen] == ids[~chosen]).all()


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        ("PlusRnnConfig", "num_hidden_layers", -3),
        ("PlusRnnConfig", "mask_token_id", 22),
        ("PElmoConfig", "lm_num_layers", 0),
        ("TapeLstmConfig", "hidden_dropout_prob", nan),
        ("TapeResnetConfig", "layer_norm_eps", inf),
        ("UniRepConfig", "hidden_size", 0),
        ("OneHotConfig", "vocab_size", 0),
        ("OneHotConfig", "contact_dropout", 1.5),
        ("ProteinBertConfig", "num_attention_heads", 5),
        ("ProteinBertConfig", "num_hidden_layers", 0),
    ],
)
def test_impossible_values_are_refused_by_name(config: str, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field) as refused:
        getattr(seqformers, config)(**{field: value})
    assert "\n" not in str(refused.value)


FAMILIES_WITH_HEADS = [
    "plus_rnn",
    "protein_bert",
    "p_elmo",
    "tape_lstm",
    "tape_resnet",
    "protein_cnn",
    "unirep",
    "onehot",
]


@pytest.mark.parametrize("family", FAMILIES_WITH_HEADS)
def test_residues_through_a_convolution_and_their_maximum(family):
    """One protein at a time, one residue after the other, is the same; padding and other proteins do not matter."""
    case = next(case for case in CASES if case.model_type == family)
    name = family_of(family).models["AutoModelForSequenceClassification"]
    torch.manual_seed(0)
    config = getattr(seqformers, family_of(family).config)(**case.config, sequence_head="residue_cnn", num_labels=3)
    model = getattr(seqformers, name)(config).eval()
    batch = case.unlabelled(case.batch(name, 0))
    with torch.no_grad():
        logits = model(**batch).logits
        hidden = model.base_model(**batch).last_hidden_state
        head = model.classifier
        for row, mask in enumerate(batch["attention_mask"]):
            residues = head.projection(hidden[row, 1 : int(mask.sum()) - 1])
            half = head.kernel // 2
            best = torch.zeros(head.filters)
            for place in range(len(residues)):
                value = head.conv.bias.clone()
                for step in range(-half, half + 1):
                    if 0 <= place + step < len(residues):
                        value += head.conv.weight[:, :, step + half] @ residues[place + step]
                best = torch.maximum(best, value)
            assert torch.allclose(logits[row], head.output(best), atol=1e-5)
