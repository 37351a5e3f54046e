"""Self-GenomeNet: states of both strands against one-row loops, symmetry of the strands, and learning by contrast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqformers import (
    KmerTokenizer,
    SelfGenomeNetConfig,
    SelfGenomeNetForPreTraining,
    SelfGenomeNetForSequenceClassification,
    SelfGenomeNetModel,
)
from seqformers.datasets import build_dataset
from seqformers.inference.windowing import reverse_complement
from seqformers.training import finetune, pretrain, probe

SHAPE: dict[str, Any] = {"num_filters": 8, "filter_width": 6, "filter_stride": 3, "lstm_size": 5}
TOKENIZER = KmerTokenizer(k=1)


def texts(rows: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACGT"), rng.integers(20, 40))) for _ in range(rows)]


def encoded(rows: list[str]) -> dict[str, torch.Tensor]:
    batch = dict(TOKENIZER(rows, padding=True, return_tensors="pt"))
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def state_of(model: Any, text: str) -> torch.Tensor:
    """The last state of the LSTM over a text alone, read position by position."""
    one_hot = torch.tensor([["ACGT".index(letter) == row for letter in text] for row in range(4)]).double()
    state = None
    width, step = model.config.filter_width, model.config.filter_stride
    for start in range(0, len(text) - width + 1, step):
        window = one_hot[:, start : start + width]
        filtered = (model.convolution.weight * window).sum((1, 2)) + model.convolution.bias
        out, state = model.lstm(filtered.relu()[None, None], state)
    return out[0, 0]


def slow_loss(model: Any, rows: list[str]) -> float:
    """Every split of every row on its own: prefix and reverse complement of a suffix that share no base."""
    config, encoder = model.config, model.self_genomenet
    room = [(len(row) - 2 * config.filter_width) // config.filter_stride for row in rows]

    def prefix(row: str, place: int) -> torch.Tensor:
        return state_of(encoder, row[: config.filter_width + place * config.filter_stride])

    losses = []
    for number in range(1, config.num_targets + 1):
        for shorter in (True, False):
            cuts = [r * number // (2 * config.num_targets) for r in room]
            cuts = cuts if shorter else [r - cut for r, cut in zip(room, cuts, strict=True)]
            ones = [prefix(row, cut) for row, cut in zip(rows, cuts, strict=True)]
            rests = [prefix(reverse_complement(row), r - cut) for row, r, cut in zip(rows, room, cuts, strict=True)]
            for given, wanted in ((ones, rests), (rests, ones)):
                scores = torch.stack([torch.stack([model.predictors[0](a) @ b for b in wanted]) for a in given])
                losses.append(-scores.log_softmax(1).diagonal().mean())
    return torch.stack(losses).mean().item()


@pytest.mark.parametrize("targets", [1, 3])
def test_loss_is_that_of_each_row_read_alone(targets: int) -> None:
    torch.manual_seed(0)
    model = SelfGenomeNetForPreTraining(SelfGenomeNetConfig(**SHAPE, num_targets=targets)).double().eval()
    rows = texts(4)
    batch = encoded(rows)
    assert model(**batch, labels=batch["input_ids"]).loss.item() == pytest.approx(slow_loss(model, rows), abs=1e-6)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_a_vector_does_not_depend_on_the_strand(pooling: str) -> None:
    torch.manual_seed(0)
    model = SelfGenomeNetModel(SelfGenomeNetConfig(**SHAPE, pooling=pooling)).double().eval()
    rows = [*texts(5), "ACG"]  # the last one is shorter than a filter
    one, other = (model(**encoded(each)).pooler_output for each in (rows, list(map(reverse_complement, rows))))
    torch.testing.assert_close(one, other)
    model.config.strands = "forward"
    one, other = (model(**encoded(each)).pooler_output for each in (rows, list(map(reverse_complement, rows))))
    assert (one - other).abs().max() > 0.01


def test_the_loss_does_not_depend_on_the_strand() -> None:
    torch.manual_seed(0)
    model = SelfGenomeNetForPreTraining(SelfGenomeNetConfig(**SHAPE, num_targets=2)).double().eval()
    rows = texts(6)
    turned = [reverse_complement(row) for row in rows]
    losses = [model(**encoded(each), labels=encoded(each)["input_ids"]).loss for each in (rows, turned)]
    torch.testing.assert_close(losses[0], losses[1])


def test_cpc_tells_positions_that_share_no_base_with_what_was_read() -> None:
    torch.manual_seed(0)
    config = SelfGenomeNetConfig(**SHAPE, objective="cpc", num_targets=2)
    model = SelfGenomeNetForPreTraining(config).double().eval()
    rows = texts(4)
    batch = encoded(rows)
    found = model(**batch, labels=batch["input_ids"])
    hidden = model.self_genomenet(**batch, output_hidden_states=True).hidden_states
    losses = []
    for step, predict in zip((2, 3), model.predictors, strict=True):  # a filter of 6 bases ends two steps of 3 later
        terms = []
        for place in range(max(map(config.positions, map(len, rows)))):
            there = [row for row in range(4) if place + step < config.positions(len(rows[row]))]
            if there:
                scores = predict(hidden[2][there, place]) @ hidden[1][there, place + step].T
                terms += (-scores.log_softmax(1).diagonal()).tolist()
        losses.append(np.mean(terms))
    assert found.loss.item() == pytest.approx(np.mean(losses), abs=1e-6)
    assert found.predictions.shape[2] == config.num_filters


@pytest.mark.parametrize("objective", ["reverse_complement", "cpc"])
def test_rows_that_are_too_short_are_left_out_and_none_is_an_error(objective: str) -> None:
    torch.manual_seed(0)
    model = SelfGenomeNetForPreTraining(SelfGenomeNetConfig(**SHAPE, objective=objective)).eval()
    rows = texts(3)
    losses = [model(**encoded(each), labels=encoded(each)["input_ids"]).loss for each in (rows, [*rows, "ACGTA"])]
    torch.testing.assert_close(losses[0], losses[1])
    with pytest.raises(ValueError, match="no row of this batch has 12"):
        model(**encoded(["ACGTA", "ACGT"]), labels=encoded(["ACGTA", "ACGT"])["input_ids"])


@pytest.mark.parametrize("objective", ["reverse_complement", "cpc"])
def test_bfloat16_gives_nearly_the_same_and_finite_gradients(objective: str) -> None:
    torch.manual_seed(0)
    model = SelfGenomeNetForPreTraining(SelfGenomeNetConfig(**SHAPE, objective=objective)).train()
    batch = encoded(texts(6))
    exact = model(**batch, labels=batch["input_ids"])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = model(**batch, labels=batch["input_ids"])
    coarse.loss.backward()
    assert coarse.loss.item() == pytest.approx(exact.loss.item(), rel=0.05)
    assert all(torch.isfinite(value.grad).all() and value.grad.any() for value in model.parameters())


def learnable(rows: int, rng: np.random.Generator) -> list[str]:
    """Reads whose halves have to do with each other: each repeats a word of its own on both strands."""
    out = []
    for _ in range(rows):
        word = "".join(rng.choice(list("ACGT"), 6))
        half = "".join(word if rng.random() < 0.8 else "".join(rng.choice(list("ACGT"), 6)) for _ in range(8))
        out.append(half + reverse_complement(half))
    return out


@pytest.mark.parametrize("objective", ["reverse_complement", "cpc"])
def test_it_learns_to_find_the_rest_of_a_row(objective: str) -> None:
    """Below what chance gives, log(rows), on rows that it has not seen."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    config = SelfGenomeNetConfig(
        num_filters=32, filter_width=6, filter_stride=3, lstm_size=32, num_targets=1, objective=objective
    )
    model = SelfGenomeNetForPreTraining(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(30):
        batch = encoded(learnable(32, rng))
        optimizer.zero_grad()
        model(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
    batch = encoded(learnable(32, np.random.default_rng(1)))
    with torch.no_grad():
        assert model.eval()(**batch, labels=batch["input_ids"]).loss.item() < 0.8 * np.log(32)


def genomes(folder: Path) -> Path:
    """Ten genomes of each of two classes, built."""
    rng = np.random.default_rng(0)
    for number in range(20):
        path = folder / "in" / ("host", "phage")[number % 2] / f"g{number}.fa"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f">c\n{''.join(rng.choice(list('ACGT'), 300))}\n")
    return build_dataset("genomes", output=folder / "out", data_dir=folder / "in", groups="none")


def test_recipes_pretrain_on_fresh_reads_then_probe_and_finetune(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQFORMERS_CACHE", str(tmp_path / "cache"))
    recipe: dict[str, Any] = {
        "model": {"type": "self_genomenet", "config": SHAPE},
        "tokenizer": {"k": 1},
        "data": {
            "path": str(genomes(tmp_path / "genomes")),
            "reads": {"length": {"lower": 30, "upper": 60, "bias": 0.5}, "per_epoch": 32, "validation": 16},
            "splits": {"test": None},
        },
        "training": {
            "per_device_train_batch_size": 16, "num_train_epochs": 2, "use_cpu": True, "learning_rate": 1e-2,
            "train_sampling_strategy": "group_by_length",
        },
    }  # fmt: skip
    run = pretrain(recipe, output=tmp_path / "pt")
    found = json.loads((run / "metrics.json").read_text())["metrics"]["validation"]
    assert set(found) == {"loss"} and 0 < found["loss"]["mean"] < 1.2 * np.log(16)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        rows = {"sequence": texts(16), "label": np.arange(16) % 2}
        pd.DataFrame(rows).to_parquet(tmp_path / "data" / f"{split}.parquet")
    recipe = {
        "model": {"type": "self_genomenet", "from": str(run)},
        "data": {"path": str(tmp_path / "data")},
        "training": {"per_device_train_batch_size": 8, "max_steps": 2, "use_cpu": True, "learning_rate": 0.0},
        "baselines": {"names": []},
    }
    probed = probe(recipe, output=tmp_path / "probe")
    tuned = finetune(recipe, output=tmp_path / "ft")
    before = SelfGenomeNetForPreTraining.from_pretrained(run).self_genomenet
    for folder in (probed, tuned):
        after = SelfGenomeNetForSequenceClassification.from_pretrained(folder).self_genomenet
        assert torch.equal(before.convolution.weight, after.convolution.weight)
