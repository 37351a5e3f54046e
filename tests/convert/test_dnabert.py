"""Checkpoints in the original's layout, with the golden cases' weights, keep the original's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerBertForSequenceClassification, KmerBertModel
from seqformers.convert import convert
from seqformers.convert.dnabert import convert as read_dnabert
from tests.modeling.test_kmer_bert import CLS, GOLDEN, PAD, SEP, kmer_ids, name_seeded

MLM, LONG = GOLDEN["parity_mlm"], GOLDEN["parity_dnalongcat"]


def original_checkpoint(folder: Path, *, head: str = "mlm", form: str = "bin", config: bool = True) -> Path:
    """A checkpoint as DNABERT's code writes it: old head names, a pooler with every head, one bias parameter."""
    settings = {name: value for name, value in MLM["input"]["config"].items() if name != "split"}
    if head == "mlm":
        state = name_seeded(KmerBertForMaskedLM(KmerBertConfig(**settings))).state_dict()
        bias = state["cls.predictions.bias"] / 2
        state |= {"cls.predictions.bias": bias, "cls.predictions.decoder.bias": bias}
        pooler = name_seeded(KmerBertModel(KmerBertConfig(**settings))).pooler.state_dict()
        state |= {f"bert.pooler.{name}": value for name, value in pooler.items()}
    else:
        to_old = {"chunk_projection": "classifier1", "classifier": "classifier2"}
        model = name_seeded(
            KmerBertForSequenceClassification(KmerBertConfig(**settings, max_chunks=2)),
            lambda name: ".".join([to_old.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]),
        )
        state = {
            ".".join([to_old.get(name.split(".")[0], name.split(".")[0]), *name.split(".")[1:]]): value
            for name, value in model.state_dict().items()
        }
    folder.mkdir(exist_ok=True)
    if form == "bin":
        torch.save(state, folder / "pytorch_model.bin")
    else:
        save_file({name: value.clone() for name, value in state.items()}, folder / "model.safetensors")
    if config:
        (folder / "config.json").write_text(
            json.dumps(settings | {"split": 2, "num_labels": 2, "do_sample": False, "output_past": True})
        )
    return folder


@pytest.mark.parametrize("form", ["bin", "safetensors"])
def test_masked_language_model_keeps_the_originals_loss(tmp_path: Path, form: str) -> None:
    output = convert("dnabert", original_checkpoint(tmp_path / "old", form=form), tmp_path / "new")
    model = AutoModelForMaskedLM.from_pretrained(output, padding_attention="attended").eval()
    ids, labels = torch.tensor(MLM["input"]["input_ids"]), torch.tensor(MLM["input"]["labels"])
    expected = MLM["expected"]["loss_no_attention_mask(original behaviour)"]
    assert model(ids, labels=labels).loss.item() == pytest.approx(expected, abs=2e-6)
    assert (model.config.k, model.config.stride, model.config.max_position_embeddings) == (3, 1, 512)


def test_chunked_classifier_keeps_the_originals_logits(tmp_path: Path) -> None:
    output = convert("dnabert", original_checkpoint(tmp_path / "old", head="dnalongcat"), tmp_path / "new")
    model = AutoModelForSequenceClassification.from_pretrained(output).eval()
    assert (type(model).__name__, model.config.max_chunks) == ("KmerBertForSequenceClassification", 2)
    sequence = "".join(np.random.RandomState(7).choice(list("ACGT"), 1000))
    batch = AutoTokenizer.from_pretrained(output)(sequence, return_tensors="pt", truncation=False)
    assert batch.input_ids[0].tolist() == [CLS, *kmer_ids(LONG["input"]["seq_rule"], 3), SEP]
    expected = LONG["expected"]["correct_mask_logits"]
    assert model(**batch).logits[0].tolist() == pytest.approx(expected, abs=2e-6)


def test_stride_and_single_bias_can_be_told(tmp_path: Path) -> None:
    source = original_checkpoint(tmp_path / "old")
    assert AutoTokenizer.from_pretrained(convert("dnabert", source, tmp_path / "s3", stride=3)).stride == 3
    once, twice = read_dnabert(source, bias_added_twice=False).model, read_dnabert(source).model
    torch.testing.assert_close(twice.cls.predictions.bias, 2 * once.cls.predictions.bias)


def test_encoder_alone_and_old_names(tmp_path: Path) -> None:
    settings = {name: value for name, value in MLM["input"]["config"].items() if name != "split"}
    model = name_seeded(KmerBertModel(KmerBertConfig(**settings)))
    state = {
        f"module.{name}".replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in model.state_dict().items()
    }
    (tmp_path / "old").mkdir()
    torch.save(state, tmp_path / "old" / "pytorch_model.bin")
    (tmp_path / "old" / "config.json").write_text(json.dumps(settings))
    again = AutoModel.from_pretrained(convert("dnabert", tmp_path / "old", tmp_path / "new")).eval()
    ids = torch.tensor(MLM["input"]["input_ids"])
    mask = (ids != PAD).long()
    torch.testing.assert_close(again(ids, mask).pooler_output, model(ids, mask).pooler_output)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a pickle", "no PyTorch state dict"),
        ({"weight": torch.zeros(3)}, "holds no BERT encoder"),
        ({"epoch": 3}, "something else than a state dict"),
        ({"rnn.weight_ih_l0": torch.zeros(3)}, "recurrent long-sequence head"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        convert("dnabert", path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path(tmp_path / "ran").touch, ())

    torch.save({"bert.embeddings.word_embeddings.weight": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no PyTorch state dict"):
        convert("dnabert", tmp_path, tmp_path / "new")
    assert not (tmp_path / "ran").exists()


def test_missing_configuration_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16 is no multiple of 64"):
        convert("dnabert", original_checkpoint(tmp_path / "old", config=False), tmp_path / "new")
    with pytest.raises(FileNotFoundError, match="no model"):
        (tmp_path / "empty").mkdir()
        convert("dnabert", tmp_path / "empty", tmp_path / "new")
