"""Secondary structure of unlabelled proteins by consensus over relatives, for a network of single sequences to learn.

    python -m benchmarks.tables.annotator_consensus --data DATA --work work/annotator
    python -m benchmarks.tables.annotator_consensus --leave-out TS115_HHblits.csv --work work/annotator
    python -m benchmarks.tables.annotator_consensus --data DATA --work work/annotator --labels second \
        --teacher long-structure.0 consensus-structure.0 --residues 20000000

A teacher (the arm `scratch-structure`, which saw labelled training rows only, or the mean of several arms) predicts
every protein; its probabilities are averaged over aligned relatives (a consensus over homologues is better than one
sequence: Zvelebil et al. 1987, J Mol Biol 195:957; Levin et al. 1993, Protein Eng 6:849), together with the true
states of relatives that are labelled training rows. A network that is taught such labels answers from one sequence, as
S4PRED does (Moffat and Jones 2021, Bioinformatics 37:3744). Proteins with a local alignment to a protein of CB513 or
of the validation rows are left out. Weights are chosen on validation proteins, whose own labels serve for that alone.
Writes `work/consensus.npz` (or another name for `--labels`) and its facts.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks._results import commit
from benchmarks.tables.annotator_data import (
    Labelled,
    encode,
    load_labelled,
    load_unlabelled,
    structure_csv,
    structure_rows,
)
from benchmarks.tables.annotator_relatives import Alignment, align_pairs, find_relatives, residue_numbers
from seqformers.modeling.protein.modeling_protein_cnn import ProteinCnnForAnnotation

__all__ = ["Consensus", "main", "predict_structure"]

SHORTEST, LONGEST = 40, 800
SCORE = 80  # of a local alignment, from which two proteins count as relatives
ALIKE = 0.9  # identity above which a relative says nothing new
WEIGHTS = [(own, truth) for own in (1.0, 2.0) for truth in (0.0, 2.0, 5.0, 10.0)]
_SIGNIFICANT = 70  # of an alignment to a test or validation protein, from which a protein is left out


class Consensus:
    """Probabilities of many proteins, and sums of those of aligned relatives.

    Args:
        own (`list[np.ndarray]`): Probabilities of the states (residues, 3) of each protein.
        truth (`list[np.ndarray | None]`): Known states of each protein, -100 where unknown; `None` without any.
    """

    def __init__(self, own: list[np.ndarray], truth: list[np.ndarray | None]):
        self.own, self.truth = own, truth
        self.relatives = [np.zeros_like(values) for values in own]
        self.labelled = [np.zeros_like(values) for values in own]

    def add(self, one: Alignment) -> None:
        """Let both proteins of an alignment say what they know of the other."""
        sides = ((one.query, one.query_places), (one.target, one.target_places))
        for (taker, here), (giver, there) in (sides, sides[::-1]):
            known = self.truth[giver]
            if known is not None:
                sure = known[there] >= 0
                self.labelled[taker][here[sure], known[there][sure]] += one.identity
            elif one.identity <= ALIKE:
                self.relatives[taker][here] += self.own[giver][there]

    def averaged(self, number: int, own: float, truth: float) -> np.ndarray:
        """Weighted mean of a protein's own probabilities, its relatives', and true states of labelled relatives."""
        total = own * self.own[number] + self.relatives[number] + truth * self.labelled[number]
        return total / total.sum(1, keepdims=True)


@torch.inference_mode()
def predict_structure(folder: Path, sequences: list[str], tokens: int = 8192) -> list[np.ndarray]:
    """Probabilities of helix, strand and coil (residues, 3) of each protein."""
    model = ProteinCnnForAnnotation.from_pretrained(folder).eval()
    order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
    found: list[np.ndarray] = [np.zeros((0, 3))] * len(sequences)
    start = 0
    while start < len(order):
        longest = len(sequences[order[start]]) + 2
        stop = start + max(tokens // max(longest, 1), 1)
        longest = len(sequences[order[min(stop, len(order)) - 1]]) + 2
        some = order[start:stop]
        ids = np.zeros((len(some), longest), np.int64)
        for row, number in enumerate(some):
            ids[row, : len(sequences[number]) + 2] = encode(sequences[number])
        ids = torch.from_numpy(ids)
        with torch.autocast("cpu", torch.bfloat16):
            vectors = model.protein_cnn.embeddings(ids).bfloat16()
            logits = model(inputs_embeds=vectors, attention_mask=(ids != 0).long()).structure_logits
        chances = logits.float().softmax(-1).numpy()
        for row, number in enumerate(some):
            found[number] = chances[row, 1 : len(sequences[number]) + 1].astype(np.float32)
        start = stop
    return found


def unlabelled(
    data: Path, work: Path, labelled: list[Labelled], tests: list[Labelled], validation: list[Labelled], residues: int
) -> tuple[list[str], list[str], dict[str, int]]:
    """Proteins to be labelled, domains first, and relatives of validation proteins, which only measure a consensus.

    Of the former there are as many as have `residues` together. None is a labelled protein or one of the others, and
    none has an alignment to a test protein.
    """
    taken = {row.sequence for rows in (labelled, tests, validation) for row in rows}
    every = [s for s in load_unlabelled(data, work / "frames.parquet") if SHORTEST <= len(s) <= LONGEST]
    every = [s for s in every if s not in taken]
    numbers = [residue_numbers(sequence) for sequence in every]
    close = []
    for rows in (tests, validation):
        away = [residue_numbers(row.sequence) for row in rows]
        close.append(
            {one.target for one in align_pairs(away, numbers, find_relatives(away, numbers, 30), _SIGNIFICANT)}
        )
    domains = {
        sequence.upper()
        for name in ("remote_homology/train", "scop_class/train")
        for sequence in pd.read_parquet(data / f"{name}.parquet")["sequence"]
    }
    rest = [sequence for number, sequence in enumerate(every) if number not in close[0] | close[1]]
    order = np.random.default_rng(0).permutation(len(rest))
    rest = sorted((rest[i] for i in order), key=lambda sequence: sequence not in domains)
    ends = np.cumsum([len(sequence) for sequence in rest])
    chosen = rest[: int(np.searchsorted(ends, residues))]
    facts = {"unlabelled": len(every), "close_to_tests": len(close[0]), "close_to_validation": len(close[1])}
    aside = [every[number] for number in sorted(close[1] - close[0])]
    return chosen, aside, facts | {"domains": len(domains & set(chosen))}


def choose_weights(consensus: Consensus, rows: list[Labelled], first: int) -> tuple[tuple[float, float], dict]:
    """The weights that make most residues of validation proteins with relatives right."""
    numbers = range(first, first + len(rows))
    related = [number for number in numbers if consensus.relatives[number].any() or consensus.labelled[number].any()]
    found = {}
    for own, truth in [(1e9, 0.0), *WEIGHTS]:
        right = total = 0
        for number in related:
            labels = rows[number - first].structure
            call = consensus.averaged(number, own, truth).argmax(1)
            right, total = right + int(np.sum(call == labels)), total + int(np.sum(labels >= 0))
        found[(own, truth)] = right / total
    best = max(WEIGHTS, key=found.__getitem__)
    facts = {"proteins": len(related), "teacher": found[(1e9, 0.0)], "consensus": found[best], "own": best[0]}
    every = [{"own": own, "truth": truth, "q3": found[own, truth]} for own, truth in WEIGHTS]
    return best, facts | {"truth": best[1], "every": every}


def consensus_labels(data: Path, work: Path, teachers: list[str], residues: int, name: str) -> dict[str, Any]:
    """Find relatives, average, choose the weights, write the labels."""
    begin, clock = time.process_time(), {}
    train, tests, _ = load_labelled(data)
    labelled = [row for row in train["structure"] if len(row.sequence) <= LONGEST]
    seen = {row.sequence for row in train["structure"]}
    validation = [row for row in structure_rows(data, "valid_netsurfp2") if row.sequence not in seen]
    validation = [row for row in validation if len(row.sequence) <= LONGEST]
    chosen, aside, facts = unlabelled(data, work, labelled, tests["structure"], validation, residues)
    clock["choosing"] = time.process_time() - begin
    print(len(chosen), facts, clock, flush=True)
    sequences = [*chosen, *aside, *(row.sequence for row in validation), *(row.sequence for row in labelled)]
    first = len(chosen) + len(aside)
    last = first + len(validation)
    each = [predict_structure(work / teacher, sequences[:last]) for teacher in teachers]
    own = [np.mean(found, axis=0) for found in zip(*each, strict=True)]
    own += [np.zeros((len(row.sequence), 3), np.float32) for row in labelled]
    clock["teacher"] = time.process_time() - begin
    print(clock, flush=True)
    truth = [*(None for _ in range(last)), *(row.structure for row in labelled)]
    consensus = Consensus(own, truth)
    numbers = [residue_numbers(sequence) for sequence in sequences]
    count = _add_relatives(consensus, numbers, last)
    clock["relatives"] = time.process_time() - begin
    (own_weight, truth_weight), measured = choose_weights(consensus, validation, first)
    labels = [consensus.averaged(number, own_weight, truth_weight) for number in range(len(chosen))]
    with_relatives = sum(consensus.relatives[n].any() or consensus.labelled[n].any() for n in range(len(chosen)))
    facts |= {"proteins": len(chosen), "residues": sum(map(len, chosen)), "with_relatives": int(with_relatives)}
    facts |= {"with_labelled_relatives": int(sum(consensus.labelled[n].any() for n in range(len(chosen))))}
    facts |= {
        "alignments": count,
        "validation": measured,
        "cpu_seconds": clock,
        "commit": commit(),
        "teachers": teachers,
    }
    flat = np.round(np.concatenate(labels) * 255).astype(np.uint8)
    np.savez(work / f"{name}.npz", sequences=np.array(chosen), labels=flat)
    (work / f"{name}.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts, indent=1), flush=True)
    return facts


def leave_out(work: Path, tests: list[Labelled], name: str) -> None:
    """Take the proteins with an alignment to a further test set out of the labels that are written."""
    with np.load(work / f"{name}.npz") as saved:
        sequences, flat = saved["sequences"].tolist(), saved["labels"]
    away, numbers = ([residue_numbers(s) for s in some] for some in ([row.sequence for row in tests], sequences))
    close = {one.target for one in align_pairs(away, numbers, find_relatives(away, numbers, 30), _SIGNIFICANT)}
    kept = np.array([number not in close for number in range(len(sequences))])
    rows = np.repeat(kept, [len(sequence) for sequence in sequences])
    some = [sequence for sequence, stays in zip(sequences, kept, strict=True) if stays]
    np.savez(work / f"{name}.npz", sequences=np.array(some), labels=flat[rows])
    facts = json.loads((work / f"{name}.json").read_text())
    facts |= {"left_out_later": facts.get("left_out_later", 0) + len(close), "proteins_left": int(kept.sum())}
    (work / f"{name}.json").write_text(json.dumps(facts | {"residues_left": int(rows.sum())}, indent=1))
    print(f"{len(close):,} proteins left out, {int(kept.sum()):,} stay", flush=True)


def _add_relatives(consensus: Consensus, numbers: list[np.ndarray], last: int) -> dict[str, int]:
    """Alignments of unlabelled and validation proteins among themselves, and of labelled ones to them."""
    count = {}
    unknown, known = numbers[:last], numbers[last:]
    for name, queries, shift, keep, stride in (("labelled", known, last, 8, 1), ("unlabelled", unknown, 0, 5, 2)):
        pairs = find_relatives(queries, unknown, keep, stride=stride)
        apart = pairs[0] + shift != pairs[1]
        pairs = tuple(part[apart] for part in pairs)
        count[f"{name}_aligned"] = 0
        for one in align_pairs(queries, unknown, pairs, SCORE):
            one.query += shift
            consensus.add(one)
            count[f"{name}_aligned"] += 1
        count[f"{name}_tried"] = len(pairs[0])
        print(count, flush=True)
    return count


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path("work/annotator"))
    parser.add_argument(
        "--leave-out", type=Path, help="a further test set, whose relatives are taken out of the labels"
    )
    parser.add_argument("--teacher", nargs="+", default=["scratch-structure.0"], help="networks that predict")
    parser.add_argument("--residues", type=int, default=9_000_000, help="of the proteins that are labelled")
    parser.add_argument("--labels", default="consensus", help="name of what is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.leave_out is not None:
        leave_out(options.work, structure_csv(options.leave_out), options.labels)
    elif options.data is None:
        parser.error("give --data")
    else:
        consensus_labels(options.data, options.work, options.teacher, options.residues, options.labels)


if __name__ == "__main__":
    main()
