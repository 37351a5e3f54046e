"""Checkpoints of the transformer of TAPE (songlab-cal/tape): the encoder, with or without its residue decoder."""

from __future__ import annotations

import json
from pathlib import Path

from seqformers.convert.plus import load_state

__all__ = ["convert"]

_CARD = """---
library_name: transformers
tags: [biology, protein, protein_bert]
---

# TAPE transformer, converted weights

Converted from a checkpoint of [songlab-cal/tape](https://github.com/songlab-cal/tape): Rao, Bhattacharya, Thomas,
Duan, Chen, Canny, Abbeel, Song, "Evaluating Protein Transfer Learning with TAPE", NeurIPS 2019. The terms of the
original checkpoint apply.
"""


def convert(source: Path, output: Path) -> Path:
    """Convert a checkpoint of TAPE's transformer to [`ProteinBertForMaskedLM`] or [`ProteinBertModel`].

    Args:
        source (`Path`): Folder with `pytorch_model.bin` (and `config.json`), or the weight file. The number of
            attention heads is not in the weights: `config.json` says it, else heads of width 64 are assumed.
        output (`Path`): Folder of the Hub repository to write.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the weights are not those of TAPE's transformer.
    """
    from seqformers.hub.repository import write_model_repository
    from seqformers.modeling.protein.configuration_protein_bert import ProteinBertConfig
    from seqformers.modeling.protein.modeling_protein_bert import ProteinBertForMaskedLM, ProteinBertModel
    from seqformers.tokenization.tokenization_protein import ProteinTokenizer

    folder = source if source.is_dir() else source.parent
    state = load_state(source / "pytorch_model.bin" if source.is_dir() else source)
    state = {name.replace("gamma", "weight").replace("beta", "bias"): value for name, value in state.items()}
    words = state.get("bert.embeddings.word_embeddings.weight")
    if words is None:
        raise ValueError(f"{source} is no checkpoint of TAPE's transformer: it has no bert.embeddings.word_embeddings")
    if words.shape[0] != 30:
        raise ValueError(f"{source} has {words.shape[0]} ids; only TAPE's IUPAC vocabulary of 30 can be converted")
    given = json.loads((folder / "config.json").read_text("utf-8")) if (folder / "config.json").is_file() else {}
    width = words.shape[1]
    config = ProteinBertConfig.tape(
        vocab_size=words.shape[0],
        hidden_size=width,
        num_hidden_layers=sum(name.endswith("attention.self.query.weight") for name in state),
        num_attention_heads=given.get("num_attention_heads", max(width // 64, 1)),
        intermediate_size=state["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=state["bert.embeddings.position_embeddings.weight"].shape[0],
        layer_norm_eps=given.get("layer_norm_eps", 1e-12),
    )
    has_decoder = "mlm.transform.dense.weight" in state
    if has_decoder:
        model = ProteinBertForMaskedLM(config)
        # The decoder is tied to the embedding; a pooler is not part of the masked-residue model.
        weights = {
            name.replace("mlm.", "cls.predictions."): value
            for name, value in state.items()
            if "pooler" not in name and not name.startswith("mlm.decoder")
        }
    else:
        model = ProteinBertModel(config)
        weights = {name.removeprefix("bert."): value for name, value in state.items() if name.startswith("bert.")}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if "decoder" not in name]
    if missing or unexpected:
        raise ValueError(f"{source} does not fit TAPE's transformer: missing {missing}, too many {unexpected}")
    model.tie_weights()
    return write_model_repository(output, model, tokenizer=ProteinTokenizer("tape"), card=_CARD)
