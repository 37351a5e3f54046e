"""P-ELMo checkpoints of PLUS: its language model, and the encoder that stands on it, in a file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqformers.convert.weights import first_tensor, layers_of, load_into
from seqformers.modeling.protein.configuration_p_elmo import PElmoConfig
from seqformers.modeling.protein.modeling_p_elmo import PElmoForPairClassification, PElmoForPreTraining

__all__ = ["convert_encoder", "convert_language_model", "is_language_model"]

_PROJECT = "P-ELMo"


def is_language_model(state: dict[str, Any]) -> bool:
    """Whether the tensors are those of P-ELMo's language model."""
    return "embed.weight" in state and "rnn.0.weight_hh_l0" in state


def convert_language_model(state: dict[str, Any], source: Path) -> Any:
    """Build [`PElmoForPreTraining`] from the tensors of the language model."""
    model = PElmoForPreTraining(PElmoConfig(**_language_model_sizes(state, source)))
    weights = _named(state, {"embed.": "lm.embeddings.", "rnn.": "lm.layers.", "decoder.": "lm_head."})
    return load_into(model, weights, source, _PROJECT)


def convert_encoder(state: dict[str, Any], language_model: dict[str, Any], source: Path) -> Any:
    """Build [`PElmoForPairClassification`] from the tensors of the encoder and of the language model under it.

    The residue decoder beside the encoder, which regularised its fine-tuning, has no place here and is left out.
    """
    sizes = [first_tensor(state, name, source, _PROJECT) for name in ("fc_lm.weight", "rnn.weight_hh_l0", "fc.weight")]
    thresholds = state["ordinal_bias"].numel() if "ordinal_bias" in state else 1
    config = PElmoConfig(
        **_language_model_sizes(language_model, source),
        input_size=sizes[0].shape[0],
        hidden_size=sizes[1].shape[1],
        num_hidden_layers=layers_of(state, "rnn."),
        projection_size=sizes[2].shape[0],
        num_labels=thresholds + 1,
    )
    model = PElmoForPairClassification(config)
    inner = {"embed.": "p_elmo.lm.embeddings.", "rnn.": "p_elmo.lm.layers."}
    outer = {"fc_lm.": "p_elmo.lm_projection.", "x_embed.": "p_elmo.embeddings.", "rnn.": "p_elmo.rnn."}
    outer |= {"fc.": "projection."}
    weights = _named(_without_decoder(language_model), inner) | _named(_without_decoder(state), outer)
    return load_into(model, weights, source, _PROJECT, fresh=lambda name: name.startswith("ordinal_"))


def _language_model_sizes(state: dict[str, Any], source: Path) -> dict[str, Any]:
    return {
        "vocab_size": state["embed.weight"].shape[0],
        "embedding_size": state["embed.weight"].shape[1],
        "lm_hidden_size": state["rnn.0.weight_hh_l0"].shape[1],
        "lm_num_layers": sum(name.endswith("weight_hh_l0") for name in state),
        "lm_vocab_size": first_tensor(state, "decoder.weight", source, _PROJECT).shape[0],
    }


def _without_decoder(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if not name.startswith("decoder.")}


def _named(state: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """Tensors under the first prefix that fits; those of no prefix keep their name, for the loading to complain of."""
    out = {}
    for name, value in state.items():
        old = next((prefix for prefix in renamed if name.startswith(prefix)), "")
        out[renamed.get(old, "") + name.removeprefix(old)] = value
    return out
