"""PLUS-RNN against values of the original code, its reading of rows and pairs, and its losses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Trainer, TrainingArguments

from seqformers.modeling.protein import modeling_plus_rnn as implementation
from seqformers.modeling.protein.configuration_plus_rnn import PlusRnnConfig
from seqformers.modeling.protein.modeling_plus_rnn import (
    PlusRnnForPairClassification,
    PlusRnnForPreTraining,
    PlusRnnForSequenceClassification,
    PlusRnnForTokenClassification,
    PlusRnnModel,
)
from tests.conftest import golden_cases

GOLDEN = golden_cases("plus_models")


def _cases(kind):
    return [case for case in GOLDEN if case["kind"] == kind]


def tiny_config(**kwargs):
    return PlusRnnConfig(**{"hidden_size": 6, "num_hidden_layers": 2, "projection_size": 4, **kwargs})


def rows(*proteins, pad_to=None):
    """Token rows of proteins or pairs of proteins given as lists of residue ids."""
    ids, kinds = [], []
    for protein in proteins:
        parts = protein if isinstance(protein, tuple) else (protein,)
        ids.append([i for part in parts for i in [0, *part, 0]])
        kinds.append([side for side, part in enumerate(parts) for _ in range(len(part) + 2)])
    width = pad_to or max(map(len, ids))
    batch = {name: torch.zeros(len(ids), width, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    batch["token_type_ids"] = torch.zeros(len(ids), width, dtype=torch.long)
    for row, (tokens, kind) in enumerate(zip(ids, kinds, strict=True)):
        batch["input_ids"][row, : len(tokens)] = torch.tensor(tokens)
        batch["attention_mask"][row, : len(tokens)] = 1
        batch["token_type_ids"][row, : len(tokens)] = torch.tensor(kind)
    return batch


def _load_original(model, state):
    renamed = {"embed.weight": "plus_rnn.embeddings.weight", "ordinal_weight": "ordinal_head.weight"}
    renamed |= {"ordinal_bias": "ordinal_head.bias"}
    weights = {}
    for name, value in state.items():
        name = renamed.get(name, name)
        name = name.replace("fc.", "plus_rnn.projection.") if name.startswith("fc.") else name
        name = f"plus_rnn.{name}" if name.startswith("rnn.") else name
        weights[name.replace("decoder.", "lm_head.")] = torch.tensor(value)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    return missing, unexpected


def _tiny(case, model_class, **kwargs):
    config = PlusRnnConfig(hidden_size=3, num_hidden_layers=2, projection_size=4, num_labels=5, **kwargs)
    model = model_class(config).eval()
    _load_original(model, case["state_dict"])
    table = _cases("alphabet")[0]["table"]
    pairs = [
        ([table[c] for c in a], [table[c] for c in b])
        for a, b in zip(case["sequences_a"], case["sequences_b"], strict=True)
    ]
    return model, rows(*pairs), pairs


def test_tiny_model_golden():
    (case,) = _cases("tiny_model")
    model, batch, pairs = _tiny(case, PlusRnnForPairClassification)
    outputs = model.plus_rnn(**batch)
    for row, (first, second) in enumerate(pairs):
        n, m = len(first), len(second)
        r, z = outputs.last_hidden_state[row], outputs.projection[row]
        torch.testing.assert_close(r[1 : n + 1], torch.tensor(case["h_a"][row]), atol=2e-6, rtol=0)
        torch.testing.assert_close(z[1 : n + 1], torch.tensor(case["z_a"][row]), atol=2e-6, rtol=0)
        torch.testing.assert_close(z[n + 3 : n + m + 3], torch.tensor(case["z_b"][row]), atol=2e-6, rtol=0)
    pair = model(**batch, labels=torch.tensor([0, 0, 0]))
    torch.testing.assert_close(pair.scores, torch.tensor(case["soft_align_scores"]), atol=2e-6, rtol=0)
    torch.testing.assert_close(pair.ordinal_logits, torch.tensor(case["ordinal_logits"]), atol=5e-6, rtol=0)
    torch.testing.assert_close(
        pair.logits.softmax(1), torch.tensor(case["ordinal_level_probabilities"]), atol=2e-6, rtol=0
    )


def test_residue_logits_and_pair_loss_golden():
    (case,), (loss,) = _cases("tiny_model"), _cases("pair_lm_loss")
    model, batch, pairs = _tiny(case, PlusRnnForPreTraining)
    logits = model(**batch).prediction_logits
    labels = torch.full_like(batch["input_ids"], -100)
    for row, (first, _) in enumerate(pairs):
        found = logits[row, torch.tensor(case["lm_positions"][row]) + 1].log_softmax(-1)
        torch.testing.assert_close(found, torch.tensor(case["lm_log_probs"][row]), atol=5e-6, rtol=0)
        for side, start in (("a", 1), ("b", len(first) + 3)):
            chosen = zip(
                loss[f"masked_positions_{side}"][row],
                loss[f"targets_{side}"][row],
                loss[f"weights_{side}"][row],
                strict=True,
            )
            for position, target, weight in chosen:
                if weight:
                    labels[row, start + position] = target
    mlm = model(**batch, labels=labels).mlm_loss
    assert mlm.item() == pytest.approx(loss["loss_a"] + loss["loss_b"], abs=1e-5)
    assert 0.7 * mlm.item() == pytest.approx(loss["by_formula_lambda_times_sum"], abs=1e-5)
    model.config.legacy_pair_loss = True
    legacy = 0.7 * model(**batch, labels=labels).mlm_loss
    assert legacy.item() == pytest.approx(loss["original_code_total_lambda_0_7"], abs=1e-5)


def test_sequence_head_golden():
    (case,) = _cases("sequence_head")
    state = {name: torch.tensor(value) for name, value in case["state_dict"].items()}
    lengths = [len(rows) for rows in case["inputs"]]
    features = torch.full((len(lengths), max(lengths) + 1, 4), 1e3)  # what lies at padding must not matter
    for row, values in enumerate(case["inputs"]):
        features[row, : lengths[row]] = torch.tensor(values)
    mask = torch.arange(features.shape[1]) < torch.tensor(lengths)[:, None]
    for pooling, expected in (("sum", "original_outputs"), ("attention", "with_attention_over_positions")):
        config = tiny_config(classifier_input="projection", classifier_hidden_size=3, num_labels=2, pooling=pooling)
        head = implementation.PlusRnnSequenceHead(config)
        wanted = state if pooling == "attention" else {k: v for k, v in state.items() if "attention" not in k}
        head.load_state_dict(wanted)
        torch.testing.assert_close(head(features, mask), torch.tensor(case[expected]), atol=2e-6, rtol=0)


@pytest.mark.parametrize("case", _cases("parameter_count"), ids=lambda case: case["size"])
def test_parameter_count_golden(case):
    config = getattr(PlusRnnConfig, case["size"])(num_labels=5, finetuning_mlm_weight=0.3)
    with torch.device("meta"):
        model = PlusRnnForPairClassification(config)
    assert sum(p.numel() for p in model.parameters()) == case["total"]


@pytest.mark.parametrize("pairs", [False, True])
def test_padding_and_companions_change_nothing(pairs):
    torch.manual_seed(0)
    model = PlusRnnModel(tiny_config()).eval()
    proteins = [([3, 4, 5], [7]), ([1, 2], [9, 8, 7, 6, 5, 4])] if pairs else [[3, 4, 5, 6, 7, 8], [1, 2]]
    together = model(**rows(*proteins, pad_to=25)).last_hidden_state
    for row, protein in enumerate(proteins):
        alone = rows(protein)
        width = alone["input_ids"].shape[1]
        torch.testing.assert_close(model(**alone).last_hidden_state[0], together[row, :width])
        assert (together[row, width:] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 2**31))
def test_padded_rows_give_what_packed_ones_give(lengths, layers, seed):
    torch.manual_seed(seed)
    model = PlusRnnModel(tiny_config(num_hidden_layers=layers)).double()
    embeds = torch.randn(len(lengths), max(lengths), 21, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(lengths), max(lengths), 12, dtype=torch.float64)
    found = []
    for least in (0.0, 2.0):  # always padded, always packed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(implementation, "_LEAST_FILLED", least)
            (hidden,) = model._run(embeds, torch.tensor(lengths), lengths, False)
        gradients = torch.autograd.grad((hidden * weights).sum(), [embeds, *model.rnn.parameters()])
        found.append([hidden, *gradients])
    for padded, packed in zip(*found, strict=True):
        torch.testing.assert_close(padded, packed)


def test_the_two_proteins_of_a_row_are_read_apart():
    torch.manual_seed(0)
    model = PlusRnnModel(tiny_config()).eval()
    pair = model(**rows(([3, 4, 5], [7, 8]))).last_hidden_state[0]
    singles = model(**rows([3, 4, 5], [7, 8])).last_hidden_state
    torch.testing.assert_close(pair, torch.cat([singles[0], singles[1, :4]]))


def test_length_comes_from_the_last_residue_without_a_mask():
    torch.manual_seed(0)
    model = PlusRnnModel(tiny_config()).eval()
    batch = rows([3, 21, 5], [7])
    with_mask = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    without = model(input_ids=batch["input_ids"])
    torch.testing.assert_close(without.last_hidden_state, with_mask.last_hidden_state)
    assert without.residue_mask.tolist() == [[False, True, True, True, False], [False, True, False, False, False]]


def test_embeddings_instead_of_ids():
    model = PlusRnnModel(tiny_config()).eval()
    batch = rows([3, 4, 5])
    embeds = model.get_input_embeddings()(batch["input_ids"])
    direct = model(inputs_embeds=embeds, attention_mask=batch["attention_mask"]).last_hidden_state
    torch.testing.assert_close(direct, model(**batch).last_hidden_state)
    with pytest.raises(ValueError, match="exactly one"):
        model(batch["input_ids"], inputs_embeds=embeds)


@pytest.mark.parametrize(
    ("mask", "kinds", "message"),
    [
        ([[0, 1, 1]], None, "pad on the right"),
        ([[0, 0, 0]], None, "is empty"),
        ([[1, 1, 1]], [[1, 0, 0]], "pad on the right"),
        ([[1, 1, 1]], [[1, 1, 1]], "is empty"),
    ],
)
def test_rows_that_are_no_proteins_are_refused(mask, kinds, message):
    model = PlusRnnModel(tiny_config())
    kinds = None if kinds is None else torch.tensor(kinds)
    with pytest.raises(ValueError, match=message):
        model(torch.tensor([[0, 3, 0]]), torch.tensor(mask), kinds)


def test_an_empty_protein_runs_but_cannot_be_aligned():
    model = PlusRnnForPairClassification(tiny_config())
    batch = rows(([], [3]))
    assert model.plus_rnn(**batch).last_hidden_state.shape == (1, 5, 12)
    with pytest.raises(ValueError, match=r"without: \[0\]"):
        model(**batch)


def test_initial_weights_are_those_of_pytorch():
    torch.manual_seed(0)
    model = PlusRnnForPreTraining(PlusRnnConfig(hidden_size=64))
    assert model.plus_rnn.embeddings.weight[21].abs().max() == 0
    assert model.plus_rnn.embeddings.weight[:21].std().item() == pytest.approx(1.0, abs=0.15)
    for name, parameter in model.plus_rnn.rnn.named_parameters():
        assert parameter.abs().max().item() == pytest.approx(1 / 8, rel=0.1), name
    bound = 1 / 128**0.5
    assert model.lm_head.weight.abs().max().item() == pytest.approx(bound, rel=0.1)
    assert model.lm_head.bias.abs().max() > 0
    assert model.sfp_head.weight.tolist() == [[1.0]] and model.sfp_head.bias.tolist() == [10.0]


def test_head_weights_missing_from_a_checkpoint_are_initialised(tmp_path):
    PlusRnnForPreTraining(tiny_config()).save_pretrained(tmp_path)
    model = PlusRnnForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    bound = 1 / model.classifier.hidden.in_features**0.5
    assert 0 < model.classifier.hidden.weight.abs().max() <= bound
    pair = PlusRnnForPairClassification.from_pretrained(tmp_path, num_labels=5)
    assert pair.ordinal_head.bias.tolist() == [10.0] * 4


def test_mask_embedding_is_never_trained():
    model = PlusRnnForPreTraining(tiny_config())
    batch = rows([3, 21, 5])
    model(**batch, labels=batch["input_ids"].masked_fill(batch["input_ids"] != 3, -100)).loss.backward()
    gradient = model.plus_rnn.embeddings.weight.grad
    assert (gradient[21] == 0).all() and (gradient[0] != 0).any()


@pytest.mark.parametrize("constrain", [True, False])
def test_ordinal_weights_stay_above_zero(constrain):
    model = PlusRnnForPairClassification(tiny_config(num_labels=3, constrain_ordinal=constrain)).train()
    with torch.no_grad():
        model.ordinal_head.weight.fill_(-1.0)
    logits = model(**rows(([3, 4], [5, 6]))).ordinal_logits
    assert (model.ordinal_head.weight >= 0).all() == constrain
    assert (logits == 10.0).all() == constrain


def test_levels_are_ordered_probabilities():
    model = PlusRnnForPairClassification(tiny_config(num_labels=5))
    output = model(**rows(([3, 4], [5, 6]), ([3], [3])), labels=torch.tensor([0, 4]))
    sigma = output.ordinal_logits.sigmoid()
    bits = torch.tensor([[0.0] * 4, [1.0] * 4])
    assert output.loss.item() == pytest.approx(torch.nn.functional.binary_cross_entropy(sigma, bits).item(), rel=1e-4)
    assert output.logits.softmax(1).sum(1).tolist() == pytest.approx([1.0, 1.0])


def test_pretraining_on_single_proteins_is_the_residue_loss_alone():
    model = PlusRnnForPreTraining(tiny_config())
    batch = rows([3, 4, 5])
    del batch["token_type_ids"]
    labels = torch.tensor([[-100, 3, -100, -100, -100]])
    output = model(**batch, labels=labels)
    expected = torch.nn.functional.cross_entropy(output.prediction_logits[:, 1], labels[:, 1])
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    with pytest.raises(ValueError, match="same_family needs pairs"):
        model(**batch, same_family=torch.tensor([1]))


def test_nothing_masked_gives_zero_not_nan():
    model = PlusRnnForPreTraining(tiny_config())
    batch = rows(([3], [4]))
    assert model(**batch, labels=torch.full_like(batch["input_ids"], -100)).loss.item() == 0


def test_fine_tuning_masks_only_while_training():
    torch.manual_seed(0)
    config = tiny_config(finetuning_mlm_weight=0.3, num_labels=3)
    model = PlusRnnForTokenClassification(config)
    batch = rows(list(range(1, 21)) * 3)
    labels = torch.where(batch["input_ids"] > 0, batch["input_ids"] % 3, -100)
    model.eval()
    assert model(**batch, labels=labels).loss == model(**batch, labels=labels).loss
    model.train()
    assert model(**batch, labels=labels).loss != model(**batch, labels=labels).loss


def test_labels_of_another_length_are_refused():
    model = PlusRnnForTokenClassification(tiny_config(num_labels=3))
    with pytest.raises(ValueError, match="one label for each token"):
        model(**rows([3, 4]), labels=torch.zeros(1, 2, dtype=torch.long))


def test_sequence_head_tasks():
    batch = rows([3, 4], [5])
    value = PlusRnnForSequenceClassification(tiny_config(num_labels=1, pooling="mean"))
    output = value(**batch, labels=torch.tensor([1.0, 2.0]))
    expected = ((output.logits[:, 0] - torch.tensor([1.0, 2.0])) ** 2).mean()
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    several = PlusRnnForSequenceClassification(tiny_config(num_labels=3, problem_type="multi_label_classification"))
    assert several(**batch, labels=torch.tensor([[1.0, 0, 1], [0, 0, 1]])).loss > 0
    weighted = PlusRnnForSequenceClassification(tiny_config(num_labels=2, class_weights=[1.0, 3.0]))
    output = weighted(**batch, labels=torch.tensor([0, 1]))
    expected = torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("field", [{"mlm_weight": 1.5}, {"pooling": "max"}, {"hidden_size": "wide"}])
def test_configuration_is_checked(field):
    with pytest.raises(Exception, match=next(iter(field))):
        PlusRnnConfig(**field)


def _features(head):
    generator = torch.Generator().manual_seed(0)
    examples = []
    for index in range(16):
        sizes = torch.randint(4, 9, (2,), generator=generator).tolist()
        proteins = [torch.randint(1, 21, (n,), generator=generator).tolist() for n in sizes]
        pair = head in ("pretraining", "pair")
        batch = rows((proteins[0], proteins[1]) if pair else proteins[0], pad_to=20)
        example = {name: value[0] for name, value in batch.items()}
        if head == "pretraining":
            example["labels"] = example["input_ids"].masked_fill(example["input_ids"] == 0, -100)
            example["same_family"] = index % 2
        elif head == "token":
            example["labels"] = (example["input_ids"] % 3).masked_fill(example["input_ids"] == 0, -100)
        else:
            example["labels"] = index % 3
        examples.append(example)
    return examples


@pytest.mark.parametrize("head", ["pretraining", "sequence", "token", "pair"])
def test_stock_trainer_trains_every_head(head, tmp_path):
    torch.manual_seed(0)
    model = {
        "pretraining": PlusRnnForPreTraining,
        "sequence": PlusRnnForSequenceClassification,
        "token": PlusRnnForTokenClassification,
        "pair": PlusRnnForPairClassification,
    }[head](tiny_config(num_labels=3, finetuning_mlm_weight=0.0 if head == "pretraining" else 0.3))
    data = _features(head)
    arguments = TrainingArguments(
        str(tmp_path), max_steps=30, learning_rate=2e-2, per_device_train_batch_size=8, report_to=[], use_cpu=True
    )
    trainer = Trainer(
        model, arguments, train_dataset=data, eval_dataset=data, compute_metrics=lambda _: {"measured": 1.0}
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"] and after["eval_measured"] == 1.0
    trainer.save_model()
    reloaded = type(model).from_pretrained(tmp_path).eval()
    batch = {name: value[None] for name, value in data[0].items() if torch.is_tensor(value) and name != "labels"}
    model.eval()
    for one, other in zip(reloaded(**batch).to_tuple(), model(**batch).to_tuple(), strict=True):
        torch.testing.assert_close(one, other)
