"""The phage detector on genera, and on whole phyla, that training had not seen: more folds than `phage_detector` has.

    python -m benchmarks.tables.phage_folds --work runs/phage --by genus phylum

`--work` is that of `phage_detector`, whose contigs are scored again: only what training had seen differs. By genus
there are five folds: a fifth of all groups is left out at a time, where `phage_detector` leaves out a third. By phylum
all bacteria and archaea of a phylum lie together (phages, plasmids and viruses by their groups, as ever); further
contigs of each phylum are drawn, and stand beside the phages that the same model had not seen.

Ten trainings from nothing would take half an hour, most of it for counting. So the reads of the recipe are
drawn once, their profiles kept in `WORK/pool`, and each network learns from those of the groups that it may see, as
many of each class and as many in all as by the recipe, with its optimiser. What was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import get_linear_schedule_with_warmup

from benchmarks._results import write_result
from benchmarks.tables.phage_data import CLASSES, FOLDS, deal_folds
from benchmarks.tables.phage_detector import (
    _IDS,
    DRAWS,
    LENGTHS,
    PHAGE,
    auroc,
    collect,
    draw_contigs,
    fit_calibration,
    score,
    with_intervals,
)
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler
from seqformers.modeling.dna.configuration_coding_profile import CodingProfileConfig
from seqformers.modeling.dna.modeling_coding_profile import CodingProfileForSequenceClassification
from seqformers.phages.detector import PhageDetector

KINDS = {"genus": 5, "phylum": 5}  # folds
POOL, CHUNK = 150_000, 5_000  # reads
READS, BATCH = 100_000, 128  # of a training, as in benchmarks/recipes/phage/detector.yaml
PHYLUM_CONTIGS, PHYLUM_LENGTHS = 60, (3_000, 10_000)
HOSTS = ("bacterium", "archaeon")
RECIPE = ReadOptions(
    length={"lower": 500, "upper": 2000, "bias": 0.25}, classes={name: [name] for name in CLASSES}, max_unknown=0.0
)


def read_records(work: Path) -> pd.DataFrame:
    """Records of the five classes, with their lengths."""
    records = pd.read_parquet(work / "records.parquet")
    return records[records["class"].isin(CLASSES)].assign(nt=lambda table: table["sequence"].str.len())


def pool_sampler(work: Path) -> ReadSampler:
    """Draws the reads of the pool."""
    return ReadSampler(GenomeArrays.open(work / "genomes" / "all", "train"), RECIPE, seed=7)


def fill_pool(work: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Profiles (float16, a chunk an array), classes and groups of the pool's reads."""
    folder = work / "pool"
    folder.mkdir(exist_ok=True)
    reads = pool_sampler(work)
    counter = CodingProfileForSequenceClassification(
        CodingProfileConfig.from_pretrained(work / "models" / "all")
    ).base_model.counter
    chunks, labels, groups = [], [], []
    for first in range(0, POOL, CHUNK):
        path = folder / f"{first:06d}.npz"
        if not path.is_file():
            drawn = reads.draw(range(first, first + CHUNK))
            ids = torch.from_numpy(_IDS[drawn.letters])
            ids[torch.arange(ids.shape[1]) >= torch.from_numpy(drawn.lengths)[:, None]] = 0
            with torch.no_grad():
                found = [counter(part, (part != 0).long()).half().numpy() for part in ids.split(BATCH)]
            names = np.array(reads.genomes.groups)[reads.genomes.group[drawn.record]]
            np.savez(folder / "partial.npz", labels=drawn.labels, groups=names, profiles=np.concatenate(found))
            (folder / "partial.npz").rename(path)
        with np.load(path) as kept:
            chunks.append(kept["profiles"])
            labels.append(kept["labels"])
            groups.append(kept["groups"])
    return chunks, np.concatenate(labels), np.concatenate(groups)


def balanced_rows(
    allowed: np.ndarray, labels: np.ndarray, generator: np.random.Generator, reads: int | None = None
) -> np.ndarray:
    """Rows of the pool to learn from, in a random order: as many of each class, each as seldom again as can be."""
    rows = []
    for kind in range(len(CLASSES)):
        own, wanted = np.flatnonzero(allowed & (labels == kind)), (reads or READS) // len(CLASSES)
        rounds = [generator.permutation(own) for _ in range(-(-wanted // len(own)))]
        rows.append(np.concatenate(rounds)[:wanted])
    return generator.permutation(np.concatenate(rows))


class Given(torch.nn.Module):
    """In place of the counter: the profiles are given."""

    def forward(self, profiles: torch.Tensor, mask: Any = None) -> torch.Tensor:
        """The profiles as they are."""
        return profiles


def learn_profiles(model: Any, chunks: list[np.ndarray], labels: np.ndarray, rows: np.ndarray, seed: int) -> None:
    """Train a network whose counter is `Given` on rows of the pool, by the recipe's optimiser."""
    torch.manual_seed(seed)
    model.train()
    steps = -(-len(rows) // BATCH)
    decayed = [p for name, p in model.named_parameters() if not name.endswith("bias")]
    plain = [p for name, p in model.named_parameters() if name.endswith("bias")]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
                                  lr=1e-3)  # fmt: skip
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.05 * steps), steps)
    for step in range(steps):
        own = rows[step * BATCH : (step + 1) * BATCH]
        profiles = np.stack([chunks[row // CHUNK][row % CHUNK] for row in own]).astype(np.float32)
        loss = model(input_ids=torch.from_numpy(profiles), labels=torch.from_numpy(labels[own])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def train(work: Path, folder: Path, chunks: list[np.ndarray], labels: np.ndarray, rows: np.ndarray, seed: int) -> None:
    """One network by the recipe's optimiser, written to `folder`."""
    torch.manual_seed(seed)
    config = CodingProfileConfig.from_pretrained(work / "models" / "all")
    model = CodingProfileForSequenceClassification(config).train()
    counter, model.base_model.counter = model.base_model.counter, Given()
    learn_profiles(model, chunks, labels, rows, seed)
    model.base_model.counter = counter
    model.save_pretrained(folder)
    for name in ("config.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copyfile(work / "models" / "all" / name, folder / name)


def draw_again(work: Path, records: pd.DataFrame) -> pd.DataFrame:
    """The contigs of `phage_detector` with their letters."""
    drawn = [
        draw_contigs(records[records["fold"] == fold], length, seed=fold * 100_000 + length).assign(
            length=length, fold=fold
        )
        for fold in range(FOLDS)
        for length in LENGTHS
    ]
    contigs = pd.concat(drawn, ignore_index=True)
    assert contigs["group"].tolist() == collect(work)[0]["group"].tolist()
    return contigs


def draw_phyla(records: pd.DataFrame) -> pd.DataFrame:
    """Further contigs of bacteria and archaea, as many of each phylum; its groups by the square root of their size."""
    drawn = []
    for phylum, own in records[records["class"].isin(HOSTS)].groupby("phylum"):
        for length in PHYLUM_LENGTHS:
            found = draw_contigs(own, length, seed=length, kinds=own["class"].unique(), count=PHYLUM_CONTIGS)
            drawn.append(found.assign(length=length, phylum=phylum))
    return pd.concat(drawn, ignore_index=True)


def deal(records: pd.DataFrame, by: str) -> dict[str, int]:
    """Fold of each group."""
    hosts = records["class"].isin(HOSTS)
    together = records["group"].where(~hosts | (by == "genus"), records["phylum"])
    folds = deal_folds(records.assign(group=together), KINDS[by])
    found = pd.Series(folds, index=records["group"])
    # A group of hosts and others (a plasmid of a genus, say) goes where the hosts are.
    found = pd.concat([found[hosts.to_numpy()], found[~hosts.to_numpy()]])
    return found[~found.index.duplicated()].to_dict()


def score_unseen(
    work: Path, by: str, seed: int, contigs: pd.DataFrame, folds: dict[str, int], name: str
) -> np.ndarray:
    """Mean log-probabilities of contigs, each by the network that had not seen its group."""
    place = work / "folds" / f"{by}-seed{seed}"
    kept = place / f"scored-{name}.npy"
    if kept.is_file():
        return np.load(kept)
    means = np.zeros((len(contigs), len(CLASSES)))
    own_fold = contigs["group"].map(folds).to_numpy()
    for fold in range(KINDS[by]):
        own = own_fold == fold
        means[own], _ = score(PhageDetector(place / f"fold-{fold}", "cpu"), contigs[own])
    np.save(kept, means)
    return means


def learn(work: Path, by: str, seed: int, minutes: float) -> bool:
    """Train the networks that are missing; False if the time is over before that."""
    begun = time.monotonic()
    folds = deal(read_records(work), by)
    place = work / "folds" / f"{by}-seed{seed}"
    missing = [fold for fold in range(KINDS[by]) if not (place / f"fold-{fold}" / "vocab.txt").is_file()]
    if not missing:
        return True
    chunks, labels, groups = fill_pool(work)
    own_fold = np.array([folds[group] for group in groups])
    for fold in missing:
        if time.monotonic() - begun > minutes * 60:
            return False
        rows = balanced_rows(own_fold != fold, labels, np.random.default_rng([seed, fold]))
        train(work, place / f"fold-{fold}", chunks, labels, rows, seed)
        print(by, seed, fold, f"{time.monotonic() - begun:.0f} s", flush=True)
    return True


def calibrated(means: np.ndarray, contigs: pd.DataFrame, folds: np.ndarray) -> np.ndarray:
    """Scores of contigs, calibrated on those of the other folds."""
    truth, lengths = contigs["class"].map(CLASSES.index).to_numpy(), contigs["length"].to_numpy()
    scores = np.zeros_like(means)
    for fold in np.unique(folds):
        own = folds == fold
        scores[own] = fit_calibration(means[~own], lengths[~own], truth[~own]).scores(means[own], lengths[own])
    return scores


def unseen(work: Path, by: str, contigs: pd.DataFrame, seed: int = 0) -> tuple[np.ndarray, np.ndarray] | None:
    """Calibrated scores of the contigs of `draw_again`, and their folds; None where the scores are not there yet."""
    if by == "third":
        return calibrated(collect(work)[1]["detector"], contigs, own := contigs["fold"].to_numpy()), own
    kept = work / "folds" / f"{by}-seed{seed}" / "scored-contigs.npy"
    if not kept.is_file():
        return None
    folds = contigs["group"].map(deal(read_records(work), by)).to_numpy()
    return calibrated(np.load(kept), contigs, folds), folds


def mean_of_folds(
    scores: np.ndarray, truth: np.ndarray, groups: np.ndarray, folds: np.ndarray
) -> dict[str, list[float]]:
    """AUROC of phages against hosts within each fold, so by one network each, their mean; bootstrap over groups.

    Contigs of all folds in one order, as in the tables, also asks that networks agree on how high a score is.
    """
    orders = {"auroc_hosts_by_score": scores[:, PHAGE],
              "auroc_hosts": np.log(scores[:, PHAGE]) - np.log(scores[:, :2].sum(1))}  # fmt: skip

    def measured(rows: np.ndarray) -> list[float]:
        of_fold = [rows[folds[rows] == fold] for fold in np.unique(folds)]
        both = [own for own in of_fold if 0 < (truth[own] == PHAGE).sum() < len(own)]
        return [
            float(np.mean([auroc(truth[own] == PHAGE, margin[own]) for own in both])) for margin in orders.values()
        ]

    generator = np.random.default_rng(0)
    wanted = np.flatnonzero(np.isin(truth, [0, 1, PHAGE]))
    members = [
        [wanted[(groups[wanted] == group) & (truth[wanted] == kind)] for group in np.unique(groups[truth == kind])]
        for kind in (0, 1, PHAGE)
    ]
    draws = [
        measured(np.concatenate([own[i] for own in members for i in generator.integers(0, len(own), len(own))]))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    values = zip(measured(wanted), low, high, strict=True)
    return dict(zip(orders, ([round(float(v), 4) for v in row] for row in values), strict=True))


def unseen_phyla(work: Path, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Phages of `draw_again` and hosts of `draw_phyla` of one length, by networks that knew no host of the phylum.

    Returns:
        Calibrated scores of phages and their folds, and scores of hosts and their folds. A network that had not seen a
        phylum had not seen the phages of its fold.
    """
    records = read_records(work)
    folds, hosts, contigs = deal(records, "phylum"), draw_phyla(records), draw_again(work, records)
    place = work / "folds" / "phylum-seed0"
    means, host_means = np.load(place / "scored-contigs.npy"), np.load(place / "scored-phyla.npy")
    fold, host_fold = (table["group"].map(folds).to_numpy() for table in (contigs, hosts))
    phage = ((contigs["class"] == CLASSES[PHAGE]) & (contigs["length"] == length)).to_numpy()
    host = (hosts["length"] == length).to_numpy()
    scores, host_scores = calibrated(means, contigs, fold), np.zeros_like(host_means)
    truth, lengths = contigs["class"].map(CLASSES.index).to_numpy(), contigs["length"].to_numpy()
    for own in np.unique(host_fold):
        calibration = fit_calibration(means[fold != own], lengths[fold != own], truth[fold != own])
        rows = host & (host_fold == own)
        host_scores[rows] = calibration.scores(host_means[rows], np.full(rows.sum(), length))
    return scores[phage], fold[phage], host_scores[host], host_fold[host]


def of_phyla(work: Path) -> dict[str, Any]:
    """Phages against the further hosts of each phylum, both unseen by the same network: AUROC by length and phylum."""
    hosts_of, contigs_of = (
        {length: own.reset_index(drop=True) for length, own in table.groupby("length")}
        for table in (draw_phyla(read_records(work)), draw_again(work, read_records(work)))
    )
    found: dict[str, Any] = {}
    for length in PHYLUM_LENGTHS:
        scores, fold, host_scores, host_fold = unseen_phyla(work, length)
        phage_groups = contigs_of[length].query("`class` == 'phage'")["group"].to_numpy()
        hosts = hosts_of[length]
        for phylum, rows in hosts.groupby("phylum").indices.items():
            phages = np.flatnonzero(fold == host_fold[rows][0])
            both = np.concatenate([scores[phages], host_scores[rows]])
            kinds = np.repeat([PHAGE, 0], [len(phages), len(rows)])  # all hosts as one class
            groups = np.concatenate([phage_groups[phages], hosts["group"].to_numpy()[rows]])
            values = with_intervals(np.log(both), kinds, groups)
            found.setdefault(str(length), {})[phylum] = {
                "auroc": values["auroc_hosts"], "auroc_by_score": values["auroc_hosts_by_score"],
                "hosts": len(rows), "host_groups": len(set(hosts["group"].to_numpy()[rows])), "phages": len(phages),
            }  # fmt: skip
    return found


def measured(work: Path, seeds: list[int]) -> dict[str, Any]:
    """All that can be said of the networks that are there."""
    contigs = draw_again(work, read_records(work))
    truth, lengths = contigs["class"].map(CLASSES.index).to_numpy(), contigs["length"].to_numpy()
    groups = contigs["group"].to_numpy()
    result: dict[str, Any] = {}
    for by, number in {"third": FOLDS, **KINDS}.items():
        for seed in seeds if by == "genus" else seeds[:1]:
            found = unseen(work, by, contigs, seed)
            if found is None:
                continue
            scores, folds = found
            own = result.setdefault(by, {"folds": number, "table": {}, "mean_of_folds": {}})
            for length in LENGTHS:
                rows = lengths == length
                name, values = f"seed {seed}", (scores[rows], truth[rows], groups[rows])
                own["table"].setdefault(name, {})[str(length)] = with_intervals(np.log(values[0]), *values[1:])
                own["mean_of_folds"].setdefault(name, {})[str(length)] = mean_of_folds(*values, folds[rows])
    if "phylum" in result:
        result["phylum"]["hosts_of"] = of_phyla(work)
    return result


def main() -> None:
    """Train, score, measure; write `results/phage_folds.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--by", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="By genus; by phylum it is the first one.")
    parser.add_argument("--minutes", type=float, default=12, help="After which no further training begins.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work: Path = given.work
    contigs = None
    for by in given.by:
        for seed in given.seeds if by == "genus" else given.seeds[:1]:
            if learn(work, by, seed, given.minutes):
                records = read_records(work)
                contigs = draw_again(work, records) if contigs is None else contigs
                score_unseen(work, by, seed, contigs, deal(records, by), "contigs")
                if by == "phylum":
                    score_unseen(work, by, seed, draw_phyla(records), deal(records, by), "phyla")
    result = measured(work, given.seeds)
    write_result("phage_folds", result, data="genomes and virus_genomes, as phage_detector", seeds=given.seeds)
    for by, found in result.items():
        for kind in ("table", "mean_of_folds"):
            for seed, table in found[kind].items():
                print(
                    by, kind, seed, {length: row["auroc_hosts_by_score"] for length, row in table.items()}, flush=True
                )


if __name__ == "__main__":
    main()
