"""Every family trains by a recipe, whatever its input: tokens, pairs of proteins, sites of a miRNA, guide contexts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from seqformers._families import FAMILIES
from seqformers.training import finetune, pretrain
from seqformers.training.plan import resolve
from seqformers.training.recipe import load_recipe
from tests.training.conftest import TINY, write_split

SMALL = {
    "kmer_bert": {key: value for key, value in TINY.items() if key != "k"},
    "protein_bert": {  # of the preset plus_tfm
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    },
    "plus_rnn": {"hidden_size": 8, "num_hidden_layers": 1},
    "kmer2vec": {"hidden_size": 8},
    "seq_cnn": {"num_filters": [8], "filter_widths": [5]},
    "coding_profile": {"word_length": 3, "num_gaps": 1, "hidden_size": 8},
    "self_genomenet": {"num_filters": 8, "filter_width": 6, "filter_stride": 3, "lstm_size": 8},
    "deepcpf1": {},
    "targetnet": {},
    "pair_cnn": {"pair_size": 8, "target_size": 4, "channels": [8], "kernel_sizes": [3], "hidden_size": 8},
    "p_elmo": {"lm_hidden_size": 8, "lm_num_layers": 1, "input_size": 8, "hidden_size": 8, "num_hidden_layers": 1},
    "tape_lstm": {"embedding_size": 8, "hidden_size": 8, "num_hidden_layers": 1},
    "tape_resnet": {"hidden_size": 16, "num_hidden_layers": 2},
    "protein_cnn": {"hidden_size": 16, "bottleneck_size": 8, "num_hidden_layers": 2},
    "unirep": {"hidden_size": 8},
    "awd_lstm": {"embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 2},
    "onehot": {},
}
PRESETS = dict.fromkeys(("tape_lstm", "tape_resnet", "protein_cnn", "onehot"), "tape")
PRESETS |= {"unirep": "unirep", "awd_lstm": "unirep"}
TOKENIZERS = {family: {"preset": preset} for family, preset in PRESETS.items()} | {
    "seq_cnn": {"k": 1},
    "coding_profile": {"k": 1},
    "self_genomenet": {"k": 1},
}
QUICK = {"per_device_train_batch_size": 8, "max_steps": 3, "use_cpu": True, "report_to": "none"}


def _proteins(rows: int, rng: np.random.Generator) -> list[str]:
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), size=rng.integers(12, 30))) for _ in range(rows)]


def _rna(rows: int, length: int, rng: np.random.Generator) -> list[str]:
    return ["".join(rng.choice(list("ACGU"), size=length)) for _ in range(rows)]


def _case(family: str, rng: np.random.Generator) -> tuple[dict, dict[str, str]]:
    """Columns of a table and what they mean to the encoder."""
    labels = (np.arange(24) % 2).tolist()
    if family in ("kmer_bert", "kmer2vec", "seq_cnn", "coding_profile", "self_genomenet"):
        return {"sequence": _rna(24, 40, rng), "label": labels}, {"text": "sequence"}
    if family == "deepcpf1":
        contexts = [text.replace("U", "T") for text in _rna(24, 34, rng)]
        return {"context": contexts, "label": rng.normal(20, 5, 24).tolist()}, {"sequences": "context"}
    if family == "targetnet":
        return (
            {"mirna": _rna(24, 22, rng), "site": _rna(24, 40, rng), "label": labels},
            {"mirna": "mirna", "mrna": "site"},
        )
    if family == "pair_cnn":
        return (
            {"mirna": _rna(24, 22, rng), "site": _rna(24, 50, rng), "label": labels},
            {"mirna": "mirna", "target": "site"},
        )
    return {"sequence": _proteins(24, rng), "label": labels}, {"text": "sequence"}


@pytest.mark.parametrize("family", [family.model_type for family in FAMILIES])
def test_finetune_from_scratch(family, tmp_path):
    rows, columns = _case(family, np.random.default_rng(0))
    for split in ("train", "validation", "test"):
        write_split(tmp_path / "data", split, rows)
    recipe = {
        "model": {"type": family, "config": SMALL[family]},
        "tokenizer": TOKENIZERS.get(family, {}),
        "data": {"path": str(tmp_path / "data"), "columns": columns},
        "training": QUICK,
    }
    run = finetune(recipe, output=tmp_path / "run")
    summary = json.loads((run / "metrics.json").read_text())
    assert np.isfinite(summary["metrics"]["test"]["loss"]["mean"])
    expected = "spearman" if family == "deepcpf1" else "auroc"
    assert expected in summary["metrics"]["test"] or family == "deepcpf1"
    assert (run / "model.safetensors").is_file() and (run / "README.md").is_file()
    assert json.loads((run / "config.json").read_text())["model_type"] == family
    from seqformers.training import evaluate

    again = evaluate(run)["metrics"]
    assert again["loss"] == pytest.approx(summary["metrics"]["test"]["loss"]["mean"], rel=1e-4)


@pytest.mark.parametrize("family", ["protein_bert", "plus_rnn"])
@pytest.mark.parametrize("pairs", [False, True])
def test_pretrain_on_proteins_and_on_pairs(family, pairs, tmp_path):
    rng = np.random.default_rng(1)
    rows = {"sequence": _proteins(24, rng)}
    columns = {"text": "sequence"}
    if pairs:
        rows |= {"second": _proteins(24, rng), "same_family": (np.arange(24) % 2).tolist()}
        columns["text_pair"] = "second"
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, rows)
    recipe = {
        "task": "pretrain",
        "model": {"type": family, "config": SMALL[family], "head": "AutoModelForPreTraining"},
        "tokenizer": {"preset": "plus-tfm" if family == "protein_bert" else "plus"},
        "data": {"path": str(tmp_path / "data"), "columns": columns},
        "training": {**QUICK, "eval_steps": 3, "save_steps": 3},
    }
    run = pretrain(recipe, output=tmp_path / "run")
    assert np.isfinite(json.loads((run / "metrics.json").read_text())["metrics"]["validation"]["loss"]["mean"])


def test_pairs_of_proteins_are_classified(tmp_path):
    rng = np.random.default_rng(2)
    rows = {"a": _proteins(24, rng), "b": _proteins(24, rng), "label": (np.arange(24) % 2).tolist()}
    for split in ("train", "validation"):
        write_split(tmp_path / "data", split, rows)
    recipe = {
        "model": {"type": "protein_bert", "config": SMALL["protein_bert"], "head": "AutoModelForPairClassification"},
        "tokenizer": {"preset": "plus-tfm"},
        "data": {"path": str(tmp_path / "data"), "columns": {"text": "a", "text_pair": "b"}},
        "training": QUICK,
    }
    run = finetune(recipe, output=tmp_path / "run")
    assert json.loads((run / "config.json").read_text())["architectures"] == ["ProteinBertForPairClassification"]


@pytest.mark.parametrize("family", ["p_elmo", "tape_lstm", "tape_resnet"])
def test_a_language_model_takes_a_new_head(family, tmp_path):
    """Pooling layers, and what P-ELMo has above its language model, are new; the rest is the source's."""
    options = {"model": {"type": family, "config": SMALL[family]}, "tokenizer": TOKENIZERS.get(family, {})}
    data = {"data": {"path": str(tmp_path)}}
    plan = resolve(load_recipe({"task": "pretrain", **options, **data}))
    source = plan.make_model({}, seed=1)
    source.save_pretrained(tmp_path / "lm")
    plan.encoder.save_pretrained(tmp_path / "lm")
    recipe = {"model": {"type": family, "from": str(tmp_path / "lm")}, **data}
    model = resolve(load_recipe(recipe)).make_model({"num_labels": 2}, seed=2)
    prefix = model.base_model_prefix + "."
    known = {name.removeprefix(prefix): value for name, value in source.state_dict().items()}
    shared = {name: value for name, value in model.base_model.state_dict().items() if name in known}
    assert shared
    assert all(torch.equal(value, known[name]) for name, value in shared.items())
    torn = {name: value for name, value in source.state_dict().items() if name != prefix + next(iter(shared))}
    torn.pop(next(iter(shared)), None)
    save_file({name: value.contiguous().clone() for name, value in torn.items()}, tmp_path / "lm/model.safetensors",
              {"format": "pt"})  # fmt: skip
    with pytest.raises(ValueError, match="1 weights of the encoder are missing"):
        resolve(load_recipe(recipe)).make_model({"num_labels": 2}, seed=2)


def test_a_frozen_encoder_stays_as_it_is(tmp_path):
    texts = _proteins(24, np.random.default_rng(0))
    write_split(tmp_path / "data", "train", {"sequence": texts, "label": [int("A" in text[:5]) for text in texts]})
    recipe = {
        "model": {"type": "protein_bert", "config": SMALL["protein_bert"], "freeze": True},
        "tokenizer": {"preset": "tape"},
        "data": {"path": str(tmp_path / "data"), "splits": {"validation": None, "test": None}},
        "training": {**QUICK, "learning_rate": 0.1, "eval_strategy": "no", "load_best_model_at_end": False},
    }
    plan = resolve(load_recipe(recipe))
    before = plan.make_model({"num_labels": 2}, seed=0).state_dict()
    after = load_file(finetune(recipe, output=tmp_path / "run") / "model.safetensors")
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"classifier"}
    with pytest.raises(ValueError, match=r"model\.freeze is of `finetune`"):
        load_recipe({**recipe, "task": "pretrain"})
