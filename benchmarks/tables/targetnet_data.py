"""Training data of the packaged TargetNet, and the sets it is measured on: sequences, splits and one window a site.

Sources: CLASH 2013 and Hejret 2023 (50-nt targets), the validation sites of miRAW and of deepTargetPro (40 nt).
DeepMirTar is left out: its sites of 22 nt hold no 40-nt window, and its non-targets are made-up miRNAs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.modeling.targetnet.processing_targetnet import encode_rna, find_sites

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


def one_window_each(rows: pd.DataFrame) -> np.ndarray:
    """The likeliest site of each row as ids `(rows, 2, 50)` uint8: best canonical type, then most pairs, then first.

    The same rule for targets and non-targets, so that the choice itself says nothing.
    """
    mirnas = {sequence: number for number, sequence in enumerate(rows["mirna_seq"].unique())}
    sites = find_sites(
        [encode_rna(sequence) for sequence in mirnas],
        [encode_rna(sequence) for sequence in rows["mrna_seq"]],
        rows["mirna_seq"].map(mirnas).to_numpy(),
        criterion="all",
    )
    rank = sites.site_type.astype(np.int64) * 16 + sites.pairings
    order = np.lexsort((sites.start, -rank, sites.pair))
    first = order[np.unique(sites.pair[order], return_index=True)[1]]
    assert len(first) == len(rows)
    return sites.input_ids[first]
