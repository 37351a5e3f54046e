"""Checkpoints in the originals' layout come out as repositories with the same outputs."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer

from seqformers import PlusRnnForPairClassification, ProteinBertForMaskedLM, ProteinBertModel
from seqformers.convert import convert
from tests.conftest import golden_cases

(PLUS,) = [case for case in golden_cases("plus_models") if case["kind"] == "tiny_model"]
(TAPE,) = [case for case in golden_cases("tape_models") if case["kind"] == "tiny_transformer"]


def saved(state, path, **wrapper):
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    torch.save({**wrapper, "state_dict": tensors} if wrapper else tensors, path)
    return path


@pytest.mark.parametrize("parallel", [False, True])
def test_plus_rnn_golden(tmp_path, parallel):
    state = {f"module.{name}" if parallel else name: value for name, value in PLUS["state_dict"].items()}
    out = convert("plus", saved(state, tmp_path / "plus.pt"), tmp_path / "out")
    model = PlusRnnForPairClassification.from_pretrained(out).eval()
    tokenizer = AutoTokenizer.from_pretrained(out)
    batch = tokenizer(PLUS["sequences_a"], PLUS["sequences_b"], padding=True, return_tensors="pt")
    output = model(**batch)
    torch.testing.assert_close(output.scores, torch.tensor(PLUS["soft_align_scores"]), atol=2e-6, rtol=0)
    torch.testing.assert_close(output.ordinal_logits, torch.tensor(PLUS["ordinal_logits"]), atol=5e-6, rtol=0)


@pytest.mark.parametrize("wrapped", [False, True])
def test_tape_transformer_golden(tmp_path, wrapped):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "config.json").write_text('{"num_attention_heads": 2}')
    saved(TAPE["state_dict"], folder / "pytorch_model.bin", **({"epoch": 1} if wrapped else {}))
    out = convert("tape", folder, tmp_path / "out")
    model = ProteinBertForMaskedLM.from_pretrained(out).eval()
    batch = AutoTokenizer.from_pretrained(out)(TAPE["sequences"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == TAPE["input_ids"]
    torch.testing.assert_close(
        model(**batch).logits[:, 3], torch.tensor(TAPE["mlm_logits_last_position"]), atol=5e-6, rtol=0
    )


def test_tape_encoder_without_decoder(tmp_path):
    state = {name: value for name, value in TAPE["state_dict"].items() if not name.startswith("mlm")}
    source = saved(state, tmp_path / "encoder.pt")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 2}')
    model = ProteinBertModel.from_pretrained(convert("tape", source, tmp_path / "out")).eval()
    output = model(torch.tensor(TAPE["input_ids"]), torch.tensor(TAPE["attention_mask"]))
    torch.testing.assert_close(output.pooler_output, torch.tensor(TAPE["pooled_output"]), atol=5e-6, rtol=0)


@pytest.mark.parametrize(("name", "message"), [("plus", "no PLUS-RNN checkpoint"), ("tape", "no checkpoint of TAPE")])
def test_other_weights_are_refused(tmp_path, name, message):
    source = saved({"linear.weight": [[1.0]]}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=message):
        convert(name, source, tmp_path / "out")
    (tmp_path / "text.pt").write_text("not weights")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        convert(name, tmp_path / "text.pt", tmp_path / "out")
