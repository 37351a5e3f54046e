"""Reads drawn as training goes on: one stream for a seed, whatever the workers, the processes and the kills."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from seqformers import KmerBertForPreTraining, KmerTokenizer
from seqformers.datasets_scripts.genomes.reads import ReadOptions
from seqformers.training import callbacks, finetune, pretrain
from seqformers.training.batches import LanguageModelBatches
from seqformers.training.collators import DataCollatorForKmerLanguageModeling
from seqformers.training.fresh_reads import ReadSource
from seqformers.training.recipe import load_recipe

LAW = {"lower": 10, "upper": 40, "bias": 0.3}


@pytest.fixture
def recipe(arrays, pretrain_recipe):
    reads = {"length": LAW, "per_epoch": 96, "validation": 24, "test": 24}
    training = {
        "per_device_train_batch_size": 16, "max_steps": 10, "logging_steps": 1, "save_steps": 4,
        "eval_strategy": "no", "use_cpu": True, "bf16": False,
    }  # fmt: skip
    return {**pretrain_recipe, "data": {"path": str(arrays), "reads": reads}, "training": training}


def stream(arrays, batch=None, seed=0):
    return ReadSource.of(arrays, {"length": LAW, "per_epoch": 200}, "train").stream(seed, [], batch)


def masked(batches, loader):
    """Rows of a loader, (ids, labels), the padding cut off."""
    rows = []
    for batch in loader:
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            rows.append((ids[mask == 1].tolist(), labels[mask == 1].tolist()))
    return rows


@pytest.mark.parametrize("batch", [None, 16])
def test_workers_and_batches_change_no_row_and_no_mask(arrays, batch):
    rows = stream(arrays, batch)
    rows.set_epoch(2)
    collate = LanguageModelBatches(KmerTokenizer(k=3), {"text": "sequence"}, _masker(), max_length=64)

    def loaded(size, workers):
        loader = torch.utils.data.DataLoader(rows, batch_size=size, num_workers=workers, collate_fn=collate)
        return masked(collate, loader)

    one = loaded(16, 0)
    assert len(one) == 200 and len({str(ids) for ids, _ in one}) > 190
    assert loaded(16, 2) == one
    assert loaded(4, 0) == one
    rows.set_epoch(3)
    assert not {str(ids) for ids, _ in one} & {str(ids) for ids, _ in loaded(16, 0)}


def _masker(seed=5):
    return DataCollatorForKmerLanguageModeling(KmerTokenizer(k=3), seed=seed)


def test_masks_by_key_hide_what_masks_in_order_hide(arrays):
    """The same law: share selected, 80/10/10, whole spans; another seed, other masks."""
    reads = ReadSource.of(arrays, {"length": 600}, "train").sampler("train", 0).draw(range(300))
    ids = KmerTokenizer(k=3)(reads.strings(), return_tensors="np").input_ids
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    ordered, keyed, other = (
        _masker()(dict(batch)),
        _masker()(dict(batch), reads.keys),
        _masker(6)(dict(batch), reads.keys),
    )
    assert (keyed["labels"] != other["labels"]).any()
    shares = []
    for found in (ordered, keyed):
        chosen = found["labels"] != -100
        swapped = chosen & (found["input_ids"] != 4) & (found["input_ids"] != found["labels"])
        edges = (chosen[:, 1:] & ~chosen[:, :-1]).sum() / chosen.sum()
        shares.append(
            [
                chosen.float().mean(),
                (found["input_ids"] == 4).sum() / chosen.sum(),
                swapped.sum() / chosen.sum(),
                edges,
            ]
        )
        assert (found["input_ids"][~chosen] == torch.from_numpy(ids)[~chosen]).all()
        assert (found["labels"][chosen] == torch.from_numpy(ids)[chosen]).all()
    np.testing.assert_allclose(shares[1], shares[0], atol=0.012)
    # Masks at the start of a row say nothing about those at its end.
    chosen = (keyed["labels"] != -100).double()
    assert abs(np.corrcoef(chosen[:, 5], chosen[:, 300])[0, 1]) < 0.2


def test_batches_are_of_like_length_and_hold_every_read_once(arrays):
    rows = stream(arrays, 16)
    lengths = np.concatenate([rows.__getitems__(range(i, min(i + 16, 200))).lengths for i in range(0, 200, 16)])
    plain = stream(arrays).__getitems__(range(200))
    assert sorted(lengths) == sorted(plain.lengths)
    spread = lengths[:192].reshape(-1, 16)
    assert np.ptp(spread, axis=1).mean() < 4 < np.ptp(plain.lengths[:192].reshape(-1, 16), axis=1).mean()
    assert not (np.diff(spread.mean(axis=1)) > 0).all()
    assert rows[0]["sequence"] == rows.__getitems__([0]).strings()[0]


def _losses(folder):
    log = next(folder.glob("seeds/0/training_log.jsonl")).read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, log) if "loss" in row}


def test_a_resumed_run_sees_the_same_stream(recipe, tmp_path, monkeypatch):
    whole = _losses(pretrain(recipe, output=tmp_path / "whole"))
    plain = callbacks.RunLog.on_log

    def killed(self, args, state, control, **kwargs):
        if state.global_step == 7:
            raise MemoryError
        plain(self, args, state, control, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.RunLog, "on_log", killed)
        with pytest.raises(MemoryError):
            pretrain(recipe, output=tmp_path / "cut")
    resumed = _losses(pretrain(recipe, output=tmp_path / "cut", resume=True))
    assert len(whole) == 10  # six steps an epoch: the cut lies in the second
    assert resumed == pytest.approx(whole, rel=1e-6)


@pytest.mark.slow
def test_two_processes_train_as_one(recipe, tmp_path):
    """`accelerate launch` on two processes with half the batch each: the same losses, step by step."""
    one = _losses(pretrain(recipe, output=tmp_path / "one"))
    path = tmp_path / "recipe.yaml"
    training = {**recipe["training"], "per_device_train_batch_size": 8}
    path.write_text(yaml.safe_dump({**recipe, "training": training}))
    launch = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    launch += " --dynamo_backend no --main_process_port 0 -m seqformers.cli"
    words = [sys.executable, *launch.split()]
    words += ["pretrain", str(path), "--output", str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path)}
    environment["ACCELERATE_USE_CPU"] = "true"  # its `--cpu` knows one process only
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads((tmp_path / "two" / "seeds" / "0" / "metrics.json").read_text())
    assert facts["effective_batch_size"] == 16
    assert _losses(tmp_path / "two") == pytest.approx(one, rel=1e-5)


def test_fine_tuning_draws_fresh_reads_and_scores_fixed_ones(arrays, finetune_recipe, tmp_path):
    reads = {"length": 40, "per_epoch": 128, "validation": 40, "test": 64}
    output = finetune(
        {**finetune_recipe, "data": {"path": str(arrays), "reads": reads}, "baselines": ["kmer_3_logistic"]},
        output=tmp_path / "run",
    )
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["metrics"]["test"]["auroc"]["mean"] > 0.9
    assert len(pq.read_table(output / "seeds" / "0" / "predictions-test.parquet")) == 64
    card = (output / "README.md").read_text()
    assert "128 reads drawn anew from the genomes in every epoch" in card
    assert json.loads((output / "config.json").read_text())["id2label"] == {"0": "host", "1": "phage"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"reads": {}}, "holds genomes, not rows; say what reads to draw"),
        ({"reads": {"lenght": 3}}, "unknown key 'data.reads.lenght' in the recipe; did you mean 'length'"),
        ({"reads": {"per_epoch": 0}}, "data.reads.per_epoch must be at least 1"),
        ({"reads": {"length": 100_000}}, "no genome of the class 'host' is 100000 letters long"),
        ({"reads": {"length": {"lower": 9, "upper": 4}}}, "data.reads: lengths need 0 < lower < upper"),
        ({"reads": {"length": 30, "classes": {"a": ["moss"]}}}, "classes.a names 'moss'"),
        ({"reads": {"length": 30}, "limits": {"train": 3}}, "data.limits is not read beside data.reads"),
        ({"reads": {"length": 30}, "splits": {"train": "dev"}}, "no split 'dev'; there are: test, train"),
        ({"reads": {"length": 30, "pairs": "all"}}, "data.reads.pairs must be one of any, like_gc, same, not 'all'"),
        ({"reads": {"length": 30, "pairs": "same"}}, "two reads of one genome, go together"),
        ({"reads": {"length": 30}, "path": "."}, "data.reads draws from genomes, and . holds none"),
    ],
)
def test_mistakes_are_named(arrays, recipe, data, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        pretrain({**recipe, "data": {"path": str(arrays), **data}}, output=tmp_path / "run")


def test_the_originals_masks_are_a_function_of_the_read(arrays):
    """With keys: the same share, 80/10/10 and spans as from torch's generator, whatever the other rows are."""
    reads = ReadSource.of(arrays, {"length": 400}, "train").sampler("train", 0).draw(range(200))
    ids = KmerTokenizer(k=3)(reads.strings(), return_tensors="np").input_ids
    collate = DataCollatorForKmerLanguageModeling(KmerTokenizer(k=3), mlm_probability=0.05, legacy="dnabert")
    torch.manual_seed(0)
    ordered, keyed = collate({"input_ids": ids}), collate({"input_ids": ids}, reads.keys)
    assert all((keyed[name][7:9] == collate({"input_ids": ids[7:9]}, reads.keys[7:9])[name]).all() for name in keyed)
    shares = []
    for found in (ordered, keyed):
        chosen = found["labels"] != -100
        hidden = (found["input_ids"] == 4)[chosen].float().mean()
        kept = (found["input_ids"] == found["labels"])[chosen].float().mean()
        edges = (chosen[:, 1:] & ~chosen[:, :-1]).sum() / chosen.sum()
        shares.append([chosen.float().mean(), hidden, kept, edges])
    np.testing.assert_allclose(shares[1], shares[0], atol=0.012)


def test_a_masking_rate_changes_at_its_step(recipe, tmp_path, monkeypatch):
    plain, shares = DataCollatorForKmerLanguageModeling.__call__, []

    def noted(self, features, keys=None):
        batch = plain(self, features, keys)
        if keys is not None:
            shares.append(float((batch["labels"] != -100).sum() / batch["attention_mask"].sum()))
        return batch

    monkeypatch.setattr(DataCollatorForKmerLanguageModeling, "__call__", noted)
    masking = {"mlm_probability": 0.1, "then": {"at": 0.5, "mlm_probability": 0.8}}
    training = {**recipe["training"], "max_steps": 8}
    pretrain({**recipe, "training": training, "masking": masking}, output=tmp_path / "run")
    assert max(shares[:4]) < 0.3 and min(shares[6:]) > 0.5
    # One process that makes batches for another learns of it.
    masker = _masker()
    loader = torch.utils.data.DataLoader([[10] * 50] * 64, batch_size=1, num_workers=1, collate_fn=_Rate(masker))
    found = iter(loader)
    assert next(found) == 0.15
    masker.change_rate(0.4)
    assert list(found)[-1] == 0.4


class _Rate:
    def __init__(self, masker):
        self.masker = masker

    def __call__(self, rows):
        return float(self.masker._rate)


PAIRED = {"length": {"lower": 20, "upper": 60, "bias": 0.5}, "per_epoch": 64, "validation": 24, "test": 24}


def test_pretraining_tells_pairs_of_one_genome_from_pairs_of_two(recipe, tmp_path, monkeypatch):
    data = {"path": recipe["data"]["path"], "reads": PAIRED | {"pairs": "any"}}
    model = {**recipe["model"], "head": "AutoModelForPreTraining"}
    model["config"] = model["config"] | {"max_position_embeddings": 128}
    training = {**recipe["training"], "max_steps": 4}
    seen = []
    plain = KmerBertForPreTraining.forward

    @functools.wraps(plain)
    def noted(self, **inputs):
        seen.append({name: value.clone() for name, value in inputs.items() if value is not None})
        return plain(self, **inputs)

    monkeypatch.setattr(KmerBertForPreTraining, "forward", noted)
    output = pretrain({**recipe, "model": model, "data": data, "training": training}, output=tmp_path / "run")
    for batch in seen:
        pairs = batch["token_type_ids"].amax(1)
        assert (pairs == 1).all() and set(batch["next_sentence_label"].tolist()) <= {0, 1}
        assert ((batch["labels"] == -100) | (batch["attention_mask"] == 1)).all()
    assert json.loads((output / "metrics.json").read_text())["metrics"]["test"]["loss"]["mean"] > 0
    with pytest.raises(ValueError, match=r"data\.reads\.pairs needs model\.head=AutoModelForPreTraining"):
        pretrain({**recipe, "data": data}, output=tmp_path / "other")


def test_reads_of_a_recipe_survive_their_yaml(recipe):
    loaded = load_recipe(recipe, ["data.reads.gc_match=true"])
    assert load_recipe(yaml.safe_load(loaded.to_yaml())) == loaded
    assert loaded.data.reads["length"] == LAW and loaded.data.reads["gc_match"] is True
    assert ReadOptions(length=LAW).law.bias == 0.3
