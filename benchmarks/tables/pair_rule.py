"""Whole 3'UTRs ranked within miRNAs: from sites to a pair's score, beside counts of seed matches and TargetNet.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.pair_rule evaluate --targetnet targetnet-published --work runs/pair_rule
python -m benchmarks.tables.pair_rule report package --work runs/pair_rule

Every rule with numbers of its own is learned on the pairs from chimeric reads, for each fifth of the miRNAs (by
nucleotides 2-7) on the other four fifths, and then ranks the miRNAs of that fifth in all three sets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks._results import RESULTS, data_folder, write_result
from benchmarks.tables.chimeric_utrs import chimeric_utr_pairs
from benchmarks.tables.pair_rule_limits import limits, report_limits
from benchmarks.tables.targetnet import model_scores
from benchmarks.tables.targetnet_intervals import RESAMPLES, compared_rows, intervals, six_mers
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.hub.load import packaged_model
from seqformers.targets.pair_score import PairRule
from seqformers.targets.scan import scan_targets

SETS = {"miraw_test_0_4": "miraw_test_0_4.parquet", "deeptargetpro_0_4": "deeptargetpro_pairs_0_4.parquet"}
CHIMERIC = "chimeric_utrs"
FOLDS = 5
TYPES = ("6mer", "7mer-A1", "7mer-m8", "8mer")
RULE = "pair CNN, summed odds and length (the package's rule)"


def read_sets(folder: Path) -> dict[str, pd.DataFrame]:
    """The three sets, each pair once, of miRNAs with targets and non-targets."""
    found = {name: compared_rows(read_target_table(folder / file)) for name, file in SETS.items()}
    return found | {CHIMERIC: compared_rows(chimeric_utr_pairs(folder))}


def scanned_sites(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Sites of each pair by the packaged scan, `pair` its row; kept in `path`."""
    if path.exists():
        return pd.read_parquet(path)
    mirnas, mrnas = ({text: text for text in rows[name].unique()} for name in ("mirna_seq", "mrna_seq"))
    named = rows[["mirna_seq", "mrna_seq"]].itertuples(index=False)
    sites = scan_targets(mirnas, mrnas, named, sites=True, energy=False, threads=1)
    numbers = {pair: number for number, pair in enumerate(zip(rows["mirna_seq"], rows["mrna_seq"], strict=True))}
    pair = [numbers[names] for names in zip(sites["mirna_id"], sites["mrna_id"], strict=True)]
    sites = sites.assign(pair=pair)[["pair", "start", "end", "score", "site_type", "to_end"]]
    sites.to_parquet(path)
    return sites


def features(rows: pd.DataFrame, sites: pd.DataFrame) -> dict[str, np.ndarray]:
    """What the rules weigh, `(n, f)` each."""
    count, lengths = len(rows), rows["mrna_seq"].str.len().to_numpy()
    pair = sites["pair"].to_numpy()
    score = sites["score"].to_numpy().clip(1e-6, 1 - 1e-6)
    logit = np.log(score / (1 - score))
    odds = PairRule.features(pair, logit, lengths)
    found = {
        RULE: odds,
        "pair CNN, summed odds": odds[:, :1],
        "pair CNN, noisy-or": -np.bincount(pair, np.log1p(-score), count)[:, None],
        "pair CNN, best site": _best(pair, score, count)[:, None],
        "pair CNN, mean of the best three": _best_three(pair, score, count)[:, None],
        "pair CNN, sites, odds and length": np.column_stack([np.log1p(np.bincount(pair, minlength=count)), odds]),
    }
    found["context of seed matches"] = context(rows, sites)
    found["pair CNN and context of seed matches together"] = np.column_stack([odds, found["context of seed matches"]])
    found["length of the 3'UTR"] = -lengths[:, None].astype(float)
    return found


def _best(pair: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    best = np.zeros(count)
    np.maximum.at(best, pair, score)
    return best


def _best_three(pair: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    order = np.lexsort((-score, pair))
    rank = np.arange(len(order)) - np.searchsorted(pair[order], pair[order])
    top = order[rank < 3]
    return np.bincount(pair[top], score[top], count) / 3


def context(rows: pd.DataFrame, sites: pd.DataFrame) -> np.ndarray:
    """As TargetScan weighs seed matches: how many of each type, A and U around them, near the ends; `(n, 7)`."""
    seeds = sites[sites["site_type"] != "non-canonical"].reset_index(drop=True)
    pair = seeds["pair"].to_numpy()
    columns = [np.bincount(pair[seeds["site_type"] == kind], minlength=len(rows)).astype(float) for kind in TYPES]
    around = np.array(
        [
            _local_au(rows["mrna_seq"].iat[row], start, end)
            for row, start, end in zip(pair, seeds["start"], seeds["end"], strict=True)
        ]
    )
    strength = seeds["site_type"].map(dict(zip(TYPES, (0.1, 0.3, 0.4, 0.7), strict=True))).to_numpy(float)
    near = np.minimum(seeds["start"], seeds["to_end"]).to_numpy()
    columns.append(np.bincount(pair, strength * (around - 0.5), len(rows)))
    columns.append(np.bincount(pair, strength * (near < 400), len(rows)))
    columns.append(np.log(rows["mrna_seq"].str.len().to_numpy() + 50.0))
    return np.column_stack(columns)


def _local_au(mrna: str, start: int, end: int) -> float:
    """A and U within 30 nt of a seed match, weighing with one over the distance (Grimson et al. 2007)."""
    total = found = 0.0
    for side in (mrna[max(start - 30, 0) : start][::-1], mrna[end : end + 30]):
        for distance, letter in enumerate(side, 1):
            total += 1 / distance
            found += (letter in "AU") / distance
    return found / total if total else 0.5


def fold_of(rows: pd.DataFrame) -> np.ndarray:
    """The fifth of each row's miRNA, by nucleotides 2-7."""
    return rows["mirna_seq"].str[1:7].map(lambda seed: sum(map(ord, seed)) * 7919 % 104_729 % FOLDS).to_numpy()


def fitted(values: np.ndarray, rows: pd.DataFrame) -> LogisticRegression:
    """A logistic rule; both labels count alike."""
    return LogisticRegression(class_weight="balanced", C=10.0, max_iter=1_000).fit(values, rows["label"])


def ranked(learned: np.ndarray, learned_rows: pd.DataFrame, values: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Scores of rows by rules learned without their fifth of the miRNAs; one feature needs no rule."""
    if values.shape[1] == 1:
        return values[:, 0]
    scores, fold, other = np.zeros(len(rows)), fold_of(rows), fold_of(learned_rows)
    for part in range(FOLDS):
        rule = fitted(learned[other != part], learned_rows[other != part])
        scores[fold == part] = rule.decision_function(values[fold == part])
    return scores


def evaluate(work: Path, targetnet: Path) -> None:
    """Write `results/pair_rule.json`."""
    sets = read_sets(data_folder("mirna_target"))
    found = {name: features(rows, scanned_sites(rows, work / f"{name}.parquet")) for name, rows in sets.items()}
    result: dict[str, Any] = {"resamples": RESAMPLES, "tests": {}}
    for name, rows in sets.items():
        scores = {
            label: ranked(found[CHIMERIC][label], sets[CHIMERIC], values, rows)
            for label, values in found[name].items()
        }
        scores["count of 6mers"] = six_mers(rows)
        scores["TargetNet, published"] = model_scores(targetnet, rows, work / f"published-{name}.npy")
        scores["TargetNet, packaged"] = model_scores(packaged_model("targetnet"), rows, work / f"packaged-{name}.npy")
        every = found[name]["pair CNN and context of seed matches together"]
        ceiling = ranked_on_itself(every, rows)
        scores["all features, learned on this very set's other miRNAs"] = ceiling
        result["tests"][name] = {"rows": len(rows), "targets": int(rows["label"].sum())} | intervals(rows, scores)
        result["tests"][name]["limits"] = limits(rows, pd.read_parquet(work / f"{name}.parquet"), every)
        print(name, json.dumps(result["tests"][name], indent=1), flush=True)
    rule = fitted(found[CHIMERIC][RULE], sets[CHIMERIC])
    weights = {"bias": rule.intercept_[0], "sites": rule.coef_[0, 0], "length": rule.coef_[0, 1]}
    result["rule"] = {key: round(float(value), 4) for key, value in weights.items()}
    write_result("pair_rule", result, data="mirna_target", seeds=[0])


def ranked_on_itself(values: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """What the features could do if the rule were learned on the test's own kind of labels."""
    return ranked(values, rows, values, rows)


def report() -> None:
    """Write `pair_rule.md` beside this file from what was measured."""
    tests = json.loads((RESULTS / "pair_rule.json").read_text())["result"]["tests"]
    lines = ["# Whole 3'UTRs, ranked within miRNAs", ""]
    lines += ["Written by `python -m benchmarks.tables.pair_rule report`. AUROC within miRNAs, in brackets 95 % of a"]
    lines += [
        "bootstrap over miRNAs. Rules with numbers of their own are learned on the chimeric set's other miRNAs.",
        "",
    ]
    lines += ["| | " + " | ".join(f"{n}: {t['rows']:,} pairs, {t['mirnas']} miRNAs" for n, t in tests.items()) + " |"]
    lines += ["|---|" + "---|" * len(tests)]
    for label in next(iter(tests.values()))["auroc_within_mirna"]:
        lines.append(
            f"| {label} | " + " | ".join(_shown(t["auroc_within_mirna"][label]) for t in tests.values()) + " |"
        )
    lines += [
        "",
        f"{RULE[0].upper()}{RULE[1:]}, minus:",
        "",
        "| | " + " | ".join(tests) + " |",
        "|---|" + "---|" * len(tests),
    ]
    for label in next(iter(tests.values()))[f"{RULE} minus"]:
        lines.append(f"| {label} | " + " | ".join(_shown(t[f"{RULE} minus"][label]) for t in tests.values()) + " |")
    lines += report_limits(tests)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


def _shown(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def package() -> None:
    """Write the rule into the configuration of the packaged network."""
    path = packaged_model("pair_cnn") / "config.json"
    config = json.loads(path.read_text())
    config["pair_rule"] = json.loads((RESULTS / "pair_rule.json").read_text())["result"]["rule"]
    path.write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["evaluate", "report", "package"])
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps sites and scores")
    parser.add_argument("--targetnet", type=Path, help="folder that `seqformers convert targetnet` wrote")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if "evaluate" in given.actions:
        evaluate(given.work, given.targetnet)
    if "report" in given.actions:
        report()
    if "package" in given.actions:
        package()


if __name__ == "__main__":
    main()
