"""Rows and columns of the table of families: tasks, networks, and the recipe of every cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._results import ROOT
from benchmarks.recipe_lists import read_list
from seqformers.settings import read_yaml

RECIPES = ROOT / "benchmarks" / "recipes"
SEEDS, EPOCHS, ROWS, BATCH = (0, 1, 2), 3, 2000, 32
METRICS = ["mcc", "auroc", "accuracy"]
ARMS = {
    "scratch": "trained",
    "random": "as drawn, last layer fitted",
    "pretrained": "pretrained, trained",
    "frozen": "pretrained, last layer fitted",
}
PROBES = ("random", "frozen")
SHOWN = ("gc_only", "kmer_4_logistic", "kmer_6_logistic", "position_logistic")


@dataclass(frozen=True)
class Task:
    """A data set: builder and its configuration, folder of the raw data, letters of a row, options of the builder."""

    dataset: str
    config: str
    folder: str
    letters: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A family's recipe, and what the table changes of its network.

    Args:
        recipe (`str`): Below `recipes/`; `lists/NAME.yaml:RUN` is one of a list.
        config (`dict`): Fields of the configuration: sizes that a minute of one core trains.
        short (`dict`): Further ones for rows that are too short for the pools of the network.
        counts_letters (`bool`): Whether the network is made for one length of rows.
        pretrain (`str`, *optional*): The recipe it is pretrained by.
        pretrain_config (`dict`): What that recipe's network has besides.
    """

    recipe: str
    config: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] = field(default_factory=dict)
    counts_letters: bool = False
    pretrain: str | None = None
    pretrain_config: Mapping[str, Any] = field(default_factory=dict)


_READS = {"max_train_reads": ROWS, "max_validation_reads": ROWS // 4, "max_test_reads": ROWS}
TASKS = {
    "reads-150": Task("phage", "reads-150", "virus_genomes", 150, _READS),
    "reads-1000": Task("phage", "reads-1000", "virus_genomes", 1000, _READS),
    "promoters": Task("regulatory", "human_nontata_promoters", "genomic_benchmarks_test_only", 251),
    "enhancers": Task("regulatory", "enhancers", "enhancers_ienhancer", 200),
    "splice": Task("regulatory", "splice_junctions", "splice_junctions", 60),
}
_MADE_UP = {"planted": Task("", "", "", 60)}  # rows of `planted.py`, which builds them itself
_STOCK, _CAUSAL = "stock/lists/reads-150.yaml", "stock/lists/causal.yaml"
_SMALL_BERT = {"hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 512}
FAMILIES = {
    "deepbind": Network("seq_cnn/deepbind"),
    # A quarter of DeepSEA's channels and half of Basset's: the whole ones take minutes a seed.
    "deepsea": Network(
        "seq_cnn/deepsea", {"num_filters": [80, 120, 240], "dense_sizes": [231]}, {"pool_widths": [2, 2, 1]}, True
    ),
    "basset": Network("seq_cnn/basset", {"num_filters": [150, 100, 100]}, {"padding": "same"}, True),
    "danq": Network("seq_cnn/danq", counts_letters=True),
    "dilated": Network("seq_cnn/dilated"),
    "fastdna": Network("kmer2vec/fastdna"),
    "kmer2vec": Network(
        "kmer2vec/fastdna",
        {"both_strands": False},
        pretrain="kmer2vec/dna2vec",
        pretrain_config={"window": 10, "step": 1, "subsampling": 1e-3},
    ),
    "coding_profile": Network("phage/detector"),
    "self_genomenet": Network(
        "self_genomenet/finetune-150",
        {"num_filters": 128, "lstm_size": 192},
        pretrain="self_genomenet/pretrain",
        pretrain_config={"num_targets": 2},
    ),
    "kmer_bert": Network("virbert/scratch-150", _SMALL_BERT, pretrain="virbert/pretrain"),
    "albert": Network(f"{_STOCK}:albert"),
    "roberta": Network(f"{_STOCK}:roberta"),
    "distilbert": Network(f"{_STOCK}:distilbert"),
    "esm": Network(f"{_STOCK}:esm"),
    "modernbert": Network(f"{_STOCK}:modernbert"),
    "electra": Network(f"{_STOCK}:electra"),
    "gpt2": Network(f"{_STOCK}:gpt2", pretrain=f"{_CAUSAL}:gpt2-kmers"),
    "gpt2_bpe": Network(f"{_STOCK}:gpt2-bpe"),
    "llama": Network(f"{_STOCK}:llama"),
}


def arms_of(family: str) -> list[str]:
    """The arms of a family: those that begin with pretraining only where it has a recipe for that."""
    return [arm for arm in ARMS if arm in ("scratch", "random") or FAMILIES[family].pretrain]


def recipe_of(task: str, family: str, arm: str, data: Path) -> dict[str, Any]:
    """The recipe of a cell: network, tokenizer and learning rate of the family's, all else of the table.

    Args:
        task (`str`): Of `TASKS`, or `"planted"`.
        family (`str`): Of `FAMILIES`.
        arm (`str`): Of `ARMS`, or `"pretraining"` for what `pretrained` and `frozen` begin with.
        data (`Path`): The built data set; what a cell begins with lies beside it.
    """
    network, learns = FAMILIES[family], arm == "pretraining"
    found = _read(network.pretrain if learns else network.recipe)
    model = dict(found["model"])
    model["config"] = _config(task, family, arm)
    tokenizer = {"max_length": None, **_read(network.recipe).get("tokenizer", {"type": "KmerTokenizer", "k": 1})}
    if "from" in tokenizer:
        tokenizer["from"] = str(data.parent / f"words-{task}")
    model["from"] = str(data.parent / f"{task}-{family}-pretraining") if arm in ("pretrained", "frozen") else None
    recipe = {
        "task": "pretrain" if learns else "probe" if arm in PROBES else "finetune",
        "name": f"{task}-{family}-{arm}",
        "model": model,
        "tokenizer": {"max_length": None} if model["from"] else tokenizer,
        "data": {"path": str(data), "limits": {"train": ROWS, "validation": ROWS // 4, "test": ROWS}},
        "training": _training(found["training"] if arm not in PROBES else None),
        "seeds": [0] if learns else list(SEEDS),
        "portable": False,
    }
    if learns:
        return recipe | {"masking": dict(found.get("masking") or {})}
    return recipe | {"metrics": METRICS, "probe": {"shots": [1, 10], "cache": False} if arm in PROBES else {}}


def learn_words(texts: Iterable[str], output: Path) -> None:
    """Write a tokenizer of 1,024 words of byte-pair encoding, learnt from `texts`."""
    from seqformers.tokenization.learnt import SPECIAL_TOKENS, learn_vocabulary
    from seqformers.tokenization.portable import save_backend

    output.mkdir()
    save_backend(
        learn_vocabulary(texts, size=1024),
        output,
        special_tokens={f"{token.strip('[]').lower()}_token": token for token in SPECIAL_TOKENS},
        model_max_length=512,
        molecule="dna",
        letters_per_token=1,
        token_step=1,
        learnt="bpe",
    )


def _config(task: str, family: str, arm: str) -> dict[str, Any]:
    network, letters = FAMILIES[family], (TASKS | _MADE_UP)[task].letters
    found = {**(_read(network.recipe)["model"].get("config") or {}), **network.config}
    if network.counts_letters:
        found["sequence_length"] = letters
    if network.short and _too_short(network, found, letters):
        found |= network.short
    if family == "deepbind" and arm == "random":
        found["strands"] = "mean"  # a probe takes one vector a row
    if arm == "pretraining":
        found = {k: v for k, v in found.items() if not k.startswith("classifier")} | dict(network.pretrain_config)
    return found


def _too_short(network: Network, config: Mapping[str, Any], letters: int) -> bool:
    from seqformers import SeqCnnConfig

    make = getattr(SeqCnnConfig, _read(network.recipe)["model"]["preset"])
    return make(**{**config, "sequence_length": 100_000}).positions(letters) < 1


def _training(found: Mapping[str, Any] | None) -> dict[str, Any]:
    kept: dict[str, Any] = {"use_cpu": True, "per_device_train_batch_size": BATCH}
    if found is None:
        return kept
    own = {key: found[key] for key in ("learning_rate", "weight_decay", "warmup_steps") if key in found}
    return kept | own | {"num_train_epochs": EPOCHS}


def _read(recipe: str) -> dict[str, Any]:
    file, _, run = recipe.partition(":")
    if run:
        return dict(read_list(RECIPES / file)[run]["recipe"])
    return dict(read_yaml((RECIPES / f"{file}.yaml").read_text(encoding="utf-8")))
