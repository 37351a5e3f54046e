"""The baselines of PLUS and TAPE: sizes of the originals, their corrected behaviour, and the switches back."""

from __future__ import annotations

import pytest
import torch

from seqformers import (
    OneHotConfig,
    OneHotModel,
    PElmoConfig,
    PElmoForPairClassification,
    PElmoForPreTraining,
    PElmoModel,
    TapeLstmConfig,
    TapeLstmForPreTraining,
    TapeLstmModel,
    TapeResnetConfig,
    TapeResnetForMaskedLM,
    TapeResnetModel,
    UniRepConfig,
    UniRepForCausalLM,
    UniRepModel,
)
from tests.conftest import golden_cases

COUNTS = {c["model"]: c["total"] for c in golden_cases("tape_models") if c["kind"] == "parameter_count"}
(P_ELMO,) = [case for case in golden_cases("plus_models") if case["kind"] == "parameter_count_p_elmo"]
SIZES = [
    (TapeLstmModel, TapeLstmConfig, "lstm encoder"),
    (TapeLstmForPreTraining, TapeLstmConfig, "lstm LM"),
    (TapeResnetModel, TapeResnetConfig, "resnet encoder"),
    (TapeResnetForMaskedLM, TapeResnetConfig, "resnet MLM"),
    (UniRepModel, UniRepConfig, "unirep encoder"),
]


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("model_class", "config_class", "name"), SIZES, ids=[name for *_, name in SIZES])
def test_sizes_golden(model_class, config_class, name):
    with torch.device("meta"):
        found = size(model_class(config_class()))
    # The originals build poolers that their language models never read: TAPE's LSTM 1,049,607, its ResNet 263,169.
    unused = {"lstm LM": 1_049_607, "resnet MLM": 263_169}.get(name, 0)
    assert found == COUNTS[name] - unused


def test_sizes_of_p_elmo_golden():
    with torch.device("meta"):
        assert size(PElmoForPreTraining(PElmoConfig())) == P_ELMO["lm"]
        pair = PElmoForPairClassification(PElmoConfig(num_labels=5))
    decoder = 1024 * 21 + 21  # the original's encoder carries a residue decoder for its regulariser
    assert size(pair) - size(pair.p_elmo.lm) + decoder == P_ELMO["encoder"]


def padded(ids, by):
    wider = torch.nn.functional.pad(ids, (0, by))
    return {"input_ids": wider, "attention_mask": torch.nn.functional.pad(torch.ones_like(ids), (0, by))}


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (TapeLstmModel, TapeLstmConfig(hidden_size=6, embedding_size=4)),
        (TapeResnetModel, TapeResnetConfig(hidden_size=8, num_hidden_layers=2)),
        (UniRepModel, UniRepConfig(hidden_size=6)),
        (OneHotModel, OneHotConfig()),
        (PElmoModel, PElmoConfig(hidden_size=6, input_size=6, lm_hidden_size=4)),
    ],
    ids=["tape_lstm", "tape_resnet", "unirep", "onehot", "p_elmo"],
)
def test_padding_changes_neither_residues_nor_protein(model_class, config):
    torch.manual_seed(0)
    model = model_class(config).eval()
    ids = torch.tensor([[2, 9, 12, 7, 3]])
    short, long = model(**padded(ids, 0)), model(**padded(ids, 4))
    torch.testing.assert_close(long.last_hidden_state[:, :5], short.last_hidden_state)
    torch.testing.assert_close(long.pooler_output, short.pooler_output)


@pytest.mark.parametrize(
    ("model_class", "config", "output"),
    [
        (TapeLstmModel, TapeLstmConfig(hidden_size=6, embedding_size=4, legacy_padding=True), "pooler_output"),
        (TapeResnetModel, TapeResnetConfig(hidden_size=8, legacy_positions=True), "last_hidden_state"),
        (TapeResnetModel, TapeResnetConfig(hidden_size=8, legacy_pooling=True), "pooler_output"),
    ],
    ids=["lstm", "resnet positions", "resnet pooling"],
)
def test_originals_depend_on_padding(model_class, config, output):
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    ids = torch.tensor([[2, 9, 12, 7, 3]])
    short, long = model(**padded(ids, 0))[output], model(**padded(ids, 4))[output]
    assert (long[:, : short.shape[1]] - short).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("model_class", "config"),
    [
        (TapeLstmForPreTraining, TapeLstmConfig(hidden_size=6, embedding_size=4)),
        (PElmoForPreTraining, PElmoConfig(lm_hidden_size=6)),
    ],
    ids=["tape_lstm", "p_elmo"],
)
def test_a_token_is_predicted_from_the_others_only(model_class, config):
    torch.manual_seed(0)
    model = model_class(config).eval()
    ids = torch.tensor([[0, 9, 12, 7, 0]])
    changed = ids.clone()
    changed[0, 2] = 5
    before, after = model(ids).logits, model(changed).logits
    torch.testing.assert_close(before[0, 2], after[0, 2])
    assert (before[0, [1, 3]] - after[0, [1, 3]]).abs().amax(1).min() > 1e-6


def test_unirep_reads_from_the_start_only_and_predicts_the_next():
    torch.manual_seed(0)
    model = UniRepForCausalLM(UniRepConfig(hidden_size=6)).eval()
    ids = torch.tensor([[24, 9, 12, 7, 25]])
    changed = ids.clone()
    changed[0, 3] = 5
    output, other = model(ids, labels=ids), model(changed)
    torch.testing.assert_close(output.logits[0, :3], other.logits[0, :3])
    expected = torch.nn.functional.cross_entropy(output.logits[0, :-1], ids[0, 1:])
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_unirep_step_equals_the_equations():
    torch.manual_seed(0)
    model = UniRepModel(UniRepConfig(hidden_size=3, embedding_size=2)).eval()
    ids = torch.tensor([[24, 9]])
    cell = model.rnn
    h = c = torch.zeros(3)
    for x in model.embeddings(ids)[0]:
        m = (cell.wmx.weight() @ x) * (cell.wmh.weight() @ h)
        i, f, o, u = (cell.wx.weight() @ x + cell.wh.weight() @ m + cell.bias).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * u.tanh()
        h = o.sigmoid() * c.tanh()
    torch.testing.assert_close(model(ids).pooler_output[0], torch.cat([h, c]))


def test_p_elmo_pairs_are_independent_of_their_batch():
    torch.manual_seed(0)
    config = PElmoConfig(hidden_size=6, input_size=6, lm_hidden_size=4, projection_size=3)
    model = PElmoForPairClassification(config).eval()
    ids = torch.tensor([[0, 9, 0, 0, 5, 6, 7, 0], [0, 3, 4, 0, 0, 8, 0, 0]])
    kinds = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 0]])
    mask = torch.tensor([[1] * 8, [1] * 7 + [0]])
    together = model(ids, mask, kinds).scores
    alone = model(ids[1:, :7], mask[1:, :7], kinds[1:, :7]).scores
    torch.testing.assert_close(together[1:], alone)
    assert not any(p.requires_grad for p in model.p_elmo.lm.parameters())
    with pytest.raises(ValueError, match="not a pair"):
        model(ids, mask, torch.zeros_like(kinds))


def test_p_elmo_takes_over_its_language_model(tmp_path):
    sizes = {"hidden_size": 6, "input_size": 6, "lm_hidden_size": 4, "projection_size": 3}
    first = PElmoForPreTraining(PElmoConfig(**sizes))
    first.save_pretrained(tmp_path)
    model = PElmoForPairClassification.from_pretrained(tmp_path, num_labels=5)
    wanted = first.lm.state_dict()
    for name, value in model.p_elmo.lm.state_dict().items():
        torch.testing.assert_close(value, wanted[name])
