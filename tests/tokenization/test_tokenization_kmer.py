"""The array tokenizer against the slow obvious one, the original's reference cases, and stock fast tokenizers."""

from __future__ import annotations

import pickle
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers import KmerTokenizer
from tests.conftest import golden_cases

CASES = {case["id"]: case for case in golden_cases("virbert")}
SEQUENCES = st.text(alphabet="ACGTacgtUuNnRy-*", max_size=60)


def slow_ids(sequence, k, stride, *, upper=True, legacy=False):
    """One k-mer at a time, from the definition."""
    order = {"".join(kmer): 5 + i for i, kmer in enumerate(product("ATCG", repeat=k))}
    sequence = (sequence.upper() if upper else sequence).replace("U", "T")
    if legacy and stride > 1:
        sequence = sequence[: max(len(sequence) - stride, 0)]
    return [order.get(sequence[i : i + k], 1) for i in range(0, len(sequence) - k + 1, stride)]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@settings(max_examples=150, deadline=None)
@given(st.lists(SEQUENCES, max_size=6), st.integers(1, 8), st.data())
def test_ids_equal_the_slow_reference(sequences, k, data):
    stride = data.draw(st.integers(1, k))
    upper, legacy = data.draw(st.booleans()), data.draw(st.booleans())
    if data.draw(st.booleans()):  # equal lengths take another path
        sequences = [sequence.ljust(40, "A")[:40] for sequence in sequences]
    tokenizer = KmerTokenizer(k=k, stride=stride, do_upper_case=upper, legacy_stride=legacy)
    found = tokenizer(sequences, add_special_tokens=False)["input_ids"]
    assert found == [slow_ids(s, k, stride, upper=upper, legacy=legacy) for s in sequences]
    assert tokenizer.num_tokens([len(s) for s in sequences]).tolist() == [len(ids) for ids in found]


@pytest.mark.parametrize("k", [3, 4, 5, 6])
def test_vocabulary_is_the_originals(k):
    expected = CASES[f"vocab_k{k}"]["expected"]
    tokenizer = KmerTokenizer(k=k)
    vocabulary = tokenizer.get_vocab()
    assert len(tokenizer) == tokenizer.vocab_size == expected["size"]
    assert list(vocabulary)[:10] == expected["first10"]
    assert list(vocabulary)[-2:] == expected["last2"]
    assert {token: vocabulary[token] for token in expected["ids"]} == expected["ids"]
    assert tokenizer.convert_ids_to_tokens(list(range(expected["size"]))) == list(vocabulary)


@pytest.mark.parametrize("name", ["tok20_k3_s3", "tok20_k6_s1", "tok20_k6_s3"])
def test_tokens_of_the_original(name):
    case = CASES[name]
    k, stride = case["input"]["k"], case["input"]["stride"]
    legacy = KmerTokenizer(k=k, stride=stride, legacy_stride=True)
    assert legacy.tokenize(case["input"]["seq"]) == case["expected"]["kmers"]
    assert legacy(case["input"]["seq"]).input_ids == case["expected"]["input_ids"]
    correct = KmerTokenizer(k=k, stride=stride)
    assert correct.tokenize(case["input"]["seq"]) == case["expected"]["kmers_without_tail_drop_bug"]


def test_token_counts_of_the_original():
    for name, expected in CASES["token_counts"]["expected"].items():
        length, k, stride = (int(part.strip("ntks")) for part in name.split("_"))
        for legacy, key in ((True, "tokens_code"), (False, "tokens_no_drop")):
            tokenizer = KmerTokenizer(k=k, stride=stride, legacy_stride=legacy)
            assert int(tokenizer.num_tokens(length)) == expected[key], name


def test_lower_case_as_the_original():
    case = CASES["tok_lowercase"]
    tokenizer = KmerTokenizer(k=case["input"]["k"], do_upper_case=False)
    assert tokenizer(case["input"]["seq"]).input_ids == case["expected"]["input_ids"]


def test_special_token_layout_of_one_piece():
    """The original wraps pieces of 510 tokens; up to 509 there is one piece, and here one piece always."""
    tokenizer = KmerTokenizer(k=6)
    for n, expected in CASES["special_token_layout"]["expected"].items():
        if int(n) < 510:
            ids = np.array(tokenizer.build_inputs_with_special_tokens([7] * int(n)))
            assert len(ids) == expected["len"]
            assert np.flatnonzero(ids != 7).tolist() == expected["special_positions"]
            assert ids[ids != 7].tolist() == expected["special_ids"]


# -- the portable form -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def portable(tmp_path_factory):
    from transformers import AutoTokenizer

    loaded = {}

    def get(k, stride, **options):
        key = (k, stride, *sorted(options.items()))
        if key not in loaded:
            folder = tmp_path_factory.mktemp("portable")
            KmerTokenizer(k=k, stride=stride, **options).save_portable(folder)
            loaded[key] = AutoTokenizer.from_pretrained(folder)
        return loaded[key]

    return get


@pytest.mark.parametrize(("k", "stride"), [(k, s) for k in range(3, 7) for s in range(1, k + 1)])
def test_portable_form_gives_the_same_ids(portable, k, stride):
    fast, ours = portable(k, stride), KmerTokenizer(k=k, stride=stride)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.text(alphabet="ACGTacgtNnUu-RY*\n", max_size=40) | st.text("ACGT", max_size=60), max_size=4))
    def check(sequences):
        for add in (True, False):
            assert ours(sequences, add_special_tokens=add).input_ids == [
                fast(sequence, add_special_tokens=add).input_ids for sequence in sequences
            ]

    check()
    assert not type(fast).__module__.startswith("seqformers")


@pytest.mark.parametrize("options", [{"do_upper_case": False}, {"legacy_stride": True}])
def test_portable_form_keeps_the_switches(portable, options):
    fast, ours = portable(4, 2, **options), KmerTokenizer(k=4, stride=2, **options)
    for sequence in ["", "A", "ACG", "ACGTACGTTGCA", "acgtACGTNACGTacgg", "ACGTACG"]:
        assert ours(sequence).input_ids == fast(sequence).input_ids


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (2, 1), (2, 2), (7, 3)])
def test_portable_form_of_other_k(portable, k, stride):
    fast, ours = portable(k, stride), KmerTokenizer(k=k, stride=stride)
    for sequence in ["", "A", "ACGTNACGTTGCATTTGGCA", "ggatccattagacauuga"]:
        assert ours(sequence).input_ids == fast(sequence).input_ids


# -- the call surface, compared with a stock fast tokenizer ----------------------------------------------------------

READS = ["ACGTTGCAAGCTTACGGATC", "ACG", "GGGATTACA", "TTTTTTTTTTTTTTTTTTTTTTTTT"]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"padding": "max_length", "max_length": 12, "truncation": True},
        {"padding": True, "pad_to_multiple_of": 8},
        {"truncation": True, "max_length": 6},
        {"truncation": True, "max_length": 6, "padding": True, "add_special_tokens": False},
        {"truncation": True, "max_length": 7, "stride": 2, "return_overflowing_tokens": True, "padding": True},
        {"truncation": True, "max_length": 8, "stride": 0, "return_overflowing_tokens": True},
    ],
    ids=str,
)
def test_call_options_as_a_stock_fast_tokenizer(portable, side, options):
    fast, ours = portable(3, 1), KmerTokenizer(k=3)
    for name in ("padding_side", "truncation_side"):
        setattr(fast, name, side)
        setattr(ours, name, side)
    expected = fast(READS, return_special_tokens_mask=True, **options)
    found = ours(READS, return_special_tokens_mask=True, return_token_type_ids=True, **options)
    fast.padding_side = fast.truncation_side = "right"
    assert dict(found) == dict(expected)


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second", False])
@pytest.mark.parametrize("max_length", [9, 15])
def test_pairs_as_a_stock_fast_tokenizer(portable, strategy, max_length):
    fast, ours = portable(3, 1), KmerTokenizer(k=3)
    firsts, seconds = ["ACGTTGCAAGCT", "ACGTTG", "ACGTTGC"], ["ACGTT", "GGGATTACAT", "GATTACA"]
    options = {"truncation": strategy, "max_length": max_length, "padding": True}
    for a, b in ((firsts, seconds), (list(zip(firsts, seconds, strict=True)), None)):
        try:
            expected = dict(fast(a, b, **options))
        except Exception:  # the Rust error has no type of its own
            with pytest.raises(ValueError, match="max_length"):
                ours(a, b, **options)
            continue
        assert dict(ours(a, b, **options)) == expected
    assert dict(ours(firsts[0], seconds[0])) == dict(fast(firsts[0], seconds[0]))


def test_windows_of_a_pair_repeat_the_other_side(portable):
    fast, ours = portable(3, 1), KmerTokenizer(k=3)
    options = {"truncation": "only_second", "max_length": 12, "stride": 1, "return_overflowing_tokens": True}
    assert dict(ours(["ACGTT"], ["GGGATTACATTTACA"], **options)) == dict(
        fast(["ACGTT"], ["GGGATTACATTTACA"], **options)
    )
    with pytest.raises(ValueError, match="only_first"):
        ours(["ACGTT"], ["GGGATTACATTTACA"], **{**options, "truncation": True})


def test_mask_token_inside_text_splits_it(portable):
    fast, ours = portable(3, 1), KmerTokenizer(k=3)
    for text in ["ACGT[MASK]GGAT", "[MASK]", "ACGT[MASK][MASK]AC", "[CLS]ACGT[SEP]"]:
        assert ours(text).input_ids == fast(text).input_ids
    offsets = ours("ACGT[MASK]GGAT", return_offsets_mapping=True, add_special_tokens=False).offset_mapping
    assert offsets == [(0, 3), (1, 4), (4, 10), (10, 13), (11, 14)]


def test_offsets_are_bases():
    tokenizer = KmerTokenizer(k=6, stride=3)
    sequence = "ACGTTGCAAGCTTACGG"
    batch = tokenizer([sequence, "ACGTTG"], padding=True, return_offsets_mapping=True, return_tensors="np")
    for token, (start, end) in zip(batch.input_ids[0], batch.offset_mapping[0], strict=True):
        if end:
            assert tokenizer.convert_ids_to_tokens(int(token)) == sequence[start:end]
    assert batch.offset_mapping.shape == (2, 6, 2)
    assert batch.offset_mapping[1].tolist() == [[0, 0], [0, 6], [0, 0], [0, 0], [0, 0], [0, 0]]
    pair = tokenizer("ACGTTG", "GGATCCA", return_offsets_mapping=True)
    assert pair.offset_mapping == [(0, 0), (0, 6), (0, 0), (0, 6), (0, 0)]


def test_tensors_lists_and_single_sequences():
    tokenizer = KmerTokenizer(k=3)
    assert tokenizer("ACGT").input_ids == [2, *slow_ids("ACGT", 3, 1), 3]
    assert tokenizer("ACGT", return_tensors="pt").input_ids.shape == (1, 4)
    batch = tokenizer(["ACGT", "ACGTT"], padding=True, return_tensors="pt")
    assert batch.input_ids.dtype == torch.int64
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert tokenizer([], padding=True)["input_ids"] == []
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["ACGT", "ACGTT"], return_tensors="np")
    with pytest.raises(ValueError, match="text 1 is NoneType"):
        tokenizer(["ACGT", None])
    words = tokenizer(["ACG", "CGT"], is_split_into_words=True).input_ids
    assert words == tokenizer("ACGT").input_ids


def test_pad_and_collate():
    from transformers import DataCollatorWithPadding

    tokenizer = KmerTokenizer(k=3)
    features = [tokenizer(read) for read in READS]
    padded = DataCollatorWithPadding(tokenizer)([dict(feature) for feature in features])
    assert torch.equal(padded["input_ids"], tokenizer(READS, padding=True, return_tensors="pt").input_ids)


# -- decoding, files, processes --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.text("ACGT", min_size=8, max_size=80), st.integers(1, 8), st.data())
def test_decode_gives_the_bases_back(sequence, k, data):
    stride = data.draw(st.integers(1, k))
    tokenizer = KmerTokenizer(k=k, stride=stride)
    covered = (int(tokenizer.num_tokens(len(sequence))) - 1) * stride + k
    assert tokenizer.decode(tokenizer(sequence).input_ids, skip_special_tokens=True) == sequence[:covered]


def test_decode_keeps_positions_of_unknown_bases():
    tokenizer = KmerTokenizer(k=3)
    assert tokenizer.decode(tokenizer("ACGTNACGT").input_ids, skip_special_tokens=True) == "ACGTNACGT"
    assert tokenizer.decode([*tokenizer("ACG").input_ids, 0, 0]) == "[CLS] ACG [SEP] [PAD] [PAD]"
    assert tokenizer.batch_decode([[5, 6], [5]]) == ["AAAT", "AAA"]


def test_save_load_and_pickle(tmp_path):
    tokenizer = KmerTokenizer(k=4, stride=2, on_unknown="error", model_max_length=77, padding_side="left")
    tokenizer.save_pretrained(tmp_path)
    for again in (KmerTokenizer.from_pretrained(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        assert (again.k, again.stride, again.on_unknown) == (4, 2, "error")
        assert (again.model_max_length, again.padding_side) == (77, "left")
        assert again("ACGTACGTAC").input_ids == tokenizer("ACGTACGTAC").input_ids


def test_k_is_read_from_an_original_vocabulary(tmp_path):
    KmerTokenizer(k=3).save_vocabulary(str(tmp_path))
    assert KmerTokenizer(vocab_file=str(tmp_path / "vocab.txt")).k == 3
    with pytest.raises(ValueError, match="3-mers, but k=6"):
        KmerTokenizer(k=6, vocab_file=str(tmp_path / "vocab.txt"))
    (tmp_path / "other.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")
    with pytest.raises(ValueError, match="not a vocabulary of k-mers"):
        KmerTokenizer(vocab_file=str(tmp_path / "other.txt"))


def test_an_originals_folder_does_not_lower_case(tmp_path):
    """Its tokenizer_config.json says do_lower_case, which turned every token into [UNK] there."""
    case = CASES["tok_dir_load_trap"]
    KmerTokenizer(k=6).save_vocabulary(str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}')
    found = KmerTokenizer.from_pretrained(tmp_path)(case["input"]["seq"]).input_ids
    assert found == CASES["tok20_k6_s1"]["expected"]["input_ids"]


def test_map_in_two_processes():
    from datasets import Dataset

    tokenizer = KmerTokenizer(k=3)
    data = Dataset.from_dict({"sequence": READS * 5})
    mapped = data.map(lambda rows: tokenizer(rows["sequence"]), batched=True, num_proc=2, batch_size=5)
    assert [list(row) for row in mapped["input_ids"]] == tokenizer(READS * 5).input_ids


# -- bad input -------------------------------------------------------------------------------------------------------


def test_bad_arguments_say_what_is_wrong():
    for k in (0, 9):
        with pytest.raises(ValueError, match="between 1 and 8"):
            KmerTokenizer(k=k)
    with pytest.raises(ValueError, match="stride must be between 1 and k=4"):
        KmerTokenizer(k=4, stride=5)
    with pytest.raises(ValueError, match="on_unknown"):
        KmerTokenizer(on_unknown="skip")


def test_unknown_letters_warn_or_raise():
    tokenizer = KmerTokenizer(k=3)
    with pytest.warns(UserWarning, match=r"\[UNK\]"):
        tokenizer("MKVLAAGIVGLLLAQWERTY")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("ACGT" * 100 + "N")
    strict = KmerTokenizer(k=3, on_unknown="error")
    with pytest.raises(ValueError, match=r"sequence 1 holds 'R' at position 2"):
        strict(["ACGT", "ACRGT"])
    assert strict(["acgu"]).input_ids == tokenizer(["ACGT"]).input_ids


def test_short_sequences_warn():
    with pytest.warns(UserWarning, match="1 of 2 sequences are shorter"):
        assert KmerTokenizer(k=6)(["ACGTACGT", "ACG"]).input_ids[1] == [2, 3]
