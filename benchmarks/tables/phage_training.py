"""How the phage detector is trained: more reads, more seeds, their mean, and a start from genomes told apart.

    python -m benchmarks.tables.phage_training --work runs/phage

`--work` is that of `phage_detector` and `phage_folds`, whose contigs and pool of counted reads are taken. For each of
the three folds every arm is trained twice: without the fold and a quarter of the other groups (`validation`, what an
arm is chosen by) and without the fold alone (`test`, what is said of it). An arm that starts from pretraining has seen
the same groups there as in training and no others. What is there is not made again; `--minutes` ends a call.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import get_linear_schedule_with_warmup

from benchmarks._results import write_result
from benchmarks.tables.phage_data import CLASSES, FOLDS, deal_folds
from benchmarks.tables.phage_detector import DRAWS, LENGTHS, PHAGE, VIRUS, auroc, collect
from benchmarks.tables.phage_folds import (
    CHUNK,
    POOL,
    READS,
    Given,
    balanced_rows,
    draw_again,
    fill_pool,
    learn_profiles,
    pool_sampler,
    read_records,
)
from seqformers.modeling.dna.configuration_coding_profile import CodingProfileConfig
from seqformers.modeling.dna.modeling_coding_profile import CodingProfileForSequenceClassification
from seqformers.phages.contig import encode_windows, window_bounds
from seqformers.training.learners import Contrasted

PARTS = 4  # of the groups that are not of the fold; one is for validation
PAIRS, PAIR_STEPS = 256, 200  # of genome contrast: about as many reads as training has


@dataclass(frozen=True)
class Arm:
    """What is trained: `reads` in all, from `seed`, behind genome contrast or not."""

    reads: int = READS
    seed: int = 0
    contrast: bool = False


ARMS = {
    "recipe": Arm(),
    "recipe, seed 1": Arm(seed=1),
    "recipe, seed 2": Arm(seed=2),
    "twice the reads": Arm(reads=2 * READS),
    "behind genome contrast": Arm(contrast=True),
}
# Log-probabilities of several networks, averaged: (rows of the table, arms).
MEANS = {"mean of three": ("recipe", "recipe, seed 1", "recipe, seed 2")}


@dataclass
class Contigs:
    """Contigs of `phage_detector`: a table, profiles of their windows, and the letters that each speaks for."""

    table: pd.DataFrame
    profiles: np.ndarray
    letters: np.ndarray
    contig: np.ndarray

    @classmethod
    def of(cls, work: Path, counter: torch.nn.Module) -> Contigs:
        """Count the windows, or take what was counted before."""
        paths = [work / f"contig-profiles-{fold}.npz" for fold in range(FOLDS)]
        if not all(path.is_file() for path in paths):
            table = draw_again(work, read_records(work))
            for fold, own in table.groupby("fold"):
                found = [_counted(counter, text) for text in own["sequence"]]
                rows = np.repeat(own.index, [len(letters) for _, letters in found])
                partial = work / f"partial-{fold}.npz"
                np.savez(partial, contig=rows, profiles=np.concatenate([counts for counts, _ in found]),
                         letters=np.concatenate([letters for _, letters in found]))  # fmt: skip
                partial.rename(paths[fold])
        parts: dict[str, list[np.ndarray]] = {"profiles": [], "letters": [], "contig": []}
        for path in paths:
            with np.load(path) as kept:
                for name, values in parts.items():
                    values.append(kept[name])
        return cls(collect(work)[0], *(np.concatenate(values) for values in parts.values()))

    @torch.no_grad()
    def score(self, model: torch.nn.Module, wanted: np.ndarray) -> np.ndarray:
        """Mean log-probabilities of the wanted contigs, NaN for others; the model reads profiles."""
        rows = np.flatnonzero(wanted[self.contig])
        sums, total = np.zeros((len(self.table), len(CLASSES))), np.zeros(len(self.table))
        for part in np.array_split(rows, max(1, len(rows) // 512)):
            logs = model(input_ids=torch.from_numpy(self.profiles[part].astype(np.float32))).logits.log_softmax(-1)
            np.add.at(sums, self.contig[part], logs.numpy() * self.letters[part, None])
            np.add.at(total, self.contig[part], self.letters[part])
        with np.errstate(invalid="ignore"):
            return sums / np.where(total > 0, total, np.nan)[:, None]


@torch.no_grad()
def _counted(counter: torch.nn.Module, sequence: str) -> tuple[np.ndarray, np.ndarray]:
    """Profiles (float16) of the windows of a contig, and the letters of each that no other one has."""
    ids, facts = encode_windows(sequence, window_bounds(len(sequence)))
    return counter(torch.from_numpy(ids).long()).half().numpy(), facts[:, 0]


@dataclass
class Pool:
    """Counted reads: chunks of profiles, classes, names of groups and numbers of records."""

    chunks: list[np.ndarray]
    labels: np.ndarray
    groups: np.ndarray
    record: np.ndarray

    @classmethod
    def of(cls, work: Path) -> Pool:
        """The pool of `phage_folds`."""
        sampler = pool_sampler(work)
        record = [sampler.draw(range(first, first + CHUNK)).record for first in range(0, POOL, CHUNK)]
        return cls(*fill_pool(work), np.concatenate(record))

    def profiles(self, rows: np.ndarray) -> torch.Tensor:
        """Profiles of some reads, `(rows, numbers)`."""
        return torch.from_numpy(np.stack([self.chunks[row // CHUNK][row % CHUNK] for row in rows]).astype(np.float32))


def start_by_contrast(pool: Pool, allowed: np.ndarray, model: Any, seed: int) -> None:
    """Pretrain the base model: reads of one genome are told from those of others, those of one group are not."""
    generator = np.random.default_rng([seed, 99])
    torch.manual_seed(seed)
    base = model.base_model.train()
    usual = base.feature_dropout.p, base.dropout.p
    base.feature_dropout.p, base.dropout.p = 0.3, 0.1
    learner = Contrasted(base, "genome", (), 0.1)
    rows = np.flatnonzero(allowed)
    order = rows[np.argsort(pool.record[rows], kind="stable")]
    firsts = np.flatnonzero(np.r_[True, np.diff(pool.record[order]) != 0])
    ends = np.r_[firsts[1:], len(order)]
    paired = np.flatnonzero(ends - firsts > 1)
    number = np.unique(pool.groups, return_inverse=True)[1]
    share = (ends - firsts)[paired] / (ends - firsts)[paired].sum()
    optimizer = torch.optim.AdamW(base.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, PAIR_STEPS // 10, PAIR_STEPS)
    for _ in range(PAIR_STEPS):
        own = generator.choice(paired, PAIRS, p=share)
        one = (generator.random(PAIRS) * (ends - firsts)[own]).astype(int)
        other = (one + 1 + (generator.random(PAIRS) * ((ends - firsts)[own] - 1)).astype(int)) % (ends - firsts)[own]
        sides = [order[firsts[own] + place] for place in (one, other)]
        loss = learner(
            labels=torch.arange(PAIRS), groups=torch.from_numpy(number[sides[0]]),
            input_ids=pool.profiles(sides[0]), other_input_ids=pool.profiles(sides[1]),
        ).loss  # fmt: skip
        loss.backward()
        torch.nn.utils.clip_grad_norm_(base.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    print(f"  contrast: loss {loss.item():.2f} at the end", flush=True)
    base.feature_dropout.p, base.dropout.p = usual


def learn(work: Path, pool: Pool, allowed: np.ndarray, arm: Arm, fold: int) -> Any:
    """The network of an arm; it reads profiles."""
    torch.manual_seed(arm.seed)
    model = CodingProfileForSequenceClassification(CodingProfileConfig.from_pretrained(work / "models" / "all"))
    model.base_model.counter = Given()
    if arm.contrast:
        start_by_contrast(pool, allowed, model, arm.seed)
    rows = balanced_rows(allowed, pool.labels, np.random.default_rng([arm.seed, fold]), arm.reads)
    learn_profiles(model, pool.chunks, pool.labels, rows, arm.seed)
    return model.eval()


def validation_groups(records: pd.DataFrame, fold: int) -> set[str]:
    """A quarter of the groups that are not of the fold, of each class by the square root of their letters."""
    rest = records[records["fold"] != fold]
    return set(rest["group"][deal_folds(rest, PARTS, seed=fold) == 0])


def scored_path(work: Path, place: str, fold: int, name: str) -> Path:
    """Where the scores of an arm's network are kept."""
    return work / "training" / f"{place}-{fold}-{name.replace(' ', '_')}.npy"


def run_arms(work: Path, names: list[str], places: list[str], minutes: float) -> None:
    """Train and score what is missing."""
    begun = time.monotonic()
    counter = CodingProfileForSequenceClassification(
        CodingProfileConfig.from_pretrained(work / "models" / "all")
    ).base_model.counter
    contigs = Contigs.of(work, counter)
    records, pool = read_records(work), None
    (work / "training").mkdir(exist_ok=True)
    fold_of = records.drop_duplicates("group").set_index("group")["fold"]
    for place in places:
        for name in names:
            for fold in range(FOLDS):
                path = scored_path(work, place, fold, name)
                if path.is_file():
                    continue
                if time.monotonic() - begun > minutes * 60:
                    return
                pool = Pool.of(work) if pool is None else pool
                held = validation_groups(records, fold) if place == "validation" else set()
                fold_of_read = fold_of.reindex(pool.groups).to_numpy()
                allowed = (fold_of_read != fold) & ~np.isin(pool.groups, list(held))
                spent = time.process_time()
                model = learn(work, pool, allowed, ARMS[name], fold)
                own = contigs.table["group"].isin(held) & (contigs.table["fold"] != fold)
                wanted = own if place == "validation" else contigs.table["fold"] == fold
                np.save(path, contigs.score(model, wanted.to_numpy()))
                print(place, fold, name, f"{time.process_time() - spent:.0f} s", flush=True)


def measured(means: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Of contigs of one length and one network, before any calibration."""
    scores = np.exp(means - means.max(1, keepdims=True))
    scores /= scores.sum(1, keepdims=True)
    host = np.isin(truth, [0, 1])
    rows = host | (truth == PHAGE)
    positive = truth[rows] == PHAGE
    margin = means[:, PHAGE] - np.logaddexp(means[:, 0], means[:, 1])
    called = scores.argmax(1)
    pair = np.isin(truth, [PHAGE, VIRUS])
    as_virus = means[pair, VIRUS] > means[pair, PHAGE]
    kinds = [truth[pair] == kind for kind in (PHAGE, VIRUS)]
    return {
        "auroc_hosts_by_score": auroc(positive, scores[rows, PHAGE]),
        "auroc_hosts": auroc(positive, margin[rows]),
        "sensitivity_hosts": float((margin[truth == PHAGE] > np.quantile(margin[host], 0.99)).mean()),
        "macro_recall_phage_virus": float(((~as_virus)[kinds[0]].mean() + as_virus[kinds[1]].mean()) / 2),
        "recall_plasmid": float((called[truth == 2] == 2).mean()),
        "macro_recall_five": float(np.mean([(called[truth == kind] == kind).mean() for kind in range(len(CLASSES))])),
    }


def summary(means: list[np.ndarray], contigs: pd.DataFrame, length: int) -> np.ndarray:
    """Mean over folds of `measured`, and the same of draws of groups: `(1 + draws, numbers)`."""
    truth, groups = contigs["class"].map(CLASSES.index).to_numpy(), contigs["group"].to_numpy()
    generator = np.random.default_rng(0)
    table = np.zeros((1 + DRAWS, 6))
    for found in means:
        own = np.flatnonzero(~np.isnan(found[:, 0]) & (contigs["length"] == length).to_numpy())
        members = [
            [
                own[(groups[own] == group) & (truth[own] == kind)]
                for group in np.unique(groups[own][truth[own] == kind])
            ]
            for kind in range(len(CLASSES))
        ]
        table[0] += list(measured(found[own], truth[own]).values())
        for draw in range(DRAWS):
            rows = np.concatenate([part[i] for part in members for i in generator.integers(0, len(part), len(part))])
            table[1 + draw] += list(measured(found[rows], truth[rows]).values())
    return table / len(means)


def compared(work: Path, contigs: pd.DataFrame, place: str) -> dict[str, Any]:
    """Every arm, of the folds that it was trained for: values, intervals, and the difference to the recipe there."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for name in ARMS:
        paths = {fold: scored_path(work, place, fold, name) for fold in range(FOLDS)}
        if own := {fold: np.load(path) for fold, path in paths.items() if path.is_file()}:
            found[name] = own
    for name, parts in MEANS.items():
        of_all = set.intersection(*(set(found.get(part, {})) for part in parts))
        if of_all:
            found[name] = {fold: np.mean([found[part][fold] for part in parts], axis=0) for fold in sorted(of_all)}
    result: dict[str, Any] = {}
    of_recipe: dict[tuple[Any, ...], np.ndarray] = {}
    for name, scored in found.items():
        folds = sorted(set(scored) & set(found.get("recipe", {})))
        for length in LENGTHS if folds else ():
            table = summary([scored[fold] for fold in folds], contigs, length)
            same = (*folds, length)
            if same not in of_recipe:
                of_recipe[same] = summary([found["recipe"][fold] for fold in folds], contigs, length)
            gains = table - of_recipe[same]
            own = result.setdefault(name, {"folds": folds}).setdefault(str(length), {})
            for number, what in enumerate(measured(np.eye(len(CLASSES)), np.arange(len(CLASSES)))):
                for title, values in ((what, table[:, number]), (f"{what}_gain", gains[:, number])):
                    own[title] = [round(float(v), 4) for v in (values[0], *np.quantile(values[1:], [0.025, 0.975]))]
    return result


def main() -> None:
    """Train, score, compare; write `results/phage_training.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--places", nargs="+", default=["validation", "test"], choices=["validation", "test"])
    parser.add_argument("--minutes", type=float, default=12, help="After which no training begins; 0 measures.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.minutes > 0:
        run_arms(given.work, given.arms, given.places, given.minutes)
    contigs = collect(given.work)[0]
    result = {place: compared(given.work, contigs, place) for place in given.places}
    write_result("phage_training", result, data="genomes and virus_genomes, as phage_detector", seeds=[0, 1, 2])
    for place, found in result.items():
        for name, table in found.items():
            row = {str(length): table[str(length)]["auroc_hosts_by_score"] for length in LENGTHS}
            print(place, name, row, flush=True)


if __name__ == "__main__":
    main()
