"""The packaged phage detector measured on groups of genomes that training had not seen, beside shortcuts.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.phage_data --work runs/phage
for name in all fold-0 fold-1 fold-2; do
    seqformers finetune benchmarks/recipes/phage/detector.yaml data.path=runs/phage/genomes/$name \
        --output runs/phage/models/$name
done
python -m benchmarks.tables.phage_detector --work runs/phage

Every contig is scored by the model of its fold, which has seen none of the contig's group; calibration is fitted on
the contigs of the other folds. The model that ships (`all`) saw every group; its calibration is fitted on all folds.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from scipy.optimize import minimize

from benchmarks._results import RESULTS, ROOT, about, write_result
from benchmarks.tables.phage_data import CLASSES, FOLDS
from benchmarks.tables.phage_likeness import LENGTHS as LIKE_LENGTHS
from benchmarks.tables.phage_likeness import measure_likeness
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler
from seqformers.modeling.dna.configuration_coding_profile import CodingProfileConfig
from seqformers.modeling.dna.modeling_coding_profile import CodingProfileCounter
from seqformers.phages.contig import WINDOW, Calibration
from seqformers.phages.detector import LIKENESS, PhageDetector

LENGTHS = (500, 1_000, 3_000, 10_000)
CONTIGS = 250  # a class, length and fold
DRAWS = 200
WORDS = (4, 5, 6)
FDR_CONFIDENCES = (*(round(0.2 + 0.05 * step, 2) for step in range(15)), 0.92)
PHAGE, VIRUS = CLASSES.index("phage"), CLASSES.index("virus")
PACKAGED = ROOT / "modeling" / "dna" / "pretrained" / "coding_profile"
_IDS = np.ones(256, np.int64)
_IDS[[ord(letter) for letter in "ATCG"]] = [5, 6, 7, 8]
_FILES = ("model.safetensors", "config.json", "tokenizer_config.json", "vocab.txt")


def draw_contigs(
    records: pd.DataFrame, length: int, seed: int, kinds: Sequence[str] = CLASSES, count: int = CONTIGS
) -> pd.DataFrame:
    """Contigs of a fold: each class alike, its groups by the square root of their size, no unknown letters."""
    generator = np.random.default_rng(seed)
    rows = []
    for kind in kinds:
        own = records[(records["class"] == kind) & (records["nt"] >= length)]
        weight = own["nt"] / np.sqrt(own.groupby("group")["nt"].transform("sum"))
        taken = 0
        while taken < count:
            record = own.iloc[int(generator.choice(len(own), p=weight / weight.sum()))]
            start = int(generator.integers(0, record["nt"] - length + 1))
            text = record["sequence"][start : start + length]
            if set(text) <= set("ACGT"):
                taken += 1
                rows.append({"id": f"{kind}{taken}", "class": kind, "group": record["group"],
                             "phylum": record["phylum"], "origin": record["origin"], "sequence": text})  # fmt: skip
    return pd.DataFrame(rows)


def score(detector: PhageDetector, contigs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Mean log-probabilities `(contigs, 5)` and distances `(contigs,)`, before any calibration."""
    detector.calibration = Calibration()
    means, distances = [], []
    for sequence in contigs["sequence"]:
        bounds = [
            np.stack([starts := np.arange(0, len(sequence), WINDOW), np.minimum(starts + WINDOW, len(sequence))], 1)
        ]
        record = type("Record", (), {"sequence": sequence})
        logs, unlike, facts = detector._windows([record], bounds)
        means.append((logs * facts[:, :1]).sum(0) / facts[:, 0].sum())
        distances.append((unlike[:, 0] * facts[:, 0]).sum() / facts[:, 0].sum())
    return np.array(means), np.array(distances)


def fit_calibration(means: np.ndarray, lengths: np.ndarray, truth: np.ndarray) -> Calibration:
    """The power law and biases of least log loss."""

    def loss(values: np.ndarray) -> float:
        found = Calibration(
            scale=np.exp(values[0]), power=values[1], lapse=0.5 / (1 + np.exp(-values[2])), bias=tuple(values[3:])
        )
        scores = found.scores(means, lengths)[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(scores, 1e-12)).mean() + 1e-3 * (values[3:] ** 2).sum())

    best = minimize(loss, np.r_[0.0, 0.0, -2.0, np.zeros(len(CLASSES))], method="L-BFGS-B").x
    bias = tuple(round(float(value), 4) for value in best[3:] - best[3:].mean())
    lapse = round(float(0.5 / (1 + np.exp(-best[2]))), 4)
    return Calibration(scale=round(float(np.exp(best[0])), 4), power=round(float(best[1]), 4), bias=bias, lapse=lapse)


class WordRegressions:
    """Multinomial regressions on square roots of word counts (strands merged), and on GC alone: the shortcuts."""

    def __init__(self, folder: Path, rows: int = 12_000):
        reads = ReadSampler(
            GenomeArrays.open(folder, "train"),
            ReadOptions(length=1000, classes={name: [name] for name in CLASSES}, max_unknown=0.0),
            seed=1,
        ).draw(range(rows))
        ids, labels = torch.from_numpy(_IDS[reads.letters]), torch.from_numpy(reads.labels)
        self.fits: dict[str, Any] = {"GC only": self._fit(self._gc(ids), labels)}
        for length in WORDS:
            self.fits[f"{length}-mer regression"] = self._fit(self._words(ids, length), labels)

    @staticmethod
    def _gc(ids: torch.Tensor) -> torch.Tensor:
        share = (ids > 6).float().mean(1, keepdim=True)
        return torch.cat([share, share**2], 1)

    @staticmethod
    def _words(ids: torch.Tensor, length: int) -> torch.Tensor:
        counter = CodingProfileCounter(CodingProfileConfig(word_length=length))
        parts = [counter._words(*counter._bases(part, None)) for part in ids.split(500)]
        return torch.cat(parts)

    @staticmethod
    def _fit(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.nn.Linear]:
        torch.manual_seed(0)
        mean, spread = features.mean(0), features.std(0).clamp(min=1e-4)
        layer = torch.nn.Linear(features.shape[1], len(CLASSES))
        torch.nn.init.zeros_(layer.weight)
        scaled = ((features - mean) / spread).clamp(-6, 6)
        steps = 6 * len(labels) // 128
        optimizer = torch.optim.AdamW(
            layer.parameters(), lr=5e-4 if features.shape[1] > 2 else 5e-2, weight_decay=1e-4
        )
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)
        for _ in range(steps):
            drawn = torch.randint(0, len(labels), (128,))
            loss = torch.nn.functional.cross_entropy(layer(scaled[drawn]), labels[drawn])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return mean, spread, layer

    @torch.no_grad()
    def score(self, name: str, ids: torch.Tensor) -> np.ndarray:
        """Log-probabilities of contigs of one length, `(contigs, 5)`: the mean of their stretches of 1,000 nt."""
        width = min(1000, ids.shape[1])
        count = ids.shape[1] // width
        parts = ids[:, : count * width].reshape(-1, width)
        mean, spread, layer = self.fits[name]
        features = self._gc(parts) if name == "GC only" else self._words(parts, int(name[0]))
        logs = layer(((features - mean) / spread).clamp(-6, 6)).log_softmax(1)
        return logs.view(len(ids), count, len(CLASSES)).mean(1).numpy().astype(np.float64)


def auroc(positive: np.ndarray, margin: np.ndarray) -> float:
    """Chance that a positive row has the larger margin, ties half; as scikit-learn's, a tenth of its time."""
    others, own = np.sort(margin[~positive]), margin[positive]
    below = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
    return float(below.mean() / 2 / len(others))


def measure(logs: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Phage against hosts, plasmids, viruses: AUROC and sensitivity at 1 % false positives; recalls."""
    host = np.logaddexp(logs[:, 0], logs[:, 1])
    found = {}
    others = {
        "hosts": ([0, 1], host), "bacteria": ([0], logs[:, 0]), "archaea": ([1], logs[:, 1]),
        "plasmids": ([2], logs[:, 2]), "viruses": ([VIRUS], logs[:, VIRUS]),
        "hosts_by_score": ([0, 1], np.zeros(len(logs))),  # by score_phage alone, as a user sorts the table
    }  # fmt: skip
    for name, (classes, against) in others.items():
        rows = np.isin(truth, [*classes, PHAGE])
        margin, positive = (logs[:, PHAGE] - against)[rows], truth[rows] == PHAGE
        if positive.all() or not positive.any():
            continue
        found[f"auroc_{name}"] = auroc(positive, margin)
        limit = np.quantile(margin[~positive], 0.99)
        found[f"sensitivity_{name}"] = float((margin[positive] > limit).mean())
    merged = np.stack([host, logs[:, 2], logs[:, PHAGE], logs[:, VIRUS]], 1).argmax(1)
    kinds = np.array([0, 0, 1, 2, 3])[truth]
    recalls = {
        name: float((merged[kinds == number] == number).mean())
        for number, name in enumerate(("host", "plasmid", "phage", "virus"))
        if (kinds == number).any()
    }
    found |= {f"recall_{name}": value for name, value in recalls.items()}
    found["macro_recall"] = float(np.mean(list(recalls.values())))
    if {"phage", "virus"} <= set(recalls):
        pair = np.isin(truth, [PHAGE, VIRUS])
        is_virus = logs[pair, VIRUS] > logs[pair, PHAGE]
        found["macro_recall_phage_virus"] = float(
            np.mean([(is_virus[truth[pair] == kind] == (kind == VIRUS)).mean() for kind in (PHAGE, VIRUS)])
        )
    return found


def with_intervals(logs: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """`measure`, and 95 % of a bootstrap over groups within each class."""
    generator = np.random.default_rng(0)
    members = [
        [np.flatnonzero((groups == group) & (truth == kind)) for group in np.unique(groups[truth == kind])]
        for kind in range(len(CLASSES))
    ]
    draws = []
    for _ in range(DRAWS):
        drawn = [own[i] for own in members for i in generator.integers(0, len(own), len(own))]
        rows = np.concatenate(drawn)
        draws.append(measure(logs[rows], truth[rows]))
    return {
        name: [round(value, 4), *np.quantile([draw[name] for draw in draws], [0.025, 0.975]).round(4).tolist()]
        for name, value in measure(logs, truth).items()
    }


def reliability(scores: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """How often the called class is right, by confidence; and the mean gap of the two."""
    confidence, right = scores.max(1), scores.argmax(1) == truth
    edges = np.array([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0001])
    bins, gap = [], 0.0
    for low, high in pairwise(edges):
        own = (confidence >= low) & (confidence < high)
        if own.any():
            gap += own.mean() * abs(confidence[own].mean() - right[own].mean())
            bins.append([round(float(confidence[own].mean()), 4), round(float(right[own].mean()), 4), int(own.sum())])
    return {"expected_calibration_error": round(float(gap), 4), "confidence_right_rows": bins}


def false_discoveries(scores: np.ndarray, truth: np.ndarray) -> list[list[float]]:
    """Of each class, the share of wrong ones among contigs called so with at least each of `FDR_CONFIDENCES`."""
    called, confidence = scores.argmax(1), scores.max(1)
    curves = []
    for kind in range(len(CLASSES)):
        shares = []
        for least in FDR_CONFIDENCES:
            own = (called == kind) & (confidence >= least)
            # One more wrong one than seen: few contigs do not prove that none is.
            shares.append(((truth[own] != kind).sum() + 1) / (own.sum() + 2))
        curves.append(np.minimum.accumulate(shares).round(4).tolist())  # more confidence never means more false ones
    return curves


def check_false_discoveries(scores: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> dict[str, list[list[float]]]:
    """By class, expected and found share of wrong ones in quarters by expectation, expected from the other folds."""
    called, confidence = scores.argmax(1), scores.max(1)
    expected = np.zeros(len(truth))
    for fold in range(FOLDS):
        curves = false_discoveries(scores[folds != fold], truth[folds != fold])
        for kind in range(len(CLASSES)):
            own = (folds == fold) & (called == kind)
            expected[own] = np.interp(confidence[own], FDR_CONFIDENCES, curves[kind])
    found: dict[str, list[list[float]]] = {}
    for kind, name in enumerate(CLASSES):
        rows = np.flatnonzero(called == kind)
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        wrong = np.cumsum(truth[rows] != kind) / np.arange(1, len(rows) + 1)
        at = [len(rows) * part // 4 - 1 for part in (1, 2, 3, 4)]
        found[name] = [[round(float(expected[rows[i]]), 4), round(float(wrong[i]), 4), i + 1] for i in at]
    return found


def unseen_phyla(contigs: pd.DataFrame, logs: np.ndarray, records: pd.DataFrame) -> dict[str, Any]:
    """Phage against the bacteria and archaea of phyla of which no genome was in training."""
    hosts = records[records["class"].isin(["bacterium", "archaeon"])]
    folds = hosts.groupby("phylum")["fold"].nunique()
    alone = set(folds[folds == 1].index)
    margin = logs[:, PHAGE] - np.logaddexp(logs[:, 0], logs[:, 1])
    found = {}
    for phylum in sorted(alone):
        own = (contigs["phylum"] == phylum) & contigs["class"].isin(["bacterium", "archaeon"])
        rows = (own & (contigs["length"] == 3000)).to_numpy()
        phages = ((contigs["class"] == "phage") & (contigs["length"] == 3000)).to_numpy()
        if rows.sum() >= 5:
            truth = np.r_[np.ones(phages.sum(), bool), np.zeros(rows.sum(), bool)]
            found[phylum] = {
                "auroc_3000": round(auroc(truth, np.r_[margin[phages], margin[rows]]), 4),
                "contigs": int(rows.sum()),
            }
    return found


def collect(work: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Contigs of all folds, log-probabilities by method, and distances; kept in `work/scored.pkl`."""
    kept = work / "scored.pkl"
    if kept.is_file():
        return pd.read_pickle(kept)
    records = pd.read_parquet(work / "records.parquet").assign(nt=lambda table: table["sequence"].str.len())
    tables, distances = [], []
    logs: dict[str, list[np.ndarray]] = {}
    for fold in range(FOLDS):
        detector = PhageDetector(work / "models" / f"fold-{fold}", "cpu")
        shortcuts = WordRegressions(work / "genomes" / f"fold-{fold}")
        for length in LENGTHS:
            contigs = draw_contigs(records[records["fold"] == fold], length, seed=fold * 100_000 + length)
            found, far = score(detector, contigs)
            logs.setdefault("detector", []).append(found)
            ids = torch.from_numpy(
                _IDS[np.frombuffer("".join(contigs["sequence"]).encode(), np.uint8)].reshape(-1, length)
            )
            for name in shortcuts.fits:
                logs.setdefault(name, []).append(shortcuts.score(name, ids))
            distances.append(far)
            tables.append(contigs.drop(columns="sequence").assign(length=length, fold=fold))
            print(fold, length, measure(found, contigs["class"].map(CLASSES.index).to_numpy()), flush=True)
    result = (
        pd.concat(tables, ignore_index=True),
        {k: np.concatenate(v) for k, v in logs.items()},
        np.concatenate(distances),
    )
    pd.to_pickle(result, kept)
    return result


def package(work: Path, calibration: Calibration, likeness: dict[str, torch.Tensor]) -> None:
    """Put the model that saw every group, the calibration and the check of likeness into the package."""
    PACKAGED.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(work / "models" / "all" / name, PACKAGED / name)
    config = json.loads((PACKAGED / "config.json").read_text(encoding="utf-8"))
    config.pop("auto_map", None)
    (PACKAGED / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    lines = ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in vars(calibration).items())
    (PACKAGED / "calibration.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    save_file(likeness, PACKAGED / LIKENESS)
    (PACKAGED / LIKENESS).chmod(0o644)


def render_card(result: dict[str, Any]) -> str:
    """The card of the packaged model, from the result."""
    names = {"auroc_hosts": "AUROC, hosts", "auroc_hosts_by_score": "the same by score_phage alone",
             "auroc_bacteria": "AUROC, bacteria", "auroc_archaea": "AUROC, archaea",
             "recall_plasmid": "recall of plasmids",
             "sensitivity_hosts": "sensitivity at 1 % false, hosts",
             "auroc_plasmids": "AUROC, plasmids", "macro_recall": "macro recall, four classes",
             "macro_recall_phage_virus": "macro recall, phage and virus"}  # fmt: skip
    lines = [f"| nt | method | {' | '.join(names.values())} |", "|---|---|" + "---|" * len(names)]
    for length in LENGTHS:
        for method, found in result["table"].items():
            cells = ["{:.3f} ({:.3f}-{:.3f})".format(*found[str(length)][name]) for name in names]
            lines.append(f"| {length:,} | {method} | {' | '.join(cells)} |")
    errors = ", ".join(
        f"{result['calibration'][str(length)]['expected_calibration_error']:.3f} ({length:,} nt)" for length in LENGTHS
    )
    phyla = ", ".join(f"{name} {found['auroc_3000']:.3f}" for name, found in result["unseen_phyla"].items())
    groups = ", ".join(f"{count} of {name}" for name, count in result["groups"].items())
    false = [
        f"| {name} | " + " | ".join(f"{expected:.3f} / {found:.3f}" for expected, found, _ in quarters) + " |"
        for name, quarters in result["false_discoveries"].items()
    ]
    refused = result["refused_by_likeness"]
    kinds = [kind for kind in refused[str(LIKE_LENGTHS[0])]]
    unlike = [f"| nt | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    unlike += [
        f"| {length:,} | {' | '.join(f'{refused[str(length)][kind]:.3f}' for kind in kinds)} |"
        for length in LIKE_LENGTHS
    ]
    unlike += ["", "; ".join(f"{kind}: {name}" for kind, name in refused["eukaryotes"].items()) + "."]
    return "\n".join(
        [
            "---", "library_name: transformers", "license: apache-2.0", "pipeline_tag: text-classification",
            "tags: [seqformers, biology, coding_profile, dna, phage]", "---", "",
            "# Phage detector, packaged with seqformers", "",
            "Bacterium, archaeon, plasmid, phage or other virus: two dense layers over the words, codons and pairs of",
            "residues of a window of DNA. `seqformers find-phages contigs.fasta --output phages.tsv` uses it; weights",
            "load by `AutoModelForSequenceClassification` with seqformers installed. Retrain it by",
            "`benchmarks/recipes/phage/detector.yaml`.", "", "## Measured", "",
            "Phages against each other class, on groups of genomes that training had not seen (three folds; 95 % of a",
            f"bootstrap over groups): {groups}. The packaged weights saw all of them; the models measured are of",
            "the same recipe without a third of the groups each.", "", *lines, "",
            f"Expected calibration error: {errors}. No confidence is above 0.93: calibration counts on surprises.", "",
            "`fdr` of a row, the share of wrong ones expected among rows of its class that are at least as confident",
            "(all classes alike), beside what was found in another fold (quarters of the rows, by confidence):", "",
            "| class | expected / found of the first quarter | half | three quarters | all |", "|---|---|---|---|---|",
            *false, "",
            "Refused by the check behind `reliable` (share of contigs; classes of unseen groups, made-up letters,",
            "eukaryotes of groups that the check was fitted without):", "", *unlike, "",
            f"Phages against hosts of phyla of which training had none (3,000 nt, AUROC): {phyla or 'none'}.", "",
            *_card_folds(),
            "## Shortcuts and leakage", "",
            "Regressions on words of four to six letters and GC alone stand in the table. Copies (85 % of a 21-mer",
            "sketch) are left out, and groups that share a tenth of it are one; more distant relatives may stand in",
            "two folds. Of one seed: the interval says what other genomes would change, not another training.",
            *_card_seeds(),
            "Features and network were chosen on another split of these genomes, and the form of the calibration",
            "after a look at these contigs: read the figures as of a validation, not of an untouched test.", "",
            "## Data and limits", "",
            "Genomes from public repositories (NCBI records, PhagesDB 2014, BASEL, plant viruses of virtool), mostly",
            "Proteobacteria, Firmicutes, Actinobacteria; phages mostly of actinobacteria and enterobacteria; few",
            "archaea, hardly any giant virus,",
            "no class for eukaryotes: they mostly come out as viruses, and `reliable` notices only part of them (the",
            "table above). Stretches like known prophage were left out of training; chromosomes may hold others. All",
            "five classes count as equally frequent. Not for clinical decisions.", "",
        ]
    )  # fmt: skip


def _card_seeds() -> list[str]:
    """What other seeds give on the same fold; nothing where `phage_training` was not run."""
    path = RESULTS / "phage_training.json"
    if not path.is_file():
        return []
    arms = json.loads(path.read_text(encoding="utf-8"))["result"].get("test", {})
    seeds = [arm for name, arm in arms.items() if name.startswith("recipe")]
    values = [
        " ".join("{:.3f}".format(arm[str(length)]["auroc_hosts_by_score"][0]) for arm in seeds) + f" ({length:,} nt)"
        for length in LENGTHS
    ]
    return [f"Three seeds on one fold, AUROC against hosts: {', '.join(values)}."] if len(seeds) == 3 else []


def _card_folds() -> list[str]:
    """The card's lines on more folds, genera and phyla; none where `phage_folds` was not run."""
    path = RESULTS / "phage_folds.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))["result"]
    titles = {
        "third": "a third of the groups unseen",
        "genus": "a fifth unseen",
        "phylum": "whole phyla of hosts unseen",
    }
    ways = [by for by in titles if by in found]
    lines = ["AUROC of `score_phage`, phages against hosts, as the mean of folds: one network each, as a user has one",
             "(the table above puts the scores of all networks in one order):", "",
             f"| nt | {' | '.join(titles[by] for by in ways)} |", "|---|" + "---|" * len(ways)]  # fmt: skip
    for length in LENGTHS:
        means = [found[by]["mean_of_folds"]["seed 0"][str(length)]["auroc_hosts_by_score"] for by in ways]
        lines.append(f"| {length:,} | " + " | ".join("{:.3f} ({:.3f}-{:.3f})".format(*mean) for mean in means) + " |")
    if hosts_of := found.get("phylum", {}).get("hosts_of"):
        lines += [
            "",
            "The same against the hosts of one phylum alone, which the network had not seen:",
            "",
            f"| phylum | {' | '.join(f'{int(nt):,} nt' for nt in hosts_of)} |",
            "|---|" + "---|" * len(hosts_of),
        ]
        for phylum in next(iter(hosts_of.values())):
            cells = ["{:.3f} ({:.3f}-{:.3f})".format(*rows[phylum]["auroc_by_score"]) for rows in hosts_of.values()]
            lines.append(f"| {phylum} | {' | '.join(cells)} |")
    return [*lines, ""]


def refit_likeness(work: Path) -> None:
    """Measure and package the check of likeness anew; everything else of the result stays as it is."""
    path = ROOT / "benchmarks" / "results" / "phage_detector.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    likeness, limits, refused = measure_likeness(work)
    calibration = replace(Calibration.read(PACKAGED), like_lengths=LIKE_LENGTHS, like_limits=tuple(limits))
    package(work, calibration, likeness)
    found["result"]["refused_by_likeness"] = refused | {"command": about(data="")["command"]}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (PACKAGED / "README.md").write_text(render_card(found["result"]), encoding="utf-8")


def main() -> None:
    """Score, calibrate, measure, package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--likeness-only", action="store_true", help="Only fit and measure what `reliable` checks.")
    given = parser.parse_args()
    work = given.work
    torch.set_num_threads(1)
    if given.likeness_only:
        refit_likeness(work)
        return
    contigs, logs, distances = collect(work)
    records = pd.read_parquet(work / "records.parquet", columns=["class", "phylum", "fold", "group"])
    truth = contigs["class"].map(CLASSES.index).to_numpy()
    lengths, folds = contigs["length"].to_numpy(), contigs["fold"].to_numpy()
    groups = contigs["group"].to_numpy()
    means = logs["detector"]
    scores = np.zeros_like(means)
    for fold in range(FOLDS):
        own = folds == fold
        scores[own] = fit_calibration(means[~own], lengths[~own], truth[~own]).scores(means[own], lengths[own])
    logs = {"detector": np.log(np.maximum(scores, 1e-300)), **{k: v for k, v in logs.items() if k != "detector"}}
    table: dict[str, Any] = {
        name: {
            str(length): with_intervals(found[rows], truth[rows], groups[rows])
            for length in LENGTHS
            for rows in [lengths == length]
        }
        for name, found in logs.items()
    }
    only = (contigs["origin"] == "genomes").to_numpy() | (truth != PHAGE)
    final = fit_calibration(means, lengths, truth)
    limits = [500, 1000, 2000]
    near = [float(np.quantile(distances[lengths == length], 0.99)) for length in (500, 1000, 3000)]
    final = replace(final, lengths=tuple(limits), distances=tuple(round(value, 4) for value in near))
    likeness, like_limits, refused = measure_likeness(work)
    final = replace(
        final, like_lengths=LIKE_LENGTHS, like_limits=tuple(like_limits), fdr_confidences=FDR_CONFIDENCES,
        fdr=tuple(map(tuple, false_discoveries(scores, truth))),
    )  # fmt: skip
    package(work, final, likeness)
    result = {
        "table": table,
        "phages_of_genomes_only": {
            str(n): with_intervals(logs["detector"][rows], truth[rows], groups[rows])
            for n in LENGTHS
            for rows in [(lengths == n) & only]
        },
        "false_discoveries": check_false_discoveries(scores, truth, folds),
        "refused_by_likeness": refused,
        "calibration": {str(n): reliability(scores[lengths == n], truth[lengths == n]) for n in LENGTHS},
        "unseen_phyla": unseen_phyla(contigs, logs["detector"], records),
        "groups": records[records["class"].isin(CLASSES)].groupby("class")["group"].nunique().to_dict(),
        "contigs_a_length": int((lengths == LENGTHS[0]).sum()),
    }
    write_result(
        "phage_detector", result, data="genomes and virus_genomes; see benchmarks/tables/phage_data.py", seeds=[0]
    )
    (PACKAGED / "README.md").write_text(render_card(result), encoding="utf-8")
    for n in LENGTHS:
        print(n, {name: found[str(n)]["auroc_hosts"] for name, found in table.items()})


if __name__ == "__main__":
    main()
