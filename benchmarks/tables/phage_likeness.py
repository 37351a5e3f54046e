"""What is like the genomes of the phage detector's classes and what is not: the check behind `reliable`.

A small network over the profile tells windows of training genomes from letters that were permuted, drawn by their own
pairs (a Markov chain of order 1) or at random, from tandem repeats, and from pieces of eukaryotes. `phage_detector`
calls it; the scores of contigs are kept in `WORK/likeness.pkl`.

Limits are chosen on contigs of groups that training had not seen, and measured on those of another fold; each group of
eukaryotes is scored by a network that was fitted without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks._results import data_folder
from benchmarks.tables.phage_data import CLASSES, FOLDS
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler
from seqformers.phages.contig import IDS, WINDOW
from seqformers.phages.detector import PhageDetector, likeness_of

__all__ = ["LENGTHS", "LOST", "measure_likeness"]

LENGTHS = (500, 1000, 2000, 10_000)
LOST = 0.03  # share of contigs of the five classes that the check may refuse
_UNITS, _EPOCHS = 64, 8
_WIDTHS, _ROWS = (500, 1000, 2000), 1500  # windows of each width that the network is fitted on
_EUKARYOTES = 600  # windows of each width
_CONTIGS, _MADE = 120, 200  # contigs of a class, and made-up ones, that it is measured on
_LETTERS = np.frombuffer(b"ACGT", np.uint8)

Letters = NDArray[np.uint8]


def random_dna(letters: Letters, generator: np.random.Generator) -> dict[str, Letters]:
    """Rows of the same size: letters permuted, drawn by their pairs, at random with 20 to 80 % G and C, and repeats.

    A repeat is the first 1 to 60 letters of a row again and again.
    """
    rows, width = letters.shape
    place = np.searchsorted(_LETTERS, letters)
    pairs = np.stack([np.bincount(row[:-1] * 4 + row[1:], minlength=16) for row in place]).reshape(rows, 4, 4) + 0.1
    steps = (pairs / pairs.sum(2, keepdims=True)).cumsum(2)
    steps[:, :, -1] = 1.0
    chain, chance = place.copy(), generator.random((rows, width))
    for at in range(1, width):  # all rows at once, letter by letter: each depends on the one before
        chain[:, at] = (chance[:, at, None] > steps[np.arange(rows), chain[:, at - 1]]).sum(1)
    strong = generator.random((rows, width)) < generator.uniform(0.2, 0.8, (rows, 1))
    either = generator.integers(0, 2, (rows, width))
    drawn = np.where(strong, either + 1, either * 3)  # C or G, A or T
    unit = np.arange(width) % generator.integers(1, 61, (rows, 1))
    return {
        "permuted": generator.permuted(letters, axis=1), "by pairs": _LETTERS[chain], "random": _LETTERS[drawn],
        "repeats": np.take_along_axis(letters, unit, 1),
    }  # fmt: skip


def eukaryotes(
    records: pd.DataFrame, length: int, count: int, generator: np.random.Generator
) -> tuple[Letters, NDArray[Any]]:
    """Pieces of eukaryotes, `(count, length)`, each group as often as another, and their groups."""
    own = records[(records["class"] == "eukaryote") & (records["nt"] >= length)]
    groups = sorted(own["group"].unique())
    rows: list[Letters] = []
    while len(rows) < count:
        of_group = own[own["group"] == groups[len(rows) % len(groups)]]
        record = of_group.iloc[int(generator.choice(len(of_group), p=of_group["nt"] / of_group["nt"].sum()))]
        start = int(generator.integers(0, record["nt"] - length + 1))
        piece = record["sequence"][start : start + length]
        if set(piece) <= set("ACGT"):
            rows.append(np.frombuffer(piece.encode(), np.uint8))
    return np.stack(rows), np.array([groups[number % len(groups)] for number in range(count)])


@torch.no_grad()
def profiles(detector: PhageDetector, letters: Letters) -> torch.Tensor:
    """Standardised profiles of rows of windows, `(rows, numbers)`."""
    ids = torch.from_numpy(IDS[letters])
    model = detector.model
    return torch.cat([model(part.long(), output_hidden_states=True).hidden_states[0][:, 0] for part in ids.split(128)])


def fit(real: torch.Tensor, unreal: torch.Tensor) -> dict[str, torch.Tensor]:
    """Weights of `likeness_of` that tell `real` from `unreal`."""
    torch.manual_seed(0)
    rows = torch.cat([real, unreal])
    labels = torch.cat([torch.ones(len(real)), torch.zeros(len(unreal))])
    hidden, last = nn.Linear(rows.shape[1], _UNITS), nn.Linear(_UNITS, 1)
    model = nn.Sequential(nn.Dropout(0.5), hidden, nn.ReLU(), nn.Dropout(0.3), last).train()
    steps = _EPOCHS * len(rows) // 128
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
    for _ in range(steps):
        drawn = torch.randint(0, len(rows), (128,))
        loss = nn.functional.binary_cross_entropy_with_logits(model(rows[drawn])[:, 0], labels[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return {
        "hidden.weight": hidden.weight.detach(), "hidden.bias": hidden.bias.detach(),
        "weight": last.weight.detach()[0].clone(), "bias": last.bias.detach(),
    }  # fmt: skip


def _training_rows(
    detector: PhageDetector, genomes: Path, records: pd.DataFrame
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, NDArray[Any]]:
    """Profiles of windows of training genomes, of made-up ones, and of eukaryotes with their groups."""
    generator = np.random.default_rng(0)
    arrays = GenomeArrays.open(genomes, "train")
    real, made, eukaryotic, groups = [], [], [], []
    for width in _WIDTHS:
        options = ReadOptions(length=width, classes={name: [name] for name in CLASSES}, max_unknown=0.0)
        letters = ReadSampler(arrays, options, seed=width).draw(range(_ROWS)).letters
        real.append(profiles(detector, letters))
        for number, part in enumerate(np.array_split(letters, 4)):
            made.append(profiles(detector, list(random_dna(part, generator).values())[number]))
        pieces, own = eukaryotes(records, width, _EUKARYOTES, generator)
        eukaryotic.append(profiles(detector, pieces))
        groups.append(own)
    return torch.cat(real), torch.cat(made), torch.cat(eukaryotic), np.concatenate(groups)


def _contigs(records: pd.DataFrame, fold: int, length: int) -> dict[str, tuple[str, Letters]]:
    """Kind -> group it is held out as, and contigs: classes of a fold, made-up ones of them, eukaryotes."""
    from benchmarks.tables.phage_detector import draw_contigs

    drawn = draw_contigs(records[records["fold"] == fold], length, seed=7 + length + fold)
    found = {
        kind: ("", np.stack([np.frombuffer(text.encode(), np.uint8) for text in own["sequence"].iloc[:_CONTIGS]]))
        for kind, own in drawn.groupby("class")
    }
    generator = np.random.default_rng(fold * 100_000 + length)
    every = np.concatenate([letters for _, letters in found.values()])
    some = every[generator.choice(len(every), _MADE, replace=False)]
    found |= {name: ("", letters) for name, letters in random_dna(some, generator).items()}
    pieces, groups = eukaryotes(records, length, _MADE, generator)
    return found | {f"eukaryote {group}": (group, pieces[groups == group]) for group in np.unique(groups)}


def _scores(work: Path, records: pd.DataFrame) -> pd.DataFrame:
    """A row a contig: fold, length, kind, likeness; kept in `work/likeness.pkl`."""
    kept = work / "likeness.pkl"
    if kept.is_file():
        return pd.read_pickle(kept)
    tables = []
    for fold in range(FOLDS):
        detector = PhageDetector(work / "models" / f"fold-{fold}", "cpu")
        real, made, eukaryotic, groups = _training_rows(detector, work / "genomes" / f"fold-{fold}", records)
        fits = {
            held_out: fit(real, torch.cat([made, eukaryotic[torch.from_numpy(groups != held_out)]]))
            for held_out in ["", *np.unique(groups)]
        }
        for length in LENGTHS:
            for kind, (held_out, letters) in _contigs(records, fold, length).items():
                windows = letters.reshape(-1, min(WINDOW, length))
                alike = likeness_of(profiles(detector, windows), fits[held_out])
                likeness = alike.view(len(letters), -1).mean(1).numpy()
                tables.append(pd.DataFrame({"fold": fold, "length": length, "kind": kind, "likeness": likeness}))
    table = pd.concat(tables, ignore_index=True)
    table.to_pickle(kept)
    return table


def measure_likeness(work: Path) -> tuple[dict[str, torch.Tensor], list[float], dict[str, Any]]:
    """Weights of the packaged check, its limits by `LENGTHS`, and what share of each kind of contigs it refuses."""
    records = pd.read_parquet(work / "records.parquet").assign(nt=lambda table: table["sequence"].str.len())
    table = _scores(work, records)
    real = table["kind"].isin(CLASSES)
    refused = np.zeros(len(table), bool)
    for (fold, length), own in table.groupby(["fold", "length"]):
        others = real & (table["fold"] != fold) & (table["length"] == length)
        refused[own.index] = own["likeness"] < np.quantile(table["likeness"][others], LOST)
    shares = table.assign(refused=refused).groupby(["length", "kind"])["refused"].mean().round(4)
    result: dict[str, Any] = {str(length): shares[length].to_dict() for length in LENGTHS}
    whole = pd.read_parquet(data_folder("genomes") / "eukaryotes.parquet", columns=["group", "genus"])
    result["eukaryotes"] = {
        f"eukaryote {group}": ", ".join(sorted(set(own["genus"]))) for group, own in whole.groupby("group")
    }
    detector = PhageDetector(work / "models" / "all", "cpu")
    rows = _training_rows(detector, work / "genomes" / "all", records)
    weights = fit(rows[0], torch.cat([rows[1], rows[2]]))
    limits = [
        round(float(np.quantile(table["likeness"][real & (table["length"] == length)], LOST)), 4) for length in LENGTHS
    ]
    return weights, limits, result
