"""The protein families' part of `family_cases.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.modeling.family_cases import Batch, FamilyCase, bert_initial, lengthen_tokens

_LENGTHS = (4, 9, 12, 7)


def _uniform(inputs: int) -> tuple[str, float]:
    """PyTorch's start of a layer: uniform within 1 / sqrt(inputs)."""
    return "uniform", (3 * inputs) ** -0.5


def _rows(ids: dict[str, int], generator: torch.Generator, *, pairs: bool, own_start: bool) -> Batch:
    """Rows of one protein, or of two with token types."""
    rows, kinds = [], []
    for length in _LENGTHS:
        row, kind = [ids["cls"]], [0]
        for side in range(1 + pairs):
            if side and own_start:
                row, kind = [*row, ids["cls"]], [*kind, 1]
            residues = torch.randint(ids["first"], ids["last"] + 1, (length + 2 * side,), generator=generator).tolist()
            row, kind = [*row, *residues, ids["sep"]], [*kind, *[side] * (len(residues) + 1)]
        rows.append(row)
        kinds.append(kind)
    width = max(map(len, rows))
    batch = {name: torch.zeros(len(rows), width, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    batch["token_type_ids"] = torch.zeros(len(rows), width, dtype=torch.long)
    for index, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        batch["input_ids"][index, : len(row)] = torch.tensor(row)
        batch["token_type_ids"][index, : len(row)] = torch.tensor(kind)
        batch["attention_mask"][index, : len(row)] = 1
    if not pairs:
        del batch["token_type_ids"]
    return batch


def _batches(*, first: int, last: int, cls: int, sep: int, mask: int, own_start: bool) -> Callable[[str, int], Batch]:
    ids = {"first": first, "last": last, "cls": cls, "sep": sep}

    def batch(head: str, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        with_pairs = head.endswith(("PairClassification", "PlusRnnForPreTraining", "ProteinBertForPreTraining"))
        out = _rows(ids, generator, pairs=with_pairs, own_start=own_start)
        tokens = out["input_ids"]
        residue = (tokens >= first) & (tokens <= last)
        if head.endswith(("SequenceClassification", "PairClassification")):
            out["labels"] = torch.tensor([0, 1, 1, 1])
        elif head.endswith("ForAnnotation"):
            out["signal_labels"] = torch.tensor([0, 1, 1, 0])
            out["topology_labels"] = torch.where(residue, tokens % 4, -100)
            out["structure_labels"] = torch.where(residue, tokens % 3, -100)
        elif head.endswith("TokenClassification"):
            out["labels"] = torch.where(residue, tokens % 2, -100)
        elif head.endswith("ContactPrediction"):
            inside = residue[:, 1:-1]
            alike = (tokens[:, 1:-1, None] - tokens[:, None, 1:-1]).abs() < 3
            out["labels"] = torch.where(inside[:, :, None] & inside[:, None, :], alike.long(), -100)
        elif with_pairs or head.endswith("MaskedLM"):
            chosen = residue & (torch.arange(tokens.shape[1]) % 3 == 2)
            out["labels"] = torch.where(chosen, tokens, -100)
            out["input_ids"] = torch.where(chosen, mask, tokens)
        elif not head.endswith("Model"):  # language models that read unmasked proteins
            out["labels"] = torch.where(residue, tokens, -100)
        if with_pairs and head.endswith("PreTraining"):
            out["same_family"] = torch.tensor([0, 1, 1, 0])
        return out

    return batch


def _lengthen(batch: Batch, by: int) -> Batch:
    longer = lengthen_tokens(batch, by)
    for name in ("topology_labels", "structure_labels"):
        if name in batch:
            longer[name] = torch.nn.functional.pad(batch[name], (0, by), value=-100)
    if "labels" in batch and batch["labels"].ndim == 3:
        longer["labels"] = torch.nn.functional.pad(batch["labels"], (0, by, 0, by), value=-100)
    return longer


_PLUS_BATCH = _batches(first=1, last=20, cls=0, sep=0, mask=21, own_start=True)
_TAPE_BATCH = _batches(first=5, last=29, cls=2, sep=3, mask=1, own_start=False)
_UNIREP_BATCH = _batches(first=1, last=22, cls=24, sep=25, mask=23, own_start=False)


def _plus_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if "sfp_head" in name or "ordinal_head" in name:
        return "constant", 10.0 if name.endswith("bias") else 1.0
    if "embeddings" in name:
        return "normal", 1.0
    if ".rnn." in f".{name}":
        return _uniform(8)
    return _uniform(12 if "output" in name else 16)


def _weight_norm(name: str, parameter: torch.Tensor) -> tuple[str, float] | None:
    """TAPE's heads: directions N(0, 0.02), gains so that the weight is its direction, norms 1, biases 0."""
    if name.endswith("weight_g"):
        return "constant", float(parameter.detach())
    if "weight_v" in name:
        return "normal", 0.02
    if "norm" in name:
        return "constant", 0.0 if name.endswith("bias") else 1.0
    if "classifier" in name and name.endswith("bias") and "product" not in name:
        return "constant", 0.0
    return None


def _protein_bert_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    return _weight_norm(name, parameter) or bert_initial(name, parameter)


def _tape_lstm_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if "_rnn." in name:
        return _uniform(8)
    return _weight_norm(name, parameter) or bert_initial(name, parameter)


def _tape_resnet_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if ".conv" in name:
        return "normal", (2 / (16 * 3)) ** 0.5  # Kaiming, fan out
    return _weight_norm(name, parameter) or bert_initial(name, parameter)


def _protein_cnn_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if ".conv." in name:
        return _uniform(8 * 5)
    return _weight_norm(name, parameter) or bert_initial(name, parameter)


def _unirep_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if ".rnn." in f".{name}":
        inputs = 6 if ".wx." in name or ".wmx." in name else 10
        if name.endswith("weight_v"):
            return _uniform(inputs)
        return ("constant", 0.0) if name.endswith("bias") else ("norms", float(inputs))
    if "embeddings" in name:
        return "normal", 1.0
    return _weight_norm(name, parameter) or _uniform(10)


def _awd_lstm_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if ".layers." in f".{name}":
        return _uniform(10 if ".0." in name else 6)
    if "embeddings" in name:
        return "uniform", 0.1 / 3**0.5
    if name == "lm_head.bias":
        return "constant", 0.0
    return _weight_norm(name, parameter) or _uniform(10)


def _onehot_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if "anchor" in name:
        return "constant", 0.0
    return _weight_norm(name, parameter) or _uniform(30)


def _p_elmo_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    if "ordinal" in name:
        return "constant", 10.0 if name.endswith("bias") else 1.0
    if "embeddings" in name:
        return "normal", 1.0
    if ".lm.layers." in f".{name}":
        return _uniform(6)
    if ".rnn." in f".{name}":
        return _uniform(8)
    if "lm_projection" in name:
        return _uniform(24)
    if "lm_head" in name:
        return _uniform(6)
    return _weight_norm(name, parameter) or _uniform(16)


_AWD_SHARES = ("embedding_dropout", "input_dropout", "hidden_dropout", "output_dropout", "weight_dropout")
_HEAD = {"classifier_hidden_size": 12, "contact_dropout": 0.0}


def _case(model_type: str, config: dict[str, Any], **kwargs: Any) -> FamilyCase:
    return FamilyCase(
        model_type=model_type,
        config=config,
        lengthen=_lengthen,
        label_names=("labels", "same_family", "signal_labels", "topology_labels", "structure_labels"),
        **({"attentions": ()} | kwargs),
    )


PROTEIN_CASES: tuple[FamilyCase, ...] = (
    _case(
        "plus_rnn",
        {"hidden_size": 8, "num_hidden_layers": 2, "projection_size": 6, "classifier_hidden_size": 12},
        batch=_PLUS_BATCH,
        initial=_plus_initial,
    ),
    _case(
        "protein_bert",
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 48,
            **_HEAD,
        },
        batch=_TAPE_BATCH,
        initial=_protein_bert_initial,
        attentions=("eager", "sdpa"),
    ),
    _case(
        "p_elmo",
        {
            "lm_hidden_size": 6,
            "input_size": 8,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "projection_size": 6,
            **_HEAD,
        },
        batch=_PLUS_BATCH,
        initial=_p_elmo_initial,
        embeddings=False,
    ),
    _case(
        "tape_lstm",
        {"embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 2, "hidden_dropout_prob": 0.0, **_HEAD},
        batch=_TAPE_BATCH,
        initial=_tape_lstm_initial,
    ),
    _case(
        "tape_resnet",
        {"hidden_size": 16, "num_hidden_layers": 2, **_HEAD},
        batch=_TAPE_BATCH,
        initial=_tape_resnet_initial,
    ),
    _case(
        "protein_cnn",
        {
            "hidden_size": 16,
            "bottleneck_size": 8,
            "num_hidden_layers": 2,
            "hidden_dropout_prob": 0.0,
            "classifier_hidden_size": 12,
        },
        batch=_TAPE_BATCH,
        initial=_protein_cnn_initial,
    ),
    _case("unirep", {"embedding_size": 6, "hidden_size": 10, **_HEAD}, batch=_UNIREP_BATCH, initial=_unirep_initial),
    _case(
        "awd_lstm",
        {
            "embedding_size": 6,
            "hidden_size": 10,
            "num_hidden_layers": 2,
            "classifier_hidden_size": 12,
            **dict.fromkeys(_AWD_SHARES, 0.0),
        },
        batch=_UNIREP_BATCH,
        initial=_awd_lstm_initial,
    ),
    _case("onehot", dict(_HEAD), batch=_TAPE_BATCH, initial=_onehot_initial),
)
