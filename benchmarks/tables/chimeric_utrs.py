"""Pairs of whole 3'UTRs with labels from chimeric reads: a third set beside miRAW and deepTargetPro.

A 3'UTR of those two sets that holds a chimeric target of a held-out target cluster is a target of its miRNA. For the
non-targets the 3'UTRs are permuted over the miRNAs, so that neither the miRNA nor the 3'UTR says anything; none holds
a chimeric target, of any cluster, of a miRNA with the same nucleotides 2-7. Left out: sites of one read copy in
qCLASH, and 3'UTRs that hold a target of the same seed from a cluster that the network was trained on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.tables.pair_cnn_data import read_pairs
from seqformers.datasets_scripts.miraw.miraw import read_target_table

UTRS = ("miraw_test_0_4.parquet", "deeptargetpro_pairs_0_4.parquet")
_WORD = 20  # known letters that a target has at least
_DRAWS = 4


def chimeric_utr_pairs(folder: Path, seed: int = 0) -> pd.DataFrame:
    """`mirna_seq`, `mrna_seq`, `label`, each pair once; up to four non-targets a target."""
    tables = [read_target_table(folder / name)["mrna_seq"] for name in UTRS]
    utrs = pd.concat(tables).drop_duplicates().tolist()
    found = _found_on(utrs, read_pairs(folder))
    found["seed"] = found["mirna_seq"].str[1:7]
    known = set(zip(found["seed"], found["utr"], strict=True))
    learned = found[found["split"] == "train"]
    learned_pairs = set(zip(learned["seed"], learned["utr"], strict=True))
    held = found[(found["split"] == "valid") & ~found["single"]]
    held = held.assign(length=[len(utrs[utr]) for utr in held["utr"]]).sort_values(
        "length", ascending=False, kind="stable"
    )
    held = held.drop_duplicates("target").drop_duplicates(["mirna_seq", "utr"])  # of a gene's 3'UTRs the longest
    held = held[[pair not in learned_pairs for pair in zip(held["seed"], held["utr"], strict=True)]]
    held = held.reset_index(drop=True)
    generator, tables = np.random.default_rng(seed), [held.assign(label=1)]
    for _ in range(_DRAWS):
        drawn = generator.permutation(held["utr"].to_numpy())
        free = [pair not in known for pair in zip(held["seed"], drawn, strict=True)]
        tables.append(held.assign(utr=drawn, label=0)[free])
    pairs = pd.concat(tables, ignore_index=True).drop_duplicates(["mirna_seq", "utr"])
    pairs = pairs.assign(mrna_seq=[utrs[utr] for utr in pairs["utr"]])
    both = pairs.groupby("mirna_seq")["label"].transform("nunique") == 2
    return pairs.loc[both, ["mirna_seq", "mrna_seq", "label"]].reset_index(drop=True)


def _found_on(utrs: list[str], pairs: pd.DataFrame) -> pd.DataFrame:
    """Every chimeric target that a 3'UTR holds: its number, the 3'UTR's, and what is known of it."""
    positives = pairs[pairs["label"] == 1].reset_index(drop=True)
    letters = positives["target_seq"].str.strip("N").str.replace("T", "U")
    words: dict[str, list[int]] = {}
    for number in np.flatnonzero(letters.str.len() >= _WORD):
        words.setdefault(letters[number][:_WORD], []).append(int(number))
    rows = []
    for utr, sequence in enumerate(utrs):
        for at in range(len(sequence) - _WORD + 1):
            for number in words.get(sequence[at : at + _WORD], ()):
                if sequence.startswith(letters[number], at):
                    rows.append((number, utr))
    found = pd.DataFrame(rows, columns=["target", "utr"])
    known = positives.loc[found["target"], ["mirna_seq", "split", "single"]].reset_index(drop=True)
    found = pd.concat([found, known], axis=1)
    return found.assign(mirna_seq=found["mirna_seq"].str.replace("T", "U"))
