"""Protein BERTs against values of the TAPE package, parameter counts of PLUS-TFM, and the slow forms of the heads."""

from __future__ import annotations

import pytest
import torch
from transformers import BertForMaskedLM, BertForTokenClassification, Trainer, TrainingArguments

from seqformers.modeling.protein import modeling_protein_bert as implementation
from seqformers.modeling.protein.configuration_protein_bert import ProteinBertConfig
from seqformers.modeling.protein.modeling_protein_bert import (
    ProteinBertForContactPrediction,
    ProteinBertForMaskedLM,
    ProteinBertForPairClassification,
    ProteinBertForPreTraining,
    ProteinBertForSequenceClassification,
    ProteinBertForTokenClassification,
    ProteinBertModel,
)
from seqformers.modeling.protein.modeling_protein_heads import ProteinContactHead
from tests.conftest import golden_cases

TAPE = golden_cases("tape_models")
PLUS = golden_cases("plus_models")
HEADS = {
    "masked": ProteinBertForMaskedLM,
    "pretraining": ProteinBertForPreTraining,
    "sequence": ProteinBertForSequenceClassification,
    "token": ProteinBertForTokenClassification,
    "pair": ProteinBertForPairClassification,
    "contact": ProteinBertForContactPrediction,
}


def _cases(cases, kind):
    return [case for case in cases if case["kind"] == kind]


def tiny_config(family="tape", **kwargs):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
    sizes |= {"max_position_embeddings": 40, "classifier_hidden_size": 6}
    return getattr(ProteinBertConfig, family)(**{**sizes, **kwargs})


def tiny_batch(config, lengths=(6, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths) + 2
    ids = torch.full((len(lengths), width), config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        residues = torch.randint(config.first_residue_id, config.last_residue_id + 1, (length,), generator=generator)
        ids[row, : length + 2] = torch.cat(
            [torch.tensor([config.cls_token_id]), residues, torch.tensor([config.sep_token_id])]
        )
        mask[row, : length + 2] = 1
    return {"input_ids": ids, "attention_mask": mask}


def test_tiny_tape_transformer_golden():
    (case,) = _cases(TAPE, "tiny_transformer")
    sizes = case["config"]
    config = ProteinBertConfig.tape(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["intermediate"],
        max_position_embeddings=sizes["max_position"],
        layer_norm_eps=sizes["layer_norm_eps"],
    )
    state = {name: torch.tensor(value) for name, value in case["state_dict"].items()}
    base = ProteinBertModel(config).eval()
    base.load_state_dict({n.removeprefix("bert."): v for n, v in state.items() if n.startswith("bert.")})
    ids, mask = torch.tensor(case["input_ids"]), torch.tensor(case["attention_mask"])
    outputs = base(ids, mask)
    for row, expected in enumerate(case["sequence_output"]):
        found = outputs.last_hidden_state[row, : len(expected)]
        torch.testing.assert_close(found, torch.tensor(expected), atol=5e-6, rtol=0)
    torch.testing.assert_close(outputs.pooler_output, torch.tensor(case["pooled_output"]), atol=5e-6, rtol=0)

    model = ProteinBertForMaskedLM(config).eval()
    head = {n.replace("mlm.", "cls.predictions."): v for n, v in state.items() if n.startswith("mlm.")}
    encoder = {n: v for n, v in state.items() if n.startswith("bert.") and "pooler" not in n}
    missing, unexpected = model.load_state_dict({**encoder, **head}, strict=False)
    assert not unexpected and all("decoder" in name for name in missing)  # tied
    output = model(ids, mask, labels=ids.masked_fill(mask == 0, -100))
    # Position 3, the last residue of the second protein, is what the values are of.
    torch.testing.assert_close(output.logits[:, 3], torch.tensor(case["mlm_logits_last_position"]), atol=5e-6, rtol=0)
    assert output.loss.item() == pytest.approx(case["mlm_loss_all_positions"], abs=2e-5)


@pytest.mark.parametrize(
    ("name", "model_class", "kwargs"),
    [
        ("transformer encoder", ProteinBertModel, {}),
        ("transformer fluorescence/stability", ProteinBertForSequenceClassification, {"num_labels": 1}),
        ("transformer remote_homology", ProteinBertForSequenceClassification, {"num_labels": 1195}),
        ("transformer secondary_structure", ProteinBertForTokenClassification, {"num_labels": 3}),
        ("transformer contact_prediction", ProteinBertForContactPrediction, {}),
    ],
)
def test_parameter_counts_golden(name, model_class, kwargs):
    (case,) = [case for case in _cases(TAPE, "parameter_count") if case["model"] == name]
    with torch.device("meta"):
        model = model_class(ProteinBertConfig.tape(**kwargs))
    total = sum(p.numel() for p in model.parameters())
    expected = case["total"]
    if model_class is ProteinBertForTokenClassification:
        expected -= 768 * 768 + 768  # TAPE builds a pooler that its residue head never reads
    if model_class is ProteinBertForContactPrediction:
        expected -= 768 * 768 + 768 + 2 * 768  # nor the contact head, whose difference half cancels
    assert total == expected


def test_plus_tfm_parameter_count_golden():
    (case,) = _cases(PLUS, "parameter_count_tfm")
    with torch.device("meta"):
        model = ProteinBertForPreTraining(ProteinBertConfig.plus_tfm())
    # the tied decoder counts once; `parameters` sees it once as well
    assert sum(p.numel() for p in model.parameters()) == case["total"]


@pytest.mark.parametrize("kind", ["token_head_parameters", "sequence_head_parameters"])
def test_head_shapes_golden(kind):
    (case,) = _cases(TAPE, kind)
    shapes = sorted(tuple(shape) for shape in case["shapes"].values())
    labels = 3 if kind.startswith("token") else 7
    config = tiny_config(num_labels=labels, classifier_hidden_size=512)
    head = (implementation.ProteinBertResidueHead if labels == 3 else implementation.ProteinBertValueHead)(config)
    assert sorted(tuple(value.shape) for value in head.state_dict().values()) == shapes


def test_contact_head_equals_the_pairwise_features():
    """TAPE's form: product and difference features, a linear layer, the mean over both orders of the pair."""
    torch.manual_seed(0)
    head = ProteinContactHead(tiny_config()).eval()
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    difference = torch.randn(2, 8)
    i, j = hidden[:, :, None], hidden[:, None]
    features = torch.cat([i * j, i - j], -1)
    logits = features @ torch.cat([head.product.weight, difference], 1).T + head.product.bias
    expected = (logits + logits.transpose(1, 2)) / 2
    found = head(hidden)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(found)
    (one,) = torch.autograd.grad((found * weights).sum(), hidden, retain_graph=True)
    (other,) = torch.autograd.grad((expected * weights).sum(), hidden)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_plus_layer_norm_and_positions():
    norm = implementation.ProteinBertPlusLayerNorm(4, 1e-12)
    x = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    spread = torch.tensor([1.0, 2.0, 3.0, 6.0]).std(unbiased=True)
    torch.testing.assert_close(norm(x), (x - 3.0) / spread.sqrt())
    positions = implementation.ProteinBertSinusoidalPositions(4)(torch.tensor([0, 7]))
    angles = torch.tensor([7.0, 7.0 / 100.0])
    expected = torch.stack([angles.sin(), angles.cos()], 1).flatten()
    torch.testing.assert_close(positions[1], expected)
    assert positions[0].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_plus_tfm_takes_any_length_and_has_no_standard_layer_norm():
    model = ProteinBertForPreTraining(tiny_config("plus_tfm", max_position_embeddings=16)).eval()
    assert not any(isinstance(module, torch.nn.LayerNorm) for module in model.modules())
    assert model(torch.randint(1, 21, (1, 60))).prediction_logits.shape == (1, 60, 25)
    with pytest.raises(ValueError, match="max_position_embeddings=40"):
        ProteinBertModel(tiny_config())(torch.randint(5, 25, (1, 41)))


@pytest.mark.parametrize("family", ["tape", "plus_tfm"])
@pytest.mark.parametrize("head", list(HEADS))
def test_padding_changes_nothing(head, family):
    torch.manual_seed(0)
    config = tiny_config(family, num_labels=3, pooling="mean" if head == "pair" else "cls")
    model = HEADS[head](config)
    if head == "token" and family == "tape":
        model.train()
        model(**tiny_batch(config))  # moves the running statistics away from their start
    model.eval()
    batch = tiny_batch(config, (7, 4))
    together = model(**batch)
    logits = together[0]
    for row, length in enumerate((7, 4)):
        alone = model(batch["input_ids"][[row], : length + 2])[0][0]
        found = logits[row]
        if head in ("masked", "pretraining", "token"):
            found = found[: length + 2]
        elif head == "contact":
            found = found[:length, :length]
        torch.testing.assert_close(found, alone, atol=2e-5, rtol=1e-4)


def test_padding_reaches_the_original_residue_head():
    config = tiny_config(num_labels=3)
    torch.manual_seed(0)
    head = implementation.ProteinBertResidueHead(config)
    hidden, mask = torch.randn(2, 6, 8), torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
    head.train()
    head(hidden, mask)
    torch.testing.assert_close(head.norm.running_mean, 0.1 * hidden[mask.bool()].mean(0))
    head.legacy_padding = True
    head.norm.reset_running_stats()
    head(hidden, mask)
    torch.testing.assert_close(head.norm.running_mean, 0.1 * hidden.mean((0, 1)))


def test_initial_weights():
    torch.manual_seed(0)
    tape = ProteinBertForSequenceClassification(tiny_config(hidden_size=64, classifier_hidden_size=256))
    assert tape.bert.encoder.layer[0].intermediate.dense.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert tape.classifier.hidden.weight_v.std().item() == pytest.approx(0.02, rel=0.1)
    assert tape.classifier.hidden.weight_g.item() == pytest.approx(tape.classifier.hidden.weight_v.norm().item())
    plus = ProteinBertModel(tiny_config("plus_tfm", hidden_size=64))
    bound = 1 / 8
    assert plus.encoder.layer[0].attention.self.query.weight.abs().max().item() == pytest.approx(bound, rel=0.02)
    assert plus.embeddings.word_embeddings.weight[1:].std().item() == pytest.approx(1.0, abs=0.1)


def test_head_weights_missing_from_a_checkpoint_are_initialised(tmp_path):
    ProteinBertForMaskedLM(tiny_config()).save_pretrained(tmp_path)
    model = ProteinBertForTokenClassification.from_pretrained(tmp_path, num_labels=3)
    assert model.classifier.conv1.weight_g.item() == pytest.approx(model.classifier.conv1.weight_v.norm().item())
    assert 0 < model.classifier.conv1.weight_v.abs().max() < 0.2
    assert model.classifier.norm.running_var.tolist() == [1.0] * 8


@pytest.mark.parametrize(("head", "stock"), [("masked", BertForMaskedLM), ("token", BertForTokenClassification)])
def test_plain_configurations_export_as_stock_bert(head, stock, tmp_path):
    torch.manual_seed(0)
    config = tiny_config(head_type="linear", num_labels=3)
    model = HEADS[head](config).eval()
    model.export_portable(tmp_path)
    loaded, report = stock.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    batch = tiny_batch(config)
    torch.testing.assert_close(loaded.eval()(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize(
    ("head", "family", "kwargs", "message"),
    [
        ("masked", "plus_tfm", {}, "sinusoidal"),
        ("token", "tape", {}, "head_type='tape'"),
        ("sequence", "tape", {"head_type": "linear", "pooling": "mean"}, "pooling='mean'"),
        ("contact", "tape", {}, "BertForContactPrediction"),
    ],
)
def test_what_stock_bert_lacks_is_not_exported(head, family, kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        HEADS[head](tiny_config(family, **kwargs)).export_portable(tmp_path / "out")


def _examples(head, config):
    examples = []
    for index in range(16):
        batch = tiny_batch(config, (8,), seed=index)
        ids = batch["input_ids"][0]
        residue = (ids >= config.first_residue_id) & (ids <= config.last_residue_id)
        example = {"input_ids": ids, "attention_mask": batch["attention_mask"][0]}
        if head in ("masked", "pretraining"):
            example["labels"] = ids.masked_fill(~residue, -100)
        elif head == "token":
            example["labels"] = (ids % 3).masked_fill(~residue, -100)
        elif head == "contact":
            example["labels"] = (ids[1:-1, None] == ids[None, 1:-1]).long()
        else:
            example["labels"] = index % 3
        if head == "pretraining":
            example["same_family"] = index % 2
        examples.append(example)
    return examples


@pytest.mark.parametrize("family", ["tape", "plus_tfm"])
@pytest.mark.parametrize("head", list(HEADS))
def test_stock_trainer_trains_every_head(head, family, tmp_path):
    torch.manual_seed(0)
    regularised = head in ("sequence", "token")
    config = tiny_config(family, num_labels=3, finetuning_mlm_weight=0.3 if regularised else 0.0)
    model = HEADS[head](config)
    data = _examples(head, config)
    arguments = TrainingArguments(
        str(tmp_path), max_steps=40, learning_rate=1e-2, per_device_train_batch_size=8, report_to=[], use_cpu=True
    )
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before
    trainer.save_model()
    reloaded = HEADS[head].from_pretrained(tmp_path).eval()
    model.eval()
    batch = tiny_batch(config)
    torch.testing.assert_close(reloaded(**batch)[0], model(**batch)[0])


def test_pretraining_loss_is_weighed():
    config = tiny_config("plus_tfm")
    model = ProteinBertForPreTraining(config).eval()
    batch = tiny_batch(config)
    labels = (
        batch["input_ids"].masked_fill(batch["input_ids"] > 20, -100).masked_fill(batch["attention_mask"] == 0, -100)
    )
    output = model(**batch, labels=labels, same_family=torch.tensor([1, 0]))
    assert output.loss.item() == pytest.approx(0.7 * output.mlm_loss.item() + 0.3 * output.sfp_loss.item(), rel=1e-5)
    assert model(**batch, labels=labels).loss.item() == pytest.approx(output.mlm_loss.item(), rel=1e-6)


@pytest.mark.parametrize("head", ["token", "contact"])
def test_labels_of_another_shape_are_refused(head):
    config = tiny_config(num_labels=2)
    batch = tiny_batch(config)
    labels = torch.zeros(batch["input_ids"].shape[0], 3, *([3] if head == "contact" else []), dtype=torch.long)
    with pytest.raises(ValueError, match="labels have shape"):
        HEADS[head](config)(**batch, labels=labels)


def test_contact_labels_with_nothing_to_learn_give_zero():
    config = tiny_config()
    batch = tiny_batch(config)
    output = ProteinBertForContactPrediction(config)(**batch, labels=torch.full((2, 6, 6), -1))
    assert output.loss.item() == 0


@pytest.mark.parametrize(
    "field", [{"mlm_weight": 2.0}, {"layer_norm": "batch"}, {"is_decoder": True}, {"last_residue_id": 30}]
)
def test_configuration_is_checked(field):
    with pytest.raises(Exception, match=r"mlm_weight|layer_norm|is_decoder|residue ids"):
        ProteinBertConfig(**field)


def test_attention_and_hidden_states_on_request():
    config = tiny_config(attn_implementation="eager")
    output = ProteinBertForMaskedLM(config).eval()(
        **tiny_batch(config), output_attentions=True, output_hidden_states=True
    )
    assert len(output.attentions) == 2 and len(output.hidden_states) == 3
