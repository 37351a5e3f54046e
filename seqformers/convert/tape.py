"""Checkpoints of the transformer of TAPE (songlab-cal/tape): the encoder, with or without its residue decoder."""

from __future__ import annotations

import json
from pathlib import Path

from seqformers.convert.weights import Converted, first_tensor, load_into, read_weights, weight_file
from seqformers.modeling.protein.configuration_protein_bert import ProteinBertConfig
from seqformers.modeling.protein.modeling_protein_bert import ProteinBertForMaskedLM, ProteinBertModel
from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = ["convert"]

_PROJECT = "TAPE's transformer"
_ORIGINAL = {
    "name": "a checkpoint of songlab-cal/tape",
    "url": "https://github.com/songlab-cal/tape",
    "licence": "the terms of the original checkpoint apply",
}


def convert(source: Path) -> Converted:
    """Read a checkpoint of TAPE's transformer as [`ProteinBertForMaskedLM`] or [`ProteinBertModel`].

    Args:
        source (`Path`): Folder with `pytorch_model.bin` (and `config.json`), or the weight file. The number of
            attention heads is not in the weights: `config.json` says it, else heads of width 64 are assumed.

    Raises:
        ValueError: the weights are not those of TAPE's transformer.
    """
    path = weight_file(source)
    state = read_weights(path)
    state = {name.replace("gamma", "weight").replace("beta", "bias"): value for name, value in state.items()}
    words = first_tensor(state, "bert.embeddings.word_embeddings.weight", path, _PROJECT)
    if words.shape[0] != 30:
        raise ValueError(f"{path} has {words.shape[0]} ids; only TAPE's IUPAC vocabulary of 30 can be converted")
    beside = path.parent / "config.json"
    given = json.loads(beside.read_text("utf-8")) if beside.is_file() else {}
    width = words.shape[1]
    config = ProteinBertConfig.tape(
        vocab_size=words.shape[0],
        hidden_size=width,
        num_hidden_layers=sum(name.endswith("attention.self.query.weight") for name in state),
        num_attention_heads=given.get("num_attention_heads", max(width // 64, 1)),
        intermediate_size=first_tensor(state, "bert.encoder.layer.0.intermediate.dense.weight", path, _PROJECT).shape[
            0
        ],
        max_position_embeddings=first_tensor(
            state, "bert.embeddings.position_embeddings.weight", path, _PROJECT
        ).shape[0],
        layer_norm_eps=given.get("layer_norm_eps", 1e-12),
    )
    if "mlm.transform.dense.weight" in state:
        # The decoder is tied to the embedding; a pooler is not part of the masked-residue model.
        model = ProteinBertForMaskedLM(config)
        state = {
            name.replace("mlm.", "cls.predictions."): value
            for name, value in state.items()
            if "pooler" not in name and not name.startswith("mlm.decoder")
        }
    else:
        model = ProteinBertModel(config)
        state = {name.removeprefix("bert."): value for name, value in state.items() if name.startswith("bert.")}
    load_into(model, state, path, _PROJECT, fresh=lambda name: "decoder" in name)
    model.tie_weights()
    return Converted(
        model=model,
        name="TAPE transformer",
        weights=path,
        original=_ORIGINAL,
        tokenizer=ProteinTokenizer("tape"),
        facts={"tags": ["protein", "converted"], "example": '"MKTAYIAKQRQISFVKSHFSRQ"'},
    )
