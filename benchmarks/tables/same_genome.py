"""Do two reads stem from one genome? Held-out accuracy of the pretext head beside what composition alone says.

    python -m benchmarks.tables.same_genome --work runs/virbert-arms

Pairs of the groups of fold 0, which pretraining had not seen, in two kinds: the other read from any genome, or from
one of like GC content. The shortcuts are logistic regressions fitted on pairs of the training groups: on the
difference in GC content, and on that and the similarity of the 4-mer compositions (strands as one). It writes
`results/same_genome.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks._results import write_result
from benchmarks.tables.virbert_cells import root_counts
from benchmarks.tables.virbert_reads import CLASSES
from seqformers import KmerBertForPreTraining, KmerTokenizer
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.pairs import Pairs, PairSampler
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler

LENGTHS = (150, 500)
PAIRS = {"train": 4000, "test": 1500}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    rows = [measure(work, length, like_gc) for length in LENGTHS for like_gc in (False, True)]
    for row in rows:
        print(row)
    path = write_result("same_genome", {"rows": rows}, data="fold 0 of virbert_reads", seeds=[0])
    print(path)


def measure(work: Path, length: int, like_gc: bool) -> dict[str, Any]:
    """Accuracy and area under the ROC curve of the head and of the shortcuts on one kind of pairs."""
    pairs = {
        split: PairSampler(
            ReadSampler(
                GenomeArrays.open(work / "genomes", split), ReadOptions(length=length, classes=CLASSES), seed=1
            ),
            like_gc=like_gc,
        ).draw(range(count))
        for split, count in PAIRS.items()
    }
    features = {split: compositions(part) for split, part in pairs.items()}
    found: dict[str, Any] = {"length": length, "like_gc": like_gc, "pairs": PAIRS["test"]}
    truth = pairs["test"].same
    for name, columns in (("gc", [0]), ("gc and 4-mers", [0, 1])):
        model = LogisticRegression().fit(features["train"][:, columns], pairs["train"].same)
        found[name] = _score(model.decision_function(features["test"][:, columns]), truth)
    found["network"] = _score(network_scores(work / "arms" / "same-genome", pairs["test"]), truth)
    return found


def compositions(pairs: Pairs) -> np.ndarray:
    """Difference in GC content, and cosine of the square roots of the 4-mer counts, `(pairs, 2)`."""
    first, second = (root_counts(reads.strings(), 4) for reads in (pairs.first, pairs.second))
    cosine = (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return np.stack([np.abs(pairs.first.gc() - pairs.second.gc()) * 10, cosine * 10], axis=1)


@torch.inference_mode()
def network_scores(run: Path, pairs: Pairs) -> np.ndarray:
    """Logit of `same`."""
    model = KmerBertForPreTraining.from_pretrained(run).eval()
    tokenizer = KmerTokenizer.from_pretrained(run)
    texts = list(zip(pairs.first.strings(), pairs.second.strings(), strict=True))
    parts = []
    for first in range(0, len(texts), 64):
        one, other = zip(*texts[first : first + 64], strict=True)
        batch = tokenizer(list(one), list(other), padding=True, return_tensors="pt")
        encoded = model.bert(**batch).pooler_output
        logits = model.cls.seq_relationship(encoded)
        parts.append((logits[:, 0] - logits[:, 1]).numpy())
    return np.concatenate(parts)


def _score(scores: np.ndarray, same: np.ndarray) -> dict[str, float]:
    return {"accuracy": float(((scores > 0) == same).mean()), "auroc": float(roc_auc_score(same, scores))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
