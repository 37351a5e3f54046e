"""K-mers of several lengths: against a loop over places, drawn lengths, the portable form, offsets and files."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from seqformers import DataCollatorForKmerLanguageModeling, KmerBertConfig, KmerBertForMaskedLM, VariableKmerTokenizer
from seqformers.hub.repository import write_model_repository
from seqformers.tokenization.reading import reading_of

SMALL = VariableKmerTokenizer(k=2, k_max=4)
RNG = np.random.default_rng(0)


def random_texts(rows: int, letters: str = "ACGT") -> list[str]:
    return ["".join(RNG.choice(list(letters), RNG.integers(0, 40))) for _ in range(rows)]


def slow(text: str, k: int, k_max: int, wanted: list[int] | None = None) -> list[str]:
    """The tokens of a text, place by place."""
    text = "".join(letter if letter in "ACGT" else "N" for letter in text.upper().replace("U", "T"))
    tokens = []
    for place in range(len(text) - k + 1):
        length = k + place % (k_max - k + 1) if wanted is None else wanted[place]
        word = text[place : place + length]
        tokens.append("[UNK]" if "N" in word else word)
    return tokens


def vocabulary(k: int, k_max: int) -> dict[str, int]:
    words = ["".join(word) for size in range(k, k_max + 1) for word in product("ATCG", repeat=size)]
    return {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}


@pytest.mark.filterwarnings("ignore:.*are \\[UNK\\]:UserWarning", "ignore:.*shorter than one token:UserWarning")
@pytest.mark.parametrize(("k", "k_max"), [(2, 4), (3, 3), (1, 8), (3, 8)])
def test_ids_are_those_of_a_loop_over_places(k: int, k_max: int) -> None:
    tokenizer = VariableKmerTokenizer(k=k, k_max=k_max)
    known = vocabulary(k, k_max)
    assert tokenizer.get_vocab() == known and tokenizer.vocab_size == len(known)
    texts = [*random_texts(20), *random_texts(20, "ACGTNacgtuRY-"), "", "A" * (k - 1), "ACGTTGCA" * 3]
    for text, ids in zip(texts, tokenizer(texts, add_special_tokens=False).input_ids, strict=True):
        expected = slow(text, k, k_max)
        assert ids == [known[token] for token in expected], text
        assert tokenizer.convert_ids_to_tokens(ids) == expected
        assert len(ids) == tokenizer.num_tokens(len(text))


def test_the_vocabulary_is_that_of_the_paper() -> None:
    tokenizer = VariableKmerTokenizer()
    assert len(tokenizer) == 87_365 == KmerBertConfig.dnavec().vocab_size
    assert reading_of(tokenizer, KmerBertConfig.dnavec()) == ("dna", 3, 1)
    tokens = VariableKmerTokenizer(k=4, k_max=6).tokenize("GATCCCAC")
    assert tokens[:3] == ["GATC", "ATCCC", "TCCCAC"]


def test_drawn_lengths_are_as_likely_as_each_other_and_a_text_without_them_stays_as_it_is() -> None:
    text = "".join(RNG.choice(list("ACGT"), 6000))
    chance = np.random.default_rng(1).random(int(SMALL.num_tokens(6000)))
    before = SMALL(text, add_special_tokens=False).input_ids
    drawn = SMALL([text], add_special_tokens=False, chance=chance).input_ids[0]
    wanted = (2 + (chance * 3).astype(int)).tolist()
    assert SMALL.convert_ids_to_tokens(drawn) == slow(text, 2, 4, wanted)
    shares = np.bincount(SMALL.letters_of(np.array(drawn)), minlength=5)[2:] / len(drawn)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.03)
    assert SMALL(text, add_special_tokens=False).input_ids == before != drawn
    with pytest.raises(ValueError, match="one number for each of the 5999 tokens"):
        SMALL(text, chance=chance[:-1])


@pytest.mark.filterwarnings("ignore:.*are \\[UNK\\]:UserWarning")
def test_letters_come_back_and_offsets_are_the_letters_of_each_token() -> None:
    texts = random_texts(10, "ACGTacgtu")
    texts = [text + "ACG" for text in texts]
    batch = SMALL(texts, return_offsets_mapping=True)
    for row, (text, ids) in enumerate(zip(texts, batch.input_ids, strict=True)):
        clean = text.upper().replace("U", "T")
        assert SMALL.decode(ids, skip_special_tokens=True) == clean
        for token, (start, end) in zip(batch.tokens(row)[1:-1], batch.offset_mapping[row][1:-1], strict=True):
            assert clean[start:end] == token
        assert batch.token_to_chars(row, 2) == batch.offset_mapping[row][2]
    masked = SMALL("ACG[MASK]TTA", return_offsets_mapping=True)
    assert [SMALL.decode([token]) for token in masked.input_ids[1:-1]] == ["AC", "CG", "NN", "TT", "TA"]
    assert masked.offset_mapping[1:-1] == [(0, 2), (1, 3), (3, 9), (9, 11), (10, 12)]
    assert SMALL.decode([2, 5 + 16, 1, 3], skip_special_tokens=True) == "AAA"


@pytest.mark.filterwarnings("ignore:.*are \\[UNK\\]:UserWarning", "ignore:.*shorter than one token:UserWarning")
@pytest.mark.parametrize(("k", "k_max"), [(2, 4), (3, 8), (2, 2)])
def test_the_portable_form_gives_the_same_ids(k: int, k_max: int, tmp_path: Path) -> None:
    tokenizer = VariableKmerTokenizer(k=k, k_max=k_max)
    tokenizer.save_portable(tmp_path)
    stock = AutoTokenizer.from_pretrained(tmp_path)
    assert type(stock).__name__ != "VariableKmerTokenizer" and len(stock) == len(tokenizer)
    texts = [*random_texts(12), *random_texts(8, "ACGTNacgtu"), "", "A", "ACGTA" * 9]
    assert stock(texts).input_ids == tokenizer(texts).input_ids


def test_settings_and_words_survive_a_file(tmp_path: Path) -> None:
    SMALL.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(again, VariableKmerTokenizer) and (again.k, again.k_max) == (2, 4)
    assert VariableKmerTokenizer(vocab_file=str(tmp_path / "vocab.txt")).k_max == 4
    with pytest.raises(ValueError, match="holds k-mers of 2 to 4, but k=3"):
        VariableKmerTokenizer(k=3, vocab_file=str(tmp_path / "vocab.txt"))


def test_a_repository_with_it_loads_by_the_auto_classes(tmp_path: Path) -> None:
    config = KmerBertConfig(
        k=2, k_max=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    write_model_repository(tmp_path, KmerBertForMaskedLM(config), tokenizer=SMALL)
    assert isinstance(AutoTokenizer.from_pretrained(tmp_path), VariableKmerTokenizer)
    assert (tmp_path / "tokenization_variable_kmer.py").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "between 1 and 8"),
        ({"k": 5, "k_max": 4}, "between 1 and 8"),
        ({"k_max": 9}, "between 1 and 8"),
        ({"on_unknown": "skip"}, "on_unknown"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VariableKmerTokenizer(**options)
    with pytest.raises(ValueError, match="sequence 1 holds 'N' at position 2"):
        VariableKmerTokenizer(on_unknown="error")(["ACGT", "ACNT"])
    with pytest.raises(ValueError, match="split into overlapping 3-mers already"):
        VariableKmerTokenizer()("ACG CGT GTA")


def test_masks_come_in_runs_and_random_words_are_as_long_as_those_they_stand_for() -> None:
    tokenizer = VariableKmerTokenizer(k=3, k_max=5)
    collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=0.2, span=3, seed=0)
    rows = [tokenizer("".join(RNG.choice(list("ACGT"), 400))) for _ in range(60)]
    batch = collate(rows)
    chosen = batch["labels"] != -100
    share = chosen.sum() / (batch["attention_mask"].sum() - 2 * len(rows))
    assert abs(share - 0.2) < 0.02
    runs = torch.nn.functional.pad(chosen.int(), (1, 1)).diff(dim=1)
    starts, ends = (runs == 1).nonzero(), (runs == -1).nonzero()
    assert (ends[:, 1] - starts[:, 1]).min() == 7  # 3 bases and the 4 more that a token of 5 reaches
    swapped = chosen & (batch["input_ids"] != tokenizer.mask_token_id) & (batch["input_ids"] != batch["labels"])
    assert swapped.sum() > 100
    before, after = (tokenizer.letters_of(batch[name][swapped].numpy()) for name in ("labels", "input_ids"))
    assert (before == after).all() and len(set(before.tolist())) == 3
