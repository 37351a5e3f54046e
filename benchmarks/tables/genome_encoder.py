"""The packaged encoder of DNA: what its frozen vectors are worth on groups of genomes that it never saw, and its card.

    python -m benchmarks.tables.virbert_arms --genomes build/genomes --work runs/virbert-arms   # the arms and the reads
    python -m benchmarks.tables.genome_encoder_data --genomes build/genomes --output build/genomes-encoder
    seqformers pretrain benchmarks/recipes/contrastive/genome_encoder.yaml data.path=build/genomes-encoder -o runs/genome-encoder
    python -m benchmarks.tables.genome_encoder --run runs/genome-encoder --work runs/virbert-arms --genomes build/genomes-encoder
    python -m benchmarks.tables.genome_encoder --card

Three questions about fold 0 of the phage table, whose groups pretraining had not seen: phage or not, in the cells of
that table, by the same regression on the same labelled reads; whether two reads stem from one genome; and which genome
a read is of, by the nearest vector. Beside it the arm that had 180 s (`profile-contrast`), and what composition says.
It writes `results/genome_encoder.json`, the weights of the package (half precision) and their card.
"""  # noqa: E501 (commands to paste)

from __future__ import annotations

import argparse
import json
import re
import shutil
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from benchmarks._results import RESULTS, ROOT, commit_of, write_result
from benchmarks.tables.same_genome import compositions
from benchmarks.tables.virbert_arms import vectors_of
from benchmarks.tables.virbert_cells import (
    FRACTIONS,
    LENGTHS,
    SEEDS,
    VARIANTS,
    fit_and_score,
    labelled_rows,
    measure,
    root_counts,
    test_rows,
)
from benchmarks.tables.virbert_reads import CLASSES
from seqformers.datasets_scripts.common.leakage import sketch_leakage
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.pairs import PairSampler
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler

PACKAGED = ROOT / "modeling" / "dna" / "pretrained" / "genome_encoder"
ARM = "profile-contrast"  # the same recipe for 180 s, on phages and viruses alone
BESIDE = {
    ARM: "the same for 180 s", "kmer4": "4-mer regression", "kmer6": "6-mer regression",
    "random": "random network, frozen", "profile-scratch": "coding profile from scratch",
}  # fmt: skip
PAIRS, QUERIES = 1500, 1000  # pairs of reads a row; letters of a read that looks for its genome
_RESAMPLES = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run folder of the encoder")
    parser.add_argument("--work", type=Path, help="of virbert_arms")
    parser.add_argument("--genomes", type=Path, help="of genome_encoder_data")
    parser.add_argument("--card", action="store_true", help="write the card of the package from the result alone")
    arguments = parser.parse_args()
    if not arguments.card:
        package(arguments.run)
        runs = {"encoder": PACKAGED, ARM: arguments.work / "arms" / ARM}
        result = {
            "phage": phage(arguments.work, PACKAGED),
            "beside": beside(),
            "pairs": [pairs(arguments.genomes, runs, length, gc) for length in (150, 500) for gc in (False, True)],
            "nearest": nearest(arguments.genomes, runs),
            "half_precision": half_precision(arguments.run, arguments.work),
            "leakage": leakage(arguments.genomes),
            "genomes": json.loads((arguments.genomes / "facts.json").read_text(encoding="utf-8")),
            "validation": json.loads((arguments.run / "metrics.json").read_text(encoding="utf-8"))["metrics"],
        }
        write_result("genome_encoder", result, data="genomes and virus_genomes, fold 0 unseen", seeds=list(SEEDS))
    render()


# -- what the vectors are worth --------------------------------------------------------------------------------------


def phage(work: Path, run: Path) -> list[dict[str, Any]]:
    """The encoder in every cell of fold 0: macro recall of each seed, alone and beside 4-mers."""
    rows = []
    for length in LENGTHS:
        reads = pd.read_parquet(work / f"reads-{length}.parquet")
        texts = reads["sequence"].tolist()
        vectors = vectors_of(run, texts, None)
        blocks = {"encoder": vectors, "encoder+kmer4": np.concatenate([vectors, root_counts(texts, 4)], 1)}
        labels, groups = reads["label"].to_numpy(), reads["group"].to_numpy()
        for variant, fraction in product(VARIANTS, FRACTIONS):
            row: dict[str, Any] = {"length": length, "variant": variant, "fraction": fraction}
            for method, features in blocks.items():
                values = []
                for seed in SEEDS:
                    chosen = labelled_rows(reads, fold=0, variant=variant, fraction=fraction, seed=seed)
                    held = np.array([zlib.crc32(name.encode()) % 4 == 0 for name in groups[chosen]])
                    test = test_rows(reads, {"fold": 0, "variant": variant})
                    scores = fit_and_score(features[chosen], labels[chosen], held, features[test])
                    values.append(measure(scores, labels[test])["macro_recall"])
                row[method] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)), "values": values}
            row["labelled"] = len(chosen)
            rows.append(row)
            print(row, flush=True)
    return rows


def beside() -> list[dict[str, Any]]:
    """What `benchmarks.tables.virbert` has of the same cells."""
    rows = json.loads((RESULTS / "virbert_arms.json").read_text(encoding="utf-8"))["result"]["rows"]
    place = ("length", "variant", "fraction", "method")
    return [
        {**{key: row[key] for key in place}, **row["seeds"]["macro_recall"]} for row in rows if row["method"] in BESIDE
    ]


def pairs(genomes: Path, runs: dict[str, Path], length: int, like_gc: bool) -> dict[str, Any]:
    """AUROC of cosines for whether two reads of fold 0 stem from one genome, and of composition."""
    sampler = ReadSampler(GenomeArrays.open(genomes, "test"), ReadOptions(length=length, classes=_OWN), seed=1)
    drawn = PairSampler(sampler, like_gc=like_gc).draw(range(PAIRS))
    difference, words = compositions(drawn).T
    found: dict[str, Any] = {"length": length, "like_gc": like_gc, "pairs": PAIRS}
    scores = {"gc": -difference, "4-mers": words}
    for name, run in runs.items():
        first, second = (_unit(vectors_of(run, part.strings(), None)) for part in (drawn.first, drawn.second))
        scores[name] = (first * second).sum(1)
    found |= {name: float(roc_auc_score(drawn.same, values)) for name, values in scores.items()}
    print(found, flush=True)
    return found


_OWN = {name: list(old) for name, old in CLASSES.items()}


def nearest(genomes: Path, runs: dict[str, Path]) -> dict[str, Any]:
    """A read of the first half of each record of fold 0, and the record whose second half has the nearest read."""
    own = GenomeArrays.open(genomes, "test")
    which = np.flatnonzero(own.length >= 2 * QUERIES)
    which = which[np.unique(own.group[which], return_index=True)[1]]  # one a group: relatives are no mistakes
    rng = np.random.default_rng(0)
    half = own.length[which] // 2
    places = [(rng.random(len(which)) * (half - QUERIES + 1)).astype(np.int64), half]
    texts = []
    for place in places:
        letters = own.letters.take(
            own.start[which] + place, np.full(len(which), QUERIES), rng.random(len(which)) < 0.5
        )
        texts.append([row.tobytes().decode() for row in letters])
    blocks = {name: [vectors_of(run, part, None) for part in texts] for name, run in runs.items()}
    blocks["4-mers"] = [root_counts(part, 4) for part in texts]
    blocks["6-mers"] = [root_counts(part, 6) for part in texts]
    found: dict[str, Any] = {"genomes": len(which), "letters": QUERIES, "chance": 1 / len(which)}
    for name, (query, reference) in blocks.items():
        cosine = _unit(query) @ _unit(reference).T
        right = (cosine.argmax(1) == np.arange(len(which))).astype(float)
        drawn = right[rng.integers(0, len(right), (_RESAMPLES, len(right)))].mean(1)
        found[name] = {"nearest": float(right.mean()), "interval": np.quantile(drawn, [0.025, 0.975]).tolist()}
    print(found, flush=True)
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def half_precision(run: Path, work: Path) -> float:
    """Largest difference between vectors of the run and of the package, in units of the largest number of a vector."""
    texts = pd.read_parquet(work / "reads-1000.parquet", columns=["sequence"])["sequence"].tolist()[::30]
    whole, half = vectors_of(run, texts, None), vectors_of(PACKAGED, texts, None)
    return float((np.abs(whole - half).max(1) / np.abs(whole).max(1)).max())


def leakage(genomes: Path) -> dict[str, Any]:
    """Share of the 31-mers of fold 0 that pretraining saw."""
    texts = {split: _letters(GenomeArrays.open(genomes, split)) for split in ("train", "test")}
    return sketch_leakage(texts)


def _letters(genomes: GenomeArrays) -> Iterator[str]:
    for start, length in zip(genomes.start, genomes.length, strict=True):
        yield genomes.letters.take(np.array([start]), np.array([length]), np.zeros(1, bool))[0].tobytes().decode()


# -- the package -----------------------------------------------------------------------------------------------------


def package(run: Path) -> None:
    """Weights in half precision, configuration, tokenizer and recipe; the card comes from the result."""
    PACKAGED.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.half() if name.endswith(".weight") else value
        for name, value in load_file(run / "model.safetensors").items()
    }
    save_file(tensors, PACKAGED / "model.safetensors", metadata={"format": "pt"})
    (PACKAGED / "model.safetensors").chmod(0o644)
    for name in ("tokenizer_config.json", "vocab.txt", "metrics.json"):
        shutil.copyfile(run / name, PACKAGED / name)
    config = json.loads((run / "config.json").read_text(encoding="utf-8")) | {"read_length": 1000}
    config.pop("auto_map", None)
    (PACKAGED / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    card = (run / "README.md").read_text(encoding="utf-8")
    (PACKAGED / "README.md").write_text(card, encoding="utf-8")


def render() -> None:
    """Write the card of the package and `tables/genome_encoder.md` from the result."""
    found = json.loads((RESULTS / "genome_encoder.json").read_text(encoding="utf-8"))
    result = found["result"]
    path = PACKAGED / "README.md"
    text = path.read_text(encoding="utf-8")
    text = re.sub(
        r"\n# genome-encoder\n.*?\n\n\|",
        f"\n# Genome encoder, packaged with seqformers\n\n{_WHAT}\n\n|",
        text,
        count=1,
        flags=re.DOTALL,
    )
    for heading, lines in {
        "Intended use": [_USE],
        "Limits": _LIMITS,
        "Results": [_RESULTS_SAY, "", *phage_table(result), "", *pairs_table(result), "", *nearest_table(result)],
        "Beside shortcut baselines": ["They stand in the tables above: GC, regressions on 4- and 6-mers, networks."],
        "Leakage between splits": leakage_table(result),
        "Speed and memory of inference": ["Not measured for this model; the family: `benchmarks/tables/families.md`."],
    }.items():
        body = "\n".join([f"## {heading}", "", *lines, "", ""])
        text, count = re.subn(rf"## {heading}\n.*?(?=^## )", lambda _, b=body: b, text, flags=re.DOTALL | re.MULTILINE)
        assert count == 1, heading
    path.write_text(text, encoding="utf-8")
    page = [
        "# The packaged encoder", "", _WHAT, "", _RESULTS_SAY, "", *phage_table(result), "", *pairs_table(result), "",
        *nearest_table(result), "", *leakage_table(result), "",
        f"<sub>`{found['command']}`, commit {commit_of(found)}, {found['device']}.</sub>", "",
    ]  # fmt: skip
    (ROOT / "benchmarks" / "tables" / "genome_encoder.md").write_text("\n".join(page), encoding="utf-8")


_WHAT = (
    "Vectors of DNA: reads and contigs of one genome, or of relatives, get like ones. Pretrained without labels to "
    "tell two reads of one genome (100 to 1000 nt) from reads of other groups, over counts of words, codons and pairs "
    "of residues: `seqformers embed genome_encoder reads.fasta -o vectors.parquet`."
)
_USE = (
    "Clustering and mapping contigs, finding the nearest known genome, and classifiers with few labels "
    "(`seqformers probe` or `finetune` with `model.from=genome_encoder`)."
)
_LIMITS = [
    "- Composition and codon use only: no gene is recognised, and genomes with like codon use get like vectors.",
    "- Pretrained on reads of 100 to 1000 nt of phages, other viruses, and chromosomes and plasmids of bacteria and "
    "archaea; longer records are read in windows of 1000 and averaged. Nothing of animals, plants or fungi was seen, "
    "but viruses of theirs.",
    "- A sequence and its reverse complement get nearly, not exactly, the same vector (frames begin elsewhere); "
    "`--both-strands` makes them the same.",
    "- Fold 0 of the phage table was kept out, so these figures are of groups it never saw; forms of the recipe were "
    "compared on that fold before (`benchmarks/LOG.md`), which flatters it a little.",
    "- Not for clinical decisions.",
]
_RESULTS_SAY = (
    "Groups of fold 0 (24 of phages, 375 of other viruses), unseen. Phage or not, macro recall in percent of a "
    "regression on frozen vectors, three draws of the labelled reads; *from scratch* is trained on the same reads:"
)


def phage_table(result: dict[str, Any]) -> list[str]:
    """Cells of the phage table, the encoder first."""
    known = {(row["length"], row["variant"], row["fraction"], row["method"]): row for row in result["beside"]}
    lines = [f"| reads | labels (reads) | this encoder | beside 4-mers | {' | '.join(BESIDE.values())} |"]
    lines.append("|---" * (len(BESIDE) + 4) + "|")
    for row in result["phage"]:
        place = row["length"], row["variant"], row["fraction"]
        cells = [row["encoder"], row["encoder+kmer4"], *(known.get((*place, name)) for name in BESIDE)]
        kind = "GC-matched" if row["variant"] == "matched" else "plain"
        head = f"{row['length']} nt, {kind} | {100 * row['fraction']:.4g} % ({row['labelled']})"
        lines.append(f"| {head} | {' | '.join(map(_percent, cells))} |")
    return lines


def _percent(value: dict[str, Any] | None) -> str:
    if value is None:
        return ""
    deviation = value["sd"] or 0.0
    return f"{100 * value['mean']:.1f}" + (f" ± {100 * deviation:.1f}" if deviation > 5e-4 else "")


def pairs_table(result: dict[str, Any]) -> list[str]:
    """Whether two reads stem from one genome."""
    lines = ["Two reads of one genome or of two, AUROC of their cosine:", ""]
    names = {"encoder": "this encoder", ARM: "the same for 180 s", "4-mers": "4-mers", "gc": "GC"}
    lines += [f"| reads | other genomes | {' | '.join(names.values())} |", "|---" * (len(names) + 2) + "|"]
    for row in result["pairs"]:
        cells = " | ".join(f"{row[name]:.3f}" for name in names)
        lines.append(f"| {row['length']} nt | {'of like GC' if row['like_gc'] else 'any'} | {cells} |")
    return lines


def nearest_table(result: dict[str, Any]) -> list[str]:
    """Which genome a read is of."""
    row = result["nearest"]
    lines = [
        f"The genome of a read of {row['letters']:,} nt among {row['genomes']}, one a group, of each of which another "
        "read is known (95 % of a bootstrap over groups):", "", "| by the nearest | right |", "|---|---|",
    ]  # fmt: skip
    for name, title in (("encoder", "vector of this encoder"), (ARM, "vector of the same for 180 s"),
                        ("4-mers", "4-mers"), ("6-mers", "6-mers")):  # fmt: skip
        low, high = row[name]["interval"]
        lines.append(f"| {title} | {row[name]['nearest']:.3f} ({low:.3f}-{high:.3f}) |")
    return [*lines, f"| chance | {row['chance']:.4f} |"]


def leakage_table(result: dict[str, Any]) -> list[str]:
    """What fold 0 and pretraining share."""
    shared = result["leakage"]["splits"]["test"]
    lines = ["| split | class | records | groups | nt |", "|---|---|---|---|---|"]
    for split in ("train", "validation", "test"):
        for name, facts in result["genomes"][split].items():
            numbers = f"{facts['records']:,} | {facts['groups']:,} | {facts['letters']:,}"
            lines.append(f"| {'fold 0, unseen' if split == 'test' else split} | {name} | {numbers} |")
    lines += [
        "",
        "| measured | value |",
        "|---|---|",
        f"| 31-mers of fold 0 that pretraining saw | {shared['contained']:.4f} |",
    ]
    return [
        *lines,
        f"| weights in half precision, largest change of a vector (read in bf16) | {result['half_precision']:.5f} |",
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
