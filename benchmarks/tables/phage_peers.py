"""Jaeger and geNomad's network on the contigs of `phage_detector`, each from its own environment, offline.

    python -m benchmarks.tables.phage_peers --work runs/phage --bin peers/bin

`--work` is that of `phage_detector`, whose contigs are drawn again; `--bin` holds `jaeger` and `genomad` (`pip install
jaeger-bio genomad` into an environment of their own; geNomad's licence is for non-commercial use: it is run here and
nothing else). Both were probably trained on some of these genomes, and there is no telling which.

A tool is given the contigs in a random order, batch by batch, until `--minutes` are over; what it answered is kept in
`WORK/peers`, and the same command goes on from there. The detector's figures beside a tool's are of the contigs that
the tool was given; the intervals are a bootstrap over groups of genomes. Seconds are of the processor and hold the
start of a tool once a batch.
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
from benchmarks.tables.phage_data import FOLDS
from benchmarks.tables.phage_detector import PHAGE, auroc, collect, draw_contigs
from seqformers.phages.contig import CLASSES

LENGTHS = (500, 1000, 3000, 10_000)
DEFAULT_LENGTHS = (3000, 10_000)  # Jaeger's windows are of 2,048 nt
DRAWS = 1000


def contigs_again(work: Path) -> pd.DataFrame:
    """Hosts and phages among the contigs of `phage_detector`, with letters and the detector's phage-host margin."""
    known, logs, _ = collect(work)
    records = pd.read_parquet(work / "records.parquet").assign(nt=lambda table: table["sequence"].str.len())
    drawn = [
        draw_contigs(records[records["fold"] == fold], length, seed=fold * 100_000 + length).assign(
            length=length, fold=fold
        )
        for fold in range(FOLDS)
        for length in sorted(known["length"].unique())
    ]
    contigs = pd.concat(drawn, ignore_index=True)
    assert contigs["group"].tolist() == known["group"].tolist()
    found = logs["detector"]
    margin = found[:, PHAGE] - np.logaddexp(found[:, 0], found[:, 1])
    wanted = contigs["class"].isin(["bacterium", "archaeon", "phage"])
    contigs = contigs[wanted].assign(margin=margin[wanted]).reset_index(drop=True)
    return contigs.assign(name=[f"contig{number}" for number in range(len(contigs))])


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


def jaeger(folder: Path, fasta: Path, out: Path) -> tuple[pd.Series, float, float]:
    """Its mean phage score minus the best other one, by contig; seconds; MB."""
    spent = run([str(folder / "jaeger"), "predict", "-i", str(fasta), "-o", str(out), "--cpu", "--workers", "1", "-f"])
    (path,) = out.rglob(f"{fasta.stem}_jaeger.tsv")
    table = pd.read_csv(path, sep="\t").set_index("contig_id")
    return table["phage_score"] - table[["bacteria_score", "archaea_score"]].max(axis=1), *spent


def genomad(folder: Path, fasta: Path, out: Path) -> tuple[pd.Series, float, float]:
    """Its network's virus score minus its chromosome score (it has no class of phages), by contig; seconds; MB."""
    spent = run([str(folder / "genomad"), "nn-classification", str(fasta), str(out), "--threads", "1", "--quiet"])
    (path,) = out.rglob("*_nn_classification.tsv")
    table = pd.read_csv(path, sep="\t").set_index("seq_name")
    return table["virus_score"] - table["chromosome_score"], *spent


def seqformers(_: Path, fasta: Path, out: Path) -> tuple[pd.Series, float, float]:
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
TOOLS: dict[str, tuple[Callable[[Path, Path, Path], tuple[pd.Series, float, float]], int]] = {
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
            margin, seconds, memory = tool(folder, fasta, Path(place) / "out")
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


def with_interval(margin: np.ndarray, phage: np.ndarray, groups: np.ndarray) -> dict[str, list[float]]:
    """Phage against host: AUROC, and share of phages above all but 1 % of hosts; 95 % of a bootstrap over groups."""

    def measured(rows: np.ndarray) -> tuple[float, float]:
        own, positive = margin[rows], phage[rows]
        limit = np.quantile(own[~positive], 0.99)
        return auroc(positive, own), float((own[positive] > limit).mean())

    generator = np.random.default_rng(0)
    members = [[np.flatnonzero((groups == g) & (phage == kind)) for g in np.unique(groups[phage == kind])]
               for kind in (False, True)]  # fmt: skip
    draws = []
    for _ in range(DRAWS):
        rows = np.concatenate([own[i] for own in members for i in generator.integers(0, len(own), len(own))])
        draws.append(measured(rows))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    values = zip(measured(np.arange(len(phage))), low, high, strict=True)
    return dict(zip(("auroc", "sensitivity"), ([round(float(v), 4) for v in row] for row in values), strict=True))


def summary(rows: pd.DataFrame, done: list[dict[str, Any]], *, measured: bool) -> dict[str, Any]:
    """What a tool cost and, unless its weights have seen the contigs, how it and the detector did on them."""
    megabases = sum(entry["megabases"] for entry in done)
    seconds = sum(entry["cpu_seconds"] for entry in done)
    found: dict[str, Any] = {
        "contigs": sum(len(entry["names"]) for entry in done), "megabases": round(megabases, 3),
        "cpu_seconds": round(seconds, 1), "seconds_per_megabase": round(seconds / megabases, 3),
        "mb": round(max(entry["mb"] for entry in done)),
    }  # fmt: skip
    if not measured:
        return found
    margins = {name: value for entry in done for name, value in zip(entry["names"], entry["margins"], strict=True)}
    own = rows[rows["name"].isin(margins)]
    values = np.array([margins[name] for name in own["name"]], float)
    phage, groups = (own["class"] == CLASSES[PHAGE]).to_numpy(), own["group"].to_numpy()
    found |= {"phages": int(phage.sum()), "groups": len(set(groups)), "unanswered": int(np.isnan(values).sum())}
    found |= with_interval(np.nan_to_num(values, nan=0.0), phage, groups)
    return found | {"detector": with_interval(own["margin"].to_numpy(), phage, groups)}


def main() -> None:
    """Run each tool, measure, write `results/phage_peers.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(DEFAULT_LENGTHS), choices=LENGTHS)
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
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
                result[str(length)][name] = summary(rows, done, measured=name != "seqformers")
                print(length, name, result[str(length)][name], flush=True)
    write_result("phage_peers", result, data="genomes, virus_genomes", seeds=[0])


if __name__ == "__main__":
    main()
