"""Jaeger and geNomad's network on the contigs of `phage_detector`, each from its own environment, offline.

    python -m benchmarks.tables.phage_peers --work runs/phage --bin peers/bin

`--work` is that of `phage_detector`, whose contigs are drawn again; `--bin` holds `jaeger` and `genomad` (`pip install
jaeger-bio genomad` into an environment of their own; geNomad's licence is for non-commercial use: it is run here and
nothing else). Both were probably trained on some of these genomes, and there is no telling which. Detector and peers
score the same contigs; the intervals are a bootstrap over groups of genomes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from benchmarks._results import write_result
from benchmarks.tables.phage_data import FOLDS
from benchmarks.tables.phage_detector import PHAGE, collect, draw_contigs
from seqformers.phages.detector import CLASSES

LENGTHS = (3000, 10_000)  # Jaeger's windows are of 2,048 nt
DRAWS = 1000


def contigs_again(work: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The contigs of `phage_detector` of these lengths, with their letters, and the detector's phage-host margin."""
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
    wanted = contigs["length"].isin(LENGTHS) & contigs["class"].isin(["bacterium", "archaeon", "phage"])
    contigs = contigs[wanted].assign(margin=margin[wanted]).reset_index(drop=True)
    return contigs.assign(name=[f"contig{number}" for number in range(len(contigs))]), margin


def run(words: list[str]) -> tuple[float, float]:
    """Run a tool on one core; seconds and the largest memory of any so far, in MB."""
    begun = time.perf_counter()
    one = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1",
           "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    subprocess.run(["taskset", "-c", "0", *words], check=True, env={**os.environ, **one}, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


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
    command = ["seqformers", "find-phages", str(fasta), "--output", str(out / "t.tsv")]
    spent = run(command)
    table = pd.read_csv(out / "t.tsv", sep="\t").set_index("id")
    return table["score_phage"] - table["score_host"], *spent


def with_interval(margin: np.ndarray, phage: np.ndarray, groups: np.ndarray) -> list[float]:
    """AUROC of phage against host and 95 % of a bootstrap over groups within each class."""
    generator = np.random.default_rng(0)
    members = [[np.flatnonzero((groups == g) & (phage == kind)) for g in np.unique(groups[phage == kind])]
               for kind in (False, True)]  # fmt: skip
    draws = []
    for _ in range(DRAWS):
        rows = np.concatenate([own[i] for own in members for i in generator.integers(0, len(own), len(own))])
        draws.append(roc_auc_score(phage[rows], margin[rows]))
    return [round(float(value), 4) for value in (roc_auc_score(phage, margin), *np.quantile(draws, [0.025, 0.975]))]


def main() -> None:
    """Write the contigs, run each tool, measure, write `results/phage_peers.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), choices=LENGTHS)
    parser.add_argument("--tools", nargs="+", default=["jaeger", "genomad"], choices=["jaeger", "genomad"])
    given = parser.parse_args()
    tools = [seqformers, *({"jaeger": jaeger, "genomad": genomad}[name] for name in given.tools)]
    contigs, _ = contigs_again(given.work)
    result: dict[str, Any] = {}
    for length in given.lengths:
        rows = contigs[contigs["length"] == length]
        phage, groups = (rows["class"] == CLASSES[PHAGE]).to_numpy(), rows["group"].to_numpy()
        unseen = with_interval(rows["margin"].to_numpy(), phage, groups)
        found: dict[str, Any] = {"detector of the other folds": {"auroc": unseen}}
        with tempfile.TemporaryDirectory() as place:
            fasta = Path(place) / "contigs.fna"
            fasta.write_text("".join(f">{row.name}\n{row.sequence}\n" for row in rows.itertuples(index=False)))
            for tool in tools:
                margin, seconds, memory = tool(given.bin, fasta, Path(place) / tool.__name__)
                megabases = rows["sequence"].str.len().sum() / 1e6
                cost: dict[str, Any] = {"seconds": round(seconds, 1), "mb": round(memory)}
                cost["seconds_per_megabase"] = round(float(seconds / megabases), 3)
                answered = margin.reindex(rows["name"]).to_numpy()
                if tool is not seqformers:
                    cost |= {"unanswered": int(np.isnan(answered).sum())}
                    cost |= {"auroc": with_interval(np.nan_to_num(answered, nan=0.0), phage, groups)}
                found[tool.__name__] = cost
                print(length, tool.__name__, cost, flush=True)
        result[str(length)] = found | {"contigs": len(rows), "phages": int(phage.sum()), "groups": len(set(groups))}
    write_result("phage_peers", result, data="genomes, virus_genomes", seeds=[0])


if __name__ == "__main__":
    main()
