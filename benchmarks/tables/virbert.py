"""The phage table: gathers what `virbert_arms`, `virbert_cells` and `virbert_networks` left into JSON and Markdown.

    python -m benchmarks.gpu.genomes DATA runs/genomes                    # from DATA/genomes and DATA/virus_genomes
    python -m benchmarks.tables.virbert_arms --genomes runs/genomes --work runs/virbert-arms     # pretraining, vectors
    python -m benchmarks.tables.virbert_networks --work runs/virbert-arms                          # fine-tuning
    python -m benchmarks.tables.virbert_cells --work runs/virbert-arms                             # regressions
    python -m benchmarks.tables.virbert --work runs/virbert-arms

writes `results/virbert_arms.json` and `tables/virbert.md`: the rows that matter, what becomes of the goal
(`virbert_verdicts`), then all rows.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import product, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._results import ROOT, write_result
from benchmarks.recipe_lists import read_list
from benchmarks.tables.virbert_arms import ARMS
from benchmarks.tables.virbert_cells import (
    FOLDS,
    FRACTIONS,
    LENGTHS,
    SEEDS,
    UNSEEN,
    VARIANTS,
    cells,
    measure,
    test_rows,
)
from benchmarks.tables.virbert_networks import FRESH, KINDS, network_path
from benchmarks.tables.virbert_verdicts import SCRATCH, verdict_lines, verdicts

TITLES = {
    "gc": "GC alone",
    "kmer4": "4-mer regression",
    "kmer6": "6-mer regression",
    "scratch": "network from scratch (stride 3)",
    "finetuned": "stride3, fine-tuned",
    "contrast-finetuned": "contrast, fine-tuned",
    "profile-scratch": "network from scratch (profile)",
    "profile-finetuned": "profile-contrast, fine-tuned",
    "fresh": "network from scratch (stride 3), fresh reads without end",
    "profile-fresh": "network from scratch (profile), fresh reads without end",
    "kmer6-fresh": "6-mer regression, fresh reads without end",
}
_VARIANTS = {"matched": "GC-matched", "plain": "plain"}
CONTRASTS = ("contrast", "profile-contrast")
HIDDEN = ("stride3", "base-space", "base", "mask8", "dnavec", "bpe")  # pretrained by hidden letters or words alone
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
    result["verdicts"] = verdicts(result["rows"], judged_arms(result))
    path = write_result(
        "virbert_arms", result, data="public genomes of phages and other viruses, five folds of groups", seeds=[*SEEDS]
    )
    page = ROOT / "benchmarks" / "tables" / "virbert.md"
    text = page.read_text(encoding="utf-8")
    blocks = {
        "short": "\n".join(short_lines(result)),
        "goal": "\n".join(verdict_lines(result, name_of_cell)),
        "table": markdown(result),
    }
    for name, block in blocks.items():
        head, mark, rest = text.partition(f"<!-- {name} -->\n")
        end = f"<!-- /{name} -->"
        text = f"{head}{mark}{block}\n{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")
    print(path)


def judged_arms(result: dict[str, Any]) -> list[str]:
    """Arms that may be chosen; of those that tell genomes apart only what was pretrained anew without each fold.

    Telling apart the groups of a fold, unlabelled, is half of the task there, as hiding k-mers is not.
    """
    anew = {row["method"].removesuffix(UNSEEN) for row in result["rows"] if row["method"].endswith(UNSEEN)}
    known = [name for name, arm in result["arms"].items() if arm["measured"] and name != "random"]
    return [name for name in known if name in anew or name not in CONTRASTS]


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
    whole = takewhile(lambda fold: (fold, 0) in values, range(FOLDS))
    folds = [values[fold, 0] for fold in whole]
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


def name_of_cell(cell: dict[str, Any]) -> str:
    """Of a cell, or of a row."""
    return f"{cell['length']} nt, {_VARIANTS[cell['variant']]}, {100 * cell['fraction']:.4g} %"


def short_lines(result: dict[str, Any], cells: Sequence[tuple[int, str, float]] | None = None) -> list[str]:
    """The rows that matter as columns, a row a cell: fold 0, mean and deviation over its seeds."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(dict)
    for row in result["rows"]:
        rows[row["length"], row["variant"], row["fraction"]][row["method"]] = row["seeds"]["macro_recall"]
    columns: dict[str, Sequence[str]] = {
        "GC alone": ["gc"],
        "4-mer regression": ["kmer4"],
        "6-mer regression": ["kmer6"],
        "from scratch": SCRATCH,
        "hidden k-mers, frozen": HIDDEN,
        "genome contrast, frozen": ["profile-contrast"],
        "fine-tuned": ["profile-finetuned"],
        "beside 4-mers": ["profile-contrast+kmer4"],
        "from scratch, fresh reads": FRESH,
    }
    lines = [f"| reads, share of labels | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for key in cells or [*product(LENGTHS, VARIANTS, FRACTIONS)]:
        own = rows[key]
        best = [
            max((own[n] for n in names if n in own), key=lambda v: v["mean"], default=None)
            for names in columns.values()
        ]
        shown = [_shown(value) if value else "" for value in best]
        cell = dict(zip(("length", "variant", "fraction"), key, strict=True))
        lines.append(f"| {name_of_cell(cell)} | {' | '.join(shown)} |")
    return lines


def title_of(method: str, arms: dict[str, Any]) -> str:
    """What stands in the table."""
    if "+" in method:
        arm, kmers = method.split("+")
        return f"{arm.replace(UNSEEN, ' (unseen)')} beside {kmers.removeprefix('kmer')}-mers"
    if method.endswith(UNSEEN):
        return f"{method.removesuffix(UNSEEN)} (unseen): pretrained anew without the tested fold"
    return TITLES.get(method) or f"{method}: {arms[method]['title']}"


def markdown(result: dict[str, Any]) -> str:
    """Test macro recall of every method in percent; one table a read length and variant."""
    parts = []
    for length, variant in product(LENGTHS, VARIANTS):
        rows = [row for row in result["rows"] if (row["length"], row["variant"]) == (length, variant)]
        parts += [f"**{length} nt, {_VARIANTS[variant]} reads**", "", *_table(rows, result), ""]
    return "\n".join(parts).rstrip()


def _table(rows: list[dict[str, Any]], result: dict[str, Any]) -> list[str]:
    methods = dict.fromkeys(row["method"] for row in rows)
    arms = [name for arm in result["arms"] for name in (arm, f"{arm}{UNSEEN}")]
    order = [name for name in (*TITLES, *arms) if name in methods]
    joined = [method for method in methods if "+" in method]
    labelled = {row["fraction"]: row["labelled"] for row in rows if row["labelled"]}
    head = [f"{fraction:.4g} % ({labelled.get(fraction / 100, '?')})" for fraction in (100 * f for f in FRACTIONS)]
    head += ["five folds, all labels", "called phage", "right of others, of phages"]
    lines = [f"| labels (reads) | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for method in [*order, *joined]:
        own = {row["fraction"]: row for row in rows if row["method"] == method}
        shown = [_shown(own[f]["seeds"]["macro_recall"]) if f in own else "" for f in FRACTIONS]
        full = own.get(1.0, {})
        shown.append(_shown(full["folds"]["macro_recall"]) if "folds" in full else "")
        shown.append(f"{100 * full['seeds']['called_phage']['mean']:.0f} %" if full else "")
        right = np.diag(full["confusion"]) / np.sum(full["confusion"], axis=1) if full else ()
        shown.append(", ".join(f"{share:.0%}" for share in right))
        lines.append(f"| {title_of(method, result['arms'])} | {' | '.join(shown)} |")
    return lines


def _shown(value: dict[str, Any]) -> str:
    return f"{100 * value['mean']:.1f}" + (f" ± {100 * value['sd']:.1f}" if value["sd"] else "")


if __name__ == "__main__":
    main()
