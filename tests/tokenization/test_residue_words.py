"""Words of residues against slices of the protein, saving, and what is refused."""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from seqformers import ResidueWordTokenizer

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
IDS = {k: {"".join(word): 5 + n for n, word in enumerate(product(LETTERS, repeat=k))} for k in (1, 2, 3)}
proteins = st.text(alphabet="ACDEFGHIKLMNPQRSTVWYXBZacdé*-", max_size=24)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from([(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]), st.lists(proteins, min_size=1, max_size=4))
def test_ids_and_offsets_are_those_of_slices(sizes: tuple[int, int], batch: list[str]) -> None:
    k, stride = sizes
    tokenizer = ResidueWordTokenizer(k=k, stride=stride, unknown_warning_share=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short proteins
        found = tokenizer(batch, return_offsets_mapping=True)
    for row, protein in enumerate(batch):
        starts = range(0, len(protein) - k + 1, stride)
        words = [protein[start : start + k] for start in starts]
        assert found.input_ids[row] == [2, *[IDS[k].get(word.upper(), 1) for word in words], 3]
        assert found.offset_mapping[row][1:-1] == [(start, start + k) for start in starts]


def test_words_are_joined_saved_and_refused(tmp_path: Path) -> None:
    tokenizer = ResidueWordTokenizer(k=3)
    ids = tokenizer("MKTXAYIAKQ", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == "MKTXAYIAKQ"
    assert tokenizer.decode(ResidueWordTokenizer(k=3)("MKTAYIA").input_ids, skip_special_tokens=True) == "MKTAYIA"
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is ResidueWordTokenizer and again("MKTXAYIAKQ", add_special_tokens=False).input_ids == ids
    assert ResidueWordTokenizer(vocab_file=str(tmp_path / "vocab.txt")).k == 3
    with pytest.raises(ValueError, match=r"protein 1 holds 'X' at position 2"):
        ResidueWordTokenizer(on_unknown="error")(["MKT", "MKX"])
    with pytest.raises(ValueError, match="k must be between 1 and 4, got 5"):
        ResidueWordTokenizer(k=5)
    with pytest.raises(ValueError, match="stride must be between 1 and k=3"):
        ResidueWordTokenizer(stride=4)
    with pytest.raises(ValueError, match="no stock form"):
        tokenizer.save_portable(tmp_path / "stock")
    with pytest.warns(UserWarning, match="Is this a protein"):
        tokenizer("ACXXXXXX")
