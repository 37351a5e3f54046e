"""Training data of the packaged TargetNet: sites with labels, and mRNAs put together from them.

Sources: CLASH 2013 and Hejret 2023 (50-nt targets), the validation sites of miRAW and of deepTargetPro (40 nt).
DeepMirTar is left out: its sites of 22 nt hold no 40-nt window, and its non-targets are made-up miRNAs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.modeling.targets.targetnet_sites import encode_rna, find_sites

# Source -> file, and how often its rows count: sites on 3'UTRs are few beside the CLASH targets.
TRAINING = {
    "clash": ("clash2013_train_1_1.parquet", 1),
    "hejret": ("hejret2023_train.parquet", 1),
    "miraw_sites": ("miraw_val_cts.parquet", 2),
    "deeptargetpro_sites": ("deeptargetpro_valid_cts.parquet", 4),
}


def training_rows(folder: Path) -> pd.DataFrame:
    """All rows with `mirna_seq`, `mrna_seq`, `label`, `source`, `weight`, `validation`.

    Repeats and pairs with both labels are left out. A tenth of the miRNAs (by a hash of their first 20 nt, which is
    all that CLASH stores) is for validation.
    """
    tables = []
    for source, (name, weight) in TRAINING.items():
        table = read_target_table(folder / name)[["mirna_seq", "mrna_seq", "label"]]
        tables.append(table.assign(source=source, weight=weight))
    rows = pd.concat(tables, ignore_index=True)
    pair = ["mirna_seq", "mrna_seq"]
    rows = rows[rows.groupby(pair)["label"].transform("nunique") == 1].drop_duplicates(pair)
    rows = rows[rows["mrna_seq"].str.len() >= 40].reset_index(drop=True)
    hashed = {
        mirna: int(hashlib.sha256(mirna.encode()).hexdigest(), 16) for mirna in rows["mirna_seq"].str[:20].unique()
    }
    rows["validation"] = rows["mirna_seq"].str[:20].map(hashed) % 10 == 0
    return rows


def rows_seen(training: pd.DataFrame, rows: pd.DataFrame) -> dict[str, int]:
    """Rows of a test whose mRNA holds a training site of the same miRNA, or lies in one; by the site's label."""
    heads = training["mirna_seq"].str[:20]
    sites = {
        label: part.groupby(heads[part.index])["mrna_seq"].agg(list).to_dict()
        for label, part in training.groupby("label")
    }
    counts = {}
    for label, name in ((1, "a target"), (0, "a non-target")):
        counts[f"rows with {name} of the same miRNA in training"] = sum(
            any(site in mrna or mrna in site for site in sites[label].get(mirna[:20], []))
            for mirna, mrna in zip(rows["mirna_seq"], rows["mrna_seq"], strict=True)
        )
    return counts


def one_window_each(rows: pd.DataFrame, *, encode_alignment: bool = True) -> np.ndarray:
    """The likeliest site of each row as ids `(rows, 2, 50)` uint8: best canonical type, then most pairs, then first.

    The same rule for targets and non-targets, so that the choice itself says nothing. Without alignment the shape is
    `(rows, 2, 40)`.
    """
    mirnas = {sequence: number for number, sequence in enumerate(rows["mirna_seq"].unique())}
    sites = find_sites(
        [encode_rna(sequence) for sequence in mirnas],
        [encode_rna(sequence) for sequence in rows["mrna_seq"]],
        rows["mirna_seq"].map(mirnas).to_numpy(),
        criterion="all",
        encode_alignment=encode_alignment,
    )
    rank = sites.site_type.astype(np.int64) * 16 + sites.pairings
    order = np.lexsort((sites.start, -rank, sites.pair))
    first = order[np.unique(sites.pair[order], return_index=True)[1]]
    assert len(first) == len(rows)
    return sites.input_ids[first]


def made_up_mrnas(rows: pd.DataFrame, pairs: int, *, fewest: int = 2, most: int = 16, seed: int = 0) -> pd.DataFrame:
    """Pairs with a whole mRNA each: CLASH and Hejret targets end to end, with and without a target of the miRNA.

    The sources hold sites only, but a model in use must refuse hundreds of windows an mRNA. Each miRNA is in as many
    targets as non-targets, so here, unlike in the sources, knowing the miRNA says nothing.

    Args:
        rows: Some of `training_rows`; only their own sites are used.
        pairs: Rows wanted; even ones are targets.
        fewest: Least number of parts of an mRNA.
        most: Greatest number; drawn evenly on a log scale.
        seed: Of the draws.

    Returns:
        `mirna_seq`, `mrna_seq`, `label`.
    """
    generator = np.random.default_rng(seed)
    targets = rows[rows["label"] == 1]
    pool = rows.loc[rows["source"].isin(["clash", "hejret"]), "mrna_seq"].unique()
    known = targets.groupby(targets["mirna_seq"].str[1:8])["mrna_seq"].agg(set)  # alike seeds share targets
    made = []
    drawn = targets.sample(pairs // 2, weights="weight", replace=True, random_state=generator)
    for mirna, site in zip(drawn["mirna_seq"], drawn["mrna_seq"], strict=True):
        size = int(np.exp(generator.uniform(np.log(fewest), np.log(most + 1))))
        for label in (1, 0):
            others = [part for part in generator.choice(pool, size) if part not in known[mirna[1:8]]] or [pool[0]]
            if label:
                others[generator.integers(len(others))] = site
            made.append((mirna, "".join(others), label))
    return pd.DataFrame(made, columns=["mirna_seq", "mrna_seq", "label"])
