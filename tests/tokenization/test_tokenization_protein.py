"""Residue ids against the originals' tables, a letter-by-letter reference, and the portable form."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, DataCollatorWithPadding

from seqformers import ProteinTokenizer
from seqformers.tokenization.tokenization_arrays import ENDLESS
from tests.conftest import golden_cases

PRESETS = ("plus", "plus-tfm", "tape", "unirep")
TAPE = golden_cases("tape_models")
(ALPHABET,) = [case for case in golden_cases("plus_models") if case["kind"] == "alphabet"]
(VOCAB,) = [case for case in TAPE if case["kind"] == "vocab"]
TOKENIZERS = {name: ProteinTokenizer(name, unknown_warning_share=1.0) for name in PRESETS}

proteins = st.text(alphabet="ACDEFGHIKLMNPQRSTVWYXBZOUJacdwx*-._1é", max_size=30)


def slow_ids(preset, protein):
    """Letter by letter, from the tables of the originals."""
    if preset.startswith("plus"):
        table, unknown = ALPHABET["table"], 21
    elif preset == "tape":
        table, unknown = {k: v for k, v in VOCAB["iupac"].items() if len(k) == 1}, 4
    else:
        table, unknown = {k: v for k, v in VOCAB["unirep"].items() if len(k) == 1}, 23
    return [table.get(letter.upper() if letter.isascii() else letter, unknown) for letter in protein]


@pytest.mark.parametrize(
    "case", [case for case in TAPE if case["kind"] == "tokenised"], ids=lambda c: c["sequence"][:5]
)
def test_ids_of_tape_and_unirep_golden(case):
    assert TOKENIZERS["tape"](case["sequence"]).input_ids == case["iupac"]
    assert TOKENIZERS["unirep"](case["sequence"]).input_ids == case["unirep"]


def test_ids_of_plus_golden():
    tokenizer = TOKENIZERS["plus"]
    assert len(tokenizer) == ALPHABET["size"] and len(TOKENIZERS["plus-tfm"]) == 25
    for letter, index in ALPHABET["table"].items():
        assert tokenizer(letter).input_ids == [0, index, 0], letter
    for letter, index in ALPHABET["other"].items():
        if letter != "x":  # the original alphabet knows no lower case, its loaders do
            assert tokenizer(letter, add_special_tokens=False).input_ids == [index]
    as_read = ProteinTokenizer("plus", do_upper_case=False, unknown_warning_share=1.0)
    assert as_read("x", add_special_tokens=False).input_ids == [21]


def test_vocabulary_of_tape_golden():
    assert TOKENIZERS["tape"].get_vocab() == VOCAB["iupac"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PRESETS), st.lists(proteins, min_size=1, max_size=5), st.booleans())
def test_batches_equal_the_letter_by_letter_reference(preset, batch, pairs):
    tokenizer = TOKENIZERS[preset]
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    second = batch[::-1] if pairs else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty proteins
        found = tokenizer(batch, second, return_special_tokens_mask=True)
    for row, protein in enumerate(batch):
        expected = [cls, *slow_ids(preset, protein), sep]
        kinds = [0] * len(expected)
        special = [1, *[0] * len(protein), 1]
        if second is not None:
            other = slow_ids(preset, second[row])
            start = [cls] if preset == "plus" else []
            expected += [*start, *other, sep]
            kinds += [1] * (len(start) + len(other) + 1)
            special += [*[1] * len(start), *[0] * len(other), 1]
        assert found.input_ids[row] == expected
        assert found.token_type_ids[row] == kinds
        assert found.special_tokens_mask[row] == special
        assert found.attention_mask[row] == [1] * len(expected)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PRESETS), proteins, proteins, st.integers(4, 20))
def test_long_pairs_lose_one_residue_at_a_time_from_the_longer(preset, first, second, limit):
    tokenizer = TOKENIZERS[preset]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tokenizer(first, second, truncation=True, max_length=limit).input_ids
    a, b = slow_ids(preset, first), slow_ids(preset, second)
    while len(a) + len(b) + tokenizer.num_special_tokens_to_add(pair=True) > limit:
        (a if len(a) > len(b) else b).pop()
    assert found == tokenizer.build_inputs_with_special_tokens(a, b)
    assert len(found) == len(tokenizer.create_token_type_ids_from_sequences(a, b))
    assert len(found) == len(tokenizer.get_special_tokens_mask(a, b))


@pytest.mark.parametrize("preset", PRESETS)
def test_portable_form_gives_the_same(preset, tmp_path):
    tokenizer = TOKENIZERS[preset]
    tokenizer.save_portable(tmp_path)
    stock = AutoTokenizer.from_pretrained(tmp_path)
    assert not type(stock).__module__.startswith("seqformers")
    texts = ["MKTAXJOUBZ-*. mkxé\n1", "V", "AC<mask>DE" if preset in ("tape", "plus-tfm") else "ACXDE"]
    for arguments in ({}, {"padding": True}, {"truncation": True, "max_length": 6}):
        assert dict(stock(texts, **arguments)) == dict(tokenizer(texts, **arguments))
        if "truncation" not in arguments:  # of two equally long proteins, stock tokenizers cut the other one first
            second = texts[::-1]
            assert dict(stock(texts, second, **arguments)) == dict(tokenizer(texts, second, **arguments))
    for name in ("pad", "cls", "sep", "mask", "unk"):
        assert getattr(stock, f"{name}_token_id") == getattr(tokenizer, f"{name}_token_id")
    if tokenizer.model_max_length < ENDLESS:
        assert stock.model_max_length == tokenizer.model_max_length
    else:  # told so that it does not pad to it
        assert len(stock("MKT", padding="max_length").input_ids) == 5


@pytest.mark.parametrize("preset", PRESETS)
def test_save_and_load(preset, tmp_path):
    tokenizer = ProteinTokenizer(preset, do_upper_case=False, on_unknown="error")
    tokenizer.save_pretrained(tmp_path)
    again = ProteinTokenizer.from_pretrained(tmp_path)
    assert (again.preset, again.do_upper_case, again.on_unknown) == (preset, False, "error")
    assert again.get_vocab() == tokenizer.get_vocab() and again("MKT").input_ids == tokenizer("MKT").input_ids
    assert ProteinTokenizer(vocab_file=str(tmp_path / "vocab.txt")).preset == preset
    other = "tape" if preset != "tape" else "plus"
    with pytest.raises(ValueError, match="was asked for"):
        ProteinTokenizer(other, vocab_file=str(tmp_path / "vocab.txt"))


def test_decoding_keeps_positions():
    tape, plus = TOKENIZERS["tape"], TOKENIZERS["plus"]
    assert tape.decode(tape("MKX").input_ids) == "<cls>MKX<sep>"
    assert tape.decode([2, 16, 1, 4, 14, 3, 0], skip_special_tokens=True) == "MXXK"
    assert plus.decode([0, 13, 21, 12, 0, 0], skip_special_tokens=True) == "MXK"
    assert plus.batch_decode([[0, 13, 0], [0, 12, 0]], skip_special_tokens=True) == ["M", "K"]
    assert tape.convert_tokens_to_string(tape.tokenize("MK")) == "MK"
    assert plus.convert_tokens_to_ids(["O", "Z", "M", "?"]) == [12, 21, 13, 21]


def test_offsets_windows_words_and_tensors():
    tokenizer = TOKENIZERS["plus"]
    one = tokenizer("MKX", return_offsets_mapping=True)
    assert one.offset_mapping == [(0, 0), (0, 1), (1, 2), (2, 3), (0, 0)]
    windows = tokenizer("MKTAYI", truncation=True, max_length=6, stride=2, return_overflowing_tokens=True)
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in windows.input_ids] == ["MKTA", "TAYI"]
    words = tokenizer(["M", "K"], is_split_into_words=True)
    assert words.input_ids == tokenizer("MK").input_ids
    batch = tokenizer(["MKT", "A"], padding=True, return_tensors="np")
    assert batch.input_ids.tolist() == [[0, 13, 12, 17, 0], [0, 1, 0, 0, 0]]
    assert batch.attention_mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    rows = [tokenizer("MKT"), tokenizer("A")]
    assert DataCollatorWithPadding(tokenizer)(rows)["input_ids"].tolist() == batch.input_ids.tolist()


def test_x_is_found_without_searching(monkeypatch):
    """X is unknown and mask at once, so the base class would cut every protein at it."""
    tokenizer = ProteinTokenizer("plus")
    monkeypatch.setattr(tokenizer, "tokens_trie", None)
    assert tokenizer("MXKX").input_ids == [0, 13, 21, 12, 21, 0]


def test_added_tokens_are_found():
    tokenizer = ProteinTokenizer("tape")
    tokenizer.add_tokens(["[PHOS]"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokenizer("[PHOS]M<mask>", add_special_tokens=False).input_ids == [30, 16, 1]
    assert len(tokenizer) == 31


def test_unknown_letters_are_refused_or_counted():
    strict = ProteinTokenizer("tape", on_unknown="error")
    assert strict("BOUXZ").input_ids == [2, 6, 18, 24, 27, 29, 3]
    with pytest.raises(ValueError, match=r"protein 1 holds 'J' at position 2"):
        strict(["MKT", "MKJ"])
    for text in (case["texts"] for case in TAPE if case["kind"] == "unknown_characters"):
        for sequence in text:
            with pytest.raises(ValueError, match="holds"):
                ProteinTokenizer("tape", on_unknown="error", do_upper_case=False)(sequence)
    with pytest.warns(UserWarning, match=r"3 of 6 residues \(50.0%\) are unknown"):
        ProteinTokenizer("plus")("MKT-*J")
    with pytest.warns(UserWarning, match="lower case counts as unknown"):
        ProteinTokenizer("plus", do_upper_case=False)("mkt")
    with pytest.warns(UserWarning, match="1 of 2 proteins are empty"):
        assert ProteinTokenizer("plus")(["", "M"]).input_ids == [[0, 0], [0, 13, 0]]
    with pytest.raises(ValueError, match="text 1 is NoneType"):
        strict(["M", None])


def test_titin_fits():
    rng = np.random.default_rng(0)
    titin = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 34_350))
    assert len(ProteinTokenizer("plus")(titin).input_ids) == 34_352
    assert len(ProteinTokenizer("tape")(titin, truncation=True).input_ids) == 8096


@pytest.mark.parametrize("arguments", [{"preset": "blosum"}, {"preset": "plus", "on_unknown": "drop"}])
def test_arguments_are_checked(arguments):
    with pytest.raises(ValueError, match=r"no preset 'blosum'|on_unknown"):
        ProteinTokenizer(**arguments)


def test_a_vocabulary_of_something_else_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("<pad>\nA\n")
    with pytest.raises(ValueError, match="not the vocabulary of any of"):
        ProteinTokenizer(vocab_file=str(tmp_path / "vocab.txt"))


def test_residue_ids():
    assert TOKENIZERS["plus"].residue_ids.tolist() == list(range(1, 21))
    assert 27 not in TOKENIZERS["tape"].residue_ids and len(TOKENIZERS["tape"].residue_ids) == 24
