"""What `docs/families.md` says about the DNA, target and guide models: each thing works, or is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import seqformers
from seqformers._families import FAMILIES, family_of
from tests.conftest import ROOT
from tests.modeling.family_cases import (
    CODING_PROFILE,
    DEEPCPF1,
    KMER2VEC,
    KMER_BERT,
    PAIR_CNN,
    SELF_GENOMENET,
    SEQ_CNN,
    TARGETNET,
)

_TESTED = (KMER_BERT, TARGETNET, PAIR_CNN, DEEPCPF1, SEQ_CNN, KMER2VEC, SELF_GENOMENET, CODING_PROFILE)
CASES = {case.model_type: case for case in _TESTED}
FEW = [family for family in FAMILIES if family.model_type in CASES]
HEADS = [(family, head) for family in FEW for head in dict.fromkeys(family.models.values())]
every_head = pytest.mark.parametrize(("family", "head"), HEADS, ids=[head for _, head in HEADS])
ATTENTION = "KmerBert"


def make(family: Any, head: str, **changes: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """A model and a batch without labels; the sequence classifier as stock BERT has it."""
    case = CASES[family.model_type]
    torch.manual_seed(0)
    model = getattr(seqformers, head)(getattr(seqformers, family.config)(**(case.config | changes))).eval()
    batch = case.unlabelled(case.batch("KmerBertForMaskedLM" if head.startswith(ATTENTION) else head, 0))
    return model, batch


def first(output: Any) -> torch.Tensor:
    return next(value for value in output.values() if torch.is_tensor(value))


@every_head
def test_hidden_states_are_given_on_request(family: Any, head: str) -> None:
    model, batch = make(family, head)
    plain, output = model(**batch), model(**batch, output_hidden_states=True)
    assert getattr(plain, "hidden_states", None) is None
    torch.testing.assert_close(first(plain), first(output))
    states = output.hidden_states
    rows = len(next(iter(batch.values())))
    assert all(len(state) == rows and torch.isfinite(state).all() for state in states)
    config = model.config
    expected = {
        "kmer_bert": lambda: 1 + config.num_hidden_layers,
        "targetnet": lambda: 2 + sum(config.num_blocks[1:]),
        "pair_cnn": lambda: 1 + len(config.channels),
        "deepcpf1": lambda: 2 + len(config.hidden_sizes),
        "kmer2vec": lambda: 1,
        "seq_cnn": lambda: 2 + len(config.num_filters),
        "coding_profile": lambda: 2,
        "self_genomenet": lambda: 3,
    }
    assert len(states) == expected[family.model_type]()
    if family.model_type == "deepcpf1":
        assert torch.equal(states[-1], output.pooled_states)
    if family.model_type == "targetnet":  # in place or not, the last state is what the classifier reads
        pooled = torch.nn.functional.max_pool1d(states[-1].relu(), config.pool_size).flatten(1)
        torch.testing.assert_close(model.classifier(pooled).squeeze(1), output.logits)
    config.output_hidden_states = True
    assert len(model(**batch).hidden_states) == len(states)


@every_head
def test_attentions_are_given_or_refused_by_name(family: Any, head: str) -> None:
    model, batch = make(family, head, **({"attn_implementation": "eager"} if head.startswith(ATTENTION) else {}))
    if head.startswith(ATTENTION):
        assert len(model(**batch, output_attentions=True).attentions) == model.config.num_hidden_layers
    else:
        with pytest.raises(ValueError, match="without attention; leave output_attentions out"):
            model(**batch, output_attentions=True)


@every_head
def test_gradient_checkpointing_changes_nothing_or_is_refused_by_name(family: Any, head: str) -> None:
    model, batch = make(family, head, **({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
                                         if head.startswith(ATTENTION) else {}))  # fmt: skip
    if not head.startswith(ATTENTION):
        with pytest.raises(ValueError, match=f"{head} does not support (activation|gradient)"):
            model.gradient_checkpointing_enable()
        return
    gradients = []
    for enabled in (False, True):
        model.gradient_checkpointing_enable() if enabled else None
        model.train().zero_grad()
        first(model(**batch)).square().sum().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    assert model.is_gradient_checkpointing and gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 20
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, msg=name)


def test_every_family_has_a_row_in_the_docs_and_is_tested_here_or_with_the_proteins() -> None:
    text = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(family.model_type for family in FAMILIES)
    assert {family.model_type for family in FAMILIES if family.room != "protein"} == set(CASES)


def other_batch(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same rows but one, so that a fixed batch size would show."""
    return {name: value[:3].clone() for name, value in batch.items()}


@every_head
def test_torch_export_gives_the_same_for_any_batch_size(family: Any, head: str) -> None:
    """And for rows of any length that the position table of k-mer BERT holds."""
    model, batch = make(family, head)
    rows, length = torch.export.Dim("rows", min=2, max=64), torch.export.Dim("length", min=4, max=24)
    tokens = head.startswith(ATTENTION)
    shapes = {name: {0: rows, 1: length} if tokens else {0: rows} for name in batch}
    if head == "PairCnnModel":
        batch["mirna_ids"] = torch.nn.functional.pad(batch["mirna_ids"], (0, 2))  # as wide as the model reads
    program = torch.export.export(model, (), batch, dynamic_shapes=shapes, strict=False)
    shorter = {name: value[:, :9] for name, value in other_batch(batch).items()} if tokens else batch
    for each in (batch, other_batch(batch), shorter):
        torch.testing.assert_close(first(program.module()(**each)), first(model(**each)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "head"),
    [(family, family.models.get("AutoModelForSequenceClassification", family.models["AutoModel"])) for family in FEW],
    ids=[family.model_type for family in FEW],
)
def test_onnx_gives_the_same_for_any_batch_size(family: Any, head: str, tmp_path: Any) -> None:
    model, batch = make(family, head)
    rows = torch.export.Dim("rows", min=2, max=64)
    torch.onnx.export(
        model, (), str(tmp_path / "m.onnx"), kwargs=batch, dynamo=True, verbose=False,
        dynamic_shapes={name: {0: rows} for name in batch},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for each in (batch, other_batch(batch)):
        given = {entry.name: each[entry.name].numpy() for entry in session.get_inputs()}
        found = session.run(None, given)[0]
        np.testing.assert_allclose(found, first(model(**each)).detach().numpy(), atol=1e-4, rtol=1e-3)


@every_head
def test_dynamic_quantisation_stays_close(family: Any, head: str) -> None:
    model, batch = make(family, head)
    if not any(isinstance(module, torch.nn.Linear) for module in model.modules()):
        pytest.skip("no linear layer")
    expected = first(model(**batch))
    small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    kinds = {type(module).__module__ for module in small.modules()}
    assert any("quantized" in kind for kind in kinds)
    error = (first(small(**batch)) - expected).abs().max()
    assert error <= 0.1 * expected.abs().max()


def test_a_pairing_matrix_is_exported_for_targets_of_any_length(tmp_path: Any) -> None:
    model, batch = make(family_of("pair_cnn"), "PairCnnModel")
    rows, columns = torch.export.Dim("rows", min=2, max=400), torch.export.Dim("columns", min=20, max=200)
    torch.onnx.export(
        model, (), str(tmp_path / "m.onnx"), kwargs=batch, dynamo=True, verbose=False,
        dynamic_shapes={"mirna_ids": {0: rows}, "target_ids": {0: rows, 1: columns}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    many = {name: value.repeat(30, 1) for name, value in batch.items()}  # more than the model reads at once
    for each in (many, batch | {"target_ids": batch["target_ids"].repeat(1, 2)}):
        found = session.run(None, {name: value.numpy() for name, value in each.items()})[0]
        np.testing.assert_allclose(found, model(**each).logits.detach().numpy(), atol=1e-5, rtol=1e-4)


def test_int8_of_a_coding_profile_stays_close() -> None:
    torch.manual_seed(0)
    model = seqformers.CodingProfileForSequenceClassification(
        seqformers.CodingProfileConfig(**CODING_PROFILE.config)
    ).eval()
    batch = CODING_PROFILE.unlabelled(CODING_PROFILE.batch("CodingProfileForSequenceClassification", 0))
    small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    expected = model(**batch).logits
    assert (small(**batch).logits - expected).abs().max() <= 0.1 * expected.abs().max()


def test_a_chunked_classifier_refuses_to_be_exported() -> None:
    model, batch = make(family_of("kmer_bert"), "KmerBertForSequenceClassification", max_chunks=3)
    with pytest.raises(Exception, match="cuts its input into chunks cannot be exported"):
        torch.export.export(model, (), batch, strict=False)


def test_hidden_states_of_pairs_are_given_in_evaluation() -> None:
    model, batch = make(family_of("targetnet"), "TargetNetModel")
    pairs = batch | {"pair_index": torch.arange(8) // 2}
    assert len(model(**pairs, output_hidden_states=True).hidden_states) == 4
    with pytest.raises(ValueError, match="hidden states are given for sites, or in evaluation"):
        model.train()(**pairs, output_hidden_states=True)
