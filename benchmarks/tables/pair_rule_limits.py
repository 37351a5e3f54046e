"""What a test of whole 3'UTRs could show at best: its site types by label, and a rule fitted to the test itself.

`pair_rule` writes this beside what it measures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.tables.targetnet_intervals import intervals, six_mers

TYPES = ("none", "6mer", "7mer-A1", "7mer-m8", "8mer")
ORACLE = "a linear rule fitted to this very set's comparisons"


def limits(rows: pd.DataFrame, sites: pd.DataFrame, values: np.ndarray) -> dict[str, Any]:
    """Facts of one test.

    Args:
        rows (`pd.DataFrame`): Its pairs, each once.
        sites (`pd.DataFrame`): `pair` (row) and `site_type` of every site; all canonical seed matches are among them.
        values (`np.ndarray`): `(n, f)` all features that rules weigh.
    """
    strength = sites["site_type"].map({name: number for number, name in enumerate(TYPES)}).fillna(0).to_numpy(int)
    best = np.zeros(len(rows), int)
    np.maximum.at(best, sites["pair"].to_numpy(), strength)
    target, lengths = rows["label"].to_numpy() == 1, rows["mrna_seq"].str.len()
    by_mirna = rows.groupby("mirna_seq")["label"].agg(["sum", "size"])
    others = by_mirna["size"] - by_mirna["sum"]
    shares = {
        name: {kind: round(float((best[mine] == number).mean()), 3) for number, kind in enumerate(TYPES)}
        for name, mine in (("targets", target), ("non-targets", ~target))
    }
    scaled = StandardScaler().fit_transform(values)
    found = intervals(rows, {ORACLE: scaled @ fitted_to_comparisons(scaled, rows), "count of 6mers": six_mers(rows)})
    return {
        "best_site": shares,
        "median_length": {"targets": float(lengths[target].median()), "non-targets": float(lengths[~target].median())},
        "comparisons": int((by_mirna["sum"] * others).sum()),
        "median_non_targets_a_mirna": float(others.median()),
        "mrnas_of_non_targets": int(rows.loc[~target, "mrna_seq"].nunique()),
        "oracle": found["auroc_within_mirna"][ORACLE],
        "oracle_minus_six_mers": found[f"{ORACLE} minus"]["count of 6mers"],
    }


def fitted_to_comparisons(values: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Weights that tell each target from each non-target of its miRNA, `(f,)`: what is measured is what is fitted."""
    differences = []
    for members in rows.groupby("mirna_seq").indices.values():
        target = rows["label"].to_numpy()[members] == 1
        apart = values[members[target]][:, None] - values[members[~target]][None]
        differences.append(apart.reshape(-1, values.shape[1]))
    apart = np.concatenate(differences)
    sign = np.where(np.arange(len(apart)) % 2, 1, -1)  # two classes, as many of each
    rule = LogisticRegression(fit_intercept=False, C=1e3, max_iter=5_000).fit(apart * sign[:, None], sign)
    return rule.coef_[0]


def report_limits(tests: dict[str, Any]) -> list[str]:
    """Lines of the page."""
    facts = {name: test["limits"] for name, test in tests.items()}
    lines = ["", "## What these sets can tell", "", "| | " + " | ".join(facts) + " |", "|---|" + "---|" * len(facts)]
    rows: dict[str, list[str]] = {
        "comparisons of a target and a non-target of one miRNA": [f"{f['comparisons']:,}" for f in facts.values()],
        "non-targets a miRNA, median": [f"{f['median_non_targets_a_mirna']:.0f}" for f in facts.values()],
        "different mRNAs among non-targets": [f"{f['mrnas_of_non_targets']:,}" for f in facts.values()],
        "median length, targets / non-targets": [
            " / ".join(f"{f['median_length'][name]:,.0f}" for name in ("targets", "non-targets"))
            for f in facts.values()
        ],
    }
    for kind in reversed(TYPES):
        rows[f"best seed match {kind}, targets / non-targets"] = [
            " / ".join(f"{f['best_site'][name][kind]:.0%}" for name in ("targets", "non-targets"))
            for f in facts.values()
        ]
    rows[f"{ORACLE}: AUROC within miRNAs"] = [_shown(f["oracle"]) for f in facts.values()]
    rows["the same, minus count of 6mers"] = [_shown(f["oracle_minus_six_mers"]) for f in facts.values()]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return lines


def _shown(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"
