"""Masking: the rate is exact, no hidden base can be read, and the original's masks come out draw for draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers import DataCollatorForKmerLanguageModeling, KmerTokenizer
from seqformers.training.collators import tokens_per_span
from tests.conftest import golden_cases

CASES = {case["id"]: case for case in golden_cases("virbert")}


def random_reads(rng, n, low, high):
    return ["".join(rng.choice(list("ACGT"), rng.integers(low, high + 1))) for _ in range(n)]


def covered(j, k, stride):
    return set(range(j * stride, j * stride + k))


def test_what_crashes_the_original_hides_nothing_here_and_is_named_in_its_way():
    """Nothing to hide, and a row without a k-mer."""
    assert CASES["mask_crashes"]["expected"].keys() == {"p=0", "empty_row"}
    tokenizer = KmerTokenizer(k=3)
    full, empty = {"input_ids": tokenizer("ACGTACGTACGTTGCA").input_ids}, {"input_ids": [2, 3]}
    for probability, rows in ((0.0, [full]), (1.0, [full, empty])):
        found = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=probability, seed=0)(rows)
        assert bool((found["labels"][0] != -100).any()) == (probability == 1) and (found["labels"][1:] == -100).all()
        with pytest.raises(ValueError, match="cannot take a row without k-mers, or a probability of 0"):
            DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=probability, legacy="dnabert")(rows)
    assert found["input_ids"][1, :2].tolist() == [2, 3]


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 8), st.data(), st.integers(0, 2**31))
def test_no_hidden_base_can_be_read_off_a_neighbour(k, data, seed):
    """Every chosen token holds a base that no token left in the open covers, and neighbours share their fate."""
    stride = data.draw(st.integers(1, k))
    span = data.draw(st.integers(1, 10))
    tokenizer = KmerTokenizer(k=k, stride=stride)
    rng = np.random.default_rng(seed)
    reads = random_reads(rng, 4, k, 120)
    collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=0.3, span=span, seed=seed)
    features = [{"input_ids": ids} for ids in tokenizer(reads).input_ids]
    batch = collate(features)
    original = tokenizer(reads, padding=True, return_tensors="pt").input_ids
    for row, before, labels in zip(batch["input_ids"], original, batch["labels"], strict=True):
        n = int((before >= 5).sum())
        chosen = (labels[1 : n + 1] != -100).numpy()
        assert torch.equal(labels[labels != -100], before[labels != -100])
        assert torch.equal(row[labels == -100], before[labels == -100])
        open_bases = set().union(*(covered(j, k, stride) for j in range(n) if not chosen[j]), set())
        width = min(tokens_per_span(span, k, stride), n)
        edges = np.flatnonzero(np.diff(np.r_[0, chosen, 0]))
        for start, end in edges.reshape(-1, 2):
            hidden = set().union(*(covered(j, k, stride) for j in range(start, end))) - open_bases
            assert (end - start) % width == 0
            assert len(hidden) >= (span if n >= width and width > 1 else 1) * ((end - start) // width) or n <= width
            # Every span of `width` tokens is masked, replaced or kept as one.
            for begin in range(start, end, width):
                tokens = row[1 + begin : 1 + begin + width]
                was = before[1 + begin : 1 + begin + width]
                kept = bool((tokens == was).all())
                masked = bool((tokens == tokenizer.mask_token_id).all())
                replaced = not bool((tokens == tokenizer.mask_token_id).any())
                assert masked or kept or replaced


@pytest.mark.parametrize(("k", "stride"), [(6, 1), (6, 3), (3, 1), (4, 4)])
def test_rate_and_fates_are_exact(k, stride):
    tokenizer = KmerTokenizer(k=k, stride=stride)
    rng = np.random.default_rng(0)
    collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=0.15, seed=1)
    chosen = masked = replaced = total = 0
    for _ in range(30):
        ids = tokenizer(random_reads(rng, 64, 36, 510)).input_ids
        batch = collate([{"input_ids": row} for row in ids])
        before = collate._padded([{"input_ids": row} for row in ids])["input_ids"]
        at = batch["labels"] != -100
        chosen += int(at.sum())
        masked += int((batch["input_ids"] == tokenizer.mask_token_id).sum())
        replaced += int(((batch["input_ids"] != torch.from_numpy(before)) & at).sum())
        total += int((before >= 5).sum())
        assert not (at & (torch.from_numpy(before) < 5)).any()
        assert int(batch["input_ids"][at].min()) >= 4  # [MASK] or a k-mer, never another special token
    assert chosen / total == pytest.approx(0.15, abs=0.003)
    assert masked / chosen == pytest.approx(0.8, abs=0.02)
    assert (replaced - masked) / chosen == pytest.approx(0.1, abs=0.02)


def test_every_position_is_masked_about_equally_often():
    tokenizer = KmerTokenizer(k=6)
    collate = DataCollatorForKmerLanguageModeling(tokenizer, seed=0)
    row = {"input_ids": tokenizer("ACGTTGCAAGCTTACGGATC" * 10).input_ids}
    share = np.mean(
        [(collate([row] * 64)["labels"][:, 1:-1] != -100).float().mean(0).numpy() for _ in range(60)], axis=0
    )
    assert share.mean() == pytest.approx(0.15, abs=0.006)
    assert share[20:-20].min() > 0.10
    assert share[20:-20].max() < 0.20


def test_seeded_and_different_each_time():
    tokenizer = KmerTokenizer(k=3)
    rows = [{"input_ids": tokenizer("ACGTTGCAAGCTTACGGATC" * 5).input_ids}] * 8
    first, second = (DataCollatorForKmerLanguageModeling(tokenizer, seed=7) for _ in range(2))
    once = first(rows)
    assert torch.equal(once["labels"], second(rows)["labels"])
    assert not torch.equal(once["labels"], first(rows)["labels"])


def test_workers_draw_different_masks():
    tokenizer = KmerTokenizer(k=3)
    rows = [{"input_ids": tokenizer("ACGTTGCAAGCTTACGGATC" * 5).input_ids}] * 4
    collate = DataCollatorForKmerLanguageModeling(tokenizer, seed=7)
    loader = torch.utils.data.DataLoader(rows, batch_size=2, num_workers=2, collate_fn=collate)
    one, two = (batch["labels"] for batch in loader)
    assert not torch.equal(one, two)


def test_packed_rows_are_masked_within_each_sequence():
    """Two sequences in one row without a token between them: no span reaches over the seam."""
    tokenizer = KmerTokenizer(k=4)
    a, b = (tokenizer(read, add_special_tokens=False).input_ids for read in ("ACGTTGCAAGCT" * 3, "GGATCCATTA" * 3))
    feature = {"input_ids": a + b, "position_ids": [*range(len(a)), *range(len(b))]}
    collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=0.4, seed=0)
    width, ends_at_seam = tokens_per_span(4, 4, 1), 0
    for _ in range(200):
        batch = collate([feature])
        chosen = (batch["labels"][0] != -100).numpy()
        assert chosen[: len(a)].sum() % width == 0
        assert chosen[len(a) :].sum() % width == 0
        ends_at_seam += bool(chosen[len(a) - 1])
    assert ends_at_seam > 0
    assert batch["position_ids"].tolist() == [feature["position_ids"]]


def test_padding_is_never_masked_and_kept_apart():
    tokenizer = KmerTokenizer(k=3)
    batch = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=1.0, seed=0, pad_to_multiple_of=8)(
        [tokenizer("ACGTACG"), tokenizer("ACGTA")]
    )
    assert batch["input_ids"].shape == (2, 8)
    assert batch["attention_mask"].sum(1).tolist() == [7, 5]
    assert (batch["labels"] != -100).sum(1).tolist() == [5, 3]


def test_unknown_tokens_are_no_targets():
    tokenizer = KmerTokenizer(k=3)
    ids = tokenizer("ACGTACNGTACGTT", add_special_tokens=False).input_ids
    batch = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=1.0, seed=0)([{"input_ids": ids}])
    assert ((batch["labels"][0] == -100) == (torch.tensor(ids) == 1)).all()


def test_bad_arguments():
    tokenizer = KmerTokenizer(k=3)
    for options, message in (
        ({"mlm_probability": 1.5}, "between 0 and 1"),
        ({"legacy": "bert"}, "legacy"),
        ({"span": 0}, "span"),
    ):
        with pytest.raises(ValueError, match=message):
            DataCollatorForKmerLanguageModeling(tokenizer, **options)
    with pytest.raises(ValueError, match="input_ids"):
        DataCollatorForKmerLanguageModeling(tokenizer)([{"sequence": "ACGT"}])


# -- the original ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mask_seeded_k6", "mask_seeded_stride3"])
def test_legacy_masks_draw_for_draw(name):
    case = CASES[name]
    rng = np.random.RandomState(case["input"]["seed"])
    rows = [np.r_[2, rng.randint(5, 4101, 60 - pad), 3] for pad in case["expected"]["pads"]]
    like = case["input"]["mask_like"]
    collate = DataCollatorForKmerLanguageModeling(
        KmerTokenizer(k=6), mlm_probability=case["input"]["p"], legacy="dnabert", span=int(like) if like else None
    )
    torch.manual_seed(case["input"]["seed"])
    batch = collate([{"input_ids": row} for row in rows])
    for row, new, labels, expected in zip(
        rows, batch["input_ids"], batch["labels"], case["expected"]["rows"], strict=True
    ):
        chosen = torch.nonzero(labels != -100).flatten().tolist()
        assert chosen == expected["masked"]
        assert [i for i in chosen if new[i] == 4] == expected["to_MASK"]
        swapped = {str(i): int(new[i]) for i in chosen if new[i] not in (4, row[i])}
        assert swapped == expected["to_random"]


def test_legacy_spans_around_a_centre(monkeypatch):
    """One forced centre at position 15 of 30 tokens, for every span length."""
    for like, expected in CASES["mask_list_offsets"]["expected"].items():
        centre = CASES["mask_list_offsets"]["input"]["centre"]
        assert forced(monkeypatch, 30, [centre], int(like)) == expected


def test_legacy_spans_overlap_and_stop_at_padding(monkeypatch):
    expected = CASES["mask_overlap_pad"]["expected"]
    n = 20
    assert forced(monkeypatch, n, [5, 8], 6) == expected["like6_c[5,8]"]
    assert forced(monkeypatch, n, [5, 6], 6) == expected["like6_c[5,6]"]
    assert forced(monkeypatch, n, [4, 16], 8) == expected["like8_c[4,16]"]
    assert forced(monkeypatch, n, [20], 6, pad=4) == expected["like6_pad4_c20"]


def forced(monkeypatch, n, centres, span, pad=0):
    """Positions the original would mask with these centres."""
    tokenizer = KmerTokenizer(k=6)
    row = np.r_[2, np.full(n, 9), 3, np.zeros(pad, int)]
    picked = torch.zeros(1, len(row))
    picked[0, centres] = 1
    real, draws = torch.bernoulli, [picked]
    monkeypatch.setattr(torch, "bernoulli", lambda p, *a, **k: draws.pop() if draws else real(p))
    collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=0.1, span=span, legacy="dnabert")
    labels = collate([{"input_ids": row}])["labels"][0]
    monkeypatch.undo()
    return torch.nonzero(labels != -100).flatten().tolist()


def test_legacy_reaches_over_inner_special_tokens(monkeypatch):
    case = CASES["mask_multipiece_bug"]
    row = np.r_[2, np.full(510, 9), 3, 2, np.full(20, 9), 3]
    picked = torch.zeros(1, len(row))
    picked[0, case["input"]["centre"]] = 1
    real, draws = torch.bernoulli, [picked]
    monkeypatch.setattr(torch, "bernoulli", lambda p, *a, **k: draws.pop() if draws else real(p))
    collate = DataCollatorForKmerLanguageModeling(KmerTokenizer(k=6), mlm_probability=0.1, legacy="dnabert")
    labels = collate([{"input_ids": row}])["labels"][0]
    # Labels of special tokens are their ids, so look at where labels are not ignored.
    assert torch.nonzero(labels != -100).flatten().tolist() == case["expected"]["masked"]


def test_legacy_refuses_what_crashed_the_original():
    tokenizer = KmerTokenizer(k=6)
    for probability, row in ((0.0, [2, 7, 8, 3]), (0.1, [2, 3])):
        collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=probability, legacy="dnabert")
        with pytest.raises(ValueError, match="original"):
            collate([{"input_ids": row}])


@pytest.mark.parametrize(("stride", "p", "like", "key"), [(1, 0.025, 6, "virbert"), (3, 0.05, 3, "stride3")])
def test_legacy_hides_fewer_bases_than_it_masks(stride, p, like, key):
    """The share of bases no open token covers, against what the original was measured to hide."""
    expected = CASES["hidden_nt"]["expected"][key]["hidden_nt_fraction_measured"]
    tokenizer = KmerTokenizer(k=6, stride=stride)
    torch.manual_seed(0)
    length = 510 if stride == 1 else 1000
    ids = tokenizer(random_reads(np.random.default_rng(0), 400, length, length)).input_ids
    collate = DataCollatorForKmerLanguageModeling(tokenizer, mlm_probability=p, span=like, legacy="dnabert")
    open_tokens = (collate([{"input_ids": row} for row in ids])["labels"][:, 1:-1] == -100).numpy()
    seen = np.zeros((len(ids), length), bool)
    for offset in range(6):
        seen[:, offset : offset + open_tokens.shape[1] * stride : stride][:, : open_tokens.shape[1]] |= open_tokens
    used = (open_tokens.shape[1] - 1) * stride + 6
    assert 1 - seen[:, :used].mean() == pytest.approx(expected, abs=0.006)
