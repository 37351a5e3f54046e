"""What tokenizers are given: columns, arrays, words, what was split before; and what pipelines ask of them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer, DataCollatorWithPadding, pipeline

from seqformers import KmerBertConfig, KmerBertForTokenClassification, KmerTokenizer, ProteinTokenizer

READS = ["ACGTTGCA", "ACGT", "GGATCCAATG"]
PROTEINS = ["MKTAYIAK", "V", "ACDE"]
TOKENIZERS = [(KmerTokenizer(k=3), READS), (ProteinTokenizer("tape"), PROTEINS)]
both = pytest.mark.parametrize(("tokenizer", "texts"), TOKENIZERS, ids=["kmer", "protein"])


def forms(texts: list[str]) -> dict[str, Any]:
    return {
        "tuple": tuple(texts),
        "column": Dataset.from_dict({"s": texts})["s"],
        "series": pd.Series(texts, index=[7, 3, 5]),
        "string series": pd.Series(texts, dtype="string"),
        "array": np.array(texts),
        "object array": np.array(texts, dtype=object),
        "arrow": pa.array(texts),
    }


@both
@pytest.mark.parametrize("form", forms(READS))
def test_columns_and_arrays_of_strings_are_read(tokenizer: Any, texts: list[str], form: str) -> None:
    given, expected = forms(texts)[form], tokenizer(texts)
    assert tokenizer(given).input_ids == expected.input_ids
    pairs = tokenizer(given, given, padding=True, return_tensors="np").input_ids
    assert np.array_equal(pairs, tokenizer(texts, texts, padding=True, return_tensors="np").input_ids)


@both
def test_one_string_of_any_kind_is_one_text(tokenizer: Any, texts: list[str]) -> None:
    expected = tokenizer(texts[0]).input_ids
    assert tokenizer(np.str_(texts[0])).input_ids == tokenizer(np.array(texts)[0]).input_ids == expected


@both
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "must be str or a list of str, got int"),
        (b"ACGT", "must be str or a list of str, got bytes"),
        ({"ACGT"}, "must be str or a list of str, got set"),
        ([None, "ACGT"], "text 0 is NoneType"),
        (["ACGT", float("nan")], "text 1 is float, not a string"),
        (pd.Series(["ACGT", None]), "text 1 is NoneType|text 1 is float"),
        ([["ACG", "CGT", "GTT"]], "text 0 is a list of words: join them, or pass is_split_into_words=True"),
    ],
)
def test_what_is_no_sequence_is_named(tokenizer: Any, texts: list[str], given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer(given)


def test_ids_are_passed_through() -> None:
    tokenizer = KmerTokenizer(k=3)
    ids = tokenizer(READS, add_special_tokens=False).input_ids
    assert tokenizer(ids).input_ids == tokenizer(READS).input_ids
    assert tokenizer(ids[0]).input_ids == tokenizer(np.array(ids[0])).input_ids == tokenizer(READS[0]).input_ids


@pytest.mark.parametrize("k", [3, 6])
def test_text_split_into_k_mers_is_recognised_and_named(k: int) -> None:
    sequence = "ACGTTGCAAGGTC"
    split = " ".join(sequence[i : i + k] for i in range(len(sequence) - k + 1))
    for tokenizer in (KmerTokenizer(k=6), KmerTokenizer(k=6, on_unknown="error")):
        with pytest.raises(ValueError, match=f"text 1 is split into overlapping {k}-mers already"):
            tokenizer([sequence, split])
    # The advice of the message gives the sequence back.
    words = split.split()
    assert words[0] + "".join(word[-1] for word in words[1:]) == sequence
    words_given = KmerTokenizer(k=6)(split.split(), is_split_into_words=True) if k == 6 else None
    assert words_given is None or words_given.input_ids == KmerTokenizer(k=6)(sequence).input_ids


def test_residues_apart_are_recognised_and_named() -> None:
    with pytest.raises(ValueError, match="text 0 is split into single letters already"):
        ProteinTokenizer("tape")("M K T A Y")
    with pytest.warns(UserWarning, match="unknown letters"):
        ProteinTokenizer("tape", unknown_warning_share=0)("MKT AYI")


@pytest.mark.parametrize("preset", ["plus", "unirep"])
def test_padding_to_no_length_is_refused_and_allocates_nothing(preset: str) -> None:
    tokenizer = ProteinTokenizer(preset)
    with pytest.raises(ValueError, match="padding='max_length' needs max_length"):
        tokenizer("MKT", padding="max_length")
    with pytest.raises(ValueError, match="padding='max_length' needs max_length"):
        DataCollatorWithPadding(tokenizer, padding="max_length")([{"input_ids": [1, 2]}])
    assert len(tokenizer("MKT", padding="max_length", max_length=9).input_ids) == 9
    assert len(tokenizer("MKT", truncation=True).input_ids) == 5
    assert len(ProteinTokenizer("plus-tfm")("MKT", padding="max_length").input_ids) == 512


# -- what BatchEncoding answers for fast tokenizers ------------------------------------------------------------------


def asked(batch: Any, rows: int) -> list[Any]:
    """Everything that `BatchEncoding` tells of each row, as the tokenizers library counts it."""
    found: list[Any] = [batch.is_fast]
    for row in range(rows):
        width = len(batch.tokens(row))
        found += [batch.tokens(row), batch.word_ids(row), batch.sequence_ids(row)]
        found += [batch.token_to_sequence(row, i) for i in range(width)]
        found += [batch.token_to_word(row, i) for i in range(width)]
        for sequence in (0, 1):
            if sequence in batch.sequence_ids(row):
                found += [batch.word_to_tokens(row, 0, sequence)]
    return found


@pytest.fixture(scope="module")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("portable")
    ProteinTokenizer("tape").save_portable(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": True},
        {"padding": True, "return_tensors": "pt", "return_offsets_mapping": True},
        {"padding": True, "truncation": True, "max_length": 5, "return_overflowing_tokens": True, "stride": 1},
        {"add_special_tokens": False},
    ],
    ids=["ragged", "padded", "offsets", "windows", "bare"],
)
@pytest.mark.parametrize("pairs", [False, True])
def test_rows_answer_as_a_stock_fast_tokenizers(
    side: str, options: dict[str, Any], pairs: bool, portable: Any
) -> None:
    if pairs and "stride" in options:
        options = options | {"truncation": "only_first", "max_length": 13}
    ours, texts = ProteinTokenizer("tape", padding_side=side), PROTEINS
    portable.padding_side = side
    arguments = (texts, texts[::-1]) if pairs else (texts,)
    found, expected = ours(*arguments, **options), portable(*arguments, **options)
    rows = len(expected["input_ids"])
    assert len(found["input_ids"]) == rows and asked(found, rows) == asked(expected, rows)
    residues = [i for i, s in enumerate(expected.sequence_ids(0)) if s == 0]
    for place, token in enumerate(residues):
        # A row of the tokenizers library counts one word a residue, each of one letter.
        assert found.token_to_chars(0, token) == expected.token_to_chars(0, token)
        assert found.char_to_token(0, place) == expected.char_to_token(0, place) == token
        assert found.char_to_word(0, place) == expected.char_to_word(0, place)
        assert found.word_to_chars(0, place) == expected.word_to_chars(0, place)


def test_words_of_k_mers_are_counted() -> None:
    batch = KmerTokenizer(k=3)(["ACGT", "AC", "GGATC"], is_split_into_words=True, return_offsets_mapping=True)
    assert batch.word_ids() == [None, 0, 0, 2, 2, 2, None]  # the second is shorter than a token
    assert batch.offset_mapping == [(0, 0), (0, 3), (1, 4), (0, 3), (1, 4), (2, 5), (0, 0)]
    assert batch.word_to_tokens(2) == (3, 6) and batch.word_to_tokens(1) is None


def test_rows_stay_behind_when_a_batch_is_sent_to_another_process() -> None:
    tokenizer = KmerTokenizer(k=3)
    batch = tokenizer(READS, padding=True, return_tensors="pt")
    sent = pickle.loads(pickle.dumps(batch))
    assert torch.equal(sent["input_ids"], batch["input_ids"]) and not sent.is_fast
    assert len(pickle.dumps(batch)) < 3000


# -- the token-classification pipeline -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labeller() -> Any:
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, id2label={0: "O", 1: "B-gene", 2: "I-gene"},
        label2id={"O": 0, "B-gene": 1, "I-gene": 2},
    )  # fmt: skip
    model = KmerBertForTokenClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    return pipeline("token-classification", model, tokenizer=KmerTokenizer(k=3, model_max_length=32), device="cpu")


SEQUENCE = "".join("ACGT"[int(i)] for i in np.random.default_rng(1).integers(0, 4, 90))


def test_entities_have_places_in_the_sequence(labeller: Any) -> None:
    found = labeller(SEQUENCE[:20], ignore_labels=[])
    assert [(entity["start"], entity["end"]) for entity in found] == [(i, i + 3) for i in range(18)]
    assert all(SEQUENCE[entity["start"] : entity["end"]] == entity["word"] for entity in found)


def test_stride_covers_a_sequence_longer_than_the_model(labeller: Any) -> None:
    found = labeller(SEQUENCE, aggregation_strategy="simple", stride=8)
    starts = [entity["start"] for entity in found]
    # A row holds 30 tokens and overlaps the last one by 8, so it takes four to reach the end.
    assert starts == sorted(starts) and starts[0] < 22 and starts[-1] >= 66
    for entity in found:
        assert entity["entity_group"] == "gene" and entity["word"] == SEQUENCE[entity["start"] : entity["end"]]


def test_words_have_places_in_the_joined_sentence(labeller: Any) -> None:
    words = [SEQUENCE[:9], SEQUENCE[9:20]]
    found = labeller(words, is_split_into_words=True, delimiter="|", ignore_labels=[])
    found = found[0] if isinstance(found[0], list) else found
    joined = "|".join(words)
    assert [(e["start"], e["end"]) for e in found] == [(i, i + 3) for i in [*range(7), *range(10, 19)]]
    assert all(joined[entity["start"] : entity["end"]] == entity["word"] for entity in found)
