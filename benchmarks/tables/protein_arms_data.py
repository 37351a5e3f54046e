"""Rows of the protein arms: pairs of families, sequences, homology levels of pairs, secondary structure, signals."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd

from benchmarks.tables.annotator_data import load_labelled
from benchmarks.tables.proteins_data import families
from seqformers.datasets_scripts.pfam.family_pairs import FamilyPairs
from seqformers.datasets_scripts.plus_tasks.homology_pairs import LEVELS, HomologyPairs

__all__ = ["hidden_families", "prepare"]

LENGTHS = (30, 300)
COUNTS = {"homology_train": 20_000, "homology_test": 2_000, "structure": 2_500, "signal": 6_000, "unseen": 2_000}
UNSEEN = 0.15  # share of the families that no pretraining sees
_EPOCHS = 4  # of pairs


def prepare(data: Path, work: Path) -> dict[str, Any]:
    """Write the rows under `work/rows`, once; facts of them."""
    rows, facts_path = work / "rows", work / "rows" / "facts.json"
    if facts_path.is_file():
        return json.loads(facts_path.read_text())
    rng, (train, tests, _) = np.random.default_rng(0), load_labelled(data)
    domains = {part: _domains(data, part) for part in ("train", "test")}
    tested = {row.sequence for some in tests.values() for row in some} | set(domains["test"]["sequence"])
    facts = _write_families(families(data, tested), rows, rng)
    facts |= _write_homology(domains, rows, rng)
    structure = _drawn([row for row in train["structure"] if len(row.sequence) <= 400], COUNTS["structure"], rng)
    for split, some in {"train": structure, "test": tests["structure"]}.items():
        labels = [row.structure.tolist() for row in some if row.structure is not None]
        names = datasets.List(datasets.ClassLabel(names=["helix", "strand", "coil"]))
        _write(rows / "secondary_structure", split, {"sequence": [r.sequence for r in some], "labels": labels},
               {"labels": names})  # fmt: skip
    for split, some in {"train": train["signal"], "test": tests["signal"]}.items():
        some = _drawn(some, COUNTS["signal" if split == "train" else "unseen"], rng)
        columns = {"sequence": [row.sequence for row in some], "label": [row.signal for row in some]}
        names = datasets.ClassLabel(names=["none", "signal_peptide"])
        _write(rows / "signal_peptide", split, columns, {"label": names})
    facts |= {"structure_train": len(structure), "structure_test": len(tests["structure"])}
    facts_path.write_text(json.dumps(facts, indent=1))
    return facts


def _drawn(rows: list[Any], count: int, rng: np.random.Generator) -> list[Any]:
    return [rows[i] for i in np.sort(rng.permutation(len(rows))[:count])]


def _write(folder: Path, split: str, columns: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = {name: datasets.Value("string") for name in columns} | (features or {})
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(known))
    table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def _write_families(table: Any, rows: Path, rng: np.random.Generator) -> dict[str, Any]:
    """Pairs and sequences of the families that are seen, and pairs of those that are not."""
    names = np.array(table["family"][:])
    sequences = np.array(table["sequence"][:], dtype=object)
    sizes = Counter(names.tolist())
    hidden = hidden_families(names, rng)
    seen = np.array([name not in hidden for name in names])
    drawn = [FamilyPairs(names[seen], seed=0).draw(epoch) for epoch in range(_EPOCHS)]
    first, second, same = (np.concatenate(part) for part in zip(*drawn, strict=True))
    known, number = sequences[seen], {"same_family": datasets.Value("int64")}
    _write(rows / "pairs", "train", {"sequence_a": known[first], "sequence_b": known[second],
                                     "same_family": same.astype(int)}, number)  # fmt: skip
    _write(rows / "sequences", "train", {"sequence": known})
    pairs, other, relation = (part[: COUNTS["unseen"]] for part in FamilyPairs(names[~seen], seed=1).draw(0))
    _write(rows / "unseen", "test", {
        "sequence_a": sequences[~seen][pairs], "sequence_b": sequences[~seen][other],
        "same_family": relation.astype(int), "family": names[~seen][pairs],
    }, number)  # fmt: skip
    return {"families_seen": len(sizes) - len(hidden), "families_unseen": len(hidden), "sequences": int(seen.sum()),
            "residues": int(sum(map(len, known))), "pairs_unseen": len(pairs)}  # fmt: skip


def hidden_families(names: Iterable[str], rng: np.random.Generator) -> set[str]:
    """Families of more than one protein that no pretraining sees, `UNSEEN` of them."""
    several = sorted(name for name, size in Counter(names).items() if size > 1)
    return set(rng.permutation(several)[: int(UNSEEN * len(several))].tolist())


def _domains(data: Path, part: str) -> pd.DataFrame:
    """Domains of the remote-homology split whose fold has a known SCOP class: columns `sequence`, `code`.

    The class of a fold is that of any of its sequences that the SCOP-class set has too; none has two.
    """
    folds = pd.concat(pd.read_parquet(data / f"remote_homology/{name}.parquet") for name in ("train", "valid", "test"))
    classes = pd.concat(pd.read_parquet(data / f"scop_class/{name}.parquet") for name in ("train", "test"))
    letter = dict(zip(classes["sequence"], classes["scop_class"], strict=True))
    found: dict[int, set[str]] = defaultdict(set)
    for sequence, fold in zip(folds["sequence"], folds["fold_label"], strict=True):
        if sequence in letter:
            found[fold].add(letter[sequence])
    assert all(len(some) == 1 for some in found.values())
    table = pd.read_parquet(data / f"remote_homology/{part}.parquet").drop_duplicates("sequence")
    table = table[table["fold_label"].isin(list(found)) & table["sequence"].str.len().between(*LENGTHS)]
    # Superfamily and family are not known: each domain has its own, so no pair is closer than its fold.
    codes = [f"{min(found[fold])}.{fold}.{i}.1" for i, fold in enumerate(table["fold_label"])]
    return pd.DataFrame({"sequence": table["sequence"].to_numpy(), "code": codes})


def _write_homology(domains: dict[str, pd.DataFrame], rows: Path, rng: np.random.Generator) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for part, table in domains.items():
        pairs, count = HomologyPairs(table["code"].tolist()), COUNTS[f"homology_{part}"]
        first, second, levels = pairs.draw(count, rng) if part == "train" else pairs.distinct(count, rng)
        apart = first != second  # a domain with itself
        sequences = table["sequence"].to_numpy()
        columns = {"sequence_a": sequences[first[apart]], "sequence_b": sequences[second[apart]],
                   "label": levels[apart]}  # fmt: skip
        _write(rows / "homology", part, columns, {"label": datasets.ClassLabel(names=list(LEVELS))})
        facts[f"homology_{part}"] = {
            "domains": len(table), "pairs": int(apart.sum()),
            "levels": {LEVELS[level]: int(n) for level, n in enumerate(np.bincount(levels[apart], minlength=5)) if n},
        }  # fmt: skip
    return facts
