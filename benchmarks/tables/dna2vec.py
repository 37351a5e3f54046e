"""Do vectors of k-mers behave as dna2vec's did: is the sum of two near their concatenation, do like ones lie together?

    python -m benchmarks.tables.dna2vec --genomes data/genomes --work runs/dna2vec

trains `recipes/kmer2vec/dna2vec-3-8.yaml` on reads of the genomes (output of `seqformers build genomes`), and compares
with vectors as drawn. A seed that is there is not trained again; `--seeds` names fewer. The result is
`results/dna2vec.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks._results import ROOT, write_result
from seqformers.interpret.words import alignment_correlation, concatenation_score, word_vectors
from seqformers.training import pretrain

RECIPE = ROOT / "benchmarks" / "recipes" / "kmer2vec" / "dna2vec-3-8.yaml"
LENGTHS = ((3, 3), (3, 4), (4, 4), (3, 5))
AMONG = (1, 10)
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genomes", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--reads", type=int, default=16_000, help="Reads of 500 nt, seen once.")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    given = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in given.seeds:
        for name, reads in (("trained", given.reads), ("as drawn", 64)):
            run = given.work / f"{name.replace(' ', '-')}-{seed}"
            if not run.exists():
                changes = [f"data.path={given.genomes}", f"seeds=[{seed}]"]
                changes += [] if name == "trained" else ["training.learning_rate=0.0"]
                changes += [f"data.reads={{length: 500, per_epoch: {reads}, validation: 64}}", "data.splits.test=null"]
                pretrain(RECIPE, changes, output=run, resume=Path(f"{run}.partial").exists())
            vectors = word_vectors(run)
            found.setdefault(f"{name}, alignment of 8-mers", []).append(alignment_correlation(vectors, seed=seed))
            for lengths in LENGTHS:
                for among in AMONG:
                    score = concatenation_score(vectors, lengths, pairs=500, among=among, seed=seed)
                    found.setdefault(f"{name} {lengths[0]}+{lengths[1]}, among {among}", []).append(score)
    data = json.loads((given.genomes / "build.json").read_text(encoding="utf-8"))
    write_result(
        "dna2vec",
        {"reads": given.reads, "scores": found},
        data=f"genomes, {data['splits']}",
        seeds=given.seeds,
    )


if __name__ == "__main__":
    main()
