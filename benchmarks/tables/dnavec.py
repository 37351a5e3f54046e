"""What DNAVec's paper asks of its words: tf-idf against attention received, CpG by head, and the map of vectors.

    python -m benchmarks.tables.dnavec --arms runs/virbert-arms/arms --reads runs/virbert-arms/reads-150.parquet \
        --work runs/dnavec --pictures docs/pictures

The arm `dnavec` of `benchmarks.tables.virbert_arms` reads reads of held-out groups; beside it stand networks of its
shape as drawn, three seeds, which show what tokens that share letters give by themselves. The result is
`results/dnavec.json`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from transformers import AutoConfig, AutoTokenizer

from benchmarks._results import write_result
from seqformers import KmerBertForMaskedLM
from seqformers.interpret.explain import explain
from seqformers.interpret.words import word_vectors

ROWS, SEEDS, RESAMPLES = 150, (0, 1, 2), 500
FEWEST = 5  # times that a word comes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", type=Path, required=True)
    parser.add_argument("--reads", type=Path, required=True, help="Parquet with the column sequence")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    fasta = arguments.work / "reads.fa"
    texts = pd.read_parquet(arguments.reads, columns=["sequence"])["sequence"].sample(ROWS, random_state=0)
    fasta.write_text("".join(f">r{number}\n{text}\n" for number, text in enumerate(texts)), encoding="utf-8")
    models = {"dnavec": arguments.arms / "dnavec"}
    for seed in SEEDS:
        models[f"as drawn, seed {seed}"] = drawn(models["dnavec"], arguments.work / f"drawn-{seed}", seed)
    result: dict[str, Any] = {}
    for number, (name, model) in enumerate(models.items()):
        folder = arguments.work / f"words-{number}"
        if not folder.is_dir():
            explain(model, fasta, folder, methods=["words"], progress=False)
        result[name] = measured(folder) | {"same_length_among_nearest": same_length(model)}
        print(name, result[name], flush=True)
    if arguments.pictures is not None:
        for picture in ("words", "heads", "map"):
            source = arguments.work / "words-0" / f"{picture}.png"
            shutil.copyfile(source, arguments.pictures / f"dnavec_{picture}.png")
    write_result("dnavec", result, data=f"{ROWS} reads of 150 nt of virus_genomes", seeds=list(SEEDS))


def drawn(model: Path, folder: Path, seed: int) -> Path:
    """A network of the same shape, its weights as drawn."""
    if not folder.is_dir():
        torch.manual_seed(seed)
        KmerBertForMaskedLM(AutoConfig.from_pretrained(model)).save_pretrained(folder)
        AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def measured(folder: Path) -> dict[str, Any]:
    """Correlations by length with intervals over words, and what the heads do."""
    words, heads = (pd.read_csv(folder / f"{name}.tsv", sep="\t") for name in ("words", "heads"))
    often = words[words["count"] >= FEWEST]
    found: dict[str, Any] = {}
    for letters, part in [("all", often), *often.groupby("letters")]:
        if len(part) >= 30:
            found[str(letters)] = correlation(part)
    ratio = heads["cg_to_cg"] / heads["others_to_cg"]
    control = heads["gc_to_gc"] / heads["others_to_gc"]
    best = int(ratio.argmax())
    return {
        "spearman_of_tf_idf_and_attention": found,
        "cpg": {
            "largest": float(ratio[best]), "layer": int(heads["layer"][best]), "head": int(heads["head"][best]),
            "gpc_of_that_head": float(control[best]), "median": float(ratio.median()),
            "largest_gpc": float(control.max()),
        },
    }  # fmt: skip


def correlation(part: pd.DataFrame) -> dict[str, Any]:
    """Rank correlation, and its interval when words are drawn with replacement."""
    rng = np.random.default_rng(0)
    values = part[["tf_idf", "attention"]].to_numpy()
    draws = [spearmanr(*values[rng.integers(0, len(values), len(values))].T).statistic for _ in range(RESAMPLES)]
    low, high = np.nanquantile(draws, [0.025, 0.975]).tolist()
    return {"words": len(part), "spearman": float(spearmanr(*values.T).statistic), "interval": [low, high]}


def same_length(model: Path, count: int = 1000, nearest: int = 10) -> dict[str, float]:
    """Share of the nearest words by cosine that are as long as a word, and what chance gives; over random words."""
    vectors = word_vectors(model)
    matrix = vectors.matrix / np.maximum(np.linalg.norm(vectors.matrix, axis=1, keepdims=True), 1e-30)
    letters = np.array([len(word) for word in vectors.words])
    rng = np.random.default_rng(0)
    sizes = np.unique(letters)
    asked = np.concatenate([rng.choice(np.flatnonzero(letters == size), count // len(sizes)) for size in sizes])
    cosines = matrix[asked] @ matrix.T
    cosines[np.arange(len(asked)), asked] = -2
    found = letters[np.argpartition(-cosines, nearest, axis=1)[:, :nearest]] == letters[asked][:, None]
    chance = np.mean([(letters == size).mean() for size in letters[asked]])
    return {"share": float(found.mean()), "chance": float(chance)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
