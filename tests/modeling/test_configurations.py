"""Impossible values are refused by the configuration in one line that names the field, weights of classes included."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassFieldValidationError

import seqformers
from seqformers import KmerBertConfig, TargetNetConfig, TargetNetModel
from seqformers.cli import _app
from tests.modeling.family_cases import DEEPCPF1, KMER_BERT, TARGETNET

TINY = {"KmerBertConfig": KMER_BERT.config, "TargetNetConfig": TARGETNET.config, "DeepCpf1Config": DEEPCPF1.config}


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        ("KmerBertConfig", "num_hidden_layers", -3),
        ("KmerBertConfig", "num_hidden_layers", 0),
        ("KmerBertConfig", "hidden_size", 0),
        ("KmerBertConfig", "num_attention_heads", 3),
        ("KmerBertConfig", "max_position_embeddings", -1),
        ("KmerBertConfig", "read_length", 0),
        ("KmerBertConfig", "hidden_dropout_prob", nan),
        ("KmerBertConfig", "classifier_dropout", 1.5),
        ("KmerBertConfig", "layer_norm_eps", nan),
        ("KmerBertConfig", "class_weights", [1.0, nan]),
        ("KmerBertConfig", "class_weights", [1.0, 2.0, 3.0]),
        ("TargetNetConfig", "stem_kernel_size", 0),
        ("TargetNetConfig", "dropout", nan),
        ("TargetNetConfig", "class_weights", [1.0]),
        ("TargetNetConfig", "problem_type", "multi_label_classification"),
        ("DeepCpf1Config", "context_length", -34),
        ("DeepCpf1Config", "num_filters", -1),
        ("DeepCpf1Config", "output_scale", nan),
        ("DeepCpf1Config", "class_weights", [1.0, 2.0]),
        ("DeepCpf1Config", "problem_type", "multi_label_classification"),
    ],
)
def test_impossible_values_are_refused_by_name(config: str, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field) as refused:
        getattr(seqformers, config)(**{**TINY[config], field: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", ["150", 1.5])
def test_values_of_another_type_are_refused_by_name(value: Any) -> None:
    with pytest.raises(StrictDataclassFieldValidationError, match="read_length"):
        KmerBertConfig(read_length=value)
    with pytest.raises(StrictDataclassFieldValidationError, match="num_hidden_layers"):
        KmerBertConfig(num_hidden_layers=value)


def test_a_command_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_app, "app", lambda: KmerBertConfig(read_length="150"))
    with pytest.raises(SystemExit) as ended:
        _app.main()
    printed = capsys.readouterr().err
    assert ended.value.code == 2 and printed.count("\n") == 1 and "'read_length' expected" in printed


def kmer_head(head: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    return getattr(seqformers, head)(KmerBertConfig(**(KMER_BERT.config | changes))).eval()


@pytest.mark.parametrize("head", ["KmerBertForSequenceClassification", "KmerBertForTokenClassification"])
def test_weights_of_classes_weigh_the_loss(head: str) -> None:
    batch = KMER_BERT.batch(head, 0)
    batch = {name: value[:, :20] if value.ndim == 2 else value for name, value in batch.items()}
    plain, weighed = kmer_head(head), kmer_head(head, class_weights=[1.0, 4.0])
    logits = plain(**KMER_BERT.unlabelled(batch)).logits
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), batch["labels"].flatten(), weight=torch.tensor([1.0, 4.0])
    )
    torch.testing.assert_close(weighed(**batch).loss, expected)
    assert not torch.isclose(plain(**batch).loss, expected)
    assert weighed.accepts_loss_kwargs is False  # a mean over weights; Trainer divides by accumulated batches
    none = batch | {"labels": torch.full_like(batch["labels"], -100)}
    assert weighed(**none).loss == 0


def test_weights_of_targets_weigh_the_loss() -> None:
    batch = TARGETNET.batch("TargetNetModel", 0)
    torch.manual_seed(0)
    plain = TargetNetModel(TargetNetConfig(**TARGETNET.config)).eval()
    weighed = TargetNetModel(TargetNetConfig(**TARGETNET.config, class_weights=[1.0, 3.0])).eval()
    weighed.load_state_dict(plain.state_dict())
    single = [plain(batch["input_ids"][i : i + 1], labels=batch["labels"][i : i + 1]).loss for i in range(8)]
    weights = [3.0 if label else 1.0 for label in batch["labels"].tolist()]
    expected = sum(weight * loss for weight, loss in zip(weights, single, strict=True)) / sum(weights)
    torch.testing.assert_close(weighed(**batch).loss, expected)


def test_several_labels_at_once_take_0_and_1_of_any_type_and_refuse_other_shapes() -> None:
    batch = KMER_BERT.unlabelled(KMER_BERT.batch("KmerBertForMaskedLM", 0))
    labels = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
    losses = []
    for kind, given in [(None, labels), (None, labels.float()), ("multi_label_classification", labels)]:
        model = kmer_head("KmerBertForSequenceClassification", num_labels=3, problem_type=kind)
        losses.append(model(**batch, labels=given).loss)
        assert model.config.problem_type == "multi_label_classification"
    assert losses[0] == losses[1] == losses[2]
    model = kmer_head("KmerBertForSequenceClassification", num_labels=3, problem_type="multi_label_classification")
    with pytest.raises(ValueError, match=r"shape \(4,\); multi_label_classification with num_labels=3 wants \(4, 3\)"):
        model(**batch, labels=torch.tensor([0, 1, 1, 0]))
    with pytest.raises(ValueError, match=r"labels have the shape \(4, 9\), wanted is \(4,\)"):
        kmer_head("KmerBertForSequenceClassification", problem_type="single_label_classification")(
            **batch, labels=torch.zeros(4, 9, dtype=torch.long)
        )
    with pytest.raises(ValueError, match="class_weights weigh the classes of a single label"):
        kmer_head("KmerBertForSequenceClassification", class_weights=[1.0, 2.0])(**batch, labels=torch.zeros(4, 2))
