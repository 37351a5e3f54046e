"""Jaeger and geNomad's network on the contigs of `phage_detector`, each from its own environment, offline.

    python -m benchmarks.tables.phage_peers --work runs/phage --bin peers/bin

`--work` is that of `phage_detector`, whose contigs are drawn again; `--bin` holds `jaeger` and `genomad` (`pip install
jaeger-bio genomad` into an environment of their own; geNomad's licence is for non-commercial use: it is run here and
nothing else). Both were probably trained on some of these genomes, and there is no telling which.

A tool is given the contigs in a random order, batch by batch, until `--minutes` are over; what it answered is kept in
`WORK/peers`, and the same command goes on from there. The detector's figures beside a tool's are of the contigs that
the tool was given: of the networks that had not seen a third of the groups (`phage_detector`) and, if there, a fifth
(`phage_folds`). The intervals are a bootstrap over groups of genomes. Seconds are of the processor and hold the start
of a tool once a batch. A phage is called where its score is above that of hosts, which the macro recall takes.

Jaeger leaves contigs below 2,000 nt out; it is given windows of their length (`--fsize`), for which it was not made.
`--phyla` asks about the further hosts of each phylum that `phage_folds` draws. They stand beside phages of the same
length: of those that the tool was given, the ones that the network without that phylum had not seen either, so that
tool and detector answer for the same contigs. The tools may have seen all of them. `--plasmids` asks about plasmids.
`--lengths` without a number leaves the rest of the result as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._results import RESULTS, about, write_result
from benchmarks.tables.phage_detector import LENGTHS, PHAGE, auroc
from benchmarks.tables.phage_folds import (
    HOSTS,
    PHYLUM_LENGTHS,
    draw_again,
    draw_phyla,
    read_records,
    unseen,
    unseen_phyla,
)
from seqformers.phages.contig import CLASSES, WINDOW

DRAWS = 1000


def contigs_again(work: Path) -> pd.DataFrame:
    """Hosts, plasmids and phages of `phage_detector`, with letters, name and the margins of the detectors."""
    contigs = draw_again(work, read_records(work)).assign(plasmid_thirds=np.nan)
    for name, by in {"thirds": "third", "fifths": "genus"}.items():
        found = unseen(work, by, contigs)
        contigs[name] = np.nan if found is None else margin_of(found[0])
        if by == "third" and found is not None:
            contigs["plasmid_thirds"] = np.log(found[0][:, PHAGE]) - np.log(found[0][:, 2])
    kept = contigs["class"].isin([*HOSTS, CLASSES[PHAGE]])
    contigs = pd.concat([contigs[kept], contigs[contigs["class"] == "plasmid"]], ignore_index=True)
    numbers = np.r_[np.arange(kept.sum()), np.arange(len(contigs) - kept.sum())]
    kinds = np.where(contigs["class"] == "plasmid", "plasmid", "contig")
    return contigs.assign(name=[f"{kind}{number}" for kind, number in zip(kinds, numbers, strict=True)])


def hosts_of_phyla(work: Path) -> pd.DataFrame:
    """The further hosts of each phylum, with letters and name."""
    contigs = draw_phyla(read_records(work))
    return contigs.assign(name=[f"host{number}" for number in range(len(contigs))])


def margin_of(scores: np.ndarray) -> np.ndarray:
    """Log of the phage score over the host score."""
    return np.log(scores[:, PHAGE]) - np.log(scores[:, :2].sum(1))


# A process of its own asks what the tool took: memory of this one would count as the tool's until it starts.
_RUN = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1000]))
"""


def run(words: list[str]) -> tuple[float, float]:
    """Run a tool on one core; seconds of the processor and its largest memory in MB."""
    one = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1",
           "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    asked = [sys.executable, "-c", _RUN, *words]
    done = subprocess.run(asked, check=True, env={**os.environ, **one}, stdout=subprocess.PIPE, text=True)
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


def jaeger(folder: Path, fasta: Path, out: Path, shortest: int) -> tuple[pd.Series, float, float]:
    """Its mean phage score minus the best other one, by contig; seconds; MB."""
    words = [str(folder / "jaeger"), "predict", "-i", str(fasta), "-o", str(out), "--cpu", "--workers", "1", "-f"]
    if shortest < WINDOW:
        words += ["--fsize", str(shortest), "--stride", str(shortest * 3 // 4)]
    spent = run(words)
    (path,) = out.rglob(f"{fasta.stem}_jaeger.tsv")
    table = pd.read_csv(path, sep="\t").set_index("contig_id")
    return table["phage_score"] - table[["bacteria_score", "archaea_score"]].max(axis=1), *spent


def genomad(folder: Path, fasta: Path, out: Path, _: int) -> tuple[pd.Series, float, float]:
    """Its network's virus score minus its chromosome score (it has no class of phages), by contig; seconds; MB."""
    spent = run([str(folder / "genomad"), "nn-classification", str(fasta), str(out), "--threads", "1", "--quiet"])
    (path,) = out.rglob("*_nn_classification.tsv")
    table = pd.read_csv(path, sep="\t").set_index("seq_name")
    return table["virus_score"] - table["chromosome_score"], *spent


def seqformers(_: Path, fasta: Path, out: Path, __: int) -> tuple[pd.Series, float, float]:
    """The command of this package, for time and memory alone: the packaged weights have seen these genomes."""
    out.mkdir()
    command = [
        sys.executable,
        "-m",
        "seqformers.cli",
        "find-phages",
        str(fasta),
        "--output",
        str(out / "t.tsv"),
        "--device",
        "cpu",
    ]
    spent = run(command)
    table = pd.read_csv(out / "t.tsv", sep="\t").set_index("id")
    return table["score_phage"] - table["score_host"], *spent


# Contigs a batch: all at once costs a tool least, but what a batch has not finished is lost.
TOOLS: dict[str, tuple[Callable[[Path, Path, Path, int], tuple[pd.Series, float, float]], int]] = {
    "seqformers": (seqformers, 10_000), "jaeger": (jaeger, 750), "genomad": (genomad, 150)
}  # fmt: skip


def ask(name: str, folder: Path, rows: pd.DataFrame, kept: Path, minutes: float) -> list[dict[str, Any]]:
    """Give a tool the rows, batch by batch; what it answered earlier is taken from `kept`, a line a batch."""
    tool, size = TOOLS[name]
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    order = np.random.default_rng(0).permutation(len(rows))
    begun = time.monotonic()
    for first in range(len(done) * size, len(rows), size):
        if time.monotonic() - begun > minutes * 60:
            break
        batch = rows.iloc[order[first : first + size]]
        with tempfile.TemporaryDirectory() as place:
            fasta = Path(place) / "contigs.fna"
            fasta.write_text("".join(f">{row.name}\n{row.sequence}\n" for row in batch.itertuples(index=False)))
            shortest = int(batch["sequence"].str.len().min())
            margin, seconds, memory = tool(folder, fasta, Path(place) / "out", shortest)
        answered = margin.reindex(batch["name"])
        margins = [None if np.isnan(value) else float(value) for value in answered]
        entry = {
            "names": batch["name"].tolist(), "margins": margins, "cpu_seconds": seconds, "mb": memory,
            "megabases": float(batch["sequence"].str.len().sum() / 1e6),
        }  # fmt: skip
        done.append(entry)
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    return done


def measured(margin: np.ndarray, phage: np.ndarray, kind: np.ndarray) -> dict[str, float]:
    """Phage against host: AUROC (and by class of host), share of phages above 99 % of hosts, macro recall at 0."""
    limit = np.quantile(margin[~phage], 0.99)
    by_class = {
        f"auroc_{name}": auroc(phage[own], margin[own])
        for name in np.unique(kind[~phage])
        for own in [phage | (kind == name)]
    }
    return {
        "auroc": auroc(phage, margin),
        **by_class,
        "sensitivity": float((margin[phage] > limit).mean()),
        "macro_recall": float(((margin[phage] > 0).mean() + (margin[~phage] <= 0).mean()) / 2),
    }


def with_interval(
    margin: np.ndarray, phage: np.ndarray, groups: np.ndarray, kind: np.ndarray
) -> dict[str, list[float]]:
    """`measured`, and 95 % of a bootstrap over groups of each class."""
    generator = np.random.default_rng(0)
    members = [[np.flatnonzero((groups == g) & (kind == name)) for g in np.unique(groups[kind == name])]
               for name in np.unique(kind)]  # fmt: skip
    draws = []
    for _ in range(DRAWS):
        rows = np.concatenate([own[i] for own in members for i in generator.integers(0, len(own), len(own))])
        draws.append(measured(margin[rows], phage[rows], kind[rows]))
    return {
        name: [round(v, 4) for v in (value, *np.quantile([draw[name] for draw in draws], [0.025, 0.975]).tolist())]
        for name, value in measured(margin, phage, kind).items()
    }


def margins(done: list[dict[str, Any]]) -> dict[str, float]:
    """What a tool said, by name of contig; 0 (undecided) where it said nothing."""
    return {
        name: 0.0 if value is None else value
        for entry in done
        for name, value in zip(entry["names"], entry["margins"], strict=True)
    }


def summary(rows: pd.DataFrame, done: list[dict[str, Any]], *, measure: bool) -> dict[str, Any]:
    """What a tool cost and, unless its weights have seen the contigs, how it and the detectors did on them."""
    megabases = sum(entry["megabases"] for entry in done)
    seconds = sum(entry["cpu_seconds"] for entry in done)
    found: dict[str, Any] = {
        "contigs": sum(len(entry["names"]) for entry in done), "megabases": round(megabases, 3),
        "cpu_seconds": round(seconds, 1), "seconds_per_megabase": round(seconds / megabases, 3),
        "mb": round(max(entry["mb"] for entry in done)),
    }  # fmt: skip
    if not measure:
        return found
    said = margins(done)
    own = rows[rows["name"].isin(said)]
    kind, groups = own["class"].to_numpy(), own["group"].to_numpy()
    phage = kind == CLASSES[PHAGE]
    found |= {"phages": int(phage.sum()), "groups": len(set(groups)),
              "unanswered": sum(value is None for entry in done for value in entry["margins"])}  # fmt: skip
    found |= with_interval(own["name"].map(said).to_numpy(), phage, groups, kind)
    for name in ("thirds", "fifths"):
        if not own[name].isna().any():
            found[name] = with_interval(own[name].to_numpy(), phage, groups, kind)
    return found


def side_by_side(rows: pd.DataFrame, phage: np.ndarray) -> dict[str, list[float]]:
    """AUROC by the columns `tool` and `detector`, and how far the detector is above; bootstrap over groups."""
    generator = np.random.default_rng(0)
    groups = rows["group"].to_numpy()
    margins = [rows[name].to_numpy() for name in ("tool", "detector")]
    members = [[np.flatnonzero((groups == group) & (phage == kind)) for group in np.unique(groups[phage == kind])]
               for kind in (False, True)]  # fmt: skip

    def values(own: np.ndarray) -> list[float]:
        tool, detector = (auroc(phage[own], margin[own]) for margin in margins)
        return [tool, detector, detector - tool]

    draws = [
        values(np.concatenate([own[i] for own in members for i in generator.integers(0, len(own), len(own))]))
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    found = zip(values(np.arange(len(rows))), low, high, strict=True)
    return dict(zip(("tool", "detector", "gain"), ([round(float(v), 4) for v in row] for row in found), strict=True))


def by_phylum(
    hosts: pd.DataFrame, phages: pd.DataFrame, host_said: dict[str, float], phage_said: dict[str, float]
) -> dict[str, Any]:
    """Phages against the hosts of each phylum: tool and detector on the contigs that the tool was given."""
    hosts = hosts.assign(tool=hosts["name"].map(host_said)).dropna(subset="tool")
    phages = phages.assign(tool=phages["name"].map(phage_said)).dropna(subset="tool")
    found = {}
    for phylum, own in hosts.groupby("phylum"):
        (fold,) = set(own["phylum_fold"])
        beside = phages[phages["phylum_fold"] == fold]
        rows = pd.concat([own, beside], ignore_index=True)
        phage = np.arange(len(rows)) >= len(own)
        found[str(phylum)] = side_by_side(rows, phage) | {
            "hosts": len(own), "host_groups": own["group"].nunique(), "phages": len(beside),
            "phage_groups": beside["group"].nunique(),
        }  # fmt: skip
    return found


def phyla(given: argparse.Namespace, contigs: pd.DataFrame) -> dict[str, Any]:
    """Ask the tools about the hosts of each phylum; detector and tool by length and phylum."""
    hosts = hosts_of_phyla(given.work)
    folder, result = given.work / "peers", {}
    for length in given.phyla:
        rows = hosts[hosts["length"] == length].copy()
        phages = contigs[(contigs["length"] == length) & (contigs["class"] == CLASSES[PHAGE])].copy()
        scores, fold, host_scores, host_fold = unseen_phyla(given.work, length)
        rows["detector"], rows["phylum_fold"] = margin_of(host_scores), host_fold
        phages["detector"], phages["phylum_fold"] = margin_of(scores), fold
        for name in (name for name in given.tools if name != "seqformers"):
            done = ask(name, given.bin, rows, folder / f"phyla-{length}-{name}.jsonl", given.minutes)
            path = folder / f"{length}-{name}.jsonl"
            if done and path.exists():
                earlier = margins([json.loads(line) for line in path.read_text().splitlines()])
                found = by_phylum(rows, phages, margins(done), earlier)
                result.setdefault(str(length), {})[name] = found
    return result


def plasmids(given: argparse.Namespace, contigs: pd.DataFrame) -> dict[str, Any]:
    """Ask the tools about plasmids; phages against them by length and tool, with the detector on the same contigs.

    A tool's margin is the same as against hosts: a plasmid is no chromosome and no virus, so it lies between.
    """
    folder, result = given.work / "peers", {}
    for length in given.plasmids:
        own = contigs[contigs["length"] == length]
        rows = own[own["class"] == "plasmid"]
        for name in (name for name in given.tools if name != "seqformers"):
            done = ask(name, given.bin, rows, folder / f"plasmids-{length}-{name}.jsonl", given.minutes)
            path = folder / f"{length}-{name}.jsonl"
            if done and path.exists():
                said = margins(done) | margins([json.loads(line) for line in path.read_text().splitlines()])
                both = own[own["class"].isin(["plasmid", CLASSES[PHAGE]])]
                both = both.assign(tool=both["name"].map(said), detector=both["plasmid_thirds"]).dropna(subset="tool")
                phage = (both["class"] == CLASSES[PHAGE]).to_numpy()
                counts = {"phages": int(phage.sum()), "plasmids": int((~phage).sum())}
                result.setdefault(str(length), {})[name] = side_by_side(both, phage) | counts
    return result


def main() -> None:
    """Run each tool, measure, write `results/phage_peers.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--lengths", type=int, nargs="*", default=list(LENGTHS), choices=LENGTHS)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--phyla", type=int, nargs="*", default=[3000], choices=PHYLUM_LENGTHS)
    parser.add_argument("--plasmids", type=int, nargs="*", default=[3000], choices=LENGTHS)
    parser.add_argument("--minutes", type=float, default=10, help="Of a tool and length, after which no batch begins.")
    given = parser.parse_args()
    contigs = contigs_again(given.work)
    folder = given.work / "peers"
    folder.mkdir(exist_ok=True)
    result: dict[str, Any] = {}
    for length in given.lengths:
        rows = contigs[(contigs["length"] == length) & (contigs["class"] != "plasmid")]
        result[str(length)] = {"contigs": len(rows)}
        for name in given.tools:
            done = ask(name, given.bin, rows, folder / f"{length}-{name}.jsonl", given.minutes)
            if done:
                result[str(length)][name] = summary(rows, done, measure=name != "seqformers")
                print(length, name, result[str(length)][name], flush=True)
    further = {"phyla": phyla(given, contigs), "plasmids": plasmids(given, contigs)}
    if given.lengths:
        write_result("phage_peers", result | further, data="genomes, virus_genomes", seeds=[0])
        return
    path = RESULTS / "phage_peers.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    command = about(data="")["command"]
    found["result"] |= {name: own | {"command": command} for name, own in further.items() if own}
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
