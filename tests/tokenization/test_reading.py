"""What a tokenizer says that it reads, and what is found out about those that say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import Split, WhitespaceSplit
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from seqformers import DeepCpf1Processor, KmerBertConfig, KmerTokenizer, ProteinTokenizer, TargetNetProcessor
from seqformers.tokenization.reading import Reading, reading_of


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        (KmerTokenizer(k=6), Reading("dna", 6, 1)),
        (KmerTokenizer(k=4, stride=3, molecule="rna"), Reading("rna", 4, 3)),
        (ProteinTokenizer("plus-tfm"), Reading("protein", 1, 1)),
    ],
    ids=["dna", "rna", "protein"],
)
def test_it_is_stated_saved_and_stated_by_the_portable_form(tokenizer, expected, tmp_path: Path) -> None:
    assert reading_of(tokenizer) == expected
    tokenizer.save_pretrained(tmp_path / "own")
    assert reading_of(type(tokenizer).from_pretrained(tmp_path / "own")) == expected
    tokenizer.save_portable(tmp_path / "portable")
    for folder in ("own", "portable"):
        said = json.loads((tmp_path / folder / "tokenizer_config.json").read_text())
        assert Reading(*(said[name] for name in Reading._fields)) == expected
    portable = AutoTokenizer.from_pretrained(tmp_path / "portable")
    assert isinstance(portable, PreTrainedTokenizerFast) and not hasattr(portable, "k")
    assert reading_of(portable) == expected
    portable.save_pretrained(tmp_path / "again")
    assert reading_of(AutoTokenizer.from_pretrained(tmp_path / "again")) == expected


def test_another_k_when_loading_is_not_held_against_the_saved_one(tmp_path: Path) -> None:
    KmerTokenizer(k=6, stride=2).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    assert reading_of(KmerTokenizer.from_pretrained(tmp_path, k=5, stride=1)) == Reading("dna", 5, 1)


def forget(folder: Path) -> Path:
    """Take what a portable form states out of its file, as forms written by others or long ago lack it."""
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in said.items() if name not in Reading._fields}))
    return folder


@pytest.mark.parametrize(("k", "stride"), [(6, 1), (6, 3), (4, 4), (3, 2)])
def test_it_is_found_out_about_portable_k_mers_that_do_not_say(k: int, stride: int, tmp_path: Path) -> None:
    KmerTokenizer(k=k, stride=stride).save_portable(tmp_path)
    assert reading_of(AutoTokenizer.from_pretrained(forget(tmp_path))) == Reading("dna", k, stride)


@pytest.mark.parametrize("preset", ["plus", "plus-tfm", "tape", "unirep"])
def test_it_is_found_out_about_portable_residues_that_do_not_say(preset: str, tmp_path: Path) -> None:
    ProteinTokenizer(preset).save_portable(tmp_path)
    assert reading_of(AutoTokenizer.from_pretrained(forget(tmp_path))) == Reading("protein", 1, 1)


def stock(model, pre_tokenizer) -> PreTrainedTokenizerFast:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")


def words(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(["[PAD]", "[UNK]", *tokens])}


def test_stock_tokenizers_have_a_defined_answer() -> None:
    letters = Split("", "isolated")
    bases = stock(WordLevel(words(list("ACGTN")), unk_token="[UNK]"), letters)
    assert reading_of(bases) == Reading("dna", 1, 1)
    assert reading_of(stock(WordLevel(words(list("ACGU")), unk_token="[UNK]"), letters)) == Reading("rna", 1, 1)
    # DNABERT's own files want sequences that somebody has cut into k-mers before: no plain letters are read.
    kmers = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
    assert reading_of(stock(WordLevel(words(kmers), unk_token="[UNK]"), WhitespaceSplit())) == Reading("dna", 1, 1)
    pairs = words([*"ACGT", "AC", "ACA", "GT"])
    merged = BPE(pairs, [("A", "C"), ("AC", "A"), ("G", "T")], unk_token="[UNK]")
    assert reading_of(stock(merged, WhitespaceSplit())) == Reading("dna", 1, 1)
    esm = WordLevel(words([*"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-"]), unk_token="[UNK]")
    assert reading_of(stock(esm, letters)) == Reading("protein", 1, 1)
    any_text = WordLevel(words([chr(code) for code in range(33, 127)]), unk_token="[UNK]")
    assert reading_of(stock(any_text, letters)) == Reading(None, 1, 1)
    english = WordLevel(words(["the", "cat", "sat", "a"]), unk_token="[UNK]")
    assert reading_of(stock(english, WhitespaceSplit())) == Reading(None, 1, 1)


def test_processors_say_their_molecule() -> None:
    assert reading_of(DeepCpf1Processor()) == Reading("dna")
    assert reading_of(TargetNetProcessor()) == Reading("rna")


def test_a_configuration_answers_where_the_tokenizer_does_not_and_must_agree() -> None:
    config = KmerBertConfig(k=4, stride=2)
    assert reading_of(None, config) == reading_of(SimpleNamespace(), config) == Reading("dna", 4, 2)
    assert reading_of(KmerTokenizer(k=4, stride=2), config) == Reading("dna", 4, 2)
    assert reading_of(KmerTokenizer(k=4, stride=2, molecule="rna"), config).molecule == "rna"
    with pytest.raises(ValueError, match="token_step=1, the model's configuration token_step=2"):
        reading_of(KmerTokenizer(k=4), config)
    with pytest.raises(ValueError, match="molecule='protein', the model's configuration molecule='dna'"):
        reading_of(ProteinTokenizer(), config)


@pytest.mark.parametrize(("k", "stride"), [(6, 1), (6, 4), (1, 1)])
def test_letters_and_tokens_are_those_of_the_tokenizer(k: int, stride: int) -> None:
    reading = reading_of(KmerTokenizer(k=k, stride=stride))
    for letters in (0, k - 1, k, k + 1, 100):
        assert reading.tokens(letters) == KmerTokenizer(k=k, stride=stride).num_tokens(letters)
    assert [reading.tokens(reading.letters(count)) for count in (0, 1, 7)] == [0, 1, 7]
