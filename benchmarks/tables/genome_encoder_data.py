"""Genomes that the packaged encoder is pretrained on: all but fold 0 of the phage table.

    python -m benchmarks.gpu.genomes $SEQFORMERS_DATA build/genomes
    python -m benchmarks.tables.genome_encoder_data --genomes build/genomes --output build/genomes-encoder
    seqformers pretrain benchmarks/recipes/contrastive/genome_encoder.yaml data.path=build/genomes-encoder

Phages, viruses, plasmids, bacteria and archaea. Left out are the groups of fold 0 of `benchmarks.tables.virbert`, and
chromosomes and plasmids that share more than a trace with them (a prophage of theirs). A twentieth of the
letters of each class, by group, is `validation`; fold 0 is `test`, for which nothing is chosen.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sourmash import MinHash

from benchmarks.tables.virbert_reads import CLASSES, deal_folds, link_letters
from seqformers.datasets_scripts.common.splits import split_groups
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays

KEPT = ("host", "phage", "plasmid", "virus")
HELD = 0  # fold that pretraining does not see
VALIDATION = 0.05
_K, _SCALED = 31, 100
_TRACE = 3  # hashes: about 300 places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genomes", type=Path, required=True, help="classes host, phage, plasmid and virus")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    facts = write(arguments.genomes, arguments.output)
    print(json.dumps(facts, indent=2))


def write(source: Path, target: Path) -> dict[str, Any]:
    """Write the genomes by split; returns what is in each, and what was left out."""
    genomes = GenomeArrays.open(source)
    folds = deal_folds(genomes.with_classes(CLASSES))
    group = np.array(genomes.groups, object)[genomes.group]
    held = np.array([folds.get(name) == HELD for name in group])
    usable = ~held & np.isin(genomes.label, [genomes.names.index(name) for name in KEPT])
    others = usable & np.array([name not in folds for name in group])
    related = _shares_sequence(genomes, held, others)
    kept = np.flatnonzero(usable & ~related)
    split = np.full(len(genomes), -1)
    split[held] = 2
    shares = [1 - VALIDATION, VALIDATION]
    split[kept] = split_groups(
        group[kept].tolist(), genomes.label[kept].tolist(), genomes.length[kept].tolist(), shares
    )
    link_letters(source, target)
    table = pa.concat_tables([pq.read_table(path) for path in sorted((source / "genomes").glob("*.parquet"))])
    facts: dict[str, Any] = {"left out, they share sequence with the fold": _facts(genomes, related)}
    for number, name in enumerate(("train", "validation", "test")):
        chosen = split == number
        pq.write_table(table.filter(pa.array(chosen)), target / "genomes" / f"{name}-00000-of-00001.parquet")
        facts[name] = _facts(genomes, chosen)
    (target / "facts.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    return facts


def _shares_sequence(genomes: GenomeArrays, held: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Which of some records share more than a trace with those of the fold, one place of a hundred compared."""
    sketch = MinHash(n=0, ksize=_K, scaled=_SCALED)
    for number in np.flatnonzero(held):
        sketch.add_sequence(_letters(genomes, number), force=True)
    known = set(sketch.hashes)
    found = np.zeros(len(genomes), bool)
    for number in np.flatnonzero(which):
        own = MinHash(n=0, ksize=_K, scaled=_SCALED)
        own.add_sequence(_letters(genomes, number), force=True)
        found[number] = len(known.intersection(own.hashes)) >= _TRACE
    return found


def _letters(genomes: GenomeArrays, number: int) -> str:
    start, length = genomes.start[number : number + 1], genomes.length[number : number + 1]
    return genomes.letters.take(start, length, np.zeros(1, bool))[0].tobytes().decode()


def _facts(genomes: GenomeArrays, which: np.ndarray) -> dict[str, Any]:
    found = {}
    for number, name in enumerate(genomes.names):
        own = which & (genomes.label == number)
        if own.any():
            found[name] = {
                "records": int(own.sum()),
                "groups": len(np.unique(genomes.group[own])),
                "letters": int(genomes.length[own].sum()),
            }
    return found


if __name__ == "__main__":
    main()
