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
`--phyla` asks about the further hosts of each phylum that `phage_folds` draws, beside the phages of the same length.
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

from benchmarks._results import write_result
from benchmarks.tables.phage_detector import LENGTHS, PHAGE, auroc
from benchmarks.tables.phage_folds import (
    HOSTS,
    PHYLUM_LENGTHS,
    draw_again,
    draw_phyla,
    read_records,
    unseen,
)
from seqformers.phages.contig import CLASSES, WINDOW

DRAWS = 1000


def contigs_again(work: Path) -> pd.DataFrame:
    """Hosts and phages among the contigs of `phage_detector`, with letters, name and the detectors' margins."""
    contigs = draw_again(work, read_records(work))
    for name, by in {"thirds": "third", "fifths": "genus"}.items():
        found = unseen(work, by, contigs)
        contigs[name] = np.nan if found is None else margin_of(found[0])
    contigs = contigs[contigs["class"].isin([*HOSTS, CLASSES[PHAGE]])].reset_index(drop=True)
    return contigs.assign(name=[f"contig{number}" for number in range(len(contigs))])


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


def by_phylum(hosts: pd.DataFrame, phages: pd.DataFrame, host_said: Any, phage_said: Any) -> dict[str, list[float]]:
    """Phages against the hosts of each phylum, as far as the tool was asked: AUROC with its interval."""
    found = {}
    phages = phages[phages["name"].isin(phage_said)]
    for phylum, own in hosts[hosts["name"].isin(host_said)].groupby("phylum"):
        both = pd.concat([own.assign(margin=own["name"].map(host_said)),
                          phages.assign(margin=phages["name"].map(phage_said))])  # fmt: skip
        kind = np.where(both["class"] == CLASSES[PHAGE], CLASSES[PHAGE], "host")
        phage = kind == CLASSES[PHAGE]
        found[str(phylum)] = with_interval(both["margin"].to_numpy(), phage, both["group"].to_numpy(), kind)["auroc"]
    return found


def main() -> None:
    """Run each tool, measure, write `results/phage_peers.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), choices=LENGTHS)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--phyla", type=int, nargs="*", default=[3000], choices=PHYLUM_LENGTHS)
    parser.add_argument("--minutes", type=float, default=10, help="Of a tool and length, after which no batch begins.")
    given = parser.parse_args()
    contigs = contigs_again(given.work)
    folder = given.work / "peers"
    folder.mkdir(exist_ok=True)
    result: dict[str, Any] = {}
    for length in given.lengths:
        rows = contigs[contigs["length"] == length]
        result[str(length)] = {"contigs": len(rows)}
        for name in given.tools:
            done = ask(name, given.bin, rows, folder / f"{length}-{name}.jsonl", given.minutes)
            if done:
                result[str(length)][name] = summary(rows, done, measure=name != "seqformers")
                print(length, name, result[str(length)][name], flush=True)
    hosts = hosts_of_phyla(given.work) if given.phyla else None
    for length in given.phyla:
        rows, phages = hosts[hosts["length"] == length], contigs[contigs["length"] == length]
        phages = phages[phages["class"] == CLASSES[PHAGE]]
        for name in given.tools:
            done = ask(name, given.bin, rows, folder / f"phyla-{length}-{name}.jsonl", given.minutes)
            path = folder / f"{length}-{name}.jsonl"
            if done and path.exists() and name != "seqformers":
                earlier = margins([json.loads(line) for line in path.read_text().splitlines()])
                found = by_phylum(rows, phages, margins(done), earlier)
                result.setdefault("phyla", {}).setdefault(str(length), {})[name] = found
    write_result("phage_peers", result, data="genomes, virus_genomes", seeds=[0])


if __name__ == "__main__":
    main()
