"""Secondary structure of TS115 and CASP12 by the arms that were fine-tuned and tested on CB513."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.tables.annotator_baselines import linear_residues
from benchmarks.tables.annotator_data import Labelled, structure_csv
from benchmarks.tables.protein_arms_shortcuts import structure_rows
from seqformers.hub.load import load_model
from seqformers.metrics.residues import secondary_structure_metrics

__all__ = ["FURTHER", "further_sets", "score_further", "score_run"]

SETS = ("TS115", "CASP12")
FURTHER = tuple(f"{metric}_{name.lower()}" for name in SETS for metric in ("q3", "q3_per_protein"))
"""Metrics of the further test sets."""
_BATCH, _LONGEST = 16, 698  # residues: the rest of a protein is cut off, as it is of CB513 here


def further_sets(folder: Path) -> dict[str, list[Labelled]]:
    """The proteins of the test sets whose files (`TS115_HHblits.csv`, `CASP12_HHblits.csv`) the folder has."""
    files = {name.lower(): folder / f"{name}_HHblits.csv" for name in SETS}
    found = {name: list(map(_cut, structure_csv(path))) for name, path in files.items() if path.is_file()}
    if not found:
        raise ValueError(f"{folder} has none of the files {', '.join(path.name for path in files.values())}")
    return found


def _cut(row: Labelled) -> Labelled:
    assert row.structure is not None
    return replace(row, sequence=row.sequence[:_LONGEST], structure=row.structure[:_LONGEST])


def score_further(work: Path, folder: Path) -> None:
    """Add the metrics of these sets to the finished cells, and to the shortcuts that were fitted on the same rows."""
    sets = further_sets(folder)
    for cell in sorted((work / "cells").glob("secondary_structure.*.json")):
        result = json.loads(cell.read_text())
        run = work / "runs" / cell.stem
        if all(f"q3_{name}" in result["metrics"] for name in sets) or not run.is_dir():
            continue
        result["metrics"] |= score_run(run, sets)
        _replace(cell, result)
    plain = work / "shortcuts.secondary_structure.json"
    result = json.loads(plain.read_text())
    if not all(f"q3_{name}" in result["one-hot window"] for name in sets):
        train = structure_rows(work, "train")
        states = np.concatenate([row.structure for row in train if row.structure is not None])
        common = np.eye(3)[np.bincount(states[states >= 0]).argmax()]
        rows = [row for some in sets.values() for row in some]
        linear = dict(zip(map(id, rows), linear_residues("structure", train, rows, 3), strict=True))
        for name, some in sets.items():
            result["majority"] |= _scores(name, some, [np.tile(common, (len(row.sequence), 1)) for row in some])
            result["one-hot window"] |= _scores(name, some, [linear[id(row)] for row in some])
        _replace(plain, result)


@torch.inference_mode()
def score_run(run: Path, sets: dict[str, list[Labelled]]) -> dict[str, float]:
    """Q3 of each set by a finished run, over residues and in the mean of proteins."""
    loaded, found = load_model(run, "AutoModelForTokenClassification"), {}
    for name, rows in sets.items():
        logits = []
        for start in range(0, len(rows), _BATCH):
            texts = [row.sequence for row in rows[start : start + _BATCH]]
            batch = loaded.encoder(texts, padding=True, return_tensors="pt")
            scores = loaded.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            logits += [score[1 : 1 + len(text)].numpy() for score, text in zip(scores, texts, strict=True)]
        found |= _scores(name, rows, logits)
    return found


def _scores(name: str, rows: list[Labelled], logits: list[np.ndarray]) -> dict[str, float]:
    measured = secondary_structure_metrics(logits, [row.structure for row in rows if row.structure is not None])
    return {f"{metric}_{name}": measured[metric] for metric in ("q3", "q3_per_protein")}


def _replace(path: Path, result: dict) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1))
    part.replace(path)
