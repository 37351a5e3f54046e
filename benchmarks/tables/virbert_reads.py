"""Reads of the phage task: groups of phages and of other viruses dealt into five folds, and reads drawn from each.

A fold holds the same number of reads of both classes, drawn by group (groups weighted by the square root of their
size). `matched` marks the rows of a fold whose classes have one distribution of GC content: what is left for a model
that reads nothing but GC is chance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seqformers.datasets_scripts.common.splits import match_histograms, split_groups
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler

CLASSES = {"non-phage": ["virus"], "phage": ["phage"]}
FOLDS = 5
READS = {150: 3600, 1000: 1200}  # of a fold
# Of the seeds 0 to 59 the one whose smallest effective number of phage groups in a fold is largest.
SEED = 11
_GC_BINS = 25


def deal_folds(genomes: GenomeArrays, seed: int = SEED) -> dict[str, int]:
    """Fold of every group: about a fifth of the letters of each class in each."""
    names = np.array(genomes.groups, object)[genomes.group]
    fold = split_groups(
        names.tolist(), genomes.label.tolist(), genomes.length.tolist(), [1 / FOLDS] * FOLDS, seed=seed
    )
    return dict(zip(names.tolist(), fold.tolist(), strict=True))


def effective_groups(genomes: GenomeArrays) -> dict[str, float]:
    """Of each class: 1 / sum of squared shares of the reads that its groups give, drawn by the square root of size."""
    found = {}
    for number, name in enumerate(genomes.names):
        own = genomes.label == number
        size = np.bincount(genomes.group[own], weights=genomes.length[own]) ** 0.5
        found[name] = float(size.sum() ** 2 / (size**2).sum())
    return found


def draw_reads(genomes: GenomeArrays, folds: dict[str, int], length: int) -> pd.DataFrame:
    """Reads of one length from all folds: sequence, label, fold, group, matched."""
    names = np.array(genomes.groups, object)
    fold_of_record = np.array([folds[name] for name in names[genomes.group]])
    tables = []
    for fold in range(FOLDS):
        sampler = ReadSampler(genomes.select(fold_of_record == fold), ReadOptions(length=length), seed=fold)
        reads = sampler.draw(np.arange(READS[length]))
        bins = np.minimum((reads.gc() * _GC_BINS).astype(int), _GC_BINS - 1)
        tables.append(
            pd.DataFrame(
                {
                    "sequence": reads.strings(),
                    "label": reads.labels,
                    "fold": fold,
                    "group": names[sampler.genomes.group[reads.record]],
                    "matched": match_histograms(bins, reads.labels, np.arange(len(reads)) / len(reads)),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def prepare(genomes_folder: Path, work: Path, lengths: tuple[int, ...]) -> None:
    """Write the reads of each length, the genomes without fold 0 for pretraining, and `folds.json`."""
    genomes = GenomeArrays.open(genomes_folder).with_classes(CLASSES)
    folds = deal_folds(genomes)
    facts: dict[str, Any] = {"folds": [], "reads": {}}
    fold_of_record = np.array([folds[genomes.groups[group]] for group in genomes.group])
    for fold in range(FOLDS):
        part = genomes.select(fold_of_record == fold)
        counts = {name: len(np.unique(part.group[part.label == n])) for n, name in enumerate(part.names)}
        letters = {name: int(part.length[part.label == n].sum()) for n, name in enumerate(part.names)}
        facts["folds"].append({"groups": counts, "effective_groups": effective_groups(part), "letters": letters})
    for length in lengths:
        reads = draw_reads(genomes, folds, length)
        reads.to_parquet(work / f"reads-{length}.parquet")
        facts["reads"][str(length)] = {
            "each fold": READS[length],
            "matched": reads.groupby("fold")["matched"].sum().tolist(),
            "gc": {str(n): float(v) for n, v in reads["sequence"].map(_gc).groupby(reads["label"]).mean().items()},
        }
    write_genomes(genomes_folder, work / "genomes", folds, held=0)
    (work / "folds.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _gc(sequence: str) -> float:
    return (sequence.count("G") + sequence.count("C")) / len(sequence)


def link_letters(source: Path, target: Path) -> None:
    """The letters of genomes under another index: links to those that are there."""
    (target / "genomes").mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.name not in ("build.json", "README.md", "report.json", ".seqformers.json"):
            link = target / file.name
            if link.is_symlink():  # of an earlier call; a file of its own is not ours to remove
                link.unlink()
            link.symlink_to(file.resolve())


def write_genomes(source: Path, target: Path, folds: dict[str, int], *, held: int) -> None:
    """The genomes of the task: one fold, which pretraining does not see, as `test`, and the others as `train`."""
    link_letters(source, target)
    table = pa.concat_tables([pq.read_table(path) for path in sorted((source / "genomes").glob("*.parquet"))])
    fold = np.array([folds.get(name, -1) for name in table["group"].to_pylist()])
    for split, chosen in (("train", (fold >= 0) & (fold != held)), ("test", fold == held)):
        pq.write_table(table.filter(pa.array(chosen)), target / "genomes" / f"{split}-00000-of-00001.parquet")
