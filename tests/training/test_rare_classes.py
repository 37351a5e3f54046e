"""Rare classes and few rows: weights, focal loss, even sampling and changed sequences, by recipe."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqformers import KmerBertConfig, KmerBertForSequenceClassification
from seqformers.datasets_scripts.common.counter_draws import keys_of
from seqformers.training import evaluate, finetune
from seqformers.training.changed_rows import Augmentation, ChangedRows, EvenClasses, reverse_complements
from seqformers.training.learners import Weighed
from seqformers.training.recipe import load_recipe
from tests.training.conftest import TINY, sequences, write_split

pytestmark = pytest.mark.usefixtures("no_intervals")

PAIRS = dict(zip("ACGTRYKMBDHVSWN", "TGCAYRMKVHDBSWN", strict=True))


@given(st.lists(st.text("ACGTRYKMBDHVSWNacgtn", min_size=1, max_size=30), min_size=1, max_size=5))
@settings(deadline=None, max_examples=15)
def test_other_strands_are_those_of_a_loop_over_letters(texts: list[str]) -> None:
    for text, turned in zip(texts, reverse_complements(texts, "dna"), strict=True):
        slow = "".join(PAIRS[x] if x.isupper() else PAIRS[x.upper()].lower() for x in reversed(text))
        assert turned == slow
    assert reverse_complements(["ACGU"], "rna") == ["ACGU"]


def test_mutations_hit_at_their_rate_and_change_known_letters_alone() -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGTN"), 500)) for _ in range(40)]
    change = Augmentation("dna", mutations=0.1)
    found = change(texts, keys_of(3, np.arange(40)))
    assert found == change(texts, keys_of(3, np.arange(40))) != change(texts, keys_of(4, np.arange(40)))
    pairs = [
        (one, other) for text, new in zip(texts, found, strict=True) for one, other in zip(text, new, strict=True)
    ]
    assert all(other == "N" for one, other in pairs if one == "N")
    known = [pair for pair in pairs if pair[0] != "N"]
    changed = Counter(pair for pair in known if pair[0] != pair[1])
    assert sum(changed.values()) / len(known) == pytest.approx(0.1, abs=0.01)
    assert len(changed) == 12 and min(changed.values()) > 0.6 * max(changed.values())
    assert set("".join(Augmentation("protein", mutations=1.0)(["MKTAY"] * 50, keys_of(0, np.arange(50))))) <= set(
        "ACDEFGHIKLMNPQRSTVWY"
    )


def test_a_shift_cuts_one_end_and_never_more_than_half() -> None:
    text = "".join(np.random.default_rng(0).choice(list("ACGT"), 40))
    found = Augmentation("dna", shift=6)([text] * 300, keys_of(0, np.arange(300)))
    assert {40 - len(row) for row in found} == set(range(7))
    assert all(text.startswith(row) or text.endswith(row) for row in found)
    assert any(not text.startswith(row) for row in found) and any(not text.endswith(row) for row in found)
    assert min(map(len, Augmentation("dna", shift=100)([text] * 50, keys_of(0, np.arange(50))))) == 20


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_every_class_comes_equally_often_and_its_rows_in_turn(sizes: list[int], epochs: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    even = EvenClasses(labels, seed=5)
    drawn = np.concatenate([even(np.arange(len(labels)), epoch) for epoch in range(epochs)])
    for epoch in range(epochs):
        counts = np.bincount(labels[even(np.arange(len(labels)), epoch)], minlength=len(sizes))
        assert counts.max() - counts.min() <= 1
    for number in range(len(sizes)):
        times = np.bincount(drawn[labels[drawn] == number], minlength=len(labels))[labels == number]
        assert times.max() - times.min() <= 1
    places = np.random.default_rng(0).permutation(len(labels))
    assert np.array_equal(even(places, 1), EvenClasses(labels, seed=5)(np.arange(len(labels)), 1)[places])


def test_rows_change_with_the_epoch_and_with_nothing_else() -> None:
    rows = datasets.Dataset.from_dict({"sequence": ["ACGTTGCA" * 5] * 6, "label": [0] * 5 + [1]})
    kwargs: dict[str, Any] = {"column": "sequence", "augmentation": Augmentation("dna", 0.5, 0.2, 4)}
    changed = ChangedRows(rows, 1, classes=EvenClasses(np.array(rows["label"]), 1), **kwargs)
    first = changed.__getitems__(list(range(6)))
    assert [changed[place] for place in range(6)] == first
    changed.set_epoch(1)
    assert changed.__getitems__(list(range(6))) != first
    changed.set_epoch(0)
    assert changed.__getitems__([4, 2]) == [first[4], first[2]]
    assert sum(row["label"] for row in first) == 3 and len(rows) == len(changed) == 6
    assert rows[0]["sequence"] == "ACGTTGCA" * 5


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uneven")
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        texts, labels = sequences(80, rng)
        keep = [i for i, label in enumerate(labels) if label == 0 or i % 5 == 0]
        write_split(folder, split, {"sequence": [texts[i] for i in keep], "label": [labels[i] for i in keep]})
    return folder


def recipe_for(data: Path, **sections: Any) -> dict[str, Any]:
    return {
        "model": {"type": "kmer_bert", "config": TINY},
        "tokenizer": {"k": 3},
        "data": {"path": str(data)},
        "training": {"per_device_train_batch_size": 16, "max_steps": 4, "use_cpu": True, "bf16": False},
        "baselines": {"names": []},
        **sections,
    }


def test_a_recipe_weighs_focuses_samples_and_changes(uneven: Path, tmp_path: Path) -> None:
    asked = {"weights": "balanced", "focal_gamma": 1.5, "sampling": True}
    changes = {"reverse_complement": 0.5, "mutations": 0.02, "shift": 3}
    run = finetune(recipe_for(uneven, balance=asked, augment=changes), output=tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    rows = datasets.load_dataset(str(uneven), split="train")
    counts = np.bincount(rows["label"])
    np.testing.assert_allclose(config["class_weights"], counts.sum() / (2 * counts), rtol=1e-5)
    assert config["focal_gamma"] == 1.5
    card = (run / "README.md").read_text()
    assert "focal_gamma: 1.5" in card and "reverse_complement: 0.5" in card
    summary = json.loads((run / "metrics.json").read_text())
    assert evaluate(run)["metrics"]["loss"] == pytest.approx(summary["metrics"]["test"]["loss"]["mean"], rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_a_classifier_whose_loss_knows_neither_is_weighed_all_the_same(gamma: float) -> None:
    """Against a k-mer BERT, whose own loss does."""
    weights, labels = [0.5, 3.0], torch.tensor([0, 1, 1, 0, 1, 0])
    ids = torch.randint(5, 69, (6, 20), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    plain = KmerBertForSequenceClassification(KmerBertConfig(**TINY))
    config = KmerBertConfig(**TINY, class_weights=weights, focal_gamma=gamma)
    own = KmerBertForSequenceClassification(config)
    own.load_state_dict(plain.state_dict())
    learner = Weighed(plain, weights, gamma).train()
    torch.testing.assert_close(learner(labels=labels, input_ids=ids).loss, own.train()(ids, labels=labels).loss)
    torch.testing.assert_close(learner.eval()(labels=labels, input_ids=ids).loss, plain(ids, labels=labels).loss)


def test_a_stock_classifier_takes_weights_and_focus(uneven: Path, tmp_path: Path) -> None:
    shape = {key: value for key, value in TINY.items() if key != "k"}
    asked = {"weights": "balanced", "focal_gamma": 2.0}
    recipe = recipe_for(uneven, balance=asked, model={"type": "bert", "config": shape}, portable=False)
    recipe["tokenizer"]["type"] = "KmerTokenizer"
    run = finetune(recipe, output=tmp_path / "run")
    assert "class_weights" not in json.loads((run / "config.json").read_text())
    kept = evaluate(run)["metrics"]["loss"]
    summary = json.loads((run / "metrics.json").read_text())
    assert kept == pytest.approx(summary["metrics"]["test"]["loss"]["mean"], rel=1e-4)


def test_batches_of_training_hold_the_classes_evenly(uneven: Path, tmp_path: Path) -> None:
    from seqformers.training.run import Run

    run = Run.prepare(load_recipe(recipe_for(uneven, balance={"sampling": True})), tmp_path / "run")
    trainer = run.make_trainer(0, tmp_path, run.make_model(0))
    labels = torch.cat([batch["labels"] for batch in trainer.get_train_dataloader()])
    assert abs(int(labels.sum()) * 2 - len(labels)) <= 1 and len(labels) == len(run.table.splits["train"])


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"balance": {"weights": "even"}}, "must be balanced or a list of numbers, got 'even'"),
        ({"balance": {"weights": [1.0]}}, "must be 2 positive numbers"),
        ({"balance": {"wieghts": "balanced"}}, "unknown key 'balance.wieghts'.*did you mean"),
        ({"augment": {"mutations": 2.0}}, "augment.mutations must be between 0 and 1"),
        ({"task": "probe", "augment": {"shift": 3}}, "augment is read by `finetune` and `distill`, not by `probe`"),
        (
            {"balance": {"sampling": True}, "training": {"train_sampling_strategy": "group_by_length"}},
            "exclude each other",
        ),
        ({"balance": {"focal_gamma": 1}, "model": {"config": TINY | {"focal_gamma": 2.0}}}, "not both"),
        ({"augment": {"shift": 3}, "data": {"columns": {"text": "sequence", "text_pair": "other"}}}, "no column"),
    ],
)
def test_what_does_not_fit_is_said_before_training(uneven: Path, tmp_path: Path, sections: Any, message: str) -> None:
    recipe = recipe_for(uneven)
    for key, value in sections.items():
        recipe[key] = {**recipe[key], **value} if key in ("data", "training") else value
    with pytest.raises(ValueError, match=message):
        from seqformers.training import probe

        (probe if recipe.get("task") == "probe" else finetune)(recipe, output=tmp_path / "run")
