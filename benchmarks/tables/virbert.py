"""The phage table: gathers what `virbert_arms`, `virbert_cells` and `virbert_networks` left into JSON and Markdown.

    python -m benchmarks.gpu.genomes DATA runs/genomes                    # from DATA/genomes and DATA/virus_genomes
    python -m benchmarks.tables.virbert_arms --genomes runs/genomes --work runs/virbert-arms     # pretraining, vectors
    python -m benchmarks.tables.virbert_networks --work runs/virbert-arms                          # fine-tuning
    python -m benchmarks.tables.virbert_cells --work runs/virbert-arms                             # regressions
    python -m benchmarks.tables.virbert --work runs/virbert-arms

writes `results/virbert_arms.json` and `tables/virbert.md`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._results import ROOT, write_result
from benchmarks.recipe_lists import read_list
from benchmarks.tables.virbert_arms import ARMS
from benchmarks.tables.virbert_cells import (
    FRACTIONS,
    LENGTHS,
    SEEDS,
    UNSEEN,
    VARIANTS,
    cells,
    measure,
    test_rows,
)
from benchmarks.tables.virbert_networks import KINDS, network_path

TITLES = {
    "gc": "GC alone",
    "kmer4": "4-mer regression",
    "kmer6": "6-mer regression",
    "scratch": "network from scratch (stride 3)",
    "finetuned": "stride3, fine-tuned",
    "contrast-finetuned": "contrast, fine-tuned",
    "profile-scratch": "network from scratch (profile)",
    "profile-finetuned": "profile-contrast, fine-tuned",
    "fresh": "network from scratch, fresh reads without end",
    "kmer6-fresh": "6-mer regression, fresh reads without end",
}
SCRATCH = ("scratch", "profile-scratch")
_VARIANTS = {"matched": "GC-matched", "plain": "plain"}
_DIGEST = ("macro_recall", "auroc", "called_phage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    result = {
        "folds": json.loads((work / "folds.json").read_text()),
        "arms": {name: _of_arm(work, name, arm) for name, arm in read_list(ARMS).items()},
        "rows": gather(work),
    }
    measured = [name for name, arm in result["arms"].items() if arm["measured"] and name != "random"]
    result["verdicts"] = verdicts(result["rows"], measured)
    path = write_result(
        "virbert_arms", result, data="public genomes of phages and other viruses, five folds of groups", seeds=[*SEEDS]
    )
    page = ROOT / "benchmarks" / "tables" / "virbert.md"
    head, mark, rest = page.read_text(encoding="utf-8").partition("<!-- table -->\n")
    rest = rest.partition("<!-- /table -->")[2]
    page.write_text(f"{head}{mark}{markdown(result, folds=True)}\n<!-- /table -->{rest}", encoding="utf-8")
    print(path)


def _of_arm(work: Path, name: str, arm: dict[str, Any]) -> dict[str, Any]:
    """Title, and what its pretraining took and reached."""
    path = work / "arms" / name / "metrics.json"
    found: dict[str, Any] = {"title": arm["title"], "measured": (work / "vectors" / f"{name}-1000.npy").is_file()}
    if path.is_file():
        metrics = json.loads(path.read_text())
        seed = metrics["per_seed"][0]
        found |= {key: seed.get(key) for key in ("steps", "tokens", "parameters")}
        found["test"] = {key: value["mean"] for key, value in metrics["metrics"].get("test", {}).items()}
    return found


def gather(work: Path) -> list[dict[str, Any]]:
    """One row a length, variant, share of labels and method: over the seeds of fold 0, and over the folds."""
    found: dict[tuple[Any, ...], dict[tuple[int, int], dict[str, Any]]] = defaultdict(dict)
    for length in LENGTHS:
        for cell in cells(length):
            path = work / "cells" / ("-".join(str(value) for value in cell.values()) + ".json")
            for method, values in (json.loads(path.read_text()) if path.is_file() else {}).items():
                key = (length, cell["variant"], cell["fraction"], method)
                found[key][cell["fold"], cell["seed"]] = values
        reads = pd.read_parquet(work / f"reads-{length}.parquet", columns=["label", "fold", "matched"])
        for cell, kind in product(cells(length), KINDS):
            path = network_path(work, kind, cell)
            if path.is_file():
                labels = reads["label"].to_numpy()[test_rows(reads, cell)]
                key = (length, cell["variant"], cell["fraction"], kind)
                found[key][cell["fold"], cell["seed"]] = measure(np.load(path), labels)
    return [_row(key, values) for key, values in found.items()]


def _row(key: tuple[Any, ...], values: dict[tuple[int, int], dict[str, Any]]) -> dict[str, Any]:
    seeds = [value for (fold, _), value in sorted(values.items()) if fold == 0]
    folds = [value for (_, seed), value in sorted(values.items()) if seed == 0]
    row: dict[str, Any] = dict(zip(("length", "variant", "fraction", "method"), key, strict=True))
    row["labelled"] = seeds[0].get("labelled")
    row["seeds"] = {name: _spread([value[name] for value in seeds]) for name in _DIGEST}
    row["confusion"] = np.sum([value["confusion"] for value in seeds], axis=0).tolist()
    if len(folds) > 1:
        row["by_fold"] = [value["macro_recall"] for value in folds]
        row["folds"] = {name: _spread([value[name] for value in folds]) for name in _DIGEST}
    return row


def _spread(values: list[float]) -> dict[str, Any]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "n": len(values)}


def verdicts(rows: list[dict[str, Any]], arms: list[str]) -> dict[str, Any]:
    """Whether pretraining, frozen or fine-tuned, and combined heads are above what they are compared with, by cell.

    Compared are scores of the same fold and labelled reads. The arm is chosen on fold 1 to 4. Against regressions and
    the random encoder all folds count, and a difference does where its mean over them is larger than its standard
    deviation; against networks the seeds of fold 0 do, and a difference counts that is larger than the larger standard
    deviation over them. Of an arm that was pretrained anew without the tested fold only that is judged (`-unseen`), on
    the folds for which this was done.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(dict)
    for row in rows:
        groups[row["length"], row["variant"], row["fraction"]][row["method"]] = row
    found = []
    for (length, variant, fraction), own in sorted(groups.items(), reverse=True):
        about: dict[str, Any] = {"length": length, "variant": variant, "fraction": fraction}
        by_fold = {name: row["by_fold"] for name, row in own.items() if len(row.get("by_fold", [])) > 2}
        by_fold = {name: value for name, value in by_fold.items() if f"{name.split('+')[0]}{UNSEEN}" not in by_fold}
        joined = [name for name in by_fold if "+" in name]
        frozen = [name for name in by_fold if name.removesuffix(UNSEEN) in arms]
        for kind, names, others in (
            ("frozen above random", frozen, ["random"]),
            ("frozen above regressions", frozen, ["kmer4", "kmer6"]),
            ("combined above regressions", joined, ["kmer4", "kmer6"]),
        ):
            one, other = (_best(by_fold, part) for part in (names, others))
            if one is not None and other is not None:
                common = min(len(by_fold[one]), len(by_fold[other]))
                difference = np.subtract(by_fold[one][:common], by_fold[other][:common])
                about[kind] = {
                    "arm": one, "against": other, "mean": float(difference.mean()),
                    "sd": float(difference.std(ddof=1)), "folds": common,
                    "holds": bool(difference.mean() > difference.std(ddof=1)),
                }  # fmt: skip
        of_seeds = {name: row["seeds"]["macro_recall"] for name, row in own.items()}
        scratch = max((name for name in SCRATCH if name in own), key=lambda name: of_seeds[name]["mean"], default=None)
        for kind, name, other in (
            ("frozen above the best from scratch", _best(by_fold, frozen), scratch),
            ("stride3 fine-tuned above scratch", "finetuned", "scratch"),
            ("contrast fine-tuned above scratch", "contrast-finetuned", "scratch"),
            ("profile-contrast fine-tuned above scratch", "profile-finetuned", "profile-scratch"),
        ):
            if name in own and other in own:
                about[kind] = {"arm": name, "against": other} | _gain(of_seeds[name], of_seeds[other])
        found.append(about)
    kinds = dict.fromkeys(key for about in found for key, value in about.items() if isinstance(value, dict))
    counts = {
        kind: [sum(a[kind]["holds"] for a in found if kind in a), sum(kind in a for a in found)] for kind in kinds
    }
    return {"cells": found, "counts": counts}


def _gain(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """How far one spread of seeds lies above another; with one seed it says nothing."""
    noise = max(one["sd"] or 0.0, other["sd"] or 0.0)
    gain = one["mean"] - other["mean"]
    return {"mean": gain, "sd": noise, "n": min(one["n"], other["n"]), "holds": bool(gain > noise > 0)}


def _best(by_fold: dict[str, list[float]], names: list[str]) -> str | None:
    """Best on fold 1 to 4."""
    known = [name for name in names if name in by_fold]
    return max(known, key=lambda name: np.mean(by_fold[name][1:])) if known else None


def title_of(method: str, arms: dict[str, Any]) -> str:
    """What stands in the table."""
    if "+" in method:
        arm, kmers = method.split("+")
        return f"{arm.replace(UNSEEN, ' (unseen)')} beside {kmers.removeprefix('kmer')}-mers"
    if method.endswith(UNSEEN):
        return f"{method.removesuffix(UNSEEN)} (unseen): fold left out of its pretraining, folds 0 to 3"
    return TITLES.get(method) or f"{method}: {arms[method]['title']}"


def markdown(result: dict[str, Any], *, folds: bool = False) -> str:
    """Test macro recall in percent; one table a read length and variant.

    Args:
        result (`dict`): Of `results/virbert_arms.json`.
        folds (`bool`): All methods, with the spread over folds and what was called phage; else a choice for readers.
    """
    parts = []
    for length, variant in product(LENGTHS, VARIANTS):
        rows = [row for row in result["rows"] if (row["length"], row["variant"]) == (length, variant)]
        parts += [f"**{length} nt, {_VARIANTS[variant]} reads**", "", *_table(rows, result, folds=folds), ""]
    return "\n".join(parts).rstrip()


def _table(rows: list[dict[str, Any]], result: dict[str, Any], *, folds: bool) -> list[str]:
    methods = dict.fromkeys(row["method"] for row in rows)
    arms = [name for arm in result["arms"] for name in (arm, f"{arm}{UNSEEN}")]
    order = [name for name in (*TITLES, *arms) if name in methods]
    joined = [method for method in methods if "+" in method]
    best = {row["method"]: row["seeds"]["macro_recall"]["mean"] for row in rows if row["fraction"] == 1}
    if not folds:
        joined = sorted(joined, key=lambda method: -best.get(method, 0))[:1]
    labelled = {row["fraction"]: row["labelled"] for row in rows if row["labelled"]}
    head = [f"{fraction:.4g} % ({labelled.get(fraction / 100, '?')})" for fraction in (100 * f for f in FRACTIONS)]
    head += ["five folds, all labels; pretraining saw 1 to 4, unlabelled", "called phage"] if folds else []
    lines = [f"| labels (reads) | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for method in [*order, *joined]:
        own = {row["fraction"]: row for row in rows if row["method"] == method}
        shown = [_shown(own[f]["seeds"]["macro_recall"]) if f in own else "" for f in FRACTIONS]
        if folds:
            full = own.get(1.0, {})
            shown.append(_shown(full["folds"]["macro_recall"]) if "folds" in full else "")
            shown.append(f"{100 * full['seeds']['called_phage']['mean']:.0f} %" if full else "")
        lines.append(f"| {title_of(method, result['arms'])} | {' | '.join(shown)} |")
    return lines


def _shown(value: dict[str, Any]) -> str:
    return f"{100 * value['mean']:.1f}" + (f" ± {100 * value['sd']:.1f}" if value["sd"] else "")


if __name__ == "__main__":
    main()
