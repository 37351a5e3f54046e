"""Masked residues: the rule of every original, without bias, at any mixture of lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from seqformers import DataCollatorForResidueLanguageModeling, ProteinTokenizer
from seqformers.training.collators_protein import draw_without_replacement
from tests.conftest import golden_cases

(MASKING,) = [case for case in golden_cases("plus_models") if case["kind"] == "masking"]
(TAPE_MASKING,) = [case for case in golden_cases("tape_models") if case["kind"] == "mlm_masking"]
PLUS, TFM, TAPE = (ProteinTokenizer(name, unknown_warning_share=1.0) for name in ("plus", "plus-tfm", "tape"))
letters = st.text(alphabet="ACDEFGHIKLMNPQRSTVWYX", min_size=1, max_size=60)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=8), st.integers(0, 2**31))
def test_draws_have_the_wanted_size(groups, seed):
    available = np.array([n for n, _ in groups], dtype=np.int64)
    wanted = np.array([int(n * share) for n, share in groups], dtype=np.int64)
    chosen = draw_without_replacement(available, wanted, np.random.default_rng(seed))
    parts = np.split(chosen, np.cumsum(available)[:-1]) if len(available) else []
    assert [int(part.sum()) for part in parts] == wanted.tolist()


@pytest.mark.parametrize("wanted", [2, 3])
def test_all_subsets_are_equally_likely(wanted):
    """Both ways of drawing: 2 of 5 by rejection, 3 of 5 by shuffling. Ten subsets each."""
    groups = 20_000
    chosen = draw_without_replacement(np.full(groups, 5), np.full(groups, wanted), np.random.default_rng(0))
    subsets, counts = np.unique(chosen.reshape(groups, 5) @ (1 << np.arange(5)), return_counts=True)
    assert len(subsets) == 10
    expected = groups / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def _selected(batch):
    return (batch["labels"] != -100).sum(1).tolist()


def test_number_of_residues_by_length_golden():
    collate = DataCollatorForResidueLanguageModeling(PLUS, seed=0)
    lengths = [int(length) for length in MASKING["n_selected_by_length"]]
    batch = collate([{"sequence": "A" * length} for length in lengths])
    assert _selected(batch) == list(MASKING["n_selected_by_length"].values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(letters, letters), min_size=1, max_size=4), st.integers(0, 2**31), st.sampled_from([0, 1]))
def test_pairs_follow_the_rule(pairs, seed, tfm):
    tokenizer = TFM if tfm else PLUS
    collate = DataCollatorForResidueLanguageModeling(tokenizer, seed=seed)
    batch = collate([{"sequence_a": a, "sequence_b": b, "same_family": 1} for a, b in pairs])
    plain = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt")
    chosen = batch["labels"] != -100
    assert torch.equal(batch["labels"][chosen], plain["input_ids"][chosen])
    assert torch.equal(batch["input_ids"][~chosen], plain["input_ids"][~chosen])
    assert ((batch["labels"][chosen] >= 1) & (batch["labels"][chosen] <= 20)).all()
    assert torch.equal(batch["token_type_ids"], plain["token_type_ids"])
    assert batch["same_family"].tolist() == [1] * len(pairs)
    for row, (a, b) in enumerate(pairs):
        first = int((chosen[row] & (plain["token_type_ids"][row] == 0)).sum())
        second = int(chosen[row].sum()) - first
        if tfm:
            total = min(76, int(0.15 * (len(a) + len(b) + 3)))
            wanted = (total * len(a) // (len(a) + len(b)), total - total * len(a) // (len(a) + len(b)))
        else:
            wanted = tuple(min(50, int(0.15 * len(protein))) for protein in (a, b))
        known = [sum(letter != "X" for letter in protein) for protein in (a, b)]
        assert (first, second) == tuple(map(min, wanted, known))


@pytest.mark.parametrize("legacy", [False, True])
def test_fates_of_the_selected(legacy):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ARNDCQEGHILKMFPSTWYV"), 300)) for _ in range(400)]
    collate = DataCollatorForResidueLanguageModeling(PLUS, seed=0, legacy=legacy)
    batch = collate([{"sequence": sequence} for sequence in sequences])
    chosen = batch["labels"] != -100
    new, old = batch["input_ids"][chosen], batch["labels"][chosen]
    n = len(new)
    assert n == 400 * 45
    drawn = 21 if legacy else 20
    shares = {"mask": 0.8 + 0.1 / drawn * legacy, "keep": 0.1 + 0.1 / drawn}
    for found, expected in (((new == 21).sum() / n, shares["mask"]), ((new == old).sum() / n, shares["keep"])):
        assert abs(found.item() - expected) < 4 * (expected * (1 - expected) / n) ** 0.5
    if legacy:  # what the original's masking gives, measured on it
        fractions = MASKING["action_fractions"]
        assert (new == 21).sum().item() / n == pytest.approx(fractions["mask"], abs=0.015)
        assert (new == old).sum().item() / n == pytest.approx(fractions["keep"], abs=0.015)
    positions = chosen.float().mean(0)[1:-1]
    assert abs(positions.mean().item() - 0.15) < 1e-6 and positions.std() < 2 * (0.15 * 0.85 / 400) ** 0.5


@pytest.mark.parametrize("legacy", [False, True])
def test_masks_of_tape(legacy):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 200)) for _ in range(300)]
    collate = DataCollatorForResidueLanguageModeling(TAPE, seed=0, legacy=legacy)
    batch = collate([{"sequence": sequence} for sequence in sequences])
    chosen = batch["labels"] != -100
    ends = torch.cat([chosen[:, 0], chosen[:, -1]]).float().mean().item()
    if legacy:
        assert ends == pytest.approx(TAPE_MASKING["fraction_of_cls_sep_selected"], abs=0.06)
        assert batch["input_ids"][chosen].unique().numel() > 26  # special ids as well
    else:
        assert ends == 0
        replaced = batch["input_ids"][chosen & (batch["input_ids"] != 1)]
        assert (replaced >= 5).all() and (replaced != 27).all()
    assert chosen[:, 1:-1].float().mean().item() == pytest.approx(TAPE_MASKING["selected_fraction"], abs=0.01)
    new, old = batch["input_ids"][chosen], batch["labels"][chosen]
    assert (new == 1).float().mean().item() == pytest.approx(TAPE_MASKING["actions"]["mask"], abs=0.02)
    assert (new == old).float().mean().item() == pytest.approx(TAPE_MASKING["actions"]["same"], abs=0.02)


def test_ids_and_sequences_give_the_same_batch():
    pairs = [("MKTAYIAKQRQISFVKSHFSRQ", "MKT"), ("ACDEFGHIKLMNP", "ACDEFGHIKLMNPQRSTVWY")]
    texts = [{"sequence_a": a, "sequence_b": b, "same_family": 0} for a, b in pairs]
    tokenized = [{**PLUS(a, b), "same_family": 0} for a, b in pairs]
    one = DataCollatorForResidueLanguageModeling(PLUS, seed=3)(texts)
    other = DataCollatorForResidueLanguageModeling(PLUS, seed=3)(tokenized)
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_seeds_and_workers():
    data = [{"sequence": "MKTAYIAKQRQISFVKSHFSRQ"}] * 8
    first = DataCollatorForResidueLanguageModeling(PLUS, seed=0)(data)["labels"]
    assert torch.equal(first, DataCollatorForResidueLanguageModeling(PLUS, seed=0)(data)["labels"])
    collate = DataCollatorForResidueLanguageModeling(PLUS, seed=0)
    batches = list(DataLoader(data, batch_size=4, num_workers=2, collate_fn=collate))
    assert not torch.equal(batches[0]["labels"], batches[1]["labels"])


def test_padding_to_a_multiple_and_truncation():
    collate = DataCollatorForResidueLanguageModeling(TFM, seed=0, pad_to_multiple_of=8, max_length=20)
    batch = collate([{"sequence": "MKT" * 10}, {"sequence": "MK"}])
    assert batch["input_ids"].shape == (2, 16) and batch["attention_mask"].sum(1).tolist() == [16, 4]
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mlm_probability": 1.2}, "between 0 and 1"),
        ({"strategy": "spans"}, "strategy must be"),
        ({"tokenizer": ProteinTokenizer("unirep"), "strategy": "bernoulli"}, "no mask token"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        DataCollatorForResidueLanguageModeling(**{"tokenizer": PLUS, **arguments})


def test_features_are_checked():
    collate = DataCollatorForResidueLanguageModeling(PLUS)
    with pytest.raises(ValueError, match="features need"):
        collate([{"text": "MKT"}])
    with pytest.raises(ValueError, match="empty list"):
        collate([])


def test_nothing_is_hidden_from_models_that_read_one_way():
    collate = DataCollatorForResidueLanguageModeling(ProteinTokenizer("unirep"))
    batch = collate([{"sequence": "MKTAYI"}, {"sequence": "MK"}])
    real = batch["attention_mask"].bool()
    assert (batch["labels"][real] == batch["input_ids"][real]).all() and (batch["labels"][~real] == -100).all()
