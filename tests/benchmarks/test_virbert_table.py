"""The phage table: folds, labelled reads, regressions and what is said of them, against slow or stock equivalents."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks import pictures
from benchmarks.tables import (
    virbert,
    virbert_arms,
    virbert_cells,
    virbert_networks,
    virbert_reads,
    virbert_trials,
)
from benchmarks.tables.virbert_cells import fit, labelled_rows, macro_recall, measure, root_counts
from benchmarks.tables.virbert_verdicts import verdict_lines, verdicts
from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays


def test_folds_keep_groups_whole_and_matched_reads_say_nothing_by_gc(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for label, mean in (("phage", 0.55), ("virus", 0.45)):
        for number in range(15):
            gc = mean + rng.uniform(-0.15, 0.15)
            path = tmp_path / "in" / label / f"{label}{number}.fa"
            path.parent.mkdir(parents=True, exist_ok=True)
            letters = rng.choice(list("ACGT"), 800, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
            path.write_text(f">c\n{''.join(letters)}\n")
    genomes = build_dataset("genomes", output=tmp_path / "all", data_dir=tmp_path / "in", groups="none")
    monkeypatch.setattr(virbert_reads, "READS", {100: 300})
    work = tmp_path / "work"
    work.mkdir()
    virbert_reads.prepare(genomes, work, (100,))
    reads = pd.read_parquet(work / "reads-100.parquet")
    assert (reads.groupby("group")["fold"].nunique() == 1).all() and reads["fold"].nunique() == 5
    for _, part in reads[reads["matched"]].groupby("fold"):
        gc = part["sequence"].map(virbert_reads._gc)
        assert len(part) > 30 and part["label"].mean() == 0.5
        assert abs(gc[part["label"] == 1].mean() - gc[part["label"] == 0].mean()) < 0.02
    apart = {split: set(GenomeArrays.open(work / "genomes", split).groups) for split in ("train", "test")}
    assert apart["test"] == set(reads.loc[reads["fold"] == 0, "group"]) and not apart["train"] & apart["test"]
    facts = json.loads((work / "folds.json").read_text())
    assert len(facts["folds"]) == 5 and all(fold["effective_groups"]["phage"] <= 3 for fold in facts["folds"])


def test_labelled_reads_are_of_other_folds_balanced_and_nested():
    rng = np.random.default_rng(0)
    reads = pd.DataFrame({"fold": rng.integers(0, 5, 900), "label": rng.integers(0, 2, 900)})
    reads["matched"] = rng.random(900) < 0.5
    rows = {f: labelled_rows(reads, fold=2, variant="matched", fraction=f, seed=1) for f in virbert_cells.FRACTIONS}
    for fraction, chosen in rows.items():
        part = reads.iloc[chosen]
        assert (part["fold"] != 2).all() and part["matched"].all()
        usable = (reads["fold"] != 2) & reads["matched"]
        for label in (0, 1):
            wanted = max(2, round(fraction * (usable & (reads["label"] == label)).sum()))
            assert (part["label"] == label).sum() == wanted
    assert set(rows[0.001]) <= set(rows[0.01]) <= set(rows[0.1]) <= set(rows[1.0])
    again = labelled_rows(reads, fold=2, variant="matched", fraction=0.1, seed=2)
    assert set(again) != set(rows[0.1])
    assert not reads.iloc[labelled_rows(reads, fold=2, variant="plain", fraction=1.0, seed=1)]["matched"].all()


def test_counts_join_the_strands():
    texts = ["".join(np.random.default_rng(seed).choice(list("ACGT"), 60)) for seed in range(3)]
    complement = str.maketrans("ACGT", "TGCA")
    for k in (2, 4):
        found = root_counts(texts, k)
        for row, text in zip(found, texts, strict=True):
            words = [text[i : i + k] for i in range(len(text) - k + 1)]
            counts = Counter(min(word, word.translate(complement)[::-1]) for word in words)
            assert sorted(row[row > 0].tolist()) == pytest.approx(sorted(np.sqrt(list(counts.values()))))
        turned = root_counts([text.translate(complement)[::-1] for text in texts], k)
        np.testing.assert_allclose(turned, found)
    assert found.shape[1] == 136


def test_the_regression_is_the_stock_one():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 12)).astype(np.float32)
    labels = (features[:, 0] + rng.normal(size=300) > 0).astype(int)
    for strength in (0.003, 0.3):
        found = fit(features, labels, strength)
        stock = LogisticRegression(C=strength, tol=1e-8).fit(features, labels)
        np.testing.assert_allclose(found[:-1], stock.coef_[0], atol=2e-3)
        assert found[-1] == pytest.approx(stock.intercept_[0], abs=5e-3)


def test_measures_of_a_cell():
    scores, labels = np.array([1.0, -1.0, 2.0, -3.0]), np.array([1, 1, 0, 0])
    found = measure(scores, labels)
    assert found == {"macro_recall": 0.5, "auroc": 0.5, "called_phage": 0.5, "confusion": [[1, 1], [1, 1]]}
    assert macro_recall(scores, np.array([1, 0, 1, 0])) == 1.0


def _row(method, by_fold, **changes):
    spread = {"mean": by_fold[0], "sd": 0.01, "n": 3}
    seeds = {"macro_recall": spread, "auroc": spread, "called_phage": {"mean": 0.5, "sd": None, "n": 1}}
    row = {"length": 150, "variant": "plain", "fraction": 1.0, "method": method, "labelled": 10, "seeds": seeds}
    return row | {"by_fold": by_fold, "folds": seeds, "confusion": [[1, 0], [0, 1]]} | changes


def test_a_difference_counts_where_it_is_larger_than_its_spread():
    one_seed = {key: {"mean": 0.9, "sd": None, "n": 1} for key in ("macro_recall", "called_phage")}
    rows = [
        _row("random", [0.60, 0.61, 0.60, 0.61, 0.60]),
        _row("good", [0.70, 0.72, 0.70, 0.71, 0.73]),
        _row("lucky", [0.99, 0.60, 0.61, 0.60, 0.61]),  # best in fold 0, which does not choose
        _row("kmer4", [0.70, 0.73, 0.69, 0.72, 0.72]),
        _row("good+kmer4", [0.75, 0.76, 0.75, 0.77, 0.76]),
        _row("finetuned", [0.8]),
        _row("scratch", [0.795]),
        _row("contrast-finetuned", [0.9], seeds=one_seed),
    ]
    found = verdicts(rows, ["good", "lucky"])
    (cell,) = found["cells"]
    assert cell["frozen above random"]["arm"] == "good" and cell["frozen above random"]["holds"]
    assert not cell["pretrained above regressions"]["holds"]
    assert cell["combined above regressions"]["holds"] and cell["combined above its arm"]["against"] == "good"
    assert not cell["stride3 fine-tuned above scratch"]["holds"]
    assert cell["pretrained above the best from scratch"] == {
        "arm": "good", "against": "scratch", "mean": pytest.approx(-0.095), "sd": 0.01, "n": 3, "holds": False,
    }  # fmt: skip
    assert "contrast fine-tuned above scratch" not in cell  # one seed
    assert "pretrained above from scratch, five folds" not in cell  # no network on more than fold 0
    assert found["counts"]["frozen above random"] == [1, 1]
    lines = verdict_lines({"verdicts": found}, virbert.name_of_cell)
    assert "| 150 nt, plain, 100 % | **no**, -9.5 (1.0) |" in lines[2]
    assert "- Frozen above random: in 1 of 1 cells." in lines
    arms = {name: {"title": name, "measured": True} for name in ("random", "good", "lucky")}
    text = virbert.markdown({"rows": rows, "arms": arms})
    assert "| good beside 4-mers | 75.0 ± 1.0 |" in text and text.count("**") == 8


def test_an_arm_is_judged_on_folds_that_its_pretraining_had_not_seen():
    rows = [
        _row("good", [0.70, 0.92, 0.90, 0.91, 0.93]),  # it knew folds 1 to 4
        _row("good-unseen", [0.70, 0.72, 0.70, 0.71, 0.73]),
        _row("kmer4", [0.80, 0.81, 0.82, 0.80, 0.81]),
        _row("good+kmer6", [0.90, 0.95, 0.96, 0.95, 0.96]),
        _row("kmer6", [0.80, 0.81]),  # on too few folds: not compared
    ]
    (cell,) = verdicts(rows, ["good"])["cells"]
    found = cell["pretrained above regressions"]
    assert (found["arm"], found["against"], found["holds"]) == ("good-unseen", "kmer4", False)
    assert "combined above regressions" not in cell
    assert virbert.title_of("good-unseen+kmer4", {}) == "good (unseen) beside 4-mers"


def test_fine_tuning_is_compared_on_the_folds_that_both_networks_have():
    rows = [
        _row("profile-finetuned", [0.80, 0.84, 0.83, 0.85, 0.84]),
        _row("profile-scratch", [0.79, 0.80, 0.80, 0.80]),
        _row("arm", [0.70, 0.70, 0.70, 0.70, 0.70]),
    ]
    (cell,) = verdicts(rows, ["arm"])["cells"]
    found = cell["pretrained above from scratch, five folds"]
    assert (found["arm"], found["against"], found["folds"]) == ("profile-finetuned", "profile-scratch", 4)
    assert found["mean"] == pytest.approx(0.0325) and found["holds"]
    assert cell["profile-contrast fine-tuned above scratch, five folds"] == found


def test_what_tells_genomes_apart_is_judged_only_where_it_was_pretrained_without_the_fold():
    arms = {name: {"measured": True} for name in ("random", "stride3", "contrast", "profile-contrast")}
    rows = [_row(name, [0.7] * 5) for name in ("stride3", "contrast", "profile-contrast-unseen")]
    assert virbert.judged_arms({"arms": arms, "rows": rows}) == ["stride3", "profile-contrast"]


def test_folds_of_a_row_end_where_one_is_missing():
    value = {"macro_recall": 0.7, "auroc": 0.7, "called_phage": 0.5, "confusion": [[1, 0], [0, 1]]}
    key = (150, "plain", 1.0, "scratch")
    row = virbert._row(key, {(fold, 0): value | {"macro_recall": fold / 10} for fold in (0, 1, 3)})
    assert row["by_fold"] == [0.0, 0.1]


def test_the_rows_that_matter_are_columns():
    rows = [_row("gc", [0.5]), _row("scratch", [0.6]), _row("profile-scratch", [0.65]), _row("dnavec", [0.55])]
    lines = virbert.short_lines({"rows": rows}, [(150, "plain", 1.0)])
    assert lines[2] == "| 150 nt, plain, 100 % | 50.0 ± 1.0 |  |  | 65.0 ± 1.0 | 55.0 ± 1.0 |  |  |  |  |"


def test_vectors_of_an_unseen_arm_are_those_of_the_tested_fold(tmp_path):
    reads = pd.DataFrame({"sequence": ["ACGTACGT", "GGGTTTCC"], "label": [0, 1]})
    reads.to_parquet(tmp_path / "reads-8.parquet")
    for fold in range(5):
        folder = tmp_path / virbert_arms.name_without("vectors", fold)
        folder.mkdir()
        np.save(folder / "arm-8.npy", np.full((2, 3), fold, np.float32))
    table = virbert_cells.Features(tmp_path, 8)
    assert table.arms == ["arm", "arm-unseen"]
    assert table.of("arm", 3).max() == 0
    joined = table.of("arm-unseen+kmer4", 3)
    assert joined.shape == (2, 3 + 136) and (joined[:, :3] == 3).all()


def test_networks_come_a_seed_at_a_time_and_test_folds_last():
    found = list(virbert_networks.network_cells(["scratch"]))
    assert len(found) == 2 * 2 * 4 * 7 and len({str(cell) for _, cell in found}) == len(found)
    assert all(cell["fold"] == 0 and cell["seed"] == 0 for _, cell in found[:16])
    assert found[-1][1]["fold"] == 4


def test_cells_are_picked_and_a_fold_that_pretraining_saw_is_passed_over(tmp_path, monkeypatch, capsys):
    reads = pd.DataFrame({"sequence": ["ACGT"] * 40, "label": [0, 1] * 20, "fold": np.arange(40) % 5, "matched": True})
    reads.to_parquet(tmp_path / "reads-150.parquet")
    (tmp_path / "arms" / "profile-contrast-without-2").mkdir(parents=True)
    begun = []
    monkeypatch.setattr(virbert_networks, "train", lambda recipe, run: begun.append(recipe.model.from_))
    monkeypatch.setattr(virbert_networks, "scores_of", lambda run, sequences: np.zeros(len(sequences)))
    picked = ["--kinds", "profile-finetuned", "--folds", "1", "2", "--fractions", "1.0", "--lengths", "150"]
    picked += ["--variants", "plain"]
    monkeypatch.setattr("sys.argv", ["virbert_networks", "--work", str(tmp_path), *picked])
    virbert_networks.main()
    assert begun == [str(tmp_path / "arms" / "profile-contrast-without-2")]
    assert "passed over" in capsys.readouterr().out
    made = [path.name for path in (tmp_path / "networks").iterdir()]
    assert made == ["profile-finetuned-150-plain-1.0-2-0.npy"]


def test_pictures_of_runs_and_of_the_table(tmp_path, monkeypatch, capsys):
    for run in ("one", "two"):
        folder = tmp_path / run / "seeds" / "0"
        folder.mkdir(parents=True)
        rows = [{"step": step, "loss": 1 / step, "session": "a"} for step in (1, 2, 3)]
        rows += [{"step": 3, "eval_loss": 0.4, "eval_macro_recall": 0.9}]
        (folder / "training_log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = tmp_path / "table.json"
    rows = [
        _row("good", [0.7], length=length, variant=variant)
        for length in (150, 1000)
        for variant in ("plain", "matched")
    ]
    table.write_text(json.dumps({"result": {"rows": rows}}))
    runs = [str(tmp_path / "one"), str(tmp_path / "two")]
    monkeypatch.setattr("sys.argv", ["pictures", *runs, "--table", str(table), "--output", str(tmp_path / "out")])
    pictures.main()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"training.png", "probes.png", "scarcity.png"}
    figure = pictures.draw_logs({"one": pictures.mean_log(tmp_path / "one")}, "loss", "loss")
    assert figure.axes[0].lines[0].get_ydata().tolist() == pytest.approx([1, 1 / 2, 1 / 3])
    monkeypatch.setattr("sys.argv", ["pictures", str(tmp_path / "out"), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"keeps a training_log\.jsonl"):
        pictures.main()


def test_a_figure_of_trials_shows_those_that_are_done(tmp_path):
    folder = tmp_path / "probes" / "19" / "seeds" / "42"
    folder.mkdir(parents=True)
    (folder / "training_log.jsonl").write_text('{"step": 50, "eval_macro_recall": 0.6}\n{"step": 60, "loss": 1}\n')
    test = {"metrics": {"test": {"macro_recall": {"mean": 0.5}}}}
    (tmp_path / "probes" / "19" / "metrics.json").write_text(json.dumps(test))
    trials = {"19": {"title": "mask8", "recall": 73.8}, "20": {"title": "mask10"}}
    assert virbert_trials.draw_figures(trials, tmp_path) == [tmp_path / "A.3.png"]
    row = {"trial": "19", "title": "mask8", "thesis": 73.8, "loss": None, "last": 60.0, "best": 60.0, "test": 50.0}
    assert virbert_trials.gather(trials, tmp_path) == [row]
