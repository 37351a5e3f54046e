"""Checkpoints of PLUS (mswzeus/PLUS): PLUS-RNN, PLUS-TFM and P-ELMo, told apart by their names.

Files hold a `state_dict`; names may carry `module.` from several GPUs. PLUS-RNN names are `embed`, `rnn`, `fc`
(projection), `decoder` and the ordinal weight and bias.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["convert", "load_state"]

_CARD = """---
library_name: transformers
tags: [biology, protein, {model_type}]
---

# {name}, converted weights

Converted from a checkpoint of [mswzeus/PLUS](https://github.com/mswzeus/PLUS): Min, Park, Kim, Choi, Lee, Yoon,
"Pre-Training of Deep Bidirectional Protein Sequence Representations With Structural Information", IEEE Access 2021.
The terms of the original checkpoint apply.
"""
_RENAMED = {
    "embed.": "plus_rnn.embeddings.",
    "rnn.": "plus_rnn.rnn.",
    "fc.": "plus_rnn.projection.",
    "decoder.": "lm_head.",
}


def load_state(source: Path) -> dict[str, Any]:
    """Read the tensors of a checkpoint file, as data only; wrappers and `module.` prefixes are taken off.

    Raises:
        ValueError: the file holds no tensors.
    """
    import torch

    if source.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(source))
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{source} cannot be read as weights: {error}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()) or not state:
        raise ValueError(f"{source} holds no dictionary of tensors")
    return {name.removeprefix("module."): value for name, value in state.items()}


def convert(source: Path, output: Path, *, full: Path | None = None) -> Path:
    """Convert a checkpoint of PLUS.

    PLUS-RNN with one threshold becomes [`PlusRnnForPreTraining`]; with more, fine-tuned on homology, it becomes
    [`PlusRnnForPairClassification`]. PLUS-TFM becomes [`ProteinBertForPreTraining`] or, with more than two outputs,
    [`ProteinBertForPairClassification`]. P-ELMo's language model becomes [`PElmoForPreTraining`], its encoder
    [`PElmoForPairClassification`].

    Args:
        source (`Path`): The weight file (`.pt` or `.safetensors`).
        output (`Path`): Folder of the Hub repository to write.
        full (`Path`, *optional*): For an encoder of P-ELMo: the weight file of its language model.

    Returns:
        `Path`: `output`.

    Raises:
        ValueError: the weights are of none of these models, or the language model of an encoder is not given.
    """
    from seqformers.convert.p_elmo import convert_encoder, convert_language_model, is_language_model
    from seqformers.convert.plus_tfm import convert_plus_tfm
    from seqformers.hub.repository import write_model_repository
    from seqformers.tokenization.tokenization_protein import ProteinTokenizer

    state = load_state(source)
    name, preset = "PLUS-RNN", "plus"
    if "transformer.embed.tok_embed.weight" in state:
        name, preset = "PLUS-TFM", "plus-tfm"
        model = convert_plus_tfm(state, source)
    elif is_language_model(state):
        name, model = "P-ELMo's language model", convert_language_model(state, source)
    elif "x_embed.weight" in state:
        language_model = {} if full is None else load_state(full)
        if not is_language_model(language_model):
            raise ValueError(f"{source} is P-ELMo's encoder; give the file of its language model with --full")
        name, model = "P-ELMo", convert_encoder(state, language_model, source)
    else:
        model = _plus_rnn(state, source)
    card = _CARD.format(name=name, model_type=model.config.model_type)
    return write_model_repository(output, model, tokenizer=ProteinTokenizer(preset), card=card)


def _plus_rnn(state: dict[str, Any], source: Path) -> Any:
    from seqformers.modeling.protein.configuration_plus_rnn import PlusRnnConfig
    from seqformers.modeling.protein.modeling_plus_rnn import PlusRnnForPairClassification, PlusRnnForPreTraining

    needed = {"embed.weight", "rnn.weight_hh_l0", "fc.weight"}
    if missing := sorted(needed - state.keys()):
        raise ValueError(f"{source} is no checkpoint of PLUS: for PLUS-RNN it has no {', '.join(missing)}")
    thresholds = state["ordinal_bias"].numel() if "ordinal_bias" in state else 1
    config = PlusRnnConfig(
        embedding_size=state["embed.weight"].shape[1],
        vocab_size=state["embed.weight"].shape[0],
        hidden_size=state["rnn.weight_hh_l0"].shape[1],
        num_hidden_layers=sum(name.startswith("rnn.weight_hh_l") and not name.endswith("reverse") for name in state),
        projection_size=state["fc.weight"].shape[0],
        num_labels=thresholds + 1,
        finetuning_mlm_weight=0.3 if thresholds > 1 and "decoder.weight" in state else 0.0,
    )
    head = "ordinal_head" if thresholds > 1 else "sfp_head"
    model = (PlusRnnForPairClassification if thresholds > 1 else PlusRnnForPreTraining)(config)
    weights = {}
    for name, value in state.items():
        new = {"ordinal_weight": f"{head}.weight", "ordinal_bias": f"{head}.bias"}.get(name)
        prefix = next((prefix for prefix in _RENAMED if name.startswith(prefix)), None)
        if new is None and prefix is None:
            raise ValueError(f"{source} holds {name!r}, which PLUS-RNN does not have")
        weights[new or _RENAMED[prefix] + name.removeprefix(prefix)] = value  # type: ignore[index, arg-type]
    missing_keys, unexpected = model.load_state_dict(weights, strict=False)
    heads = ("lm_head.", "sfp_head.", "ordinal_head.")
    if unexpected or any(not name.startswith(heads) for name in missing_keys):
        raise ValueError(f"{source} does not fit PLUS-RNN: missing {missing_keys}, too many {unexpected}")
    return model
