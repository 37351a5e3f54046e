"""PLUS-TFM checkpoints of PLUS: the transformer with its pre-training heads, or one fine-tuned on pairs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from seqformers.convert.weights import first_tensor, load_into
from seqformers.modeling.protein.configuration_protein_bert import ProteinBertConfig
from seqformers.modeling.protein.modeling_protein_bert import (
    ProteinBertForPairClassification,
    ProteinBertForPreTraining,
)

__all__ = ["convert_plus_tfm"]

# Names of the original -> names of ours; `{}` is the number of the layer.
_RENAMED = {
    "transformer.embed.tok_embed": "bert.embeddings.word_embeddings",
    "transformer.embed.seg_embed": "bert.embeddings.token_type_embeddings",
    "transformer.embed.norm": "bert.embeddings.LayerNorm",
    "transformer.blocks.{}.attn.proj_q": "bert.encoder.layer.{}.attention.self.query",
    "transformer.blocks.{}.attn.proj_k": "bert.encoder.layer.{}.attention.self.key",
    "transformer.blocks.{}.attn.proj_v": "bert.encoder.layer.{}.attention.self.value",
    "transformer.blocks.{}.proj": "bert.encoder.layer.{}.attention.output.dense",
    "transformer.blocks.{}.norm1": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "transformer.blocks.{}.pwff.fc1": "bert.encoder.layer.{}.intermediate.dense",
    "transformer.blocks.{}.pwff.fc2": "bert.encoder.layer.{}.output.dense",
    "transformer.blocks.{}.norm2": "bert.encoder.layer.{}.output.LayerNorm",
    "fc_lm": "cls.predictions.transform.dense",
    "norm_lm": "cls.predictions.transform.LayerNorm",
}
_PARTS = {"gamma": "weight", "beta": "bias"}
_INNER = "transformer.blocks.0.pwff.fc1.weight"
_TABLE = "transformer.embed.pos_embed.pe"  # the sinusoids, worked out again here


def convert_plus_tfm(state: dict[str, Any], source: Path) -> Any:
    """Build the model of a PLUS-TFM state dict.

    Two outputs are those of pre-training, same family or not, and become [`ProteinBertForPreTraining`]; any other
    number becomes [`ProteinBertForPairClassification`] with as many levels. The number of heads is not in the
    weights: heads of width 64, as in PLUS-TFM.

    Args:
        state (`dict`): Tensors by their original names.
        source (`Path`): File, for messages.

    Raises:
        ValueError: names or sizes are not those of PLUS-TFM, or positions are learned.
    """
    words = state["transformer.embed.tok_embed.weight"]
    outputs = state["cls.weight"].shape[0] if "cls.weight" in state else 2
    config = ProteinBertConfig.plus_tfm(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        num_hidden_layers=sum(name.endswith("attn.proj_q.weight") for name in state),
        num_attention_heads=max(words.shape[1] // 64, 1),
        intermediate_size=first_tensor(state, _INNER, source, "PLUS-TFM").shape[0],
        num_labels=outputs,
        finetuning_mlm_weight=0.0 if outputs == 2 else 0.3,
    )
    model = (ProteinBertForPreTraining if outputs == 2 else ProteinBertForPairClassification)(config)
    head = "sfp_head" if outputs == 2 else "classifier"
    weights = {_renamed(name, head, source): value for name, value in state.items() if name != _TABLE}
    if "cls.predictions.bias" in weights:
        weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"]
    return load_into(model, weights, source, "PLUS-TFM", fresh=lambda name: name.startswith(head))


def _renamed(name: str, head: str, source: Path) -> str:
    special = {"decoder.weight": "cls.predictions.decoder.weight", "decoder_bias": "cls.predictions.bias"}
    special |= {f"cls.{part}": f"{head}.{part}" for part in ("weight", "bias")}
    if name in special:
        return special[name]
    place, _, part = name.rpartition(".")
    layer = re.search(r"blocks\.(\d+)\.", place)
    new = _RENAMED.get(re.sub(r"blocks\.\d+\.", "blocks.{}.", place))
    if new is None:
        raise ValueError(f"{source} holds {name!r}, which PLUS-TFM does not have")
    return f"{new.format(layer[1] if layer else '')}.{_PARTS.get(part, part)}"
