"""Genomes of the phage detector: five classes from two sets, without near copies, dealt into folds by group.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.phage_data --work runs/phage

writes `records.parquet` (every record with its fold) and builds `genomes/all` and, without the groups of one fold
each, `genomes/fold-0` and so on: what
`seqformers finetune benchmarks/recipes/phage/detector.yaml` draws its reads from.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._results import data_folder
from seqformers.datasets import build_dataset

CLASSES = ("bacterium", "archaeon", "plasmid", "phage", "virus")
FOLDS = 3
SHORTEST = 500  # nt of a window in training
_COPY = 0.85  # share of the smaller sketch from which on the later of two records is a copy
_RELATED = 0.1  # of the smaller sketch: their groups are one
_SCALE = 40  # one 21-mer of so many is in a sketch
_K = 21
_OFTEN = 12  # records in which a 21-mer is looked up


def read_records() -> pd.DataFrame:
    """Records of both sets: `id`, `class`, `group`, `phylum`, `genus`, `name`, `origin`, `sequence`.

    Stretches of chromosomes and plasmids that look like prophage are N: no read of training shows them.
    """
    rows = []
    for name in ("bacteria_archaea", "plasmids", "phages", "viruses", "eukaryotes"):
        for row in pd.read_parquet(data_folder("genomes") / f"{name}.parquet").to_dict("records"):
            letters = bytearray(row["sequence"].encode())
            for start, end in row["prophage_like"]:
                letters[int(start) : int(end)] = b"N" * (int(end) - int(start))
            shared = re.search(r"shared:(g\d+)", row["group"])
            rows.append(
                {
                    "id": row["record_id"], "class": row["class"], "group": shared[1] if shared else row["group"],
                    "phylum": row["phylum"] or row["host_phylum"], "genus": row["genus"] or row["host_genus"],
                    "name": row["name"], "origin": "genomes", "sequence": letters.decode(),
                }
            )  # fmt: skip
    for name, kind in (("phage_genomes", "phage"), ("nonphage_genomes", "virus")):
        table = pd.read_parquet(data_folder("virus_genomes") / f"{name}.parquet")
        for number, row in enumerate(table.to_dict("records")):
            rows.append(
                {
                    "id": f"{row['genome_id']}|{row['segment'] or number}", "class": kind, "group": row["group"],
                    "phylum": "", "genus": "", "name": row["name"], "origin": "virus_genomes",
                    "sequence": row["sequence"],
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def sketch(sequence: str) -> np.ndarray:
    """Hashes of one 21-mer of forty, strands merged."""
    table = np.full(256, 4, np.uint8)
    table[np.frombuffer(b"ACGT", np.uint8)] = np.arange(4)
    codes = table[np.frombuffer(sequence.encode(), np.uint8)].astype(np.uint64)
    places = max(0, len(codes) - _K + 1)
    forward, backward = np.zeros(places, np.uint64), np.zeros(places, np.uint64)
    known = np.ones(places, bool)
    for start in range(_K):
        letter = codes[start : start + places]
        known &= letter < 4
        forward = forward * np.uint64(4) + letter
        backward += (np.uint64(3) - np.minimum(letter, np.uint64(3))) << np.uint64(2 * start)
    mixed = np.minimum(forward, backward)[known] * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.unique(mixed[mixed < np.uint64(2**64 // _SCALE)])


def without_copies(records: pd.DataFrame) -> pd.DataFrame:
    """Leave out later copies and records too short to be drawn from; join groups of a class that share sequence."""
    sketches = [sketch(sequence) for sequence in records["sequence"]]
    kinds = records["class"].to_numpy()
    shared: Counter[tuple[int, int]] = Counter()
    holders: dict[int, list[int]] = defaultdict(list)
    for number, hashes in enumerate(sketches):
        for value in hashes.tolist():
            shared.update((other, number) for other in holders[value] if kinds[other] == kinds[number])
            if len(holders[value]) < _OFTEN:
                holders[value].append(number)
    parent = {group: group for group in records["group"]}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    copies: set[int] = set()
    for (one, other), count in shared.items():
        smaller = min(len(sketches[one]), len(sketches[other]))
        if count >= max(3, _RELATED * smaller):
            parent[root(records["group"].iat[one])] = root(records["group"].iat[other])
        if len(sketches[other]) >= 20 and count > _COPY * len(sketches[other]) and one not in copies:
            copies.add(other)
    joined = records.assign(group=[root(group) for group in records["group"]])
    long_enough = joined["sequence"].str.len() >= SHORTEST
    return joined[long_enough & ~joined.index.isin(copies)].reset_index(drop=True)


def deal_folds(records: pd.DataFrame, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Fold of each record: groups of a class, the largest first, go to the fold that has least of the class."""
    size = np.sqrt(records.assign(nt=records["sequence"].str.len()).groupby(["class", "group"])["nt"].sum())
    generator = np.random.default_rng(seed)
    load = {kind: generator.random(folds) for kind in sorted(records["class"].unique())}
    fold: dict[str, int] = {}
    for (kind, group), amount in size.sort_values(ascending=False, kind="stable").items():
        fold.setdefault(group, int(np.argmin(load[kind])))  # a group of two classes stays together
        load[kind][fold[group]] += amount
    return records["group"].map(fold).to_numpy()


def main() -> None:
    """Write the records and build the genomes of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    records = without_copies(read_records())
    records["fold"] = deal_folds(records)
    work.mkdir(parents=True, exist_ok=True)
    records.to_parquet(work / "records.parquet")
    for kind, found in records.groupby("class"):
        print(
            f"{kind}: {len(found)} records, {found['group'].nunique()} groups, {found['sequence'].str.len().sum()} nt"
        )
    used = records[records["class"].isin(CLASSES)]
    for name, kept in [("all", used)] + [(f"fold-{fold}", used[used["fold"] != fold]) for fold in range(FOLDS)]:
        table = work / "tables" / name / "records.parquet"
        table.parent.mkdir(parents=True, exist_ok=True)
        columns = {"id": "genome_id", "class": "label", "group": "group", "sequence": "sequence"}
        kept[list(columns)].rename(columns=columns).to_parquet(table)
        build_dataset(
            "genomes",
            output=work / "genomes" / name,
            data_dir=table.parent,
            overwrite=True,
            split_fractions=[1.0, 0.0, 0.0],
        )


if __name__ == "__main__":
    main()
