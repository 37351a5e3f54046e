"""The scout of a target scan: a small pair CNN that learns what the packaged one says of windows, and what it misses.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.pair_cnn_scout train --work runs/pair_cnn_scout
python -m benchmarks.tables.pair_cnn_scout package measure --work runs/pair_cnn_scout

It learns from the packaged network's logits as it slides along stretches of 3'UTRs; no label is used. `measure` scans
miRNAs that it has not learned from against 3'UTRs in both ways, and counts what the exhaustive scan ranks in its top
1 % and the default one does not find.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._results import data_folder, write_result
from benchmarks.tables.pair_cnn_data import read_pairs
from seqformers import PairCnnConfig, PairCnnModel, PairCnnProcessor
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.hub.load import packaged_model
from seqformers.targets.engines import open_scanner
from seqformers.targets.pair_score import PairRule
from seqformers.targets.pair_sites import SCOUT_STEP
from seqformers.targets.places import BEFORE, WINDOW
from seqformers.targets.records import ScanReport, TargetRecords, pair_all

SHAPE: dict[str, Any] = {
    "pair_size": 16, "target_size": 8, "channels": [16, 16], "kernel_sizes": [5, 5], "num_heads": 2, "hidden_size": 16,
    "dropout": 0.0,
}  # fmt: skip
STRETCH, STRETCHES, ROWS, STEPS, RATE = 1_000, 16, 8, 24_000, 0.01
GOOD, HARD = 1.0, 4.0  # a logit; how much likelier a stretch is drawn that holds a window of twice that
MISSED = 2.0  # what saying too little of a window counts, beside saying too much
HELD = 60  # miRNAs that it does not learn from, to measure with
CHOOSING = 60  # others that it does not learn from; thresholds are chosen on them
SITE = ("mirna_id", "mrna_id", "start", "end", "score")
UTRS = ("miraw_test_0_4.parquet", "deeptargetpro_pairs_0_4.parquet")


def known_mirnas(folder: Path) -> list[str]:
    """The miRNAs of the chimeric reads, 20 nt or longer, in a fixed random order; the last `HELD` are held out."""
    pairs = read_pairs(folder)
    names = sorted(mirna for mirna in pairs.loc[pairs["split"] == "train", "mirna_seq"].unique() if len(mirna) >= 20)
    return list(np.random.default_rng(0).permutation(names))


def whole_utrs(folder: Path, shortest: int = 1) -> list[str]:
    """3'UTRs of the whole-mRNA tests; their labels are not read."""
    tables = [read_target_table(folder / name)["mrna_seq"] for name in UTRS]
    return [utr for utr in pd.concat(tables).drop_duplicates() if len(utr) >= shortest]


def lessons(folder: Path, work: Path) -> dict[str, np.ndarray]:
    """Stretches of 3'UTRs for each miRNA, and the packaged network's logits along them; kept in `work`."""
    path = work / "lessons.npz"
    if not path.exists():
        model, processor = PairCnnModel.from_pretrained(packaged_model("pair_cnn")).eval(), PairCnnProcessor()
        utrs, generator = whole_utrs(folder, 300), np.random.default_rng(1)
        rows: dict[str, list[np.ndarray]] = {"mirnas": [], "stretches": [], "logits": []}
        for mirna in known_mirnas(folder)[: -HELD - CHOOSING]:
            stretches = np.zeros((STRETCHES, STRETCH + WINDOW), np.uint8)
            for row, number in zip(stretches, generator.choice(len(utrs), STRETCHES), strict=True):
                begin = generator.integers(0, max(len(utrs[number]) - STRETCH, 0) + 1)
                letters = processor.encode_targets([utrs[number][begin : begin + STRETCH]])[0]
                row[BEFORE : BEFORE + len(letters)] = letters
            ids = np.zeros(24, np.uint8)
            ids[: min(len(mirna), 24)] = processor.encode_mirnas([mirna[:24]])[0]
            logits = model.score_windows(torch.from_numpy(ids), torch.from_numpy(stretches), step=SCOUT_STEP).numpy()
            for name, value in zip(rows, (ids, stretches, logits), strict=True):
                rows[name].append(value)
        np.savez(path, **{name: np.array(values) for name, values in rows.items()})
    return dict(np.load(path))


class Drawer:
    """Draws stretches, each of another miRNA, all miRNAs of one length; those with a very good window more often.

    Args:
        found (`dict[str, np.ndarray]`): Of `lessons`.
    """

    def __init__(self, found: dict[str, np.ndarray]):
        self.mirnas, self.stretches, self.logits = (found[name] for name in ("mirnas", "stretches", "logits"))
        self.generator = np.random.default_rng(0)
        lengths = (self.mirnas > 0).sum(1)
        self.groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        self.groups = [group for group in self.groups if len(group) >= ROWS]
        self.shares = np.array([len(group) for group in self.groups]) / sum(map(len, self.groups))
        chance = 1 + HARD * (self.logits.max(2) >= 2 * GOOD)
        self.chance = chance / chance.sum(1, keepdims=True)

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """miRNAs, stretches and the logits wanted."""
        group = self.groups[self.generator.choice(len(self.groups), p=self.shares)]
        mirnas = self.generator.choice(group, ROWS, replace=False)
        rows = [self.generator.choice(STRETCHES, p=self.chance[mirna]) for mirna in mirnas]
        parts = self.mirnas[mirnas], self.stretches[mirnas, rows], self.logits[mirnas, rows]
        mirna_ids, stretches, wanted = (torch.from_numpy(part) for part in parts)
        return mirna_ids, stretches, wanted


def train(work: Path) -> None:
    """Write `scout`: squared differences of logits; good windows count more, most where too little is said of them."""
    if (work / "scout" / "model.safetensors").exists():
        return
    started, drawer = time.process_time(), Drawer(lessons(data_folder("mirna_target"), work))
    torch.manual_seed(0)
    model = PairCnnModel(PairCnnConfig(**SHAPE)).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    running = 0.0
    for step in range(STEPS):
        mirnas, stretches, wanted = drawer.draw()
        error = slid(model, mirnas, stretches) - wanted
        weight = 0.2 + torch.sigmoid(2 * (wanted - GOOD)) * (1 + (MISSED - 1) * (error < 0))
        loss = (error**2 * weight).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running = 0.998 * running + 0.002 * loss.item()
        if step % 1_000 == 0:
            print(step, round(running, 4), round(time.process_time() - started), flush=True)
    model.eval().save_pretrained(work / "scout")
    (work / "scout.json").write_text(json.dumps({"cpu_seconds": round(time.process_time() - started)}))


def slid(model: PairCnnModel, mirnas: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """As `score_windows` of one member, with gradients, a miRNA a row, all of one length: `(batch, windows)`."""
    member, ids = model.members[0], mirnas.long()
    letters = model._letters(targets.long())
    registers = max(WINDOW + int((ids[0] > 0).sum()) - 2 * model.config.min_overlap + 1, 1)
    hidden, real = member.read(*member.registers(ids, letters), letters)
    hidden, kept = hidden.transpose(1, 2), real.transpose(1, 2).to(hidden.dtype)
    windows = (targets.shape[1] - WINDOW) // SCOUT_STEP + 1
    return member.slide(hidden, kept, registers, windows, SCOUT_STEP)


def package(work: Path) -> None:
    """Put the scout beside the packaged network."""
    folder = packaged_model("pair_cnn").parent / "pair_cnn_scout"
    PairCnnModel.from_pretrained(work / "scout").save_pretrained(folder)
    for path in folder.glob("*.py"):
        path.unlink()  # the package holds this code already


def drawn_sets(folder: Path, utrs: int, *, choosing: bool = False) -> tuple[dict[str, str], dict[str, str]]:
    """Records that the scout has not learned from, miRNAs and 3'UTRs: to measure with, or others to choose with."""
    known, drawn = known_mirnas(folder), np.random.default_rng(2).permutation(whole_utrs(folder))
    chosen = known[-HELD - CHOOSING : -HELD] if choosing else known[-HELD:]
    numbered = list(enumerate(drawn))[-utrs:] if choosing else list(enumerate(drawn))[:utrs]
    return {mirna: mirna for mirna in chosen}, {f"u{number}": utr for number, utr in numbered}


def measure(work: Path, held: int, utrs: int) -> None:
    """Write `results/pair_cnn_scout.json`: what the default scan misses of the exhaustive one's best."""
    mirnas, mrnas = drawn_sets(data_folder("mirna_target"), utrs)
    mirnas = dict(list(mirnas.items())[:held])
    result: dict[str, Any] = json.loads((work / "scout.json").read_text())
    result |= {"mirnas": len(mirnas), "utrs": len(mrnas), "nucleotides": sum(map(len, mrnas.values()))}
    scans = {}
    for name, exhaustive in (("default", False), ("exhaustive", True)):
        scans[name] = scanned(mirnas, mrnas, work / f"{name}-{utrs}", exhaustive=exhaustive)
        result[f"cpu_seconds_{name}"] = scans[name][2]
    result |= lost_sites(scans["exhaustive"][1], scans["default"][1])
    result |= lost_pairs(*(scored(*scans[name][:2], mrnas) for name in ("exhaustive", "default")))
    write_result("pair_cnn_scout", result, data="mirna_target", seeds=[0])
    print(json.dumps(result, indent=1))


def scanned(
    mirnas: dict[str, str], mrnas: dict[str, str], work: Path, *, exhaustive: bool
) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """Table of pairs and table of sites of one scan, kept in `work` miRNA by miRNA, and its CPU seconds."""
    work.mkdir(parents=True, exist_ok=True)
    scanner = open_scanner(exhaustive=exhaustive, energy=False, threads=1)
    for number, mirna in enumerate(mirnas):
        if not (work / f"{number}.json").exists():
            started = time.process_time()
            pairs, sites = tables_of(scanner, {mirna: mirna}, mrnas)
            pairs.to_parquet(work / f"pairs-{number}.parquet")
            sites.to_parquet(work / f"sites-{number}.parquet")
            (work / f"{number}.json").write_text(json.dumps(time.process_time() - started))
    pairs, sites = (
        pd.concat([pd.read_parquet(work / f"{name}-{n}.parquet") for n in range(len(mirnas))], ignore_index=True)
        for name in ("pairs", "sites")
    )
    seconds = sum(json.loads((work / f"{number}.json").read_text()) for number in range(len(mirnas)))
    return pairs, sites, round(seconds, 1)


def tables_of(scanner: Any, mirnas: dict[str, str], mrnas: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table of pairs and table of sites of all pairs."""
    report = ScanReport()
    small = TargetRecords.from_mapping(mirnas, "miRNA", scanner.processor, report)
    large = TargetRecords.from_mapping(mrnas, "mRNA", scanner.processor, report, padding=scanner.padding)
    pairs, sites = [], []
    for scored in scanner.scan(small, large, pair_all(small, large), sites=True):
        sites += [{name: row[name] for name in SITE} for row in scored.rows()]
        pairs.append({"mirna_id": scored.mirna_id, "mrna_id": scored.mrna_id, "score": scored.score})
    return pd.DataFrame(pairs), pd.DataFrame(sites, columns=list(SITE))


def scored(pairs: pd.DataFrame, sites: pd.DataFrame, mrnas: dict[str, str]) -> pd.DataFrame:
    """The pairs with their scores by the packaged rule of today, from sites that may be kept from earlier."""
    numbers = pd.MultiIndex.from_frame(pairs[["mirna_id", "mrna_id"]])
    owner = numbers.get_indexer(pd.MultiIndex.from_frame(sites[["mirna_id", "mrna_id"]]))
    score = sites["score"].to_numpy().clip(1e-6, 1 - 1e-6)
    rule = PairRule.of(PairCnnConfig.from_pretrained(packaged_model("pair_cnn")))
    lengths = pairs["mrna_id"].map({name: len(mrna) for name, mrna in mrnas.items()}).to_numpy()
    return pairs.assign(score=rule.scores(owner, np.log(score / (1 - score)), lengths))


def lost_sites(whole: pd.DataFrame, found: pd.DataFrame, share: float = 0.01) -> dict[str, Any]:
    """Of the best `share` of the exhaustive scan's sites, those that share no base with a site of the default scan."""
    best = whole.nlargest(int(len(whole) * share), "score")
    places = {
        pair: table[["start", "end"]].to_numpy() for pair, table in found.groupby(["mirna_id", "mrna_id"], sort=False)
    }
    none = np.zeros((0, 2), int)
    lost = []
    for site in best.itertuples():
        there = places.get((site.mirna_id, site.mrna_id), none)
        lost.append(not ((there[:, 0] < site.end) & (there[:, 1] > site.start)).any())
    return {
        "sites": len(whole),
        "sites_of_the_default_scan": len(found),
        "best_sites": len(best),
        "best_sites_lost": int(np.sum(lost)),
        "share_of_best_sites_lost": round(float(np.mean(lost)), 5),
    }


def lost_pairs(whole: pd.DataFrame, found: pd.DataFrame, share: float = 0.01) -> dict[str, Any]:
    """Of the best `share` of the exhaustive scan's pairs, those that the default scan scores less by over 0.05."""
    order = whole["score"].rank(ascending=False, method="first")
    best = order <= len(whole) * share
    lost = best & (found["score"] < whole["score"] - 0.05)
    ranks = found["score"].rank(ascending=False, method="first")
    return {
        "pairs": len(whole),
        "best_pairs": int(best.sum()),
        "best_pairs_lost": int(lost.sum()),
        "share_of_best_pairs_lost": round(float(lost.sum() / best.sum()), 5),
        "best_pairs_in_the_default_top_2_percent": round(float((ranks[best] <= 2 * share * len(whole)).mean()), 5),
        "spearman_of_pair_scores": round(float(whole["score"].corr(found["score"], method="spearman")), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["train", "package", "measure"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--mirnas", type=int, default=HELD, help="miRNAs to measure on")
    parser.add_argument("--utrs", type=int, default=340, help="3'UTRs to measure on")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    if "train" in given.actions:
        train(given.work)
    if "package" in given.actions:
        package(given.work)
    if "measure" in given.actions:
        measure(given.work, given.mirnas, given.utrs)


if __name__ == "__main__":
    main()
