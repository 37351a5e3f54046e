"""Several heads on one encoder: what they share, how rows are mixed, what the run folder holds, kills."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from seqformers.hub.load import load_model
from seqformers.inference.predict import predict
from seqformers.training import evaluate, finetune, pretrain
from seqformers.training.several_heads import HeadRows
from tests.training.conftest import TINY, sequences, write_split

pytestmark = pytest.mark.usefixtures("no_intervals")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another question about other rows: three classes."""
    folder = tmp_path_factory.mktemp("second")
    rng = np.random.default_rng(7)
    for split in ("train", "validation", "test"):
        texts, _ = sequences(24, rng)
        write_split(folder, split, {"sequence": texts, "label": [("a", "b", "c")[n % 3] for n in range(24)]})
    return folder


def recipe_for(reads: Path, second: Path, genomes: Path, **sections: Any) -> dict[str, Any]:
    return {
        "task": "pretrain",
        "model": {"type": "kmer_bert", "config": TINY},
        "tokenizer": {"k": 3},
        "heads": {
            "words": {"data": {"path": str(genomes), "label": None}, "weight": 0.5},
            "phage": {"data": {"path": str(reads)}, "metrics": ["auroc"], "augment": {"reverse_complement": 0.5}},
            "letters": {"data": {"path": str(second)}},
        },
        "training": {"per_device_train_batch_size": 12, "max_steps": 12, "save_steps": 4, "eval_steps": 4,
                     "learning_rate": 1e-2, "use_cpu": True, "bf16": False},
        "baselines": {"names": []},
        **sections,
    }  # fmt: skip


def test_every_head_comes_equally_often() -> None:
    rows = HeadRows({"one": list(range(30)), "other": list(range(6))}, seed=3)
    epoch = rows.__getitems__(list(range(36)))
    assert Counter(row["head"] for row in epoch) == {"one": 18, "other": 18}
    assert max(Counter(row["row"] for row in epoch if row["head"] == "other").values()) == 3
    assert {row["head"] for row in epoch[:2]} == {"one", "other"}
    rows.set_epoch(1)
    assert rows.__getitems__(list(range(36))) != epoch
    plain = HeadRows({"one": [1, 2], "other": [3]})
    assert [row["row"] for row in plain.__getitems__([0, 1, 2])] == [1, 2, 3]


def test_heads_share_an_encoder_and_are_models_of_their_own(
    reads: Path, second: Path, genomes: Path, tmp_path: Path
) -> None:
    recipe = recipe_for(reads, second, genomes)
    run = pretrain(recipe, output=tmp_path / "run")
    top = load_file(run / "model.safetensors")
    for name in ("words", "phage", "letters"):
        head = load_file(run / "heads" / name / "model.safetensors")
        shared = [key for key in top if f"bert.{key}" in head]
        assert len(shared) > 15 and all(torch.equal(top[key], head[f"bert.{key}"]) for key in shared)
    fresh = load_file(finetune_once(reads, tmp_path) / "model.safetensors")
    assert not torch.equal(fresh["bert.embeddings.word_embeddings.weight"], top["embeddings.word_embeddings.weight"])
    summary = json.loads((run / "metrics.json").read_text())
    found = evaluate(run / "heads" / "phage")["metrics"]["auroc"]
    assert found == pytest.approx(summary["metrics"]["phage, test"]["auroc"]["mean"])
    assert set(summary["metrics"]["words, validation"]) == {"loss", "masked_accuracy", "perplexity"}
    assert load_model(run / "heads" / "letters", None).config.id2label == {0: "a", 1: "b", 2: "c"}
    fasta = tmp_path / "a.fasta"
    fasta.write_text(">a\nACGGTTACCAGATTACAGGATAC\n")
    scores = pd.read_csv(predict(run / "heads" / "phage", fasta, tmp_path / "s.tsv", progress=False), sep="\t")
    assert scores["score"].between(0, 1).all()
    card = (run / "README.md").read_text()
    assert "`heads/letters` is a complete model" in card and str(tmp_path) not in card


def finetune_once(reads: Path, tmp_path: Path) -> Path:
    recipe = {
        "model": {"type": "kmer_bert", "config": TINY}, "tokenizer": {"k": 3}, "data": {"path": str(reads)},
        "training": {"max_steps": 1, "use_cpu": True, "bf16": False}, "baselines": {"names": []}, "portable": False,
    }  # fmt: skip
    return finetune(recipe, output=tmp_path / "once")


def test_a_run_goes_on_after_a_kill(reads: Path, second: Path, genomes: Path, tmp_path: Path) -> None:
    cnn = {"type": "seq_cnn", "config": {"num_filters": [8], "filter_widths": [5]}}
    recipe = recipe_for(reads, second, genomes, model=cnn, tokenizer={"k": 1})
    del recipe["heads"]["words"]
    whole = pretrain(recipe, output=tmp_path / "whole")

    class Kill(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        pretrain(recipe, output=tmp_path / "again", callbacks=[Kill()])
    with pytest.raises(ValueError, match=r"heads\.phage\.weight"):
        pretrain(recipe, ["heads.phage.weight=2"], output=tmp_path / "again", resume=True)
    again = pretrain(recipe, output=tmp_path / "again", resume=True)
    for name in (".", "heads/phage", "heads/letters"):
        one, other = (load_file(run / name / "model.safetensors") for run in (whole, again))
        for key, value in one.items():
            torch.testing.assert_close(other[key], value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["heads.phage.wieght=2"], r"unknown key 'heads\.phage\.wieght'.*did you mean"),
        (["heads.phage.weight=0"], "must be a number above 0"),
        (["data.path=x"], "data stands in each of them"),
        (["heads.phage.data=null"], r"heads\.phage needs data"),
        (["task=finetune"], "heads are read by `pretrain`"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: list[str], message: str, reads: Path, second: Path, genomes: Path, tmp_path: Path
) -> None:
    recipe, train = recipe_for(reads, second, genomes), pretrain
    if changes == ["task=finetune"]:
        recipe["task"], changes, train = "finetune", [], finetune
    with pytest.raises(ValueError, match=message):
        train(recipe, changes, output=tmp_path / "run")
