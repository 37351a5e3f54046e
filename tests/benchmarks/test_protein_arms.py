"""The table of protein arms: further test sets, and what its page calls a difference."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.tables import protein_arms
from benchmarks.tables.protein_arms_further import further_sets, score_further
from seqformers import OneHotConfig, OneHotForTokenClassification, ProteinTokenizer
from tests.datasets_scripts.test_tape import write_netsurfp


def _finished(work, seed):
    """The run of a cell that was tested on CB513, as `finetune` leaves it."""
    torch.manual_seed(seed)
    run = work / "runs" / f"secondary_structure.one-hot.{seed}"
    OneHotForTokenClassification(OneHotConfig(num_labels=3, classifier_hidden_size=4)).save_pretrained(run)
    ProteinTokenizer("tape").save_pretrained(run)
    cell = {"task": "secondary_structure", "arm": "one-hot", "seed": seed, "metrics": {"q3": 0.4}, "steps": 1,
            "parameters": 9, "commit": "x"}  # fmt: skip
    (work / "cells").mkdir(exist_ok=True)
    (work / "cells" / f"{run.name}.json").write_text(json.dumps(cell))
    return run


def test_finished_runs_are_scored_on_further_test_sets(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    drawn = [("".join(rng.choice(list("ACDEFGHIKL"), n)), "".join(rng.choice(list("HEC"), n))) for n in (30, 9, 21)]
    write_netsurfp(tmp_path / "TS115_HHblits.csv", [(*one, one[1]) for one in drawn], disorder={1: ["0.0"] * 9})
    runs = [_finished(tmp_path, seed) for seed in (0, 1)]
    (tmp_path / "rows" / "secondary_structure").mkdir(parents=True)
    labels = [["HEC".index(state) for state in states] for _, states in drawn]
    rows = pd.DataFrame({"sequence": [sequence for sequence, _ in drawn], "labels": labels})
    rows.to_parquet(tmp_path / "rows" / "secondary_structure" / "train-00000.parquet")
    plain = tmp_path / "shortcuts.secondary_structure.json"
    plain.write_text(json.dumps({"majority": {"q3": 0.3}, "one-hot window": {"q3": 0.3}}))
    monkeypatch.setattr("benchmarks.tables.annotator_baselines._STEPS", 2)
    score_further(tmp_path, tmp_path)
    for run in runs:
        found = json.loads((tmp_path / "cells" / f"{run.name}.json").read_text())["metrics"]
        model = OneHotForTokenClassification.from_pretrained(run).eval()
        right: list[bool] = []
        for sequence, states in (drawn[0], drawn[2]):  # nothing of the second is resolved
            logits = model(**ProteinTokenizer("tape")(sequence, return_tensors="pt")).logits[0, 1:-1]
            right += [
                number == "HEC".index(state) for number, state in zip(logits.argmax(1).tolist(), states, strict=True)
            ]
        assert found["q3_ts115"] == pytest.approx(np.mean(right)) and found["q3"] == 0.4 and "q3_casp12" not in found
    assert {"q3", "q3_ts115", "q3_per_protein_ts115"} == set(json.loads(plain.read_text())["majority"])
    (tmp_path / "rows" / "facts.json").write_text("{}")
    monkeypatch.setattr("benchmarks._results.RESULTS", tmp_path / "results")
    protein_arms.collect(tmp_path)
    assert "| q3 | q3_ts115 | q3_per_protein_ts115 |" in (tmp_path / "results" / "protein_arms.md").read_text()
    with pytest.raises(ValueError, match="none of the files TS115_HHblits"):
        further_sets(tmp_path / "rows")


def test_a_difference_is_more_than_two_spreads():
    """The spread of a is too good to be true, so the median is taken; what has one seed is not judged."""
    arms = {"scratch": (0.50, 0.01), "a": (0.525, 0.0), "b": (0.60, 0.01), "c": (0.40, 0.02), "one seed": (0.9, None)}
    table = {name: {"mean": {"q3": mean}, "sd": {"q3": sd}} for name, (mean, sd) in arms.items()}
    (said,) = protein_arms._verdicts({"secondary_structure": table})
    assert said == (
        "Secondary structure, q3, against scratch (0.500 ± 0.010): above: b (+0.100 ± 0.014); "
        "below: c (-0.100 ± 0.022); not apart: a (+0.025 ± 0.014)."
    )
