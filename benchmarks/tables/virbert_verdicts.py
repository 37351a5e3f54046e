"""What the phage table says of its goal, cell by cell: pretrained against from scratch and regressions, and joined.

Compared are scores on the same test reads after the same labelled reads. Arms are chosen on fold 1 to 4. *Folds*: a
difference holds where its mean over the five folds is larger than its standard deviation. *Seeds*: those of fold 0;
it holds where it is larger than the larger standard deviation of the two. Of an arm that was pretrained anew without
the tested fold only that is judged (`-unseen`), on the folds for which this was done.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from benchmarks.tables.virbert_cells import UNSEEN

SCRATCH = ("scratch", "profile-scratch")
REGRESSIONS = ("kmer4", "kmer6")
# Kinds of the goal, with the heading of their column.
GOAL = {
    "pretrained above the best from scratch": "pretrained - from scratch, fold 0",
    "pretrained above from scratch, five folds": "the same, five folds",
    "pretrained above regressions": "pretrained - regressions, five folds",
    "combined above the best from scratch": "combined - from scratch, fold 0",
    "combined above regressions": "combined - regressions, five folds",
    "combined above its arm": "combined - its arm, five folds",
}
# Networks of one shape with two beginnings.
_PAIRS = {
    "stride3": ("finetuned", "scratch"),
    "contrast": ("contrast-finetuned", "scratch"),
    "profile-contrast": ("profile-finetuned", "profile-scratch"),
}


def verdicts(rows: list[dict[str, Any]], arms: list[str]) -> dict[str, Any]:
    """`cells`: what is compared in each, and whether it holds; `counts`: of each kind how often, of how many cells.

    Args:
        rows (`list[dict]`): Of `benchmarks.tables.virbert.gather`.
        arms (`list[str]`): Pretrained arms that may be chosen.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(dict)
    for row in rows:
        groups[row["length"], row["variant"], row["fraction"]][row["method"]] = row
    found = []
    for (length, variant, fraction), own in sorted(groups.items(), reverse=True):
        found.append({"length": length, "variant": variant, "fraction": fraction} | _of_cell(own, arms))
    kinds = dict.fromkeys(key for about in found for key, value in about.items() if isinstance(value, dict))
    counts = {
        kind: [sum(a[kind]["holds"] for a in found if kind in a), sum(kind in a for a in found)] for kind in kinds
    }
    return {"cells": found, "counts": counts}


def _of_cell(own: dict[str, Any], arms: list[str]) -> dict[str, Any]:
    by_fold = {name: row["by_fold"] for name, row in own.items() if len(row.get("by_fold", [])) > 2}
    by_fold = {name: value for name, value in by_fold.items() if f"{name.split('+')[0]}{UNSEEN}" not in by_fold}
    frozen = _best(by_fold, [name for name in by_fold if name.removesuffix(UNSEEN) in arms])
    joined = _best(
        by_fold, [name for name in by_fold if name.split("+")[0].removesuffix(UNSEEN) in arms and "+" in name]
    )
    tuned = _best(by_fold, [one for one, _ in _PAIRS.values()])
    pretrained = _best(by_fold, [name for name in (frozen, tuned) if name])
    regression, scratch = _best(by_fold, REGRESSIONS), _best(by_fold, SCRATCH)
    means = {name: own[name]["seeds"]["macro_recall"]["mean"] for name in SCRATCH if name in own}
    of_fold_0 = max(means, key=lambda name: means[name], default=None)
    found = {
        "pretrained above the best from scratch": _over_seeds(own, pretrained, of_fold_0),
        "pretrained above from scratch, five folds": _over_folds(by_fold, pretrained, scratch),
        "pretrained above regressions": _over_folds(by_fold, pretrained, regression),
        "combined above the best from scratch": _over_seeds(own, joined, of_fold_0),
        "combined above regressions": _over_folds(by_fold, joined, regression),
        "combined above its arm": _over_folds(by_fold, joined, joined and joined.split("+")[0]),
        "frozen above random": _over_folds(by_fold, frozen, "random"),
    }
    for arm, (one, other) in _PAIRS.items():
        found[f"{arm} fine-tuned above scratch"] = _over_seeds(own, one, other)
        found[f"{arm} fine-tuned above scratch, five folds"] = _over_folds(by_fold, one, other)
    found["contrast above hidden k-mers, one network"] = _over_folds(by_fold, "contrast", "stride3")
    return {kind: value for kind, value in found.items() if value is not None}


def _over_folds(by_fold: dict[str, list[float]], one: str | None, other: str | None) -> dict[str, Any] | None:
    if one not in by_fold or other not in by_fold:
        return None
    common = min(len(by_fold[one]), len(by_fold[other]))
    difference = np.subtract(by_fold[one][:common], by_fold[other][:common])
    mean, sd = float(difference.mean()), float(difference.std(ddof=1))
    return {"arm": one, "against": other, "mean": mean, "sd": sd, "folds": common, "holds": mean > sd}


def _over_seeds(own: dict[str, Any], one: str | None, other: str | None) -> dict[str, Any] | None:
    """How far one spread of seeds lies above another; of a single seed of the first nothing is said."""
    if one not in own or other not in own:
        return None
    high, low = (own[name]["seeds"]["macro_recall"] for name in (one, other))
    noise, gain, n = max(high["sd"] or 0.0, low["sd"] or 0.0), high["mean"] - low["mean"], min(high["n"], low["n"])
    if high["n"] < 2:
        return None
    return {"arm": one, "against": other, "mean": gain, "sd": noise, "n": n, "holds": bool(gain > noise > 0)}


def _best(by_fold: dict[str, list[float]], names: Any) -> str | None:
    """Best on fold 1 to 4."""
    known = [name for name in names if name in by_fold]
    return max(known, key=lambda name: np.mean(by_fold[name][1:]), default=None)


def verdict_lines(result: dict[str, Any], name_of_cell: Any) -> list[str]:
    """A table of the goal's differences in points, a row a cell, and for each kind where it does not hold."""
    cells, counts = result["verdicts"]["cells"], result["verdicts"]["counts"]
    kinds = [kind for kind in GOAL if kind in counts]
    lines = [f"| reads | {' | '.join(GOAL[kind] for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for cell in cells:
        lines.append(f"| {name_of_cell(cell)} | {' | '.join(_shown(cell.get(kind)) for kind in kinds)} |")
    lines.append("")
    for kind, (true, total) in counts.items():
        failed = [name_of_cell(cell) for cell in cells if kind in cell and not cell[kind]["holds"]]
        said = f"; not in {'; '.join(failed)}" if 0 < len(failed) <= total / 2 else ""
        lines.append(f"- {kind[:1].upper()}{kind[1:]}: in {true} of {total} cells{said}.")
    return lines


def _shown(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    return f"{'yes' if value['holds'] else '**no**'}, {100 * value['mean']:+.1f} ({100 * value['sd']:.1f})"
