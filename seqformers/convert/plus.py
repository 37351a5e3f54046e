"""Checkpoints of PLUS (mswzeus/PLUS): PLUS-RNN, PLUS-TFM and P-ELMo, told apart by their names.

Files hold a `state_dict`; names may carry `module.` from several GPUs. PLUS-RNN names are `embed`, `rnn`, `fc`
(projection), `decoder` and the ordinal weight and bias.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqformers.convert.p_elmo import convert_encoder, convert_language_model, is_language_model
from seqformers.convert.plus_tfm import convert_plus_tfm
from seqformers.convert.weights import Converted, layers_of, load_into, read_weights
from seqformers.modeling.protein.configuration_plus_rnn import PlusRnnConfig
from seqformers.modeling.protein.modeling_plus_rnn import PlusRnnForPairClassification, PlusRnnForPreTraining
from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = ["convert"]

_ORIGINAL = {
    "name": "a checkpoint of mswzeus/PLUS",
    "url": "https://github.com/mswzeus/PLUS",
    "licence": "the terms of the original checkpoint apply",
}
_CITATION = """@article{min2021plus,
  title = {Pre-Training of Deep Bidirectional Protein Sequence Representations With Structural Information},
  author = {Min, Seonwoo and Park, Seunghyun and Kim, Siwon and Choi, Hyun-Soo and Lee, Byunghan and Yoon, Sungroh},
  journal = {IEEE Access},
  volume = {9},
  pages = {123912--123926},
  year = {2021},
  doi = {10.1109/ACCESS.2021.3110269}
}"""
_RENAMED = {
    "embed.": "plus_rnn.embeddings.",
    "rnn.": "plus_rnn.rnn.",
    "fc.": "plus_rnn.projection.",
    "decoder.": "lm_head.",
}
_HEADS = ("lm_head.", "sfp_head.", "ordinal_head.")


def convert(source: Path, *, full: Path | None = None) -> Converted:
    """Read a checkpoint of PLUS.

    PLUS-RNN with one threshold becomes [`PlusRnnForPreTraining`]; with more, fine-tuned on homology, it becomes
    [`PlusRnnForPairClassification`]. PLUS-TFM becomes [`ProteinBertForPreTraining`] or, with more than two outputs,
    [`ProteinBertForPairClassification`]. P-ELMo's language model becomes [`PElmoForPreTraining`], its encoder
    [`PElmoForPairClassification`].

    Args:
        source (`Path`): The weight file (`.pt` or `.safetensors`).
        full (`Path`, *optional*): For an encoder of P-ELMo: the weight file of its language model.

    Raises:
        ValueError: the weights are of none of these models, or the language model of an encoder is not given.
    """
    state = read_weights(source)
    name, preset = "PLUS-RNN", "plus"
    if "transformer.embed.tok_embed.weight" in state:
        name, preset = "PLUS-TFM", "plus-tfm"
        model = convert_plus_tfm(state, source)
    elif is_language_model(state):
        name, model = "P-ELMo's language model", convert_language_model(state, source)
    elif "x_embed.weight" in state:
        language_model = {} if full is None else read_weights(full)
        if not is_language_model(language_model):
            raise ValueError(f"{source} is P-ELMo's encoder; give the file of its language model with --full")
        name, model = "P-ELMo", convert_encoder(state, language_model, source)
    else:
        model = _plus_rnn(state, source)
    cited = {} if name == "PLUS-RNN" else {"citation": _CITATION}  # the template of PLUS-RNN has it already
    return Converted(
        model=model,
        name=name,
        weights=source,
        original=_ORIGINAL | cited,
        tokenizer=ProteinTokenizer(preset),
        facts={"tags": ["protein", "converted"], "example": '"MKTAYIAKQRQISFVKSHFSRQ"'},
    )


def _plus_rnn(state: dict[str, Any], source: Path) -> Any:
    needed = {"embed.weight", "rnn.weight_hh_l0", "fc.weight"}
    if missing := sorted(needed - state.keys()):
        raise ValueError(f"{source} is no checkpoint of PLUS: for PLUS-RNN it has no {', '.join(missing)}")
    thresholds = state["ordinal_bias"].numel() if "ordinal_bias" in state else 1
    config = PlusRnnConfig(
        embedding_size=state["embed.weight"].shape[1],
        vocab_size=state["embed.weight"].shape[0],
        hidden_size=state["rnn.weight_hh_l0"].shape[1],
        num_hidden_layers=layers_of(state, "rnn."),
        projection_size=state["fc.weight"].shape[0],
        num_labels=thresholds + 1,
        finetuning_mlm_weight=0.3 if thresholds > 1 and "decoder.weight" in state else 0.0,
    )
    head = "ordinal_head" if thresholds > 1 else "sfp_head"
    renamed = _RENAMED | {"ordinal_weight": f"{head}.weight", "ordinal_bias": f"{head}.bias"}
    weights = {}
    for name, value in state.items():
        prefix = next((prefix for prefix in renamed if name.startswith(prefix)), None)
        if prefix is None:
            raise ValueError(f"{source} holds {name!r}, which PLUS-RNN does not have")
        weights[renamed[prefix] + name.removeprefix(prefix)] = value
    model = (PlusRnnForPairClassification if thresholds > 1 else PlusRnnForPreTraining)(config)
    return load_into(model, weights, source, "PLUS-RNN", fresh=lambda name: name.startswith(_HEADS))
