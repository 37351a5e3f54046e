"""What the shared tests of `test_families.py` need to know about each family: one `FamilyCase` a family.

A family adds its case to `CASES` (at the end) with a tiny configuration and a batch maker; all shared tests then run
on every class of its row in `seqformers._families.FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import default_data_collator

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class FamilyCase:
    """How to build, feed and judge the models of one family.

    Args:
        model_type: As in the row of `FAMILIES`.
        config: Values for the configuration class that make a tiny model.
        batch: `(class name, seed) -> batch` with labels: four or more rows, of different lengths where the family
            takes padding; drawn from `torch.Generator().manual_seed(seed)`.
        initial: `(parameter name, parameter) -> (law, value)` that fresh weights follow; law is `"normal"` or
            `"uniform"` (value: standard deviation), `"constant"` (value: the constant), or `"patterned"` (judged by
            the family's own tests). Parameters of the same law and value are judged together.
        head_config: Class name -> further configuration values for that class.
        lengthen: `(batch, n) -> batch`, the same rows with `n` more positions of padding; None when inputs have a
            fixed size.
        embeddings: Whether the models take `inputs_embeds` instead of `input_ids`.
        attentions: Implementations that must agree with each other; empty when there is no attention.
        examples: `(class name, batch) -> (examples, collator)` for Trainer; by default a batch's rows.
        learning_rate: With which two AdamW steps on one batch lower the loss.
        label_names: Keys of a batch that are labels.
    """

    model_type: str
    config: dict[str, Any]
    batch: Callable[[str, int], Batch]
    initial: Callable[[str, torch.Tensor], tuple[str, float]]
    head_config: dict[str, dict[str, Any]] = field(default_factory=dict)
    lengthen: Callable[[Batch, int], Batch] | None = None
    embeddings: bool = True
    attentions: tuple[str, ...] = ("eager", "sdpa")
    examples: Callable[[str, Batch], tuple[list[Any], Callable[..., Any]]] | None = None
    learning_rate: float = 1e-2
    label_names: tuple[str, ...] = ("labels",)

    def unlabelled(self, batch: Batch) -> Batch:
        """The batch without its labels."""
        return {name: value for name, value in batch.items() if name not in self.label_names}

    def for_trainer(self, head: str, batch: Batch) -> tuple[list[Any], Callable[..., Any]]:
        """Examples and collator that make up `batch` again."""
        if self.examples is not None:
            return self.examples(head, batch)
        rows = len(next(iter(batch.values())))
        return [{name: value[row] for name, value in batch.items()} for row in range(rows)], default_data_collator


def lengthen_tokens(batch: Batch, by: int) -> Batch:
    """`lengthen` of families that take `(batch, length)` token ids: zeros to the right, -100 for labels."""
    width = batch["attention_mask"].shape[1]
    return {
        name: torch.nn.functional.pad(value, (0, by), value=-100 if name == "labels" else 0)
        if value.ndim == 2 and value.shape[1] == width
        else value
        for name, value in batch.items()
    }


def bert_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """BERT's start: N(0, 0.02), biases 0, LayerNorm 1."""
    if name.endswith("bias"):
        return "constant", 0.0
    return ("constant", 1.0) if "LayerNorm" in name else ("normal", 0.02)


def _kmer_bert_batch(head: str, seed: int) -> Batch:
    """Rows `[CLS] 3-mers [SEP]`; the class and the middle k-mers can be learnt from the row."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [4, 9, 12, 7] if head != "KmerBertForSequenceClassification" else [4, 9, 30, 20]
    ids = torch.zeros(4, max(lengths) + 2, dtype=torch.long)
    for row, length in zip(ids, lengths, strict=True):
        row[: length + 2] = torch.tensor([2, *torch.randint(5, 69, (length,), generator=generator).tolist(), 3])
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    if head == "KmerBertForSequenceClassification":
        batch["labels"] = torch.tensor([0, 1, 1, 0])
    elif head == "KmerBertForTokenClassification":
        batch["labels"] = torch.where(ids > 4, ids % 2, -100)
    elif head != "KmerBertModel":
        batch["labels"] = torch.where((ids > 4) & (torch.arange(ids.shape[1]) % 3 == 2), ids, -100)
        batch["input_ids"] = torch.where(batch["labels"] != -100, 4, ids)
    if head == "KmerBertForPreTraining":
        batch["next_sentence_label"] = torch.tensor([0, 1, 1, 0])
    return batch


KMER_BERT = FamilyCase(
    model_type="kmer_bert",
    config={
        "k": 3,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 24,
    },
    head_config={"KmerBertForSequenceClassification": {"max_chunks": 3}},
    batch=_kmer_bert_batch,
    initial=bert_initial,
    lengthen=lengthen_tokens,
    label_names=("labels", "next_sentence_label"),
)


def _deepcpf1_batch(head: str, seed: int) -> Batch:
    """Contexts whose label is their share of G and C; accessibility given, so every parameter has a gradient."""
    ids = torch.randint(0, 4, (6, 20), generator=torch.Generator().manual_seed(seed))
    labels = ((ids == 1) | (ids == 2)).float().mean(1) * 100
    return {"input_ids": ids, "accessibility": torch.arange(6) % 2, "labels": labels}


def _glorot(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """Keras' start: Glorot uniform, biases 0."""
    if name.endswith("bias"):
        return "constant", 0.0
    fan = parameter[0].numel() + parameter.transpose(0, 1)[0].numel()
    return "uniform", (2 / fan) ** 0.5


DEEPCPF1 = FamilyCase(
    model_type="deepcpf1",
    config={"context_length": 20, "num_filters": 40, "hidden_sizes": [32, 16], "use_accessibility": True},
    batch=_deepcpf1_batch,
    initial=_glorot,
    embeddings=False,  # its inputs_embeds are one-hot letters, tested with the family
    attentions=(),
)


def _targetnet_batch(head: str, seed: int) -> Batch:
    """Aligned sites without their pairs; a positive one has a miRNA of A and U."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 6, (8, 2, 50), generator=generator)
    labels = torch.tensor([1.0, 0, 0, 1, 0, 1, 0, 0])
    ids[labels == 1, 0] = torch.where(ids[labels == 1, 0] % 2 == 0, 1, 4)
    return {"input_ids": ids, "labels": labels}


def _kaiming(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """The original's start: Kaiming normal over the inputs, biases 0."""
    return ("constant", 0.0) if name.endswith("bias") else ("normal", (2 / parameter[0].numel()) ** 0.5)


TARGETNET = FamilyCase(
    model_type="targetnet",
    config={"dropout": 0.0},
    batch=_targetnet_batch,
    initial=_kaiming,
    embeddings=False,  # its inputs_embeds are one-hot sites, tested with the family
    attentions=(),
    learning_rate=1e-3,
)


def _pair_cnn_batch(head: str, seed: int) -> Batch:
    """miRNAs of 22 and of 20 nt; a target's label is whether it is rich in A and U."""
    generator = torch.Generator().manual_seed(seed)
    mirnas = torch.randint(1, 5, (8, 22), generator=generator)
    mirnas[::2, 20:] = 0
    targets = torch.randint(1, 6, (8, 50), generator=generator)
    labels = torch.tensor([1.0, 0, 0, 1, 0, 1, 0, 0])
    targets[labels == 1] = torch.where(targets[labels == 1] % 2 == 0, 1, 4)
    return {"mirna_ids": mirnas, "target_ids": targets, "labels": labels}


def _pair_cnn_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """Uniform within 1/sqrt(inputs), biases 0, norms 1; cells as a pattern, tested with the family."""
    if name.endswith("bias"):
        return "constant", 0.0
    if name.endswith("norm.weight"):
        return "constant", 1.0
    return ("patterned", 0.0) if name.endswith("pair.weight") else ("uniform", (3 * parameter[0].numel()) ** -0.5)


PAIR_CNN = FamilyCase(
    model_type="pair_cnn",
    config={"dropout": 0.0, "num_members": 2},
    batch=_pair_cnn_batch,
    initial=_pair_cnn_initial,
    lengthen=lambda batch, by: (
        batch | {name: torch.nn.functional.pad(batch[name], (0, by)) for name in ("mirna_ids", "target_ids")}
    ),
    embeddings=False,
    attentions=(),
    learning_rate=1e-3,
)


def _seq_cnn_batch(head: str, seed: int) -> Batch:
    """Rows of bases of unlike length, [CLS] and [SEP] around; a row of class 1 is rich in A and T."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(6, 24, dtype=torch.long)
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    for row, (length, label) in enumerate(zip([22, 22, 15, 12, 20, 9], labels.tolist(), strict=True)):
        bases = torch.randint(5, 9, (length,), generator=generator)
        bases = torch.where(bases > 6, bases - 2, bases) if label else bases
        ids[row, : length + 2] = torch.cat([torch.tensor([2]), bases, torch.tensor([3])])
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    return batch if head == "SeqCnnModel" else batch | {"labels": labels}


def _seq_cnn_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """He's start, biases 0; an LSTM uniform within 1/sqrt(units)."""
    if ".lstm" in f".{name}":
        return "uniform", (3 * parameter.shape[0] / 4) ** -0.5
    return ("constant", 0.0) if name.endswith("bias") else ("normal", (2 / parameter[0].numel()) ** 0.5)


SEQ_CNN = FamilyCase(
    model_type="seq_cnn",
    config={
        "num_filters": [16, 8],
        "filter_widths": [5, 3],
        "pool_widths": [3, 1],
        "lstm_size": 6,
        "dense_sizes": [16],
        "strands": "shared",
    },
    batch=_seq_cnn_batch,
    initial=_seq_cnn_initial,
    lengthen=lengthen_tokens,
    attentions=(),
)


def _kmer2vec_batch(head: str, seed: int) -> Batch:
    """The rows of the k-mer BERT; words of a row tell it, and each other."""
    batch = _kmer_bert_batch("KmerBertModel", seed)
    if head == "Kmer2VecForSequenceClassification":
        batch["labels"] = torch.tensor([0, 1, 1, 0])
    elif head == "Kmer2VecForPreTraining":
        ids = batch["input_ids"] = torch.where(batch["input_ids"] > 4, batch["input_ids"] % 4 + 5, batch["input_ids"])
        batch["labels"] = torch.where(ids > 4, ids, -100)
        batch["negatives"] = torch.randint(20, 60, (*ids.shape, 3), generator=torch.Generator().manual_seed(seed))
    return batch


def _kmer2vec_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """word2vec's start: uniform within 1 / (2 width), the other table zero."""
    if name.endswith("word_embeddings.weight"):
        return "uniform", 0.5 / parameter.shape[1] / 3**0.5
    zero = name.endswith("bias") or name.startswith("contexts")
    return ("constant", 0.0) if zero else ("normal", parameter.shape[1] ** -0.5)


def _lengthen_words(batch: Batch, by: int) -> Batch:
    longer = lengthen_tokens({name: value for name, value in batch.items() if name != "negatives"}, by)
    if "negatives" in batch:
        longer["negatives"] = torch.nn.functional.pad(batch["negatives"], (0, 0, 0, by), value=9)
    return longer


KMER2VEC = FamilyCase(
    model_type="kmer2vec",
    config={"k": 3, "hidden_size": 16, "window": 2, "num_negatives": 3},
    batch=_kmer2vec_batch,
    initial=_kmer2vec_initial,
    lengthen=_lengthen_words,
    embeddings=False,  # of pretraining there are none; tested with the family
    attentions=(),
)


def _coding_profile_batch(head: str, seed: int) -> Batch:
    """Rows of bases of unlike length with open frames; a row of class 1 is rich in A and T."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(6, 182, dtype=torch.long)
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    for row, (length, label) in enumerate(zip([180, 180, 121, 93, 176, 140], labels.tolist(), strict=True)):
        bases = torch.randint(5, 9, (length,), generator=generator)
        bases = torch.where((bases > 6) & (torch.rand(length, generator=generator) < 0.6), bases - 2, bases)
        bases = bases if label else torch.tensor([5, 6, 7, 8, 8, 7, 6, 5, 5])[bases - 1]
        ids[row, : length + 2] = torch.cat([torch.tensor([2]), bases, torch.tensor([3])])
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    return batch if head == "CodingProfileModel" else batch | {"labels": labels}


def _coding_profile_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """Uniform within 1/sqrt(inputs), biases 0."""
    if name.endswith("bias"):
        return "constant", 0.0
    return "uniform", (3 * parameter.shape[1]) ** -0.5


CODING_PROFILE = FamilyCase(
    model_type="coding_profile",
    config={"word_length": 3, "num_gaps": 2, "min_open_frame": 8, "hidden_size": 24},
    batch=_coding_profile_batch,
    initial=_coding_profile_initial,
    lengthen=lengthen_tokens,
    embeddings=False,
    attentions=(),
)


def _self_genomenet_batch(head: str, seed: int) -> Batch:
    """Rows of bases of unlike length, rich in another letter each; class 0 is rich in A or T."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [39, 39, 33, 26, 38, 31, 29, 36, 39, 24, 27, 35, 37, 30, 34, 28]
    ids = torch.zeros(16, 41, dtype=torch.long)
    for number, (row, length) in enumerate(zip(ids, lengths, strict=True)):
        bases = torch.randint(5, 9, (length,), generator=generator)
        bases = torch.where(torch.rand(length, generator=generator) < 0.6, torch.tensor(5 + number % 4), bases)
        row[: length + 2] = torch.cat([torch.tensor([2]), bases, torch.tensor([3])])
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    if head == "SelfGenomeNetForSequenceClassification":
        batch["labels"] = torch.arange(16) % 4 // 2
    elif head == "SelfGenomeNetForPreTraining":
        batch["labels"] = torch.where(ids > 4, ids, -100)
    return batch


def _self_genomenet_initial(name: str, parameter: torch.Tensor) -> tuple[str, float]:
    """He's start for the filters, an LSTM uniform within 1/sqrt(units), linear layers N(0, 1 / inputs), biases 0."""
    if ".lstm" in f".{name}":
        return "uniform", (3 * parameter.shape[0] / 4) ** -0.5
    gain = 2 if "convolution" in name else 1
    return ("constant", 0.0) if name.endswith("bias") else ("normal", (gain / parameter[0].numel()) ** 0.5)


SELF_GENOMENET = FamilyCase(
    model_type="self_genomenet",
    config={"num_filters": 24, "filter_width": 6, "filter_stride": 3, "lstm_size": 16},
    batch=_self_genomenet_batch,
    initial=_self_genomenet_initial,
    lengthen=lengthen_tokens,
    attentions=(),
)

from tests.modeling.family_cases_protein import PROTEIN_CASES  # noqa: E402 (it needs the names above)

CASES: tuple[FamilyCase, ...] = (
    KMER_BERT,
    DEEPCPF1,
    TARGETNET,
    PAIR_CNN,
    SEQ_CNN,
    KMER2VEC,
    CODING_PROFILE,
    SELF_GENOMENET,
    *PROTEIN_CASES,
)
