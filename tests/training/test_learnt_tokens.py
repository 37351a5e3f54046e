"""Words of several lengths in training: drawn anew for every read; learnt by byte pairs or unigrams."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

from seqformers import KmerBertForMaskedLM, VariableKmerTokenizer
from seqformers.cli import app
from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler
from seqformers.tokenization.learnt import learn_vocabulary
from seqformers.training import evaluate, finetune, pretrain
from seqformers.training.batches import LanguageModelBatches
from seqformers.training.collators import DataCollatorForKmerLanguageModeling
from tests.training.conftest import TINY

SHAPE = {key: value for key, value in TINY.items() if key != "k"}


@pytest.fixture(scope="module")
def genomes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty genomes of two classes, built; they repeat some words."""
    folder, rng = tmp_path_factory.mktemp("genomes"), np.random.default_rng(0)
    for number in range(20):
        path = folder / "in" / ("host", "phage")[number % 2] / f"g{number}.fa"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f">c\n{''.join(rng.choice(['A', 'C', 'G', 'T', 'GATTACA', 'CCGG'], 300))}\n")
    return build_dataset("genomes", output=folder / "out", data_dir=folder / "in", groups="none")


def slow_merges(texts: list[str], merges: int) -> list[str]:
    """Byte-pair encoding by its definition; of pairs that come equally often the first in order of ids."""
    words, rows = list("ACGT"), [list(text) for text in texts]
    for _ in range(merges):
        counts: dict[tuple[str, str], int] = {}
        for row in rows:
            for pair in pairwise(row):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], -words.index(pair[0]), -words.index(pair[1])))
        words.append("".join(best))
        rows = [_joined(row, best) for row in rows]
    return words


def _joined(row: list[str], pair: tuple[str, str]) -> list[str]:
    out, place = [], 0
    while place < len(row):
        both = tuple(row[place : place + 2]) == pair
        out.append("".join(pair) if both else row[place])
        place += 2 if both else 1
    return out


def test_byte_pairs_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(["ACG", "TT", "G", "CAT"], 60)) for _ in range(30)]
    backend = learn_vocabulary(texts, size=5 + 4 + 12, longest=64)
    expected = slow_merges(texts, 12)
    assert set(backend.get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *expected}
    assert "".join(backend.encode("acgttuNNcat").tokens[1:-1]) == "ACGTTT[UNK]CAT"


@pytest.mark.parametrize("algorithm", ["bpe", "unigram"])
def test_words_are_learnt_by_a_command_and_a_recipe_trains_on_them(
    algorithm: str, genomes: Path, tmp_path: Path
) -> None:
    words = ["learn-tokens", str(genomes), "--algorithm", algorithm, "--vocabulary", "60", "--length", "100"]
    result = CliRunner().invoke(app, [*words, "--letters", "20000", "-o", str(tmp_path / "tok")])
    assert result.exit_code == 0, result.output
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tok")
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [0, 1, 2, 3, 4]
    assert 40 < len(tokenizer) <= 60 and tokenizer("ACGTNNA").input_ids.count(1) == 1
    recipe: dict[str, Any] = {
        "model": {"type": "kmer_bert", "config": SHAPE},
        "tokenizer": {"from": str(tmp_path / "tok")},
        "data": {"path": str(genomes), "reads": {"length": 60, "per_epoch": 32, "validation": 16}},
        "training": {"per_device_train_batch_size": 16, "max_steps": 2, "use_cpu": True},
    }
    run = pretrain(recipe, output=tmp_path / "pt")
    config = json.loads((run / "config.json").read_text())
    assert (config["k"], config["vocab_size"]) == (1, len(tokenizer))
    assert np.isfinite(json.loads((run / "metrics.json").read_text())["metrics"]["validation"]["loss"]["mean"])
    for folder in (run, run / "portable"):
        again = AutoTokenizer.from_pretrained(folder)
        assert again("ACGTACCA").input_ids == tokenizer("ACGTACCA").input_ids
    recipe |= {"model": {"type": "kmer_bert", "from": str(run), "config": {"classifier_pooling": "mean"}}}
    del recipe["tokenizer"]
    recipe["baselines"] = {"names": []}
    recipe["data"]["reads"]["test"] = 16
    tuned = finetune(recipe, output=tmp_path / "ft")
    assert np.isfinite(evaluate(tuned)["metrics"]["loss"])


def test_learnt_words_are_hidden_one_by_one(genomes: Path, tmp_path: Path) -> None:
    from seqformers.training.segmentation import learn_tokens

    tokenizer = AutoTokenizer.from_pretrained(learn_tokens(genomes, tmp_path / "t", vocabulary=40, letters=20_000))
    collate = DataCollatorForKmerLanguageModeling(tokenizer, seed=0)
    rng = np.random.default_rng(0)
    rows = [tokenizer("".join(rng.choice(list("ACGT"), 300))) for _ in range(40)]
    batch = collate(rows)
    chosen = batch["labels"] != -100
    assert abs(chosen.sum() / batch["attention_mask"].sum() - 0.15) < 0.02
    assert (batch["labels"][chosen] >= 5).all()
    runs = torch.nn.functional.pad(chosen.int(), (1, 1)).diff(dim=1)
    assert ((runs == -1).nonzero()[:, 1] - (runs == 1).nonzero()[:, 1]).min() == 1
    with pytest.raises(ValueError, match=r"tokenizer\.from is a tokenizer made before"):
        pretrain(_recipe(genomes, {"from": str(tmp_path / "t"), "k": 3}), output=tmp_path / "no")


def _recipe(path: Path, tokenizer: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": {"type": "kmer_bert", "config": SHAPE},
        "tokenizer": tokenizer,
        "data": {"path": str(path), "reads": {"length": 60, "per_epoch": 32, "validation": 16}},
        "training": {"per_device_train_batch_size": 16, "max_steps": 2, "use_cpu": True},
    }


def test_lengths_of_kmers_are_drawn_by_the_read_and_anew_in_every_epoch(genomes: Path) -> None:
    tokenizer = VariableKmerTokenizer(k=2, k_max=4)
    masker = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=0.0, seed=3)
    batches = LanguageModelBatches(tokenizer, {"text": "sequence"}, masker)
    sampler = ReadSampler(GenomeArrays.open(genomes, "train"), ReadOptions(length=50))
    whole = batches(sampler.draw(range(8)))["input_ids"]
    assert torch.equal(batches(sampler.draw(range(4, 8)))["input_ids"], whole[4:])
    assert not torch.equal(batches(sampler.draw(range(8), epoch=1))["input_ids"], whole)
    plain = tokenizer(sampler.draw(range(8)).strings(), return_tensors="pt").input_ids
    assert plain.shape == whole.shape and 0.2 < (plain == whole).float().mean() < 0.5
    rows = [{"sequence": text} for text in sampler.draw(range(8)).strings()]
    assert not torch.equal(batches(rows)["input_ids"], batches(rows)["input_ids"])  # stored rows: anew as well


def test_a_recipe_trains_on_kmers_of_several_lengths(genomes: Path, tmp_path: Path) -> None:
    run = pretrain(_recipe(genomes, {"type": "VariableKmerTokenizer", "k": 2, "k_max": 4}), output=tmp_path / "pt")
    config = json.loads((run / "config.json").read_text())
    assert (config["k"], config["k_max"], config["vocab_size"]) == (2, 4, 5 + 16 + 64 + 256)
    assert isinstance(AutoTokenizer.from_pretrained(run), VariableKmerTokenizer)
    assert KmerBertForMaskedLM.from_pretrained(run).config.letters_per_token == 2
