"""Checkpoints of DNABERT (Ji et al. 2021) and its fork virBERT to the k-mer BERT family.

The original masked-language-model head added its output bias twice: once inside the decoder layer, whose bias is the
same parameter, and once after it. Ours, like transformers' BERT, adds it once, so it is doubled here and the logits
stay what they were.

The pooler was never trained by masked-language modelling, yet it is in every such checkpoint: random values, shrunk
by weight decay in runs on several GPUs. A masked language model of ours has no pooler, so it is left behind and a
classifier fine-tuned from it starts with a fresh one; classifiers keep theirs.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

from seqformers.convert.weights import Converted, load_into, read_weights, weight_file
from seqformers.modeling.dna import modeling_kmer_bert as kmer_bert
from seqformers.modeling.dna.configuration_kmer_bert import KmerBertConfig
from seqformers.tokenization.tokenization_kmer import KmerTokenizer

__all__ = ["convert"]

_PROJECT = "DNABERT"
_ORIGINAL = {
    "name": "a checkpoint of the code of DNABERT, or of a fork of it",
    "url": "https://github.com/jerryji1993/DNABERT",
    "licence": "the terms of the original checkpoint apply",
}
# Fields of an old config.json that mean the same today.
_KEPT_FIELDS = (
    "num_attention_heads",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "initializer_range",
    "layer_norm_eps",
    "id2label",
    "label2id",
)
_RENAMED = (
    (re.compile(r"LayerNorm\.gamma$"), "LayerNorm.weight"),
    (re.compile(r"LayerNorm\.beta$"), "LayerNorm.bias"),
    (re.compile(r"^classifier1\."), "chunk_projection."),
    (re.compile(r"^classifier2\."), "classifier."),
)


def convert(source: Path, *, stride: int = 1, bias_added_twice: bool = True) -> Converted:
    """Read a DNABERT or virBERT checkpoint, with or without a head.

    Args:
        source (`Path`): Its folder (`pytorch_model.bin` or `model.safetensors`, and `config.json`), or the weight
            file itself.
        stride (`int`, defaults to 1): Bases between k-mers in its training data; checkpoints do not say. 3 for
            virBERT's stride-3 model.
        bias_added_twice (`bool`, defaults to `True`): Double the output bias of a masked language model. `False` for
            weights that newer code has trained.

    Raises:
        ValueError: the weights are of another kind of model, or of a head that does not exist here.
    """
    path = weight_file(Path(source))
    state = _renamed(read_weights(path))
    head = _head(state, path)
    config = KmerBertConfig(**_shape(state, path), stride=stride)
    if head == "ForMaskedLM":
        state = {name: value for name, value in state.items() if not name.startswith("bert.pooler.")}
    if "cls.predictions.bias" in state:
        bias = state["cls.predictions.bias"] * (2 if bias_added_twice else 1)
        state["cls.predictions.bias"] = state["cls.predictions.decoder.bias"] = bias
        state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    if head == "Model":
        state = {name.removeprefix("bert."): value for name, value in state.items()}
    model = load_into(getattr(kmer_bert, f"KmerBert{head}")(config), state, path, _PROJECT)
    assert config.k is not None
    return Converted(
        model=model,
        name=f"k-mer BERT ({config.k}-mers, every {'base' if stride == 1 else f'{stride} bases'})",
        weights=path,
        original=_ORIGINAL,
        tokenizer=KmerTokenizer(k=config.k, stride=stride, model_max_length=config.max_position_embeddings),
        facts={"tags": ["dna", "dnabert", "converted"]},
    )


def _renamed(state: dict[str, Any]) -> dict[str, Any]:
    """Names of today; buffers that are computed anew are dropped."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        if name != "bert.embeddings.position_ids":
            renamed[name] = value
    if "embeddings.word_embeddings.weight" in renamed:  # an encoder saved by itself
        renamed = {f"bert.{name}": value for name, value in renamed.items()}
    return renamed


def _head(state: dict[str, Any], path: Path) -> str:
    """The class these weights belong to, without its prefix `KmerBert`."""
    if any(name.startswith(("rnn.", "lstm.", "gru.")) for name in state):
        raise ValueError(
            f"{path} has the recurrent long-sequence head (dnalong), which does not exist here; "
            "delete its keys to convert the encoder alone"
        )
    if "cls.seq_relationship.weight" in state:
        return "ForPreTraining"
    if "cls.predictions.bias" in state:
        return "ForMaskedLM"
    return "ForSequenceClassification" if "classifier.weight" in state else "Model"


def _shape(state: dict[str, Any], path: Path) -> dict[str, Any]:
    """Configuration values: sizes from the tensors, the rest from `config.json` beside them."""
    try:
        vocab_size, hidden = state["bert.embeddings.word_embeddings.weight"].shape
        shape = {
            "vocab_size": vocab_size,
            "hidden_size": hidden,
            "max_position_embeddings": len(state["bert.embeddings.position_embeddings.weight"]),
            "type_vocab_size": len(state["bert.embeddings.token_type_embeddings.weight"]),
            "intermediate_size": len(state["bert.encoder.layer.0.intermediate.dense.weight"]),
        }
    except KeyError as error:
        raise ValueError(f"{path} holds no BERT encoder: {error} is missing") from error
    shape["num_hidden_layers"] = len({name.split(".")[3] for name in state if name.startswith("bert.encoder.layer.")})
    if "chunk_projection.weight" in state:
        shape["max_chunks"] = state["chunk_projection.weight"].shape[1] // hidden
    beside = path.parent / "config.json"
    written = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    shape |= {name: written[name] for name in _KEPT_FIELDS if name in written}
    if "num_attention_heads" not in shape:
        # The number of heads leaves no trace in the weights; every published size of these models has 64 a head.
        if hidden % 64:
            raise ValueError(
                f"no config.json beside {path}, and {hidden} is no multiple of 64: give num_attention_heads"
            )
        shape["num_attention_heads"] = hidden // 64
        warnings.warn(f"no config.json beside {path}: taking {hidden // 64} attention heads of 64", stacklevel=3)
    if "classifier.weight" in state:
        labels = len(state["classifier.weight"])
        if len(shape.get("id2label") or {}) != labels:
            shape.pop("id2label", None), shape.pop("label2id", None)
            shape["num_labels"] = labels
    else:
        shape.pop("id2label", None), shape.pop("label2id", None)
    return shape
