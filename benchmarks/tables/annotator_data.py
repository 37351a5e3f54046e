"""Data of the packaged protein annotator: unlabelled proteins, labelled rows, and what is kept away from the tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqformers.tokenization.tokenization_protein import ProteinTokenizer

__all__ = [
    "IGNORED",
    "Labelled",
    "encode",
    "load_labelled",
    "load_unlabelled",
    "structure_csv",
    "structure_rows",
    "translated_frames",
]

IGNORED = -100
_TOPOLOGY = {"1": 0, "2": 1, "H": 2, "h": 2, "S": 3}  # strands of barrels and unknown residues are not labelled
_STRUCTURE = {"H": 0, "E": 1, "C": 2}
_WORD = 20  # proteins of two tasks that share a word of so many residues count as relatives
_TOKENIZER = ProteinTokenizer("tape")


@dataclass
class Labelled:
    """Proteins with labels of some of the three heads; `None` where a head has none.

    Args:
        sequence (`str`): Residues.
        signal (`int`, *optional*): 1 with a signal peptide, 0 without.
        topology, structure (`np.ndarray`, *optional*): A class a residue, -100 where unknown.
        kind (`str`): Where it comes from, for drawing: `signal`, `alpha`, `beta`, `globular`, `structure`.
        fold (`int`, *optional*): Of TMbed's folds, 0 to 3.
    """

    sequence: str
    signal: int | None = None
    topology: np.ndarray | None = None
    structure: np.ndarray | None = None
    kind: str = ""
    fold: int | None = None


def encode(sequence: str) -> np.ndarray:
    """Token ids, with start and end."""
    return np.asarray(_TOKENIZER(sequence).input_ids, dtype=np.int64)


def translated_frames(data: Path, target: Path) -> pd.DataFrame:
    """Whole open reading frames of prokaryotes, phages and plasmids, translated by pyrodigal; made once."""
    if target.is_file():
        return pd.read_parquet(target)
    import pyrodigal

    meta, found, seen = pyrodigal.GeneFinder(meta=True), [], set()
    for name in ("bacteria_archaea", "phages", "plasmids"):
        for row in pd.read_parquet(data / "genomes" / f"{name}.parquet").itertuples():
            letters = row.sequence[:200_000].encode() if name == "bacteria_archaea" else row.sequence.encode()
            finder = meta
            if len(letters) >= 60_000:
                finder = pyrodigal.GeneFinder()
                finder.train(letters)
            for gene in finder.find_genes(letters):
                protein = gene.translate().rstrip("*")
                whole = not (gene.partial_begin or gene.partial_end or "*" in protein)
                if whole and len(protein) >= 40 and protein not in seen:
                    seen.add(protein)
                    found.append((name, row.record_id, row.group, protein))
    table = pd.DataFrame(found, columns=["source", "record", "group", "sequence"])
    table.to_parquet(target)
    return table


def load_unlabelled(data: Path, frames: Path) -> list[str]:
    """Proteins of pretraining: open reading frames, Swiss-Prot families, and training splits without their labels."""
    sets = [translated_frames(data, frames)["sequence"]]
    sets.append(pd.read_parquet(data / "protein_families/interpro_reviewed_21.parquet")["sequence"])
    for name in ("remote_homology/train", "scop_class/train", "secondary_structure/train_netsurfp2"):
        sets.append(pd.read_parquet(data / f"{name}.parquet")["sequence"])
    topology = pd.read_parquet(data / "transmembrane_topology/tmbed_folds_0_3.parquet")
    sets.append(topology[topology["cv_fold"] != 3]["sequence"])
    tests = {row.sequence for rows in _tests(data).values() for row in rows}
    return sorted({s.upper() for some in sets for s in some} - tests)


def load_labelled(data: Path) -> tuple[dict[str, list[Labelled]], dict[str, list[Labelled]], dict[str, Any]]:
    """Training and test rows by task, and how many training rows were dropped as relatives of another task's test.

    Tests are the published ones: CB513, the signal-peptide test rows, fold 3 of TMbed. Training rows are all others.
    Rows of one task that share a word of 20 residues with a test protein of another task are dropped.
    """
    tests = _tests(data)
    train = {"signal": _signal(data, "train"), "structure": structure_rows(data, "train_netsurfp2")}
    topology = _topology(data)
    train["topology"] = [row for row in topology if row.fold != 3]
    dropped: dict[str, int] = {}
    words = {task: _words(row.sequence for row in rows) for task, rows in tests.items()}
    for task, rows in train.items():
        other = set().union(*(words[name] for name in words if name != task))
        own = {row.sequence for row in tests[task]}
        kept = [row for row in rows if row.sequence not in own and not (_words([row.sequence]) & other)]
        dropped[task] = len(rows) - len(kept)
        train[task] = kept
    return train, tests, {"dropped": dropped, "train": {name: len(rows) for name, rows in train.items()}}


def _tests(data: Path) -> dict[str, list[Labelled]]:
    return {
        "signal": _signal(data, "test"),
        "structure": structure_rows(data, "test_cb513"),
        "topology": [row for row in _topology(data) if row.fold == 3],
    }


def _words(sequences: Iterable[str]) -> set[str]:
    return {s[start : start + _WORD] for s in sequences for start in range(max(len(s) - _WORD + 1, 1))}


def _signal(data: Path, split: str) -> list[Labelled]:
    table = pd.read_parquet(data / f"signal_peptide/{split}.parquet")
    return [Labelled(s.upper(), int(y), kind="signal") for s, y in zip(table["sequence"], table["label"], strict=True)]


def structure_rows(data: Path, split: str) -> list[Labelled]:
    """Proteins of one split with a state for each resolved residue."""
    rows = []
    for row in pd.read_parquet(data / f"secondary_structure/{split}.parquet").itertuples():
        labels = np.array([_STRUCTURE[state] for state in row.ss3])
        mask = np.array([state == "1" for state in row.resolved_mask.zfill(len(labels))])  # leading zeros are lost
        rows.append(Labelled(row.sequence.upper(), structure=np.where(mask, labels, IGNORED), kind="structure"))
    return rows


def structure_csv(path: Path) -> list[Labelled]:
    """Proteins of a file of NetSurfP-2.0's tests (columns `input`, `dssp3` and `disorder`, 1 where resolved)."""
    table, rows = pd.read_csv(path, skipinitialspace=True), []
    for sequence, states, resolved in zip(table["input"], table["dssp3"], table["disorder"], strict=True):
        labels = np.array([_STRUCTURE[state] for state in states.split()])
        known = np.array([float(value) == 1 for value in resolved.split()])
        rows.append(Labelled("".join(sequence.split()), structure=np.where(known, labels, IGNORED), kind="structure"))
    return rows


def _topology(data: Path) -> list[Labelled]:
    rows = []
    for row in pd.read_parquet(data / "transmembrane_topology/tmbed_folds_0_3.parquet").itertuples():
        labels = np.array([_TOPOLOGY.get(letter, IGNORED) for letter in row.topology])
        kind = {"alpha": "alpha", "beta": "beta"}.get(row.protein_type, "globular")
        signal = int("S" in row.topology) if kind == "globular" else None
        rows.append(Labelled(row.sequence.upper(), signal, labels, kind=kind, fold=int(row.cv_fold)))
    return rows
